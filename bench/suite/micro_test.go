package suite

import (
	"reflect"
	"strings"
	"testing"
)

func TestParseBenchmarks_ByPackageAndName(t *testing.T) {
	const out = `goos: linux
pkg: hoko.to/edge/plugin/apikey
BenchmarkCachedKey-2   	 5000000	       201.5 ns/op	       0 B/op	       0 allocs/op
BenchmarkCachedKey-2   	 5000000	       199.0 ns/op	       1 B/op	       0 allocs/op
PASS
pkg: hoko.to/edge/plugin/sale
BenchmarkDecode/published 	  100000	      3000 ns/op	  55.00 MB/s	    1328 B/op	      20 allocs/op
ok  	hoko.to/edge/plugin/sale	1.2s
`
	want := []*benchmark{
		{"apikey.CachedKey", []float64{201.5, 199}, 1, 0},
		{"sale.Decode/published", []float64{3000}, 1328, 20},
	}
	if got, err := parseBenchmarks(strings.NewReader(out)); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
}
