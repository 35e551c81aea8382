package caddymodule

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestCaddyfile_ErrorsNameTheLine(t *testing.T) {
	for _, tc := range []struct {
		in, text, want string // in has the blocks around text; the fault is in the line with HERE, or the last one
	}{
		{"hoko", "postgress x", `unrecognized hoko subdirective "postgress"`},
		{"", "hoko yes", "wrong argument count"},
		{"", "hoko {\n\tguesses 1/s\n}\nhoko { # HERE\n}", "the hoko block is given twice"},
		{"hoko", "redis a\nredis b", "redis is given twice"},
		{"hoko / key_cache", "ttl 1m\nttl 2m", "ttl is given twice"},
		{"hoko", "postgres", "wrong argument count"},
		{"hoko", `postgres ""`, "wrong argument count"},
		{"hoko", "postgres a b", "wrong argument count"},
		{"hoko / postgres a", "maxconns 1", `unrecognized postgres subdirective "maxconns"`},
		{"hoko / postgres a", "max_conns 4", "max_conns must be 5 … 1000, not 4"},
		{"hoko / postgres a", "max_conns many", `max_conns must be a whole number, not "many"`},
		{"hoko / redis a", "ttl 1s", `unrecognized redis subdirective "ttl"`},
		{"hoko / redis a", "timeout soon", `timeout must be a duration such as 10s or 5m, not "soon"`},
		{"hoko / redis a", "timeout 50", `timeout must be a duration`},
		{"hoko / redis a", "timeout -50ms", "timeout must be 1ms … 10s, not -50ms"},
		{"hoko / key_cache", "max 1", `unrecognized key_cache subdirective "max"`},
		{"hoko", "key_cache 5", "wrong argument count"},
		{"hoko / key_cache", "size 0", "size must be 1 … 10000000, not 0"},
		{"hoko / key_cache", "ttl 0s", "ttl must be 1s … 24h0m0s, not 0s"},
		{"hoko / key_cache", "stale -1s", "stale must be 0s … 168h0m0s, not -1s"},
		{"hoko", "guesses 60/day", "a budget refills steadily"},
		{"hoko", "guesses 60", `limit "60": want RATE/PERIOD`},
		{"hoko", "guesses", "wrong argument count"},
		{"hoko", "guesses 0/1m", "rate must be"},
		{"hoko / sales", "workers 1", `unrecognized sales subdirective "workers"`},
		{"hoko", "sales 5", "wrong argument count"},
		{"hoko / sales", "writers 0", "writers must be 1 … 64, not 0"},
		{"hoko / sales", "batch -1", "batch must be 1 … 1000, not -1"},
		{"hoko / sales", "queue 9999999", "queue must be 1 … 1000000, not 9999999"},
		{"hoko / sales", "timeout 1ms", "timeout must be 100ms … 5m0s, not 1ms"},

		{"api_key_auth", "scopes linksRead conversionswrite", `unknown scope "conversionswrite": the scopes are ` +
			`linksRead, linksWrite, collectionsRead, collectionsWrite, tagsRead, tagsWrite, partnersRead, ` +
			`partnersWrite, customersRead, customersWrite, analyticsRead, conversionsWrite`},
		{"api_key_auth", "scopes linksRead linksRead", `scope "linksRead" is named twice`},
		{"api_key_auth", "scopes", "wrong argument count"},
		{"api_key_auth", "scopes linksRead\nscopes tagsRead", "scopes is given twice"},
		{"api_key_auth", "scope linksRead", `unrecognized api_key_auth subdirective "scope"`},
		{"", "api_key_auth linksRead", "wrong argument count"},

		{"", "redis_rate_limit {\n\tname a\n}", "redis_rate_limit needs a limit, such as limit 600/1m"},
		{"", "redis_rate_limit", "redis_rate_limit needs a limit"},
		{"", "redis_rate_limit 600/1m", "wrong argument count"},
		{"redis_rate_limit", "limit 600", `limit "600": want RATE/PERIOD`},
		{"redis_rate_limit", "limit 0/1m", "rate must be"},
		{"redis_rate_limit", "limit", "limit must be <rate>/<period> [burst <number>]"},
		{"redis_rate_limit", "limit 600/1m burst 0", "burst must be"},
		{"redis_rate_limit", "limit 600/1m burst", "limit must be <rate>/<period> [burst <number>]"},
		{"redis_rate_limit", "limit 600/1m burst all", `burst must be a whole number, not "all"`},
		{"redis_rate_limit", "limit 600/1m bursts 5", `unrecognized option "bursts": limit must be <rate>/<period>`},
		{"redis_rate_limit", "limit 600/1m burst 5 burst 6", "burst is given twice"},
		{"redis_rate_limit", "limit 1/s\nlimit 2/s", `two limits are named "default": add name <name> to one`},
		{"redis_rate_limit", "limit 1/s name a\nlimit 2/s name a", `two limits are named "a"`},
		{"redis_rate_limit", "limit 1/s name a/b", "name must consist of ASCII letters"},
		{"redis_rate_limit", "limit 100/month burst 5", "a quota per month has no burst"},
		{"redis_rate_limit", "limit 100/week", `"week" is not a duration, day or month`},
		{"redis_rate_limit", "limit 1/s on_error ignore", `"ignore": want local, allow or deny`},
		{"redis_rate_limit", "limit 1/s by address", "by address: it has no placeholder: want key, workspace"},
		{"redis_rate_limit", "limit 1/s by {heeader.X}", "by {heeader.X}: unknown placeholder {heeader.X}: want"},
		{"redis_rate_limit", "limit 1/s by {http.request.foo}", "unknown placeholder {http.request.foo}"},
		{"redis_rate_limit", "limit 1/s by {http.request.body}", "{http.request.body} would wait for the whole body"},
		{"redis_rate_limit", "limit 10/s cost 0", "cost must be at least 1, not 0"},
		{"redis_rate_limit", "limit 10/s cost 11", "a cost of 11 is more than the limit 10/1s ever holds: raise"},
		{"redis_rate_limit", "limit 10/day cost 11", "a cost of 11 is more than the limit 10/day ever holds"},
		{"redis_rate_limit", "max_in_flight 0", "max_in_flight must be at least 1, not 0"},
		{"redis_rate_limit", "max_in_flight some", `max_in_flight must be a whole number, not "some"`},
		{"redis_rate_limit", "max_in_flight", "max_in_flight must be <number> [by key|workspace]"},
		{"redis_rate_limit", "max_in_flight 5 by route", "max_in_flight by route: want key or workspace"},
		{"redis_rate_limit", "max_in_flight 5\nmax_in_flight 6", "max_in_flight by key is given twice"},
		{"", "redis_rate_limit {\n\tmax_in_flight 5\n\tname a\n}", "name is the name of a limit: add one"},
		{"redis_rate_limit", "limit 10/s cost some", "cost some: it has no placeholder: want a whole number"},
		{"redis_rate_limit", "limit 1/s\nname \"a b\"", "name must consist of ASCII letters"},
		{"redis_rate_limit", "limit 1/s\non_error ignore", `"ignore": want local, allow or deny`},
		{"redis_rate_limit", "limit 1/s\nkey x", `unrecognized redis_rate_limit subdirective "key"`},

		{"track_sale", "body_timeout 0s", "body_timeout must be 100ms … 5m0s, not 0s"},
		{"track_sale", "body_timeout 1s\nbody_timeout 2s", "body_timeout is given twice"},
		{"track_sale", "timeout 1s", `unrecognized track_sale subdirective "timeout"`},
		{"", "track_sale 10s", "wrong argument count"},

		{"", "api_errors json", "wrong argument count"},
		{"api_errors", "format json", "wrong argument count"},

		{"", "request_fields", "wrong argument count"},
		{"", "request_fields X-Digest", "request_fields deletes fields: write -X-Digest"},
		{"", "request_fields -A -*-B", `"*-B" is not a field name`},
		{"", "request_fields -*", `"*" is not a field name`},
		{"request_fields -A", "x", "wrong argument count"},
	} {
		t.Run(tc.in+" "+tc.text, func(t *testing.T) {
			block := tc.text
			if !strings.Contains(block, "# HERE") {
				block += " # HERE"
			}
			for _, name := range slices.Backward(strings.Split(tc.in, " / ")) {
				if name != "" {
					block = name + " {\n" + block + "\n}"
				}
			}
			text := "http://localhost {\n" + block + "\n}\n"
			if strings.HasPrefix(block, "hoko") {
				text = "{\n" + block + "\n}\nhttp://localhost {\n}\n"
			}
			_, _, err := adapt(t, text)
			if err == nil {
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %q does not say %q", err, tc.want)
			}
			before, _, _ := strings.Cut(text, "# HERE")
			if line := fmt.Sprint("Caddyfile:", 1+strings.Count(before, "\n")); !strings.Contains(err.Error(), line) {
				t.Errorf("error %q does not say %s", err, line)
			}
		})
	}
}
