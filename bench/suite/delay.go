package suite

import (
	"context"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	"hoko.to/edge/bench/stage"
)

// delays measures sales while everything to and from Redis, or Postgres, arrives late.
func delays(ctx context.Context, b *Bench) error {
	direct := b.Stage.Env(nil)
	farRedis, farPostgres := direct, direct
	redisDelay, err := b.startDelay(ctx, strings.TrimPrefix(direct.RedisURL, "unix://"))
	if err != nil {
		return err
	}
	farRedis.RedisURL = "unix://" + redisDelay.Address
	dsn, err := url.Parse(direct.DatabaseURL)
	if err != nil {
		return err
	}
	query := dsn.Query()
	postgresDelay, err := b.startDelay(ctx, filepath.Join(query.Get("host"), ".s.PGSQL."+query.Get("port")))
	if err != nil {
		return err
	}
	query.Set("host", filepath.Dir(postgresDelay.Address))
	dsn.RawQuery = strings.ReplaceAll(query.Encode(), "+", "%20")
	farPostgres.DatabaseURL = dsn.String()

	var all []*side
	for _, c := range []struct {
		name  string
		env   stage.Env
		delay *stage.Child
	}{
		{"no delay", direct, nil},
		{"Redis 1 ms away", farRedis, redisDelay},
		{"Postgres 1 ms away", farPostgres, postgresDelay},
	} {
		e, err := b.Stage.StartEdge(ctx, stage.Shipped(), c.env)
		if err != nil {
			return err
		}
		for _, n := range b.Mode.delayConnections() {
			s := b.saleSide(c.name, e, n)
			s.spec().Duration = b.Mode.brief
			if c.delay != nil {
				s.servers = append(s.servers, c.delay.Process())
			}
			all = append(all, s)
		}
	}
	if err := b.alternate(ctx, b.Mode.fewerRounds, all...); err != nil {
		return err
	}
	b.addTable("Redis or Postgres at a distance", fmt.Sprintf("Everything to and from Redis, or Postgres, arrives "+
		"%g ms later: a round trip takes %g ms longer.", milliseconds(b.Delay), 2*milliseconds(b.Delay)), all...)
	return nil
}

// startDelay starts a delay in front of a server's socket. Its own socket has the same file name.
func (b *Bench) startDelay(ctx context.Context, socket string) (*stage.Child, error) {
	dir, err := b.Stage.TempDir("far")
	if err != nil {
		return nil, err
	}
	return b.Stage.StartSelf(ctx, "delay", filepath.Join(dir, filepath.Base(socket)), socket)
}
