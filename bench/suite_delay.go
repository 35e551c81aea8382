package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// delays shows what distance costs: sales while everything to and from Redis, or Postgres, arrives late.
func delays(ctx context.Context, b *bench) error {
	direct := b.stage.backing(nil)
	farRedis, redisDelay, err := b.stage.farRedis(ctx, direct)
	if err != nil {
		return err
	}
	farPostgres, postgresDelay, err := b.stage.farPostgres(ctx, direct)
	if err != nil {
		return err
	}
	var all []*side
	for _, far := range []struct {
		name    string
		backing backing
		delay   *child
	}{{"at once", direct, nil}, {"Redis 1 ms away", farRedis, redisDelay}, {"Postgres 1 ms away", farPostgres, postgresDelay}} {
		e, err := b.stage.startEdge(ctx, shipped(), far.backing)
		if err != nil {
			return err
		}
		for _, n := range b.mode.delayed() {
			s := b.saleSide(far.name, e, n)
			s.spec().Duration = b.mode.brief
			if far.delay != nil {
				s.servers = append(s.servers, far.delay.process())
			}
			all = append(all, s)
		}
	}
	if err := b.alternate(ctx, b.mode.reported, all...); err != nil {
		return err
	}
	b.tabulate("Distance", fmt.Sprintf("Everything to and from Redis, or Postgres, %g ms late each way: a round trip takes %g ms more.", milliseconds(delayed), 2*milliseconds(delayed)), all...)
	return nil
}

// farRedis is the backing with Redis behind a delay.
func (s *stage) farRedis(ctx context.Context, b backing) (backing, *child, error) {
	u, err := url.Parse(b.redisURL)
	if err != nil {
		return b, nil, err
	}
	delay, err := s.startDelay(ctx, filepath.Dir(u.Path), filepath.Base(u.Path))
	if err != nil {
		return b, nil, err
	}
	b.redisURL = "unix://" + delay.address
	return b, delay, nil
}

// farPostgres is the backing with Postgres behind a delay.
func (s *stage) farPostgres(ctx context.Context, b backing) (backing, *child, error) {
	u, err := url.Parse(b.databaseURL)
	if err != nil {
		return b, nil, err
	}
	query := u.Query()
	delay, err := s.startDelay(ctx, query.Get("host"), ".s.PGSQL."+query.Get("port"))
	if err != nil {
		return b, nil, err
	}
	query.Set("host", filepath.Dir(delay.address))
	u.RawQuery = strings.ReplaceAll(query.Encode(), "+", "%20")
	b.databaseURL = u.String()
	return b, delay, nil
}

// startDelay starts one before a server's socket; its own has the same name.
func (s *stage) startDelay(ctx context.Context, server, name string) (*child, error) {
	dir, err := os.MkdirTemp(s.dir, "far")
	if err != nil {
		return nil, err
	}
	return s.spawnServer(ctx, "delay", s.command("delay", filepath.Join(dir, name), filepath.Join(server, name)))
}
