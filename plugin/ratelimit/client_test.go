package ratelimit

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

func clientOf(t *testing.T, url string) redis.UniversalClient {
	t.Helper()
	return newLimiter(t, Options{URL: url}).upstream.client.Load().UniversalClient
}

func TestClient_TimeoutOverridesURL(t *testing.T) {
	const url = "redis://user:secret@host:7000/3?pool_size=7&read_timeout=60s&max_retries=9&dial_timeout=1m"
	o := clientOf(t, url).(*redis.Client).Options()
	if o.Addr != "host:7000" || o.DB != 3 || o.Username != "user" || o.Password != "secret" || o.PoolSize != 7 {
		t.Errorf("got address %s, database %d, pool size %d", o.Addr, o.DB, o.PoolSize)
	}
	for _, d := range []time.Duration{o.ReadTimeout, o.WriteTimeout, o.PoolTimeout} {
		if d != defaultTimeout {
			t.Errorf("got a timeout of %s", d)
		}
	}
	if o.DialTimeout != time.Second || o.MaxConcurrentDials != maxInFlight {
		t.Errorf("got dial timeout %s, concurrent dials %d", o.DialTimeout, o.MaxConcurrentDials)
	}
	if o.MaxRetries != 0 || o.DialerRetries != 1 || !o.ContextTimeoutEnabled || !o.DisableIdentity || o.Protocol != 2 {
		t.Errorf("got retries %d, dials %d, context timeouts %t, no identity %t, protocol %d",
			o.MaxRetries, o.DialerRetries, o.ContextTimeoutEnabled, o.DisableIdentity, o.Protocol)
	}
}

func TestSentinel_SameOptionsAsSingleRedis(t *testing.T) {
	const query = "?pool_size=7&read_timeout=60s&max_retries=9&protocol=3"
	single := clientOf(t, "redis://host"+query).(*redis.Client).Options()
	master := clientOf(t, "redis://s:1"+query+"&master_name=main").(*redis.Client).Options()
	a, b := reflect.ValueOf(*single), reflect.ValueOf(*master)
	for _, name := range strings.Fields("DialTimeout ReadTimeout WriteTimeout PoolTimeout ContextTimeoutEnabled " +
		"MaxRetries DialerRetries DisableIdentity PipelinePoolSize Protocol PoolSize") {
		if a, b := a.FieldByName(name).Interface(), b.FieldByName(name).Interface(); a != b {
			t.Errorf("%s is %v for a single Redis, but %v for a master", name, a, b)
		}
	}
}

func TestNew_URLForms(t *testing.T) {
	tests := []struct {
		url   string
		addrs []string // of a Cluster; nil: a single Redis
		addr  string
	}{
		{"redis://host", nil, "host:6379"},
		{"rediss://host:1", nil, "host:1"},
		{"redis://[::1]:1", nil, "[::1]:1"},
		{"unix:///run/redis.sock?db=1", nil, "/run/redis.sock"},
		{"redis://a:1,b:2", []string{"a:1", "b:2"}, ""},
		{"redis://user:p,w@a:1,b:2,c:3?pool_size=3", []string{"a:1", "b:2", "c:3"}, ""},
		{"redis://user:p@w@a:1,b:2", []string{"a:1", "b:2"}, ""},
		{"rediss://a:1?addr=b:2&addr=c:3", []string{"a:1", "b:2", "c:3"}, ""},
		{"redis://a:1/?addr=a:1", []string{"a:1", "a:1"}, ""},
		{"redis://a:1,b:2/4?master_name=main", nil, "FailoverClient"},
	}
	for _, tt := range tests {
		t.Run(tt.url, func(t *testing.T) {
			switch c := clientOf(t, tt.url).(type) {
			case *redis.ClusterClient:
				if !reflect.DeepEqual(c.Options().Addrs, tt.addrs) {
					t.Errorf("got a Cluster of %q, want %q", c.Options().Addrs, tt.addrs)
				}
			case *redis.Client:
				if tt.addrs != nil || c.Options().Addr != tt.addr {
					t.Errorf("got a single Redis at %q, want %q %q", c.Options().Addr, tt.addr, tt.addrs)
				}
			}
		})
	}
}

func TestNew_InvalidURLErrorHidesPassword(t *testing.T) {
	const form = "redis url: "
	urls := []string{
		"", "host:6379", "http://host", "redis://host/x", "redis://host/1/2", "unix://", "redis://host:x",
		"redis://host?nonsense=1", "redis://host?pool_size=many", "redis://a:1,b", "redis://a:1?addr=b",
		"http://user:tOpSeCrEt@host", "redis://user:tOpSeCrEt@host:x", "redis://:tOpSeCrEt@host/x",
		"redis://user:tOp/SeCrEt@host", "redis://user:tOp?SeCrEt@host", "redis://user:tOp#SeCrEt@host:6379/x",
		"redis://user:tOp%SeCrEt@host", "redis://user:tOp SeCrEt@host", "redis://user:tOp,SeCrEt@host?x=1",
		"redis://host/tOpSeCrEt?password=tOpSeCrEt", "redis://host/x?master_name=main&password=tOpSeCrEt",
		"redis://:tOpSeCrEt:6379", "redis://user:tOpSeCrEt/host:6379", "redis://host/tOpSeCrEt",
		"redis://a:1,:tOpSeCrEt:2", "tOpSeCrEt@host",
	}
	for _, url := range urls {
		t.Run(url, func(t *testing.T) {
			limiter, err := New(Options{URL: url})
			if err == nil {
				limiter.Close()
				t.Fatal("got no error")
			}
			text := strings.ToLower(err.Error())
			for _, part := range []string{"topsecret", "secret", "top"} {
				if strings.Contains(text, part) {
					t.Errorf("%q contains the password", err)
				}
			}
			if !strings.HasPrefix(text, form) {
				t.Errorf("%q does not begin with %q", err, form)
			}
		})
	}
}

func TestNew_NegativeTimeout(t *testing.T) {
	if _, err := New(Options{URL: "redis://host", Timeout: -1}); err == nil {
		t.Fatal("got no error")
	}
}

// FuzzURL checks that the error about an invalid URL does not quote it.
func FuzzURL(f *testing.F) {
	for _, url := range []string{
		"redis://host:6379/0", "rediss://user:tOpSeCrEt@host", "unix:///run/redis.sock?db=1",
		"redis://a:1,b:2?pool_size=3", "redis://a:1,b:2/4?master_name=main", "redis://user:tOp/SeCrEt@host",
		"redis://:tOpSeCrEt:6379", "redis://host?nonsense=1", "redis://[::1", "redis://user:tOp%SeCrEt@host",
		"tOpSeCrEt", "://", "redis://a,,b?addr=&addr=c:1",
	} {
		f.Add(url)
	}
	f.Fuzz(func(t *testing.T, url string) {
		limiter, err := New(Options{URL: url})
		if err == nil {
			limiter.Close()
			return
		}
		if err.Error() != errURL.Error() {
			t.Errorf("%q: got %q", url, err)
		}
	})
}
