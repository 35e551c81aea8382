package backend

import (
	"os"
	"testing"

	"hoko.to/edge/internal/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }
