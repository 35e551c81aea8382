package testenv

import (
	"fmt"
	"testing"
)

func TestLog_WaitsForALineWithAllTexts(t *testing.T) {
	var log Log
	fmt.Fprint(&log, "one\ntwo\npart of ")
	log.Wait(t, "one")
	if log.HasLine("one", "two") || !log.HasLine("part") || log.HasLine("line") {
		t.Errorf("HasLine is wrong about: %s", &log)
	}
	go fmt.Fprint(&log, "a line\n")
	log.Wait(t, "part of", "a line")
	log.Logger().Info("one more")
	if n := log.Count("one"); n != 2 {
		t.Errorf("count %d, want 2", n)
	}
	log.Close()
	log.Wait(t, "one more")
}
