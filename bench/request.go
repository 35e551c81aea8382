package main

import (
	_ "embed"
	"maps"
	"strings"

	"hoko.to/edge/bench/load"
)

// benchKey is the key that the seed has stored. Its limit is asked of Redis each time, and never reached.
const benchKey = "hoko_bench_key"

// saleBody is the published example, of a customer that it leaves as they are.
//
//go:embed peers/request.json
var saleBody string

// saleRequest is a sale of any of the seeded customers.
func (b *bench) saleRequest() load.Request {
	return load.Request{Method: "POST", Path: "/api/track/sale", Body: strings.TrimSpace(saleBody), Pick: b.mode.customers, Header: map[string]string{
		"Authorization": "Bearer " + benchKey, "Content-Type": "application/json",
	}}
}

// with is the request with another header.
func with(r load.Request, name, value string) load.Request {
	r.Header = maps.Clone(r.Header)
	r.Header[name] = value
	return r
}

// saying is the request with another text in its body.
func saying(r load.Request, from, to string) load.Request {
	r.Body = strings.Replace(r.Body, from, to, 1)
	return r
}
