package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"

	"hoko.to/edge/caddymodule/backend"
)

const (
	aboutSite = "site"

	// siteTimeout bounds the connection to one upstream.
	siteTimeout = 2 * time.Second

	// maxDials is how many upstreams are dialed at the same time.
	maxDials = 32
)

// proxy is the part of a reverse_proxy that says where the site is.
type proxy struct {
	Upstreams []struct {
		Dial string `json:"dial"`
	} `json:"upstreams"`
	Dynamic   json.RawMessage `json:"dynamic_upstreams"`
	Transport struct {
		TLS     json.RawMessage `json:"tls"`
		Through json.RawMessage `json:"network_proxy"`
		Proxy   string          `json:"forward_proxy_url"`
	} `json:"transport"`
}

// site connects to each upstream of the configuration's reverse_proxy handlers, and sends nothing.
func (c *checks) site(ctx context.Context) {
	var dials, secure []string
	for _, p := range proxies(c.Config.Apps["http"]) {
		if p.Dynamic != nil {
			c.ok(aboutSite, "dynamic upstreams are not checked")
		}
		for _, upstream := range p.Upstreams {
			switch {
			case p.Transport.Through != nil || p.Transport.Proxy != "":
				c.ok(aboutSite, "upstream %s is reached through a proxy and not checked", upstream.Dial)
			case p.Transport.TLS != nil:
				secure = append(secure, upstream.Dial)
				fallthrough
			default:
				dials = append(dials, upstream.Dial)
			}
		}
	}
	slices.Sort(dials)
	dials = slices.Compact(dials)
	if len(dials) == 0 {
		c.ok(aboutSite, "there is no upstream to check")
	}
	found := make([]Finding, len(dials))
	var all sync.WaitGroup
	slots := make(chan struct{}, maxDials)
	for i, dial := range dials {
		slots <- struct{}{}
		all.Go(func() {
			found[i] = tryUpstream(ctx, dial, slices.Contains(secure, dial))
			<-slots
		})
	}
	all.Wait()
	for _, f := range found {
		c.add(f)
	}
}

// tryUpstream connects to an upstream.
func tryUpstream(ctx context.Context, dial string, secure bool) Finding {
	address, err := backend.ExpandPlaceholders(dial, "127.0.0.1:8080")
	switch {
	case err != nil && !strings.Contains(dial, "{env.") && !strings.Contains(dial, "{file."):
		return Finding{OK, aboutSite, fmt.Sprintf("upstream %s depends on the request and is not checked", dial), ""}
	case err != nil:
		return Finding{Warning, aboutSite, fmt.Sprintf("upstream %s: %v", dial, err),
			"set it in this command's environment as in the edge's"}
	}
	parsed, err := caddy.ParseNetworkAddress(address)
	if err != nil || parsed.PortRangeSize() > 1 {
		return Finding{Warning, aboutSite, fmt.Sprintf("upstream %s is not the address of one server", dial),
			"correct the upstream of reverse_proxy"}
	}
	ctx, cancel := context.WithTimeout(ctx, siteTimeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, parsed.Network, parsed.JoinHostPort(0))
	if err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("no connection within %s", siteTimeout)
		}
		return Finding{Warning, aboutSite, fmt.Sprintf("upstream %s cannot be reached: %v; requests to it are "+
			"502", dial, err),
			"start the site, or correct the upstream of reverse_proxy (UPSTREAM of the shipped Caddyfile)"}
	}
	conn.Close()
	if secure {
		return Finding{OK, aboutSite, fmt.Sprintf("upstream %s accepts connections; its TLS is not checked", dial), ""}
	}
	return Finding{OK, aboutSite, fmt.Sprintf("upstream %s accepts connections", dial), ""}
}

// proxies returns the reverse_proxy handlers anywhere in a JSON document, such as in subroutes.
func proxies(document json.RawMessage) (all []proxy) {
	var object map[string]json.RawMessage
	if json.Unmarshal(document, &object) == nil {
		var found proxy
		if string(object["handler"]) == `"reverse_proxy"` && json.Unmarshal(document, &found) == nil {
			all = append(all, found)
		}
		for _, value := range object {
			all = append(all, proxies(value)...)
		}
		return all
	}
	var list []json.RawMessage
	if json.Unmarshal(document, &list) == nil {
		for _, value := range list {
			all = append(all, proxies(value)...)
		}
	}
	return all
}
