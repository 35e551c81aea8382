package apikey

import (
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	// announcedWithin is how long the notification of a change may take after the edge has noticed
	// it.
	announcedWithin = 5 * time.Second
	// maxSuspects bounds the changes that are watched. Further ones are not counted.
	maxSuspects = 1024
	// unannouncedLogInterval: a site without triggers changes keys all the time.
	unannouncedLogInterval = time.Minute
)

// suspects are changes of keys that a lookup has found and no notification has announced yet. One
// that is still not announced after announcedWithin proves that the triggers do not work: revoked
// keys then pass for as long as a key is cached. The timer's goroutine ends by itself.
type suspects struct {
	mu     sync.Mutex
	list   []suspect   // oldest first
	timer  *time.Timer // nil if the list is empty
	closed bool

	logs   rate.Sometimes
	logger *slog.Logger
}

// suspect is the entry of a key that has changed. since is the epoch after which its notification
// must come, due the time on the lookups' clock by which it must.
type suspect struct {
	entry *entry
	since epoch
	due   time.Duration
}

func newSuspects(logger *slog.Logger) suspects {
	return suspects{logs: rate.Sometimes{Interval: unannouncedLogInterval}, logger: logger}
}

// unheardOf returns the cached entry of a key if no event has concerned the key since it was
// loaded, although the edge was listening all the time.
func (l *lookups) unheardOf(hash Hash, now time.Duration) *entry {
	e := l.keys.get(hash, now)
	if e == nil || !l.unannounced(e, e.epoch) {
		return nil
	}
	return e
}

// unannounced reports whether the edge has listened ever since and heard nothing of the key.
func (l *lookups) unannounced(e *entry, since epoch) bool {
	return l.listening.Load() && !l.epochs.listened(since) && !l.epochs.concern(e.key.Hash, e.workspace, since)
}

// suspect watches for the notification of a change of e's key.
func (l *lookups) suspect(e *entry, since epoch) {
	s := &l.suspects
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.list) == maxSuspects {
		return
	}
	s.list = append(s.list, suspect{e, since, l.now() + announcedWithin})
	if s.timer == nil {
		s.timer = time.AfterFunc(announcedWithin, l.judgeSuspects)
	}
}

// judgeSuspects counts and logs the changes whose notification is overdue.
func (l *lookups) judgeSuspects() {
	for _, overdue := range l.suspects.overdue(l.now(), l.judgeSuspects) {
		if !l.unannounced(overdue.entry, overdue.since) {
			continue
		}
		l.metrics.unannounced.Inc()
		if due(&l.suspects.logs) {
			l.suspects.logger.Error("a key has changed and no notification has announced it: revoked keys pass until their ttl is over",
				slog.String("key_id", overdue.entry.key.ID), slog.String("workspace_id", overdue.entry.key.WorkspaceID),
				slog.String("remedy", "check the triggers on the tables of keys and workspaces: caddy hoko doctor"))
		}
	}
}

// overdue takes what is due off the list, and arranges for next to run when more is.
func (s *suspects) overdue(now time.Duration, next func()) []suspect {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for n < len(s.list) && s.list[n].due <= now {
		n++
	}
	due := s.list[:n:n]
	s.list, s.timer = s.list[n:], nil
	switch {
	case s.closed:
		return nil
	case len(s.list) > 0:
		s.timer = time.AfterFunc(s.list[0].due-now, next)
	default:
		s.list = nil
	}
	return due
}

func (s *suspects) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.timer != nil {
		s.timer.Stop()
	}
}

// sameKey reports whether two entries of a key let it do the same.
func sameKey(a, b *Key) bool {
	return a.ID == b.ID && a.WorkspaceID == b.WorkspaceID && slices.Equal(a.AllowedHostnames, b.AllowedHostnames) &&
		a.Limit == b.Limit && a.ExpiresAt.Equal(b.ExpiresAt) && a.Scopes == b.Scopes &&
		a.Revoked == b.Revoked && a.WorkspaceDisabled == b.WorkspaceDisabled
}
