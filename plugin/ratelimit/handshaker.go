package ratelimit

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/redis/go-redis/v9"
)

// errHandshakeDone ends a client that was made for the handshake only.
var errHandshakeDone = errors.New("handshake done")

// handshaker makes HELLO, AUTH, SELECT and CLIENT SETNAME part of the dial. go-redis dials in a
// goroutine that outlives the call and is bounded by DialTimeout, but it does the handshake within
// the call. If dial, handshake and call together take longer than a call may take, go-redis alone
// would never get a usable connection.
//
// It is a hook of the node's client. A handshake ends after DialTimeout, or when upstream stops.
type handshaker struct {
	client   *redis.Client
	upstream *upstream
}

// DialHook returns connections whose handshake is done.
func (h *handshaker) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(h.upstream.ctx, cancel)()
		conn, err := next(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		if err := catchPanic(func() error { return h.handshake(ctx, conn) }); err != nil {
			conn.Close()
			return nil, err
		}
		return conn, nil
	}
}

// handshake makes go-redis do the client's handshake on conn, with a temporary client.
func (h *handshaker) handshake(ctx context.Context, conn net.Conn) error {
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	o := *h.client.Options()
	o.Dialer = func(context.Context, string, string) (net.Conn, error) { return noCloseConn{conn}, nil }
	o.OnConnect = func(context.Context, *redis.Conn) error { return errHandshakeDone }
	o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = o.DialTimeout, o.DialTimeout, o.DialTimeout
	client := redis.NewClient(&o)
	defer client.Close()
	err := client.Ping(ctx).Err() // not sent, because OnConnect fails first
	switch {
	case !stop():
		return ctx.Err()
	case errors.Is(err, errHandshakeDone):
		return conn.SetDeadline(time.Time{})
	}
	return err
}

// noCloseConn keeps the temporary client from closing the connection.
type noCloseConn struct{ net.Conn }

func (noCloseConn) Close() error { return nil }

// ProcessHook skips HELLO, the first command of a handshake, which DialHook has sent already.
func (h *handshaker) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() == "hello" {
			return nil
		}
		return next(ctx, cmd)
	}
}

// ProcessPipelineHook skips the rest of a handshake. All other pipelines end with a script's call.
func (h *handshaker) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if !isScript(cmds[len(cmds)-1]) {
			return nil
		}
		return next(ctx, cmds)
	}
}
