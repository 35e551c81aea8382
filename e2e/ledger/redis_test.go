package ledger

import (
	"fmt"
	"os"
	"strconv"
	"testing"

	"github.com/redis/go-redis/v9"

	"hoko.to/edge/internal/devserver"
	"hoko.to/edge/internal/testenv"
)

// ledgerRedis is a Redis on a loopback port, so that a proxy may stand before it.
type ledgerRedis struct {
	*devserver.Redis
	options devserver.RedisOptions
	address string
}

func startLedgerRedis(t testing.TB) *ledgerRedis {
	t.Helper()
	dir := testenv.ShortDir(t)
	if err := os.Chmod(dir, 0o711); err != nil { // under root the server runs as somebody else
		t.Fatal(err)
	}
	port := strconv.Itoa(testenv.FreePort(t))
	r := &ledgerRedis{
		options: devserver.RedisOptions{Dir: dir, Settings: map[string]string{"port": port, "bind": "127.0.0.1"}},
		address: "127.0.0.1:" + port,
	}
	r.start(t)
	t.Cleanup(func() { r.Kill() })
	return r
}

// start starts it, empty.
func (r *ledgerRedis) start(t testing.TB) {
	t.Helper()
	server, err := devserver.StartRedis(t.Context(), r.options)
	if err != nil {
		t.Fatal(err)
	}
	r.Redis = server
}

// command sends one past all proxies.
func (r *ledgerRedis) command(t testing.TB, args ...any) {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: r.address})
	defer client.Close()
	if err := client.Do(t.Context(), args...).Err(); err != nil {
		t.Fatalf("%s: %v", fmt.Sprint(args...), err)
	}
}
