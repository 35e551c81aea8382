package e2e

import (
	"testing"

	"hoko.to/edge/internal/testenv"
)

func freePort(t testing.TB) int { t.Helper(); return testenv.FreePort(t) }
