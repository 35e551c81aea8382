package devserver

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"syscall"
)

const redisSocket = "redis.sock"

// RedisOptions configures StartRedis.
type RedisOptions struct {
	// Dir is the server's directory; it is created if missing. Redis keeps no data in it.
	Dir string
	// Settings are further server settings, for example maxmemory: "64mb".
	Settings map[string]string
	// Env holds further environment variables of the server, as NAME=value.
	Env []string
}

// Redis is a running private Redis or Valkey. Its owner must call Stop or Kill; it ends with this
// process at the latest.
type Redis struct{ *process }

// StartRedis starts an empty Redis, or Valkey if there is no Redis, and returns when it answers.
// ctx bounds the start, together with a timeout of one minute, but not the server's life. The error
// quotes the end of the server's log; it wraps ErrNotInstalled if neither server is installed.
func StartRedis(ctx context.Context, o RedisOptions) (r *Redis, err error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	defer wrapError(&err)
	path, err := findRedis()
	if err != nil {
		return nil, err
	}
	h, err := openHome(ctx, o.Dir)
	if err != nil {
		return nil, err
	}
	defer h.unlock()
	if err := h.makeSockets(redisSocket); err != nil {
		return nil, err
	}
	proc, err := startProcess(h, syscall.SIGTERM, o.Env, path, redisArgs(h, o)...)
	if err != nil {
		return nil, err
	}
	r = &Redis{proc}
	if err := r.awaitReady(ctx, r.ping); err != nil {
		return nil, err
	}
	return r, nil
}

func redisArgs(h *home, o RedisOptions) []string {
	args := []string{
		"--port", "0",
		"--unixsocket", filepath.Join(h.sockets, redisSocket),
		"--unixsocketperm", "700",
		"--databases", "16",
		"--dir", h.sockets,
		"--save", "",
		"--appendonly", "no",
		"--daemonize", "no",
	}
	for name, value := range o.Settings {
		args = append(args, "--"+name, value)
	}
	return args
}

// ping returns nil if the server answers a PING.
func (r *Redis) ping(ctx context.Context) error {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", r.socket())
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if _, err := conn.Write([]byte("PING\r\n")); err != nil {
		return err
	}
	answer, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return err
	}
	if answer = strings.TrimSpace(answer); answer != "+PONG" {
		return fmt.Errorf("answers a ping with %q", answer)
	}
	return nil
}

func (r *Redis) socket() string { return filepath.Join(r.home.sockets, redisSocket) }

// URL returns the URL of the server's database 0.
func (r *Redis) URL() string {
	return (&url.URL{Scheme: "unix", Path: r.socket()}).String()
}

// Stop shuts the server down and waits for its end. It sends SIGTERM, and SIGKILL after ten
// seconds.
func (r *Redis) Stop() { r.end(syscall.SIGTERM, syscall.SIGKILL) }
