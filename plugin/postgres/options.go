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

// Options configures the stores of packages keys and sales. The zero value of a field selects its
// default. DSN is required.
type Options struct {
	// DSN is the connection string: postgres://user:password@host:5432/database, or key=value
	// pairs. If it names several hosts, the primary is used.
	DSN string

	// ListenDSN is the connection string for LISTEN, which does not work through a PgBouncer in
	// transaction mode. It must name the same database as DSN. Default: DSN.
	ListenDSN string

	// MaxConns is the maximum number of connections of one edge. Default: 16. Each writer uses one,
	// the slow lane two, the listener one, and key lookups the rest, up to 8. If more are left, the
	// slow lane opens them while it needs them. The minimum is Writers + 4.
	MaxConns int

	// Writers is the maximum number of batches of sales that commit at the same time. The edge uses
	// only as many as the backlog needs. Default: 4.
	Writers int

	// Batch is the maximum number of sales in one statement. Default: 128.
	Batch int

	// Queue is the maximum number of sales that wait for a writer; more are shed. Default: 4096.
	Queue int

	// SaleTimeout bounds the time from the arrival of a sale to its response. Default: 10 seconds.
	SaleTimeout time.Duration

	// Logger receives outages and problems that an operator should fix. Default: no logging.
	Logger *slog.Logger

	// Metrics is where the metrics are registered. Default: nowhere.
	Metrics prometheus.Registerer
}

// SlowLaneConns is the number of connections that the slow lane of sales keeps open.
const SlowLaneConns = 2

const (
	listenerConns = 1
	maxKeyConns   = 8
)

// WithDefaults returns the options with defaults filled in, or an error if they are invalid.
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

// KeyConns returns the maximum number of connections for key lookups, 1 to 8.
func (o Options) KeyConns() int {
	return min(maxKeyConns, o.MaxConns-o.Writers-SlowLaneConns-listenerConns)
}

// ExtraSlowLaneConns returns how many connections the slow lane may open beyond [SlowLaneConns].
func (o Options) ExtraSlowLaneConns() int {
	return o.MaxConns - o.Writers - SlowLaneConns - listenerConns - o.KeyConns()
}
