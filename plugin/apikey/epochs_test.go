package apikey

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestEpochs_Payloads(t *testing.T) {
	hash := HashOf(testToken)
	other := hash
	other[0]++ // another stripe
	mine, others := stripeOfWorkspace("ws_1"), stripeOfWorkspace("ws_2")
	tests := []struct {
		name, payload       string
		key, workspace, all bool // what it is about
	}{
		{"key", "key:" + hash.String(), true, false, false},
		{"key in upper case", "key:" + strings.ToUpper(hash.String()), true, false, false},
		{"workspace", "workspace:ws_1", false, true, false},
		{"workspace without an id", "workspace:", false, false, true},
		{"empty", "", false, false, true},
		{"unknown", "something", false, false, true},
		{"key without a hash", "key:", false, false, true},
		{"key cut short", "key:" + hash.String()[:62], false, false, true},
		{"key too long", "key:" + hash.String() + "00", false, false, true},
		{"key that is no hex", "key:" + strings.Repeat("g", 64), false, false, true},
		{"other case of the word", "KEY:" + hash.String(), false, false, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var e epochs
			before := e.now()
			e.notify(test.payload)
			for _, c := range []struct {
				what      string
				concerned bool
				want      bool
			}{
				{"the key", e.outdated(hash, others, before), test.key || test.all},
				{"a key of the workspace", e.outdated(other, mine, before), test.workspace || test.all},
				{"a key of another workspace", e.outdated(other, others, before), test.all},
				{"an unknown key of this hash", e.unknownOutdated(hash, before), true},
				{"another unknown key", e.unknownOutdated(other, before), !test.key},
				{"the key, to who asks", Announces(test.payload, hash, "ws_2"), test.key || test.all},
				{"the workspace, to who asks", Announces(test.payload, other, "ws_1"), test.workspace || test.all},
				{"what is looked up from now on", e.outdated(hash, mine, e.now()) || e.unknownOutdated(hash, e.now()), false},
				{"the listener", e.reconnectedSince(before), false},
			} {
				if c.concerned != c.want {
					t.Errorf("%s is concerned: %v", c.what, c.concerned)
				}
			}
		})
	}
}

func TestEpochs_Increase(t *testing.T) {
	var e epochs
	hash := HashOf(testToken)
	for i, move := range []func(){
		func() { e.invalidate(hash, e.now()) },
		func() { e.notify("") },
		func() { e.advance(&e.reconnects) },
		func() { e.invalidate(hash, e.now()) },
		func() { e.notify("workspace:a") },
	} {
		before := e.now()
		move()
		if now := e.now(); now <= before {
			t.Fatalf("event %d: epoch %v after %v", i, now, before)
		}
	}
}

func TestNotify_OtherWorkspaceCausesNoLookup(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fixture) {
		b.wantOK(testToken)
		for i := range 100 {
			b.Notify(fmt.Sprint("workspace:another_", i))
			b.wantOK(testToken)
		}
		b.wantLookups(1)
		b.store.fail(errStoreDown)
		time.Sleep(2 * time.Minute)
		b.Notify("workspace:another")
		b.wantOK(testToken) // stale still serves it
		b.Notify("workspace:ws_1")
		b.wantUnavailable(testToken)
	})
}

// Which workspace a key belongs to is known only when the answer comes.
func TestNotify_WorkspaceDisabledDuringLookup(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fixture) {
		open := b.gated()
		result := b.request(t.Context(), testToken, testClient)
		b.store.set(testToken, Key{WorkspaceID: "ws_1", WorkspaceDisabled: true})
		b.Notify("workspace:ws_1")
		open()
		wantCause(t, <-result, CauseWorkspaceDisabled)
		b.wantLookups(2)
	})
}

func TestEpochs_InvalidateAfterEvent(t *testing.T) {
	hash := HashOf(testToken)
	for name, event := range map[string]func(e *epochs){
		"of the key":       func(e *epochs) { e.notify("key:" + hash.String()) },
		"of a workspace":   func(e *epochs) { e.notify("workspace:ws_1") },
		"of all":           func(e *epochs) { e.notify("") },
		"that is listened": func(e *epochs) { e.advance(&e.reconnects) },
	} {
		t.Run(name, func(t *testing.T) {
			var e epochs
			asked := e.now()
			event(&e)
			if held := e.invalidate(hash, asked); held != asked {
				t.Errorf("an answer from before an event holds in epoch %d", held)
			}
			asked = e.now()
			if held := e.invalidate(hash, asked); held <= asked || e.unknownOutdated(hash, held) || !e.outdated(hash, 0, asked) {
				t.Errorf("retired in epoch %d, holds in %d", asked, held)
			}
		})
	}
}

func TestNotify_AdmitsUnknownKeyOfNewWorkspace(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fixture) {
		b.wantCause("unknown", CauseUnknown)
		b.store.set("unknown", Key{WorkspaceID: "ws_2"})
		b.Notify("workspace:ws_2")
		b.wantOK("unknown")
	})
}

func TestDeletedKey_RememberedAsUnknown(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fixture) {
		b.wantOK(testToken)
		b.store.delete(testToken)
		b.ListenerUp()
		for range 10 {
			b.wantCause(testToken, CauseUnknown)
			synctest.Wait()
		}
		b.wantLookups(2)
		wantGuesses(t, b, 0)
	})
}

func TestDeletedKey_IsNotServedStale(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fixture) {
		b.wantOK(testToken)
		b.store.delete(testToken)
		b.ListenerUp()
		open := b.gated()
		result := b.request(t.Context(), testToken, testClient)
		b.ListenerUp() // again, before the answer has come
		open()
		wantCause(t, <-result, CauseUnknown)
		b.store.fail(errStoreDown)
		b.wantUnavailable(testToken)
	})
}

func FuzzNotify(f *testing.F) {
	f.Add("key:" + HashOf("a").String())
	f.Add("workspace:1")
	f.Add("")
	f.Fuzz(func(t *testing.T, payload string) {
		var e epochs
		e.notify(payload)
		moved := e.all.Load() + e.anyWorkspace.Load()
		for i := range stripes {
			moved += e.keys[i].Load()
			if e.workspaces[i].Load() != 0 && e.anyWorkspace.Load() != 1 {
				t.Fatal("a workspace's event is none of any workspace")
			}
		}
		if moved != 1 || e.now() != 1 {
			t.Fatalf("%d events, want 1", moved)
		}
	})
}
