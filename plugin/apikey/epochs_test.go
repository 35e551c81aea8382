package apikey

import (
	"strings"
	"testing"
)

func TestNotificationMovesTheEpochOfWhatItNames(t *testing.T) {
	named := HashOf(testToken)
	other := named
	other[0]++ // another stripe
	tests := []struct {
		name, payload string
		onlyNamed     bool
	}{
		{"key", "key:" + named.String(), true},
		{"key in upper case", "key:" + strings.ToUpper(named.String()), true},
		{"workspace", "workspace:ws_1", false},
		{"empty", "", false},
		{"unknown", "something", false},
		{"key without a hash", "key:", false},
		{"key cut short", "key:" + named.String()[:62], false},
		{"key too long", "key:" + named.String() + "00", false},
		{"key that is no hex", "key:" + strings.Repeat("g", 64), false},
		{"other case of the word", "KEY:" + named.String(), false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var e epochs
			e.notify(test.payload)
			if e.of(named) == (epoch{}) {
				t.Error("the named key's epoch did not move")
			}
			if moved := e.of(other) != (epoch{}); moved == test.onlyNamed {
				t.Errorf("another key's epoch moved: %v", moved)
			}
		})
	}
}

func TestEpochNeverReturns(t *testing.T) {
	var e epochs
	hash := HashOf(testToken)
	seen := map[epoch]bool{e.of(hash): true}
	for _, move := range []func(){
		func() { e.retire(hash) },
		func() { e.notify("") },
		func() { e.listens.Add(1) },
		func() { e.retire(hash) },
		func() { e.notify("workspace:a") },
	} {
		move()
		if now := e.of(hash); seen[now] {
			t.Fatalf("epoch %v came back", now)
		} else {
			seen[now] = true
		}
	}
}

func FuzzNotify(f *testing.F) {
	f.Add("key:" + HashOf("a").String())
	f.Add("workspace:1")
	f.Add("")
	f.Fuzz(func(t *testing.T, payload string) {
		var e epochs
		e.notify(payload)
		total := e.all.Load()
		for i := range e.keys {
			total += e.keys[i].Load()
		}
		if total != 1 {
			t.Fatalf("%d counters moved, want 1", total)
		}
	})
}
