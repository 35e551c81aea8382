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

// changes are the tested changes of testToken's key; nil deletes it.
var changes = map[string]func(*Key){
	"revoked":    func(k *Key) { k.Revoked = true },
	"scopes":     func(k *Key) { k.Scopes = 1 },
	"disabled":   func(k *Key) { k.WorkspaceDisabled = true },
	"limit":      func(k *Key) { k.Limit = limitOf(1, time.Second) },
	"host names": func(k *Key) { k.AllowedHostnames = []string{"a.example"} },
	"expiry":     func(k *Key) { k.ExpiresAt = time.Now().Add(time.Hour) },
	"workspace":  func(k *Key) { k.WorkspaceID = "ws_2" },
	"deleted":    nil,
}

// eachChange runs a test for each change, with a cached key that is due for a lookup.
func eachChange(t *testing.T, test func(b *fixture, log *bytes.Buffer, change func())) {
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			inBubble(t, func(t *testing.T, b *fixture) {
				b.wantOK(testToken)
				time.Sleep(b.ttl)
				test(b, &log, func() {
					if change == nil {
						b.store.delete(testToken)
						return
					}
					key := Key{ID: "key_1", WorkspaceID: "ws_1"}
					change(&key)
					b.store.set(testToken, key)
				})
			}, func(o *Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
		})
	}
}

func (b *fixture) unannouncedChanges() float64 {
	var counted dto.Metric
	_ = b.Authenticator.metrics.unannounced.Write(&counted)
	return counted.GetCounter().GetValue()
}

// wantUnannounced checks how many changes are counted and logged after announcedWithin.
func (b *fixture) wantUnannounced(want float64, log *bytes.Buffer) {
	b.t.Helper()
	time.Sleep(announcedWithin)
	synctest.Wait()
	if got := b.unannouncedChanges(); got != want {
		b.t.Errorf("%v unannounced changes are counted, want %v", got, want)
	}
	line := log.String()
	if logged := strings.Contains(line, "level=ERROR") && strings.Contains(line, "key_id=key_1"); logged != (want > 0) {
		b.t.Errorf("log %q, want an error: %t", line, want > 0)
	}
	if strings.Contains(line, testToken) || strings.Contains(line, HashOf(testToken).String()) {
		b.t.Errorf("the log contains the key or its hash: %q", line)
	}
}

func TestUnannouncedChange_IsCountedAndLogged(t *testing.T) {
	eachChange(t, func(b *fixture, log *bytes.Buffer, change func()) {
		change()
		_ = b.call(testToken)
		b.wantUnannounced(1, log)
	})
}

func TestUnannouncedChange_IsCountedOnce(t *testing.T) {
	eachChange(t, func(b *fixture, log *bytes.Buffer, change func()) {
		change()
		for range 3 {
			_ = b.call(testToken)
			time.Sleep(b.ttl)
		}
		b.wantUnannounced(1, log)
	})
}

func TestUnannouncedChange_NoneIfAnnounced(t *testing.T) {
	for name, before := range map[string]bool{"before the lookup": true, "after the lookup": false} {
		t.Run(name, func(t *testing.T) {
			eachChange(t, func(b *fixture, log *bytes.Buffer, change func()) {
				change()
				if before {
					b.Notify(keyPayload(testToken))
				}
				_ = b.call(testToken)
				if !before {
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
			eachChange(t, func(b *fixture, log *bytes.Buffer, change func()) {
				change()
				interrupt(b)
				_ = b.call(testToken)
				b.wantUnannounced(0, log)
			})
			eachChange(t, func(b *fixture, log *bytes.Buffer, change func()) {
				change()
				_ = b.call(testToken)
				interrupt(b)
				b.wantUnannounced(0, log)
			})
		})
	}
}

func TestUnannouncedChange_NoneWithoutAChange(t *testing.T) {
	eachChange(t, func(b *fixture, log *bytes.Buffer, _ func()) {
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
			t.Errorf("%v changes are counted, want %d", got, maxUnannounced)
		}
		if b.lookups.changes.list != nil || b.lookups.changes.timer != nil {
			t.Error("the list or the timer is left")
		}
	})
}

func TestUnannouncedChange_IsForgottenByClose(t *testing.T) {
	eachChange(t, func(b *fixture, log *bytes.Buffer, change func()) {
		change()
		_ = b.call(testToken)
		b.Close()
		b.wantUnannounced(0, log)
	})
}
