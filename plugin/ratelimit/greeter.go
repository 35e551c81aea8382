package ratelimit

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/redis/go-redis/v9"
)

// errGreeted ends a client that has greeted and asks nothing.
var errGreeted = errors.New("greeted")

// greeter makes HELLO, AUTH, SELECT and CLIENT SETNAME a part of the dial. go-redis dials in a
// goroutine that outlives the call which asked for a connection, with a bound of its own,
// DialTimeout; but it greets inside the call. If dial, greeting and call together take longer than
// a call may, no connection would ever be used.
//
// It is a hook of the node's client. It runs in go-redis's goroutine, which ends with the dial:
// after DialTimeout, or when the fleet is stopped.
type greeter struct {
	client *redis.Client
	fleet  *fleet
}

// DialHook returns connections that have been greeted.
func (g *greeter) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(g.fleet.ctx, cancel)()
		conn, err := next(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		if err := shield(func() error { return g.greet(ctx, conn) }); err != nil {
			conn.Close()
			return nil, err
		}
		return conn, nil
	}
}

// greet has go-redis greet on the connection alone, as it would for the client.
func (g *greeter) greet(ctx context.Context, conn net.Conn) error {
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	o := *g.client.Options()
	o.Dialer = func(context.Context, string, string) (net.Conn, error) { return lent{conn}, nil }
	o.OnConnect = func(context.Context, *redis.Conn) error { return errGreeted }
	o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = o.DialTimeout, o.DialTimeout, o.DialTimeout
	client := redis.NewClient(&o)
	defer client.Close()
	err := client.Ping(ctx).Err() // which is not sent: OnConnect comes first
	switch {
	case !stop():
		return ctx.Err()
	case errors.Is(err, errGreeted):
		return conn.SetDeadline(time.Time{})
	}
	return err
}

// lent is a connection that its borrower does not close.
type lent struct{ net.Conn }

func (lent) Close() error { return nil }

// ProcessHook answers the greeting that go-redis begins with on a connection that has been greeted.
func (g *greeter) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() == "hello" {
			return nil
		}
		return next(ctx, cmd)
	}
}

// ProcessPipelineHook does the same for the rest of the greeting: all other pipelines end with a
// script's call.
func (g *greeter) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if !isScript(cmds[len(cmds)-1]) {
			return nil
		}
		return next(ctx, cmds)
	}
}
