package main

import (
	"io"
	"testing"
	"testing/synctest"
	"time"
)

func TestChunksAreDelayedSideBySide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, sender := io.Pipe()
		receiver, out := io.Pipe()
		go func() {
			copyLate(out, in)
			out.Close()
		}()
		started := time.Now()
		go func() {
			for range 100 {
				sender.Write([]byte("x"))
			}
			sender.Close()
		}()
		got, err := io.ReadAll(receiver)
		if err != nil || len(got) != 100 {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		if took := time.Since(started); took != delayed {
			t.Errorf("a hundred chunks took %s, want %s", took, delayed)
		}
	})
}
