package testenv

import (
	"fmt"
	"testing"
)

func TestALogWaitsForALineWithAllTexts(t *testing.T) {
	var log Log
	fmt.Fprint(&log, "one\ntwo\npart of ")
	log.Wait(t, "one")
	if log.HasLine("one", "two") || !log.HasLine("part") || log.HasLine("line") {
		t.Errorf("what it has is not what was printed: %s", &log)
	}
	go fmt.Fprint(&log, "a line\n")
	log.Wait(t, "part of", "a line")
	log.Logger().Info("one more")
	if n := log.Count("one"); n != 2 {
		t.Errorf("it counts %d of 2", n)
	}
	log.Close()
	log.Wait(t, "one more")
}
