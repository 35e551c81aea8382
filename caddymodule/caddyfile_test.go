package caddymodule

import (
	"strconv"
	"strings"
	"testing"
)

func TestFaultyCaddyfilesAreRefusedWithFileAndLine(t *testing.T) {
	for _, tc := range []struct {
		name, options, route string // the fault is in the line that says HERE
		want                 string
	}{
		{name: "unknown setting", options: "hoko {\n\tpostgress x # HERE\n}", want: `unrecognized hoko subdirective "postgress"`},
		{name: "argument of hoko", options: "hoko yes # HERE", want: "wrong argument count"},
		{name: "two hoko blocks", options: "hoko {\n\tguesses 1/s\n}\nhoko { # HERE\n}", want: "there is a hoko block already"},
		{name: "setting given twice", options: "hoko {\n\tredis a\n\tredis b # HERE\n}", want: "redis is given twice"},
		{name: "inner setting given twice", options: "hoko {\n\tkey_cache {\n\t\tttl 1m\n\t\tttl 2m # HERE\n\t}\n}", want: "ttl is given twice"},
		{name: "postgres without address", options: "hoko {\n\tpostgres # HERE\n}", want: "wrong argument count"},
		{name: "postgres with an empty address", options: "hoko {\n\tpostgres \"\" # HERE\n}", want: "wrong argument count"},
		{name: "postgres with two addresses", options: "hoko {\n\tpostgres a b # HERE\n}", want: "wrong argument count"},
		{name: "unknown setting of postgres", options: "hoko {\n\tpostgres a {\n\t\tmaxconns 1 # HERE\n\t}\n}", want: `unrecognized postgres subdirective "maxconns"`},
		{name: "too few connections", options: "hoko {\n\tpostgres a {\n\t\tmax_conns 4 # HERE\n\t}\n}", want: "max_conns must be 5 … 1000, not 4"},
		{name: "no number", options: "hoko {\n\tpostgres a {\n\t\tmax_conns many # HERE\n\t}\n}", want: `max_conns must be a whole number, not "many"`},
		{name: "unknown setting of redis", options: "hoko {\n\tredis a {\n\t\tttl 1s # HERE\n\t}\n}", want: `unrecognized redis subdirective "ttl"`},
		{name: "no duration", options: "hoko {\n\tredis a {\n\t\ttimeout soon # HERE\n\t}\n}", want: `timeout must be a duration such as 10s or 5m, not "soon"`},
		{name: "a duration without unit", options: "hoko {\n\tredis a {\n\t\ttimeout 50 # HERE\n\t}\n}", want: `timeout must be a duration`},
		{name: "negative duration", options: "hoko {\n\tredis a {\n\t\ttimeout -50ms # HERE\n\t}\n}", want: "timeout must be 1ms … 10s, not -50ms"},
		{name: "unknown setting of key_cache", options: "hoko {\n\tkey_cache {\n\t\tmax 1 # HERE\n\t}\n}", want: `unrecognized key_cache subdirective "max"`},
		{name: "argument of key_cache", options: "hoko {\n\tkey_cache 5 # HERE\n}", want: "wrong argument count"},
		{name: "empty cache", options: "hoko {\n\tkey_cache {\n\t\tsize 0 # HERE\n\t}\n}", want: "size must be 1 … 10000000, not 0"},
		{name: "ttl of zero", options: "hoko {\n\tkey_cache {\n\t\tttl 0s # HERE\n\t}\n}", want: "ttl must be 1s … 24h0m0s, not 0s"},
		{name: "negative stale", options: "hoko {\n\tkey_cache {\n\t\tstale -1s # HERE\n\t}\n}", want: "stale must be 0s … 168h0m0s, not -1s"},
		{name: "guesses that are no rate", options: "hoko {\n\tguesses 60 # HERE\n}", want: `limit "60": want RATE/PERIOD`},
		{name: "no guesses", options: "hoko {\n\tguesses # HERE\n}", want: "wrong argument count"},
		{name: "zero guesses", options: "hoko {\n\tguesses 0/1m # HERE\n}", want: "rate must be"},
		{name: "unknown setting of sales", options: "hoko {\n\tsales {\n\t\tworkers 1 # HERE\n\t}\n}", want: `unrecognized sales subdirective "workers"`},
		{name: "argument of sales", options: "hoko {\n\tsales 5 # HERE\n}", want: "wrong argument count"},
		{name: "no writers", options: "hoko {\n\tsales {\n\t\twriters 0 # HERE\n\t}\n}", want: "writers must be 1 … 64, not 0"},
		{name: "negative batch", options: "hoko {\n\tsales {\n\t\tbatch -1 # HERE\n\t}\n}", want: "batch must be 1 … 1000, not -1"},
		{name: "too long a queue", options: "hoko {\n\tsales {\n\t\tqueue 9999999 # HERE\n\t}\n}", want: "queue must be 1 … 1000000, not 9999999"},
		{name: "no time for sales", options: "hoko {\n\tsales {\n\t\ttimeout 1ms # HERE\n\t}\n}", want: "timeout must be 100ms … 5m0s, not 1ms"},

		{name: "unknown scope", route: "api_key_auth {\n\tscopes linksRead conversionswrite # HERE\n}", want: `unknown scope "conversionswrite": the scopes are linksRead, linksWrite, collectionsRead, collectionsWrite, tagsRead, tagsWrite, partnersRead, partnersWrite, customersRead, customersWrite, analyticsRead, conversionsWrite`},
		{name: "scope named twice", route: "api_key_auth {\n\tscopes linksRead linksRead # HERE\n}", want: `scope "linksRead" is named twice`},
		{name: "no scopes", route: "api_key_auth {\n\tscopes # HERE\n}", want: "wrong argument count"},
		{name: "scopes given twice", route: "api_key_auth {\n\tscopes linksRead\n\tscopes tagsRead # HERE\n}", want: "scopes is given twice"},
		{name: "unknown subdirective of api_key_auth", route: "api_key_auth {\n\tscope linksRead # HERE\n}", want: `unrecognized api_key_auth subdirective "scope"`},
		{name: "argument of api_key_auth", route: "api_key_auth linksRead # HERE", want: "wrong argument count"},

		{name: "no limit", route: "redis_rate_limit {\n\tname a\n} # HERE", want: "redis_rate_limit needs a limit, such as limit 600/1m"},
		{name: "empty block", route: "redis_rate_limit # HERE", want: "redis_rate_limit needs a limit"},
		{name: "argument of redis_rate_limit", route: "redis_rate_limit 600/1m # HERE", want: "wrong argument count"},
		{name: "limit without period", route: "redis_rate_limit {\n\tlimit 600 # HERE\n}", want: `limit "600": want RATE/PERIOD`},
		{name: "limit of zero", route: "redis_rate_limit {\n\tlimit 0/1m # HERE\n}", want: "rate must be"},
		{name: "limit of nothing", route: "redis_rate_limit {\n\tlimit # HERE\n}", want: "limit must be <rate>/<period> [burst <number>]"},
		{name: "burst of zero", route: "redis_rate_limit {\n\tlimit 600/1m burst 0 # HERE\n}", want: "burst must be"},
		{name: "burst without number", route: "redis_rate_limit {\n\tlimit 600/1m burst # HERE\n}", want: "limit must be <rate>/<period> [burst <number>]"},
		{name: "burst that is none", route: "redis_rate_limit {\n\tlimit 600/1m burst all # HERE\n}", want: `burst must be a whole number, not "all"`},
		{name: "misspelt burst", route: "redis_rate_limit {\n\tlimit 600/1m bursts 5 # HERE\n}", want: "limit must be <rate>/<period> [burst <number>]"},
		{name: "limit given twice", route: "redis_rate_limit {\n\tlimit 1/s\n\tlimit 2/s # HERE\n}", want: "limit is given twice"},
		{name: "impossible name", route: "redis_rate_limit {\n\tlimit 1/s\n\tname \"a b\" # HERE\n}", want: "name must consist of ASCII letters"},
		{name: "unknown on_error", route: "redis_rate_limit {\n\tlimit 1/s\n\ton_error ignore # HERE\n}", want: `"ignore": want local, allow or deny`},
		{name: "unknown subdirective of redis_rate_limit", route: "redis_rate_limit {\n\tlimit 1/s\n\tkey x # HERE\n}", want: `unrecognized redis_rate_limit subdirective "key"`},

		{name: "body_timeout of zero", route: "track_sale {\n\tbody_timeout 0s # HERE\n}", want: "body_timeout must be 100ms … 5m0s, not 0s"},
		{name: "body_timeout given twice", route: "track_sale {\n\tbody_timeout 1s\n\tbody_timeout 2s # HERE\n}", want: "body_timeout is given twice"},
		{name: "unknown subdirective of track_sale", route: "track_sale {\n\ttimeout 1s # HERE\n}", want: `unrecognized track_sale subdirective "timeout"`},
		{name: "argument of track_sale", route: "track_sale 10s # HERE", want: "wrong argument count"},

		{name: "argument of api_errors", route: "api_errors json # HERE", want: "wrong argument count"},
		{name: "request_fields without fields", route: "request_fields # HERE", want: "wrong argument count"},
		{name: "request_fields that adds", route: "request_fields X-Digest # HERE", want: "request_fields deletes fields: write -X-Digest"},
		{name: "request_fields of a wrong pattern", route: "request_fields -A -*-B # HERE", want: `"*-B" names no field`},
		{name: "request_fields of everything", route: "request_fields -* # HERE", want: `"*" names no field`},
		{name: "block of request_fields", route: "request_fields -A {\n\tx # HERE\n}", want: "wrong argument count"},

		{name: "block of api_errors", route: "api_errors {\n\tformat json # HERE\n}", want: "wrong argument count"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			text := "{\n" + tc.options + "\n}\nhttp://localhost {\n" + tc.route + "\n}\n"
			_, _, err := adapt(t, text)
			if err == nil {
				t.Fatal("it was accepted")
			}
			if !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %q does not say %q", err, tc.want)
			}
			if at := "Caddyfile:" + lineOf(t, text, "# HERE"); !strings.Contains(err.Error(), at) {
				t.Errorf("error %q does not say %s", err, at)
			}
		})
	}
}

// lineOf is the number of the line that holds mark.
func lineOf(t *testing.T, text, mark string) string {
	t.Helper()
	before, _, found := strings.Cut(text, mark)
	if !found {
		t.Fatalf("no line says %s", mark)
	}
	return strconv.Itoa(1 + strings.Count(before, "\n"))
}
