package apikey

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	dto "github.com/prometheus/client_model/go"
)

// changes are what a site may do to testToken's key.
var changes = map[string]func(*fixture){
	"revoked":         func(b *fixture) { b.store.set(testToken, Key{ID: "key_1", WorkspaceID: "ws_1", Revoked: true}) },
	"of other scopes": func(b *fixture) { b.store.set(testToken, Key{ID: "key_1", WorkspaceID: "ws_1", Scopes: 1}) },
	"disabled": func(b *fixture) {
		b.store.set(testToken, Key{ID: "key_1", WorkspaceID: "ws_1", WorkspaceDisabled: true})
	},
	"of another limit": func(b *fixture) {
		b.store.set(testToken, Key{ID: "key_1", WorkspaceID: "ws_1", Limit: limitOf(1, time.Second)})
	},
	"for other hosts": func(b *fixture) {
		b.store.set(testToken, Key{ID: "key_1", WorkspaceID: "ws_1", AllowedHostnames: []string{"a.example"}})
	},
	"expiring": func(b *fixture) {
		b.store.set(testToken, Key{ID: "key_1", WorkspaceID: "ws_1", ExpiresAt: time.Now().Add(time.Hour)})
	},
	"deleted":            func(b *fixture) { b.store.delete(testToken) },
	"another workspaces": func(b *fixture) { b.store.set(testToken, Key{ID: "key_1", WorkspaceID: "ws_2"}) },
}

// eachChange runs a test of each change to a key that is cached and due to be checked again.
func eachChange(t *testing.T, test func(b *fixture, log *bytes.Buffer, change func(*fixture))) {
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			inBubble(t, func(t *testing.T, b *fixture) {
				b.wantOK(testToken)
				time.Sleep(b.ttl)
				test(b, &log, change)
			}, func(o *Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
		})
	}
}

func (b *fixture) unannouncedChanges() float64 {
	var counted dto.Metric
	_ = b.Authenticator.metrics.unannounced.Write(&counted)
	return counted.GetCounter().GetValue()
}

// wantUnannounced checks how many changes are counted once every notification is overdue.
func (b *fixture) wantUnannounced(want float64, log *bytes.Buffer) {
	b.t.Helper()
	time.Sleep(announcedWithin)
	synctest.Wait()
	if got := b.unannouncedChanges(); got != want {
		b.t.Errorf("%v changes are counted as unannounced, want %v", got, want)
	}
	line := log.String()
	if logged := strings.Contains(line, "level=ERROR") && strings.Contains(line, "key_id=key_1"); logged != (want > 0) {
		b.t.Errorf("the log says %q", line)
	}
	if strings.Contains(line, testToken) || strings.Contains(line, HashOf(testToken).String()) {
		b.t.Errorf("the log holds the key or its hash: %q", line)
	}
}

func TestUnannouncedChange_IsCountedAndLogged(t *testing.T) {
	eachChange(t, func(b *fixture, log *bytes.Buffer, change func(*fixture)) {
		change(b)
		_ = b.call(testToken)
		b.wantUnannounced(1, log)
	})
}

func TestUnannouncedChange_IsCountedOnce(t *testing.T) {
	eachChange(t, func(b *fixture, log *bytes.Buffer, change func(*fixture)) {
		change(b)
		for range 3 {
			_ = b.call(testToken)
			time.Sleep(b.ttl)
		}
		b.wantUnannounced(1, log)
	})
}

func TestUnannouncedChange_NoneIfAnnounced(t *testing.T) {
	for name, when := range map[string]struct{ beforehand, late bool }{"before": {true, false}, "soon after": {false, true}} {
		t.Run(name, func(t *testing.T) {
			eachChange(t, func(b *fixture, log *bytes.Buffer, change func(*fixture)) {
				change(b)
				if when.beforehand {
					b.Notify(keyPayload(testToken))
				}
				_ = b.call(testToken)
				if when.late {
					time.Sleep(announcedWithin - time.Millisecond)
					b.Notify("workspace:ws_1")
				}
				b.wantUnannounced(0, log)
			})
		})
	}
}

func TestUnannouncedChange_NoneWhileListenerDown(t *testing.T) {
	for name, interrupt := range map[string]func(*fixture){
		"down":              func(b *fixture) { b.ListenerDown() },
		"down and up again": func(b *fixture) { b.ListenerDown(); b.ListenerUp() },
		"up again":          func(b *fixture) { b.ListenerUp() },
	} {
		t.Run(name, func(t *testing.T) {
			eachChange(t, func(b *fixture, log *bytes.Buffer, change func(*fixture)) {
				change(b)
				interrupt(b)
				_ = b.call(testToken)
				b.wantUnannounced(0, log)
			})
			eachChange(t, func(b *fixture, log *bytes.Buffer, change func(*fixture)) {
				change(b)
				_ = b.call(testToken)
				interrupt(b)
				b.wantUnannounced(0, log)
			})
		})
	}
}

func TestUnannouncedChange_NoneWithoutAChange(t *testing.T) {
	eachChange(t, func(b *fixture, log *bytes.Buffer, _ func(*fixture)) {
		b.wantOK(testToken)
		b.wantUnannounced(0, log)
	})
}

func TestUnannouncedChanges_AreBounded(t *testing.T) {
	inBubble(t, func(t *testing.T, b *fixture) {
		e := newEntry(&Key{ID: "key_1", WorkspaceID: "ws_1"}, HashOf(testToken), b.epochs.now(), b.now())
		for range 2 * maxUnannounced {
			b.expectNotification(e, e.epoch)
		}
		time.Sleep(announcedWithin)
		synctest.Wait()
		if got := b.unannouncedChanges(); got != maxUnannounced {
			t.Errorf("%v changes were watched, want %d", got, maxUnannounced)
		}
		if b.lookups.changes.list != nil || b.lookups.changes.timer != nil {
			t.Error("something is left of them")
		}
	})
}

func TestUnannouncedChange_IsForgottenByClose(t *testing.T) {
	eachChange(t, func(b *fixture, log *bytes.Buffer, change func(*fixture)) {
		change(b)
		_ = b.call(testToken)
		b.Close()
		b.wantUnannounced(0, log)
	})
}
