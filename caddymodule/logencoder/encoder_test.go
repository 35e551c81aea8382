package logencoder

import (
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/logging"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"hoko.to/edge/plugin/postgres/admin"
)

func TestEncoder_RedactsSecretsEverywhere(t *testing.T) {
	key, other := admin.GenerateKey(), "swordfish"
	r, _ := saleEntry()
	r.Method, r.Host, r.Proto = key, key, key
	r.RequestURI = "/" + key + "?" + key + "=1&a=" + key + "&api_key=" + other + "&a=%68oko_" + key[5:]
	r.TLS.ServerName = key
	r.TransferEncoding = []string{key}
	for name := range loggedFields {
		r.Header.Set(name, "https://user:"+other+"@host/?token="+other+"&a="+key)
	}
	for name, handling := range loggedFields {
		if handling == asIs {
			r.Header.Set(name, key)
		}
	}
	for _, name := range []string{"Authorization", "Cookie", "X-Api-Key", "X-Auth-Token", "X-Unknown"} {
		r.Header.Set(name, other)
	}
	request := caddyhttp.LoggableHTTPRequest{Request: r, ShouldLogCredentials: true}
	answer := caddyhttp.LoggableHTTPHeader{Header: r.Header, ShouldLogCredentials: true}
	texts := []zapcore.Field{
		zap.String("error", "dial "+key+": "+key),
		zap.Any("x", map[string]string{key: key}), zap.Strings("y", []string{key}),
	}
	objects := []zapcore.Field{
		zap.Object("request", request), zap.Object("resp_headers", answer), zap.String("uri", r.RequestURI),
	}
	filter := wrapped(t, &logging.FilterEncoder{WrappedRaw: json.RawMessage(`{"format":"hoko"}`)})
	appending := wrapped(t, &logging.AppendEncoder{WrappedRaw: json.RawMessage(`{"format":"hoko"}`)})
	pointers := []zapcore.Field{zap.Object("request", &request), zap.Object("resp_headers", &answer)}
	for where, line := range map[string]string{
		"the logger's own":    encode(t, newEncoder(t), objects, nil),
		"the entry's":         encode(t, newEncoder(t), nil, objects),
		"the logger's texts":  encode(t, newEncoder(t), texts, nil),
		"the entry's texts":   encode(t, newEncoder(t), nil, texts),
		"the entry's pointer": encode(t, newEncoder(t), nil, pointers),
		"a filter's own":      encode(t, filter, objects, nil),
		"a filter's":          encode(t, filter, nil, objects),
		"an appender's":       encode(t, appending, nil, objects),
	} {
		if strings.Contains(line, key[len(keyPrefix)+shownLen:]) || strings.Contains(line, other) {
			t.Errorf("%s fields show a secret:\n%s", where, line)
		}
		if !strings.Contains(line, key[:len(keyPrefix)+shownLen]+"***") {
			t.Errorf("%s fields do not show the start of the key:\n%s", where, line)
		}
	}
}

func init() { caddy.RegisterModule(Encoder{}) }

// wrapped provisions an encoder of Caddy that wraps another one.
func wrapped[E interface {
	caddy.Provisioner
	zapcore.Encoder
}](t *testing.T, e E) zapcore.Encoder {
	t.Helper()
	ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
	t.Cleanup(cancel)
	if err := e.Provision(ctx); err != nil {
		t.Fatal(err)
	}
	return e
}

// The filter encoder adds each field of the request separately.
func TestEncoder_FilterKeepsAllFields(t *testing.T) {
	r, fields := saleEntry()
	request := []zapcore.Field{zap.Object("request", caddyhttp.LoggableHTTPRequest{Request: r})}
	filter := wrapped(t, &logging.FilterEncoder{WrappedRaw: json.RawMessage(`{"format":"hoko"}`)})
	got := decode(t, encode(t, filter, request, fields))
	want := decode(t, encode(t, newEncoder(t), request, fields))
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%v\nwant\n%v", got, want)
	}
}

func TestEncoder_MatchesCaddyWithoutSecrets(t *testing.T) {
	r, fields := saleEntry()
	r.RequestURI = "/search?q=shoes&page=2"
	for name := range r.Header {
		if loggedFields[name] == 0 {
			r.Header.Del(name)
		}
	}
	for i, field := range fields {
		if answer, ok := field.Interface.(caddyhttp.LoggableHTTPHeader); ok {
			answer.Header.Del("Alt-Svc")
			fields[i].Interface = answer
		}
	}
	request := []zapcore.Field{zap.Object("request", caddyhttp.LoggableHTTPRequest{Request: r})}
	got := decode(t, encode(t, newEncoder(t), request, fields))
	want := decode(t, encode(t, caddysEncoder(t), request, fields))
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%v\nwant\n%v", got, want)
	}
}

// A logger may write the same entry to several logs, each with its own encoder.
func TestEncoder_LeavesTheEntryUnchanged(t *testing.T) {
	header := caddyhttp.LoggableHTTPHeader{Header: http.Header{"X-Other": {"1"}}}
	fields := []zapcore.Field{zap.Object("resp_headers", header), zap.String("uri", "/?key=1")}
	encode(t, newEncoder(t), nil, fields)
	line := encode(t, caddysEncoder(t), nil, fields)
	if !strings.Contains(line, `"X-Other":["1"]`) || !strings.Contains(line, "/?key=1") {
		t.Errorf("another encoder of the same entry wrote %s", line)
	}
}

func TestEncoder_AccessLogCostsLessThanCaddys(t *testing.T) {
	r, fields := saleEntry()
	cost := func(e zapcore.Encoder) float64 {
		return testing.AllocsPerRun(100, func() { encodeRequest(t, e, r, fields) })
	}
	if own, caddys := cost(newEncoder(t)), cost(caddysEncoder(t)); own > caddys/2 {
		t.Errorf("a line needs %.0f allocations, with Caddy's encoder %.0f", own, caddys)
	}
}

func TestRedactURI(t *testing.T) {
	for uri, want := range map[string]string{
		"/":                                "/",
		"*":                                "*",
		"/search?q=shoes&sort=author":      "/search?q=shoes&sort=author",
		"/?keyword=a&monkeys=b":            "/?keyword=a&monkeys=REDACTED",
		"/?token=a":                        "/?token=REDACTED",
		"/?token=":                         "/?token=",
		"/?token":                          "/?token",
		"/?a=1&access_token=b&c=d":         "/?a=1&access_token=REDACTED&c=d",
		"/?apiKey=a&API-KEY=b&apikey=c":    "/?apiKey=REDACTED&API-KEY=REDACTED&apikey=REDACTED",
		"/?%74oken=a":                      "/?%74oken=REDACTED",
		"/?user[password]=a&passwd=b":      "/?user[password]=REDACTED&passwd=REDACTED",
		"/?X-Amz-Signature=a&sig=b":        "/?X-Amz-Signature=REDACTED&sig=REDACTED",
		"/?auth=a&authorization=b&oauth=c": "/?auth=REDACTED&authorization=REDACTED&oauth=REDACTED",
		"/?client_secret=a=b":              "/?client_secret=REDACTED",
		"/?%zz=a&key=%zz":                  "/?%zz=a&key=REDACTED",
		"/a@b?c@d":                         "/a@b?c@d",
		"http://u:p@host:1/p?a=1":          "http://REDACTED@host:1/p?a=1",
		"//u:p@host":                       "//REDACTED@host",
		"https://host/#access_token=a&b=c": "https://host/#access_token=REDACTED&b=c",
		"/?a=b?token=c":                    "/?a=b?token=REDACTED",
		"/?next=%2Fa%3Ftoken%3Db&c=%2Fd":   "/?next=REDACTED&c=%2Fd",
		"/?next=%2Fa%3Fnext%3D%252F%253Fkey%253Db": "/?next=REDACTED",
		"/?state=key%3Db&u=http%3A%2F%2Fa%3Ab%40c": "/?state=REDACTED&u=REDACTED",
		"/?next=%2Fa%3Fb%3Dc%252Fd":                "/?next=%2Fa%3Fb%3Dc%252Fd",
		"/a;jsessionid=b;c=d?e=f;token=g":          "/a;jsessionid=REDACTED;c=d?e=f;token=REDACTED",
		"http://u;a:p&q@host/;b=c":                 "http://REDACTED@host/;b=c",
		"/?PHPSESSID=a&session_id=b&pass=c&side=d": "/?PHPSESSID=REDACTED&session_id=REDACTED&pass=REDACTED&side=d",
		"/a=b/key=c?d=e":                           "/a=b/key=c?d=e",
	} {
		if got := redactURI(uri); got != want {
			t.Errorf("%s became %s, not %s", uri, got, want)
		}
	}
}

func TestMaskKeys_IgnoresMetricNames(t *testing.T) {
	for _, text := range []string{
		"hoko_sale_batch_size", "hoko_ratelimit_decisions_total", "hoko_", "hoko_AbCd", "hoko",
	} {
		if line := []byte(text); maskKeys(line) || string(line) != text {
			t.Errorf("%s became %s", text, line)
		}
	}
}

func FuzzRedactURI(f *testing.F) {
	f.Add("/a?", "&b=c")
	f.Add("http://u:", "@host/")
	f.Add("/?%", "=")
	key := admin.GenerateKey()
	f.Fuzz(func(t *testing.T, before, after string) {
		line := []byte(redactURI(before + key + after))
		maskKeys(line)
		if strings.Contains(string(line), key) {
			t.Errorf("%q shows a key", line)
		}
	})
}

// encode encodes an entry with a clone that already has the logger's own fields, as loggers do.
func encode(t *testing.T, e zapcore.Encoder, own, fields []zapcore.Field) string {
	t.Helper()
	clone := e.Clone()
	for _, field := range own {
		field.AddTo(clone)
	}
	line, err := clone.EncodeEntry(zapcore.Entry{Message: "handled request"}, fields)
	if err != nil {
		t.Fatal(err)
	}
	return line.String()
}

func decode(t *testing.T, line string) (entry map[string]any) {
	t.Helper()
	if err := json.Unmarshal([]byte(line), &entry); err != nil {
		t.Fatalf("%v in %s", err, line)
	}
	return entry
}
