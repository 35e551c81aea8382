package ratelimit

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Server is what a Redis says of itself; of a Cluster or Sentinels, one of the nodes.
type Server struct {
	Name    string // redis or valkey
	Version string // "" where the user may not ask
	Clock   time.Time
}

// Server asks for it within the limiter's timeout.
func (l *Limiter) Server(ctx context.Context) (Server, error) {
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	client := l.fleet.link.Load().client
	clock, err := client.Time(ctx).Result()
	if err != nil {
		return Server{}, fmt.Errorf("ask redis for its time: %w", err)
	}
	server := Server{Name: "redis", Clock: clock}
	info, err := client.Info(ctx, "server").Result()
	if err != nil {
		return server, nil // INFO is of the ACL category @dangerous, and the version is only good to know
	}
	for line := range strings.Lines(info) {
		field, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch field {
		case "valkey_version":
			server.Name, server.Version = "valkey", value
		case "redis_version":
			if server.Version == "" { // Valkey names the Redis that it is compatible with, too
				server.Version = value
			}
		}
	}
	return server, nil
}
