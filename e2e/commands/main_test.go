package commands

import (
	"os"
	"testing"

	"hoko.to/edge/e2e/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }
