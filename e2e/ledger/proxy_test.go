package ledger

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"

	"hoko.to/edge/e2e/harness"
	"hoko.to/edge/internal/testenv"
)

// ledgerProxy stands before a server, at an address that never changes.
type ledgerProxy struct {
	listen, upstream string
	proxy            *toxiproxy.Proxy
}

func newLedgerProxy(t testing.TB, upstream string) *ledgerProxy {
	t.Helper()
	p := &ledgerProxy{listen: fmt.Sprintf("127.0.0.1:%d", testenv.FreePort(t)), upstream: upstream}
	p.start(t)
	t.Cleanup(func() { within(p.proxy.Stop) })
	return p
}

func (p *ledgerProxy) start(t testing.TB) {
	t.Helper()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	guard := time.After(harness.HangGuard)
	for {
		p.proxy = toxiproxy.NewProxy(server, "proxy", p.listen, p.upstream)
		err := p.proxy.Start()
		if err == nil {
			return
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-guard:
			t.Fatal(err)
		}
	}
}

// poison makes what runs through the proxy suffer, from now on until it is cured.
func (p *ledgerProxy) poison(t testing.TB, toxic, stream, attributes string) {
	t.Helper()
	text := fmt.Sprintf(`{"name": %[1]q, "type": %[1]q, "stream": %[2]q, "toxicity": 1, "attributes": %[3]s}`, toxic, stream, attributes)
	p.do(t, func() {
		if _, err := p.proxy.Toxics.AddToxicJson(strings.NewReader(text)); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	})
}

func (p *ledgerProxy) cure(t testing.TB) {
	t.Helper()
	p.do(t, func() { p.proxy.Toxics.ResetToxics(context.Background()) })
}

// do changes the proxy. The library waits for ever where a connection is lost
// at the same moment: that proxy is left alone then, and another takes its place.
func (p *ledgerProxy) do(t testing.TB, change func()) {
	t.Helper()
	if within(change) {
		return
	}
	go p.proxy.Stop() // closes its listener at least
	p.start(t)
}

// within tells whether something ended in a time in which it always does unless it hangs.
func within(f func()) bool {
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
		return true
	case <-time.After(10 * time.Second):
		return false
	}
}
