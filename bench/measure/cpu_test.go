package measure

import (
	"testing"
	"time"
)

func TestParseStat_AnyProgramName(t *testing.T) {
	s, err := parseStat("42 (a) b (c)) S 7 1 1 0 -1 4194304 101 0 0 0 1 2 300 4 20 0 1 0 1128019 3133440")
	if want := (stat{7, 304 * tick}); err != nil || s != want {
		t.Errorf("%+v, %v, want %+v", s, err, want)
	}
	for _, broken := range []string{"", "42 (a) S 7", "42 (a) S x 1 1 0 -1 4194304 101 0 0 0 1 2 300 4 20"} {
		if s, err := parseStat(broken); err == nil {
			t.Errorf("%q: %+v", broken, s)
		}
	}
}

func TestCPU_Sub(t *testing.T) {
	used := CPU{"edge": 5 * time.Second, "redis": time.Second}.Sub(CPU{"edge": 2 * time.Second})
	if used["edge"] != 3*time.Second || used["redis"] != time.Second {
		t.Error(used)
	}
}
