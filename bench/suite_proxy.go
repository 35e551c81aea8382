package main

import (
	"context"

	"hoko.to/edge/bench/load"
)

// proxies compares pages and API calls that pass the edge with stock `reverse_proxy`.
func proxies(ctx context.Context, b *bench) error {
	site, err := b.stage.startSite(ctx)
	if err != nil {
		return err
	}
	page, err := b.stage.startEdge(ctx, shipped(), b.stage.backing(site))
	if err != nil {
		return err
	}
	api, err := b.stage.startEdge(ctx, apiProxy(), b.stage.backing(site))
	if err != nil {
		return err
	}
	stock, err := b.stage.startEdge(ctx, stockProxy(), b.stage.backing(site))
	if err != nil {
		return err
	}
	behindStock := stock.processes(site.process())
	pages := b.pairs("proxied page", load.Request{Method: "GET", Path: "/"}, 200, page, page.processes(site.process()), stock, behindStock)
	if err := b.judgePairs(ctx, pages, "proxy", "A page of 1 kB through the shipped Caddyfile; stock is the same binary with `log` and `reverse_proxy` alone.", "reverse_proxy", atMost(1.05), atMost(1)); err != nil {
		return err
	}
	call := load.Request{Method: "GET", Path: "/api/links", Header: map[string]string{"Authorization": "Bearer " + benchKey}}
	calls := b.pairs("proxied API call with key and limit", call, 200, api, api.processes(append(b.stage.backends(), site.process())...), stock, behindStock)
	return b.judgePairs(ctx, calls, "proxy+key+limit", "The shipped Caddyfile with `api_key_auth` and `redis_rate_limit` on `/api/*` before its `reverse_proxy`; stock has neither.", "reverse_proxy", atMost(1.35), atMost(1.2))
}
