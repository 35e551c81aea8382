package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// adminGet asks the admin endpoint.
func (e *edge) adminGet(ctx context.Context, path string) ([]byte, error) {
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", e.admin)
		},
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost"+path, nil)
	if err != nil {
		return nil, err
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("GET %s: %s", path, res.Status)
	}
	return io.ReadAll(res.Body)
}

// heap is what is live after a garbage collection, in bytes.
func (e *edge) heap(ctx context.Context) (int64, error) {
	text, err := e.adminGet(ctx, "/debug/pprof/heap?gc=1&debug=1")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if number, ok := strings.CutPrefix(line, "# HeapAlloc = "); ok {
			return strconv.ParseInt(strings.TrimSpace(number), 10, 64)
		}
	}
	return 0, fmt.Errorf("the heap profile has no HeapAlloc")
}

// profiled has the measured interval profiled: begin is wrapped. What it
// returns waits for the profiles to be on disk.
func (b *bench) profiled(ctx context.Context, s *side, begin *func() error) (finish func()) {
	name := strings.NewReplacer(" ", "-", "/", "-").Replace(fmt.Sprintf("%s-%d-%d", s.name, s.connections, len(s.samples)+1))
	seconds := max(1, int(s.spec().Duration.Seconds()))
	done := make(chan struct{})
	started := false
	counted := *begin
	*begin = func() error {
		started = true
		go func() {
			defer close(done)
			b.saveProfile(ctx, s.edge, fmt.Sprintf("/debug/pprof/profile?seconds=%d", seconds), name+".cpu.pprof")
			b.saveProfile(ctx, s.edge, "/debug/pprof/allocs", name+".allocs.pprof")
		}()
		return counted()
	}
	return func() {
		if started {
			<-done
		}
	}
}

func (b *bench) saveProfile(ctx context.Context, e *edge, path, name string) {
	profile, err := e.adminGet(ctx, path)
	if err == nil {
		err = os.WriteFile(filepath.Join(b.options.profile, name), profile, 0o644)
	}
	if err != nil {
		b.progress("no profile %s: %v", name, err)
	}
}
