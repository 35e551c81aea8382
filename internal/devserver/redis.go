package devserver

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

const redisSocket = "redis.sock"

// redisDatabases is how many numbered databases the server has.
const redisDatabases = 16

// RedisOptions says where a private Redis runs.
type RedisOptions struct {
	// Dir is the server's directory, made where it is missing. No data is kept in it.
	Dir string
	// Settings are further settings of the server, for instance maxmemory: "64mb".
	Settings map[string]string
	// Env are further variables of the server's environment, NAME=value.
	Env []string
}

// Redis is a running private Redis or Valkey. Whoever started it stops it; it does not outlive this process.
type Redis struct{ *process }

// StartRedis starts an empty Redis, else Valkey, and returns when it answers.
// ctx bounds the start, not the server's life. The error of a start that failed
// holds the end of the server's log; it wraps ErrNotInstalled where there is neither.
func StartRedis(ctx context.Context, o RedisOptions) (*Redis, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	r, err := startRedis(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("devserver: %w", err)
	}
	return r, nil
}

func startRedis(ctx context.Context, o RedisOptions) (*Redis, error) {
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
	r := &Redis{proc}
	if err := r.awaitReady(ctx, r.ask); err != nil {
		return nil, err
	}
	return r, nil
}

func redisArgs(h *home, o RedisOptions) []string {
	args := []string{
		"--port", "0",
		"--unixsocket", filepath.Join(h.sockets, redisSocket),
		"--unixsocketperm", "700",
		"--databases", strconv.Itoa(redisDatabases),
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

// ask is answered when the server takes commands.
func (r *Redis) ask(ctx context.Context) error {
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

// URL is that of the server's database 0.
func (r *Redis) URL() string {
	return (&url.URL{Scheme: "unix", Path: r.socket()}).String()
}

// Stop shuts the server down in good order, harder where that takes long, and waits for its end.
func (r *Redis) Stop() { r.end(syscall.SIGTERM, syscall.SIGKILL) }
