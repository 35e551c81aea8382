package ratelimit

import "testing"

// A URL is understood or refused, and a refusal repeats nothing of it: nobody
// can tell where in it the password ends.
func FuzzURL(f *testing.F) {
	for _, url := range []string{
		"redis://host:6379/0", "rediss://user:tOpSeCrEt@host", "unix:///run/redis.sock?db=1", "redis://a:1,b:2?pool_size=3", "redis://a:1,b:2/4?master_name=main",
		"redis://user:tOp/SeCrEt@host", "redis://:tOpSeCrEt:6379", "redis://host?nonsense=1", "redis://[::1", "redis://user:tOp%SeCrEt@host", "tOpSeCrEt", "://", "redis://a,,b?addr=&addr=c:1",
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
			t.Errorf("%q gives %q", url, err)
		}
	})
}
