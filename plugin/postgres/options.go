package postgres

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Options of everything in this package. The zero value of a field means its
// default; DSN alone has none.
type Options struct {
	// DSN is the database: postgres://user:password@host:5432/database, or
	// key=value pairs. Where it names several hosts, the primary is used.
	DSN string

	// ListenDSN is where LISTEN works, if it does not on DSN: a PgBouncer in
	// transaction mode forgets a LISTEN. It must name the same database. Default: DSN.
	ListenDSN string

	// MaxConns bounds the connections of one edge. Default: 16. It holds the
	// sale writers, their slow lane (2), the listener (1), and the key lookups:
	// all that is left, but at least 1 and at most 8.
	MaxConns int

	// Writers is how many batches of sales may be committed at once; a backlog
	// calls on them, one after the other. Default: 4.
	Writers int

	// Batch bounds the sales of one statement. Default: 128.
	Batch int

	// Queue bounds the sales that wait for a writer; beyond it they are shed.
	// Default: 4096.
	Queue int

	// SaleTimeout bounds a sale, from its arrival to its answer. Default: 10s.
	SaleTimeout time.Duration

	// Logger may be nil: nothing is logged.
	Logger *slog.Logger

	// Metrics may be nil: nothing is registered.
	Metrics prometheus.Registerer
}

const (
	SlowLaneConns = 2
	listenerConns = 1
	maxKeyConns   = 8
)

// WithDefaults fills what was left out and refuses what cannot work.
func (o Options) WithDefaults() (Options, error) {
	if o.DSN == "" {
		return o, errors.New("no connection string for postgres")
	}
	if o.ListenDSN == "" {
		o.ListenDSN = o.DSN
	}
	o.Logger = orDiscard(o.Logger)
	o.SaleTimeout = orDefault(o.SaleTimeout, 10*time.Second)
	o.MaxConns = orDefault(o.MaxConns, 16)
	o.Writers = orDefault(o.Writers, 4)
	o.Batch = orDefault(o.Batch, 128)
	o.Queue = orDefault(o.Queue, 4096)
	if min(o.Writers, o.Batch, o.Queue) < 1 || o.SaleTimeout < 0 {
		return o, errors.New("writers, batch, queue and timeout must not be negative")
	}
	if least := o.Writers + SlowLaneConns + listenerConns + 1; o.MaxConns < least {
		return o, fmt.Errorf("max_conns must be at least %d for %d writers, not %d", least, o.Writers, o.MaxConns)
	}
	return o, nil
}

// KeyConns is how many connections are left for key lookups.
func (o Options) KeyConns() int {
	return min(maxKeyConns, o.MaxConns-o.Writers-SlowLaneConns-listenerConns)
}

func orDefault[T int | time.Duration](value, def T) T {
	if value == 0 {
		return def
	}
	return value
}

func orDiscard(logger *slog.Logger) *slog.Logger {
	if logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return logger
}
