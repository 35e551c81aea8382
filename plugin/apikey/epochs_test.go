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
		key, workspace, all bool // the target
	}{
		{"key", "key:" + hash.String(), true, false, false},
		{"key in upper case", "key:" + strings.ToUpper(hash.String()), true, false, false},
		{"workspace", "workspace:ws_1", false, true, false},
		{"workspace without an ID", "workspace:", false, false, true},
		{"empty", "", false, false, true},
		{"unknown", "something", false, false, true},
		{"key without a hash", "key:", false, false, true},
		{"short hash", "key:" + hash.String()[:62], false, false, true},
		{"long hash", "key:" + hash.String() + "00", false, false, true},
		{"hash that is not hex", "key:" + strings.Repeat("g", 64), false, false, true},
		{"prefix in upper case", "KEY:" + hash.String(), false, false, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var e epochs
			before := e.now()
			e.notify(test.payload)
			for _, c := range []struct {
				name      string
				got, want bool
			}{
				{"the key", e.outdated(hash, others, before), test.key || test.all},
				{"a key of the workspace", e.outdated(other, mine, before), test.workspace || test.all},
				{"a key of another workspace", e.outdated(other, others, before), test.all},
				{"an unknown key of this hash", e.unknownOutdated(hash, before), true},
				{"another unknown key", e.unknownOutdated(other, before), !test.key},
				{"Announces the key", Announces(test.payload, hash, "ws_2"), test.key || test.all},
				{"Announces the workspace", Announces(test.payload, other, "ws_1"), test.workspace || test.all},
				{"the key, from now on", e.outdated(hash, mine, e.now()), false},
				{"the unknown key, from now on", e.unknownOutdated(hash, e.now()), false},
				{"reconnectedSince", e.reconnectedSince(before), false},
			} {
				if c.got != c.want {
					t.Errorf("%s: got %t, want %t", c.name, c.got, c.want)
				}
			}
		})
	}
}

func TestEpochs_Increase(t *testing.T) {
	var e epochs
	hash := HashOf(testToken)
	for i, event := range []func(){
		func() { e.invalidate(hash, e.now()) },
		func() { e.notify("") },
		func() { e.advance(&e.reconnects) },
		func() { e.invalidate(hash, e.now()) },
		func() { e.notify("workspace:a") },
	} {
		before := e.now()
		event()
		if now := e.now(); now <= before {
			t.Fatalf("event %d: epoch %d after %d", i, now, before)
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
		b.wantOK(testToken) // served stale
		b.Notify("workspace:ws_1")
		b.wantUnavailable(testToken)
	})
}

// The workspace of a key is known only after the lookup.
func TestNotify_WorkspaceDisabledDuringLookup(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fixture) {
		unblock := b.blockLookups()
		result := b.request(t.Context(), testToken, testClient)
		b.store.set(testToken, Key{WorkspaceID: "ws_1", WorkspaceDisabled: true})
		b.Notify("workspace:ws_1")
		unblock()
		wantCause(t, <-result, CauseWorkspaceDisabled)
		b.wantLookups(2)
	})
}

func TestEpochs_InvalidateAfterEvent(t *testing.T) {
	hash := HashOf(testToken)
	for name, event := range map[string]func(e *epochs){
		"key":       func(e *epochs) { e.notify("key:" + hash.String()) },
		"workspace": func(e *epochs) { e.notify("workspace:ws_1") },
		"all keys":  func(e *epochs) { e.notify("") },
		"reconnect": func(e *epochs) { e.advance(&e.reconnects) },
	} {
		t.Run(name, func(t *testing.T) {
			var e epochs
			asked := e.now()
			event(&e)
			if got := e.invalidate(hash, asked); got != asked {
				t.Errorf("after the event: epoch %d, want %d", got, asked)
			}
			asked = e.now()
			if got := e.invalidate(hash, asked); got <= asked || e.unknownOutdated(hash, got) {
				t.Errorf("without an event: epoch %d, want a current one after %d", got, asked)
			}
			if !e.outdated(hash, 0, asked) {
				t.Error("the key is not outdated")
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
		unblock := b.blockLookups()
		result := b.request(t.Context(), testToken, testClient)
		b.ListenerUp() // again, during the lookup
		unblock()
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
		sum := e.all.Load() + e.anyWorkspace.Load()
		for i := range stripes {
			sum += e.keys[i].Load()
			if e.workspaces[i].Load() != 0 && e.anyWorkspace.Load() != 1 {
				t.Fatal("the event of a workspace is not recorded in anyWorkspace")
			}
		}
		if sum != 1 || e.now() != 1 {
			t.Fatalf("epochs add up to %d, want 1", sum)
		}
	})
}
