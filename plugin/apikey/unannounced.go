package apikey

import (
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	// announcedWithin bounds the delay of a notification after a lookup has found the change.
	announcedWithin = 5 * time.Second
	// maxUnannounced bounds the changes that wait for a notification. More are not counted.
	maxUnannounced = 1024
	// unannouncedLogInterval bounds how often unannounced changes are logged.
	unannouncedLogInterval = time.Minute
)

// unannouncedChanges holds the changes of keys that a lookup has found and no notification has
// announced yet. A change that is not announced within announcedWithin proves that the triggers do
// not work, so that revoked keys pass until Options.TTL ends. The timer's goroutine ends by itself.
type unannouncedChanges struct {
	mu     sync.Mutex
	list   []unannouncedChange // oldest first
	timer  *time.Timer         // nil if the list is empty
	closed bool

	logs   rate.Sometimes
	logger *slog.Logger
}

type unannouncedChange struct {
	entry    *entry        // of the key before the change
	since    epoch         // a notification after it announces the change
	deadline time.Duration // for the notification, by lookups.now
}

func newUnannouncedChanges(logger *slog.Logger) unannouncedChanges {
	return unannouncedChanges{logs: rate.Sometimes{Interval: unannouncedLogInterval}, logger: logger}
}

// baseline returns the cached entry to compare with a lookup's answer, or nil if there is none. It
// also returns nil if a difference may have been announced.
func (l *lookups) baseline(hash Hash, now time.Duration) *entry {
	e := l.keys.get(hash, now)
	if e == nil || !l.noEventSince(e, e.epoch) {
		return nil
	}
	return e
}

// noEventSince reports whether the listener has been up since, and no event has concerned e's key.
func (l *lookups) noEventSince(e *entry, since epoch) bool {
	return l.listenerUp.Load() && !l.epochs.reconnectedSince(since) &&
		!l.epochs.outdated(e.key.Hash, e.workspace, since)
}

// expectNotification requires a notification of a change of e's key within announcedWithin.
func (l *lookups) expectNotification(e *entry, since epoch) {
	s := &l.changes
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.list) == maxUnannounced {
		return
	}
	s.list = append(s.list, unannouncedChange{e, since, l.now() + announcedWithin})
	if s.timer == nil {
		s.timer = time.AfterFunc(announcedWithin, l.reportOverdue)
	}
}

// reportOverdue counts and logs the changes whose notification is overdue.
func (l *lookups) reportOverdue() {
	for _, change := range l.changes.overdue(l.now(), l.reportOverdue) {
		if !l.noEventSince(change.entry, change.since) {
			continue
		}
		l.metrics.unannounced.Inc()
		if allow(&l.changes.logs) {
			key := &change.entry.key
			l.changes.logger.Error("a key has changed and no notification has announced it",
				slog.String("key_id", key.ID), slog.String("workspace_id", key.WorkspaceID),
				slog.String("effect", "revoked keys pass until their ttl ends"),
				slog.String("remedy", "run caddy hoko doctor to find missing or disabled triggers"))
		}
	}
}

// overdue removes and returns the overdue changes, and schedules next for the rest.
func (s *unannouncedChanges) overdue(now time.Duration, next func()) []unannouncedChange {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for n < len(s.list) && s.list[n].deadline <= now {
		n++
	}
	overdue := s.list[:n:n]
	s.list, s.timer = s.list[n:], nil
	switch {
	case s.closed:
		return nil
	case len(s.list) > 0:
		s.timer = time.AfterFunc(s.list[0].deadline-now, next)
	default:
		s.list = nil
	}
	return overdue
}

func (s *unannouncedChanges) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.timer != nil {
		s.timer.Stop()
	}
}

// sameKey reports whether two versions of a key grant the same access.
func sameKey(a, b *Key) bool {
	return a.ID == b.ID && a.WorkspaceID == b.WorkspaceID && slices.Equal(a.AllowedHostnames, b.AllowedHostnames) &&
		a.Limit == b.Limit && a.ExpiresAt.Equal(b.ExpiresAt) && a.Scopes == b.Scopes &&
		a.Revoked == b.Revoked && a.WorkspaceDisabled == b.WorkspaceDisabled
}
