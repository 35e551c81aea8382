package postgres

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"hoko.to/edge/plugin/sale"
)

// Options configure the stores of packages keys and sales. The zero value of a field means its
// default; only DSN has none.
type Options struct {
	// DSN is the connection string: postgres://user:password@host:5432/database, or key=value pairs.
	// If it names several hosts, the primary is used.
	DSN string

	// ListenDSN is the connection string for LISTEN, if that does not work on DSN: a PgBouncer in
	// transaction mode forgets a LISTEN. It must name the same database. Default: DSN.
	ListenDSN string

	// MaxConns is the maximum of connections of one edge. Default: 16. They are those of the sale
	// writers, their slow lane (2), the listener (1), and the key lookups, which get the rest, but at
	// least 1 and at most 8. What is left after that is for the slow lane, while it has work for it.
	MaxConns int

	// Writers is how many batches of sales may commit at the same time. A further writer starts only
	// if a backlog needs it. Default: 4.
	Writers int

	// Batch is the maximum of sales in one statement. Default: 128.
	Batch int

	// Queue is the maximum of sales that wait for a writer; further ones are shed. Default: 4096.
	Queue int

	// SaleTimeout is how long a sale may take, from its arrival to its answer. Default: 10s.
	SaleTimeout time.Duration

	// Logger is told of outages and of what an operator should fix. Default: no log.
	Logger *slog.Logger

	// Metrics registers the metrics. Default: they are not registered.
	Metrics prometheus.Registerer
}

// SlowLaneConns is how many connections the slow lane of sales keeps.
const SlowLaneConns = 2

const (
	listenerConns = 1
	maxKeyConns   = 8
)

// WithDefaults returns the options with their defaults, or an error that says what cannot work.
func (o Options) WithDefaults() (Options, error) {
	if o.DSN == "" {
		return o, errors.New("no connection string for postgres")
	}
	o.ListenDSN = cmp.Or(o.ListenDSN, o.DSN)
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	o.SaleTimeout = cmp.Or(o.SaleTimeout, sale.DefaultTimeout)
	o.MaxConns = cmp.Or(o.MaxConns, 16)
	o.Writers = cmp.Or(o.Writers, 4)
	o.Batch = cmp.Or(o.Batch, 128)
	o.Queue = cmp.Or(o.Queue, 4096)
	if min(o.Writers, o.Batch, o.Queue) < 1 || o.SaleTimeout < 0 {
		return o, errors.New("writers, batch, queue and timeout must not be negative")
	}
	if least := o.Writers + SlowLaneConns + listenerConns + 1; o.MaxConns < least {
		return o, fmt.Errorf("max_conns must be at least %d for %d writers, not %d", least, o.Writers, o.MaxConns)
	}
	return o, nil
}

// KeyConns returns how many connections are left for key lookups.
func (o Options) KeyConns() int {
	return min(maxKeyConns, o.MaxConns-o.Writers-SlowLaneConns-listenerConns)
}

// ExtraSlowLaneConns returns how many connections the slow lane may open beyond those that it keeps.
func (o Options) ExtraSlowLaneConns() int {
	return o.MaxConns - o.Writers - SlowLaneConns - listenerConns - o.KeyConns()
}
