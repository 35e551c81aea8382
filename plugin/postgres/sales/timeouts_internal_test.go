package sales

import (
	"testing"
	"time"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5/pgconn"

	"hoko.to/edge/plugin/postgres"
)

// afterStatements returns the shared part of a store whose statements took this long.
func afterStatements(t *testing.T, took, saleTimeout time.Duration) *shared {
	t.Helper()
	s := &shared{options: postgres.Options{SaleTimeout: saleTimeout}, ctx: t.Context()}
	for range 20 {
		s.times.observe(took, time.Now())
	}
	return s
}

func TestLockTimeout_FollowsTheCommits(t *testing.T) {
	for took, want := range map[time.Duration]time.Duration{
		time.Millisecond:       50 * time.Millisecond,
		60 * time.Millisecond:  120 * time.Millisecond,
		100 * time.Millisecond: 200 * time.Millisecond,
		time.Second:            250 * time.Millisecond,
	} {
		r := newRunner(afterStatements(t, took, 10*time.Second), nil)
		if got := r.lockTimeout(); got < want*95/100 || got > want {
			t.Errorf("statements of %v: %v, want %v", took, got, want)
		}
	}
}

func TestStatement_IsAbandonedAfterItsTimeout(t *testing.T) {
	for _, c := range []struct {
		name                string
		inForce             time.Duration // 0: the edge's
		took, timeout, want time.Duration
	}{
		{"ours", 0, time.Millisecond, 10 * time.Second, 5250 * time.Millisecond},
		{"a pooler's shorter one", 2 * time.Second, time.Millisecond, 10 * time.Second, 2250 * time.Millisecond},
		{"a shorter one than commits take", 100 * time.Millisecond, 800 * time.Millisecond, 10 * time.Second,
			1850 * time.Millisecond},
		{"of sales with little time", 0, time.Millisecond, 500 * time.Millisecond, 300 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSession(afterStatements(t, c.took, c.timeout), nil, saleSQL)
			s.statementTimeout = statementTimeoutOf(s.options)
			if c.inForce > 0 {
				s.statementTimeout = c.inForce
			}
			ctx, cancel := s.bounded(t.Context())
			defer cancel()
			deadline, _ := ctx.Deadline()
			if wait := time.Until(deadline); wait < c.want-50*time.Millisecond || wait > c.want+50*time.Millisecond {
				t.Errorf("after %v, want %v", wait, c.want)
			}
		})
	}
}

func TestBlocked_IsALockOrATimeoutOfPostgres(t *testing.T) {
	for code, want := range map[string]bool{
		pgerrcode.LockNotAvailable:   true,
		pgerrcode.QueryCanceled:      true,
		pgerrcode.UndefinedTable:     false,
		pgerrcode.TooManyConnections: false,
	} {
		if got := blocked(&pgconn.PgError{Code: code}); got != want {
			t.Errorf("%s: %v", code, got)
		}
	}
}
