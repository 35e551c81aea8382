package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// redisCalls is how many scripts Redis has run: each is one question whether a
// request is within its limit.
func (s *stage) redisCalls(ctx context.Context) (int, error) {
	text, err := redisInfo(ctx, s.redis.URL(), "commandstats")
	if err != nil {
		return 0, err
	}
	calls := 0
	for line := range strings.Lines(text) {
		for _, command := range []string{"cmdstat_evalsha:calls=", "cmdstat_eval:calls="} {
			if rest, ok := strings.CutPrefix(line, command); ok {
				number, _, _ := strings.Cut(rest, ",")
				n, err := strconv.Atoi(number)
				if err != nil {
					return 0, err
				}
				calls += n
			}
		}
	}
	return calls, nil
}

// redisInfo is a section of Redis's INFO.
func redisInfo(ctx context.Context, address, section string) (string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", err
	}
	conn, err := new(net.Dialer).DialContext(ctx, "unix", u.Path)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "INFO %s\r\n", section); err != nil {
		return "", err
	}
	r := bufio.NewReader(conn)
	var length int
	if _, err := fmt.Fscanf(r, "$%d\r\n", &length); err != nil {
		return "", fmt.Errorf("redis info: %w", err)
	}
	text := make([]byte, length)
	_, err = io.ReadFull(r, text)
	return string(text), err
}
