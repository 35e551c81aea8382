package explain

import (
	"encoding/json"
	"fmt"
	"hash/maphash"
	"strings"
	"testing"
	"time"
)

// add remembers a request of a workspace, or without one, of a client.
func (all *events) add(id, workspace, client string) {
	e := Event{RequestID: id, WorkspaceID: workspace, KeyID: "key of " + workspace, Time: time.Now()}
	all.put(OwnerOf(workspace, client, false), &e)
}

func (all *events) wantKept(t *testing.T, what, id string) {
	t.Helper()
	if _, ok := all.find(id); !ok {
		t.Errorf("%s displaced %s", what, id)
	}
}

func TestEvents_FloodDisplacesOnlyItsOwn(t *testing.T) {
	for range 100 { // whichever buckets they share
		all := new(events)
		all.add("quiet", "ws_quiet", "192.0.2.1")
		all.add("keyless", "", "192.0.2.2")
		for i := range buckets * 3 {
			all.add("other", fmt.Sprint("ws_", i), "192.0.2.1")
		}
		for i := range 2 * bucketSize {
			all.add(fmt.Sprint("flood", i), "ws_flood", "192.0.2.9")
			all.add(fmt.Sprint("guess", i), "", "192.0.2.9")
		}
		all.wantKept(t, "a flood", "quiet")
		all.wantKept(t, "a flood", fmt.Sprint("flood", 2*bucketSize-1))
		all.wantKept(t, "a flood", fmt.Sprint("guess", 2*bucketSize-1))
		if _, ok := all.find("flood0"); ok {
			t.Error("the oldest of the flood is still there")
		}
		seed = maphash.MakeSeed()
	}
}

// A client with many addresses fills all buckets.
func TestEvents_ManyClientsDisplaceNoWorkspace(t *testing.T) {
	all := new(events)
	all.add("quiet", "ws_quiet", "")
	for i := range 3 * buckets * bucketSize {
		all.add(fmt.Sprint("guess", i), "", fmt.Sprintf("2001:db8:%x:%x::1", i>>8, i&0xff))
	}
	all.wantKept(t, "401s of many clients", "quiet")
	if n, oldest := all.summary(); n > buckets*bucketSize || n < buckets*bucketSize/2 || oldest.IsZero() {
		t.Errorf("%d events since %s", n, oldest)
	}
}

func TestEvents_ClientsOfOneNetworkAreOne(t *testing.T) {
	if OwnerOf("", "2001:db8::1", false) != OwnerOf("", "2001:db8::ffff:1", false) {
		t.Error("two addresses of a /64 are two owners")
	}
	if OwnerOf("ws", "192.0.2.1", false) != OwnerOf("ws", "192.0.2.2", false) {
		t.Error("two clients of a workspace are two owners")
	}
	if OwnerOf("ws", "", false) == OwnerOf("ws", "", true) {
		t.Error("slow requests displace rejected ones")
	}
}

func TestEvents_OfAKeyNewestFirst(t *testing.T) {
	all := new(events)
	if got := all.ofKey("key of ws"); got == nil || len(got) != 0 {
		t.Errorf("got %v", got)
	}
	for i := range 30 {
		all.add(fmt.Sprint(i), "ws", "")
		all.add("other", "ws_other", "")
	}
	var ids []string
	for _, e := range all.ofKey("key of ws") {
		ids = append(ids, e.RequestID)
	}
	if got := strings.Join(ids, " "); !strings.HasPrefix(got, "29 28 27 ") || len(ids) != maxOfKey {
		t.Errorf("got %s", got)
	}
}

// BenchmarkRemember measures what a rejected request costs in addition, with a full bucket.
func BenchmarkRemember(b *testing.B) {
	e := Event{RequestID: "9aa9b8a1", WorkspaceID: "ws_1", KeyID: "key_1", Cause: "rate_limit", Time: time.Now()}
	b.Run("one workspace", func(b *testing.B) {
		all := new(events)
		b.ReportAllocs()
		for b.Loop() {
			all.put(OwnerOf("ws_1", "", false), &e)
		}
	})
	b.Run("many clients", func(b *testing.B) {
		all, i := new(events), 0
		b.ReportAllocs()
		for b.Loop() {
			i++
			all.put(OwnerOf("", "2001:db8::1", i%2 == 0)^Owner(i%256), &e)
		}
	})
	b.Run("in parallel", func(b *testing.B) {
		all := new(events)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				all.put(OwnerOf("ws_1", "", false), &e)
			}
		})
	})
}

func TestLimitText_RoundTrips(t *testing.T) {
	for _, want := range []LimitText{
		{}, {600, time.Minute, 600, 0}, {10, time.Second, 5, 0}, {5000, 26*time.Hour + 30*time.Minute, 1, 0},
	} {
		text, err := json.Marshal(want)
		var got LimitText
		if err == nil {
			err = json.Unmarshal(text, &got)
		}
		if err != nil || got != want {
			t.Errorf("%+v: %s is read as %+v, %v", want, text, got, err)
		}
	}
	var l LimitText
	if err := l.UnmarshalText([]byte("10/1s burst many")); err == nil {
		t.Error("a burst that is no number is accepted")
	}
}
