package sales_test

import (
	"bytes"
	"testing"
	"time"

	"hoko.to/edge/plugin/sale"
)

func TestLinkTime_SurvivesAnyTimeZone(t *testing.T) {
	shop := openShop(t)
	shop.Exec("ALTER DATABASE " + shop.Conn.Config().Database + " SET timezone = 'Asia/Kolkata'")
	shop.Exec("UPDATE hoko.links SET created_at = '1850-06-01T00:00:00.5Z'")
	store := shop.Store()
	first := mustRecord(t, store, sell("k", keyed("key")))
	replay := mustRecord(t, store, sell("k", keyed("key")))
	want := time.Date(1850, 6, 1, 0, 0, 0, 5e8, time.UTC)
	if !first.Link.CreatedAt.Equal(want) || !replay.Link.CreatedAt.Equal(want) || !replay.Replayed {
		t.Errorf("answered %v and %v, want %v", first.Link.CreatedAt, replay.Link.CreatedAt, want)
	}
}

func TestLinkTime_NearestThatRFC3339CanWrite(t *testing.T) {
	for stored, want := range map[string]string{
		"infinity":       "9999-12-31T23:59:59.999999Z",
		"12024-01-01":    "9999-12-31T23:59:59.999999Z",
		"9999-12-31 UTC": "9999-12-31T00:00:00Z",
		"0001-01-02 UTC": "0001-01-02T00:00:00Z",
		"0044-03-15 BC":  "0001-01-01T00:00:00Z",
		"-infinity":      "0001-01-01T00:00:00Z",
	} {
		t.Run(stored, func(t *testing.T) {
			shop := openShop(t)
			shop.Exec("UPDATE hoko.links SET created_at = '" + stored + "'")
			store := shop.Store()
			first := sale.AppendResponse(nil, mustRecord(t, store, sell("k", keyed("key"))))
			again := sale.AppendResponse(nil, mustRecord(t, store, sell("k", keyed("key"))))
			if !bytes.Contains(first, []byte(`"createdAt":"`+want+`"`)) || !bytes.Equal(first, again) {
				t.Errorf("answered\n%s\nand then\n%s", first, again)
			}
		})
	}
}
