package testenv

import "hoko.to/edge/internal/testkit"

// NoError ends the test as failed if err is not nil.
var NoError = testkit.NoError
