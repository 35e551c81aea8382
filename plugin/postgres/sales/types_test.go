package sales_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"hoko.to/edge/plugin/postgres"
	"hoko.to/edge/plugin/postgres/sales"
	"hoko.to/edge/plugin/sale"
)

// A site's columns may have other types. The first answer and its replay use the same text.
func TestColumnsOfOtherTypes_AreAnsweredAlikeEachTime(t *testing.T) {
	shop := openShop(t)
	for column, values := range map[string]struct{ kind, value string }{
		"url":           {"varchar(200)", "'https://example.com/varchar'"},
		"short_url":     {"char(40)", "'https://hoko.to/char'"},
		"title":         {"boolean", "true"},
		"description":   {"jsonb", `'{"a": 1}'`},
		"image":         {"inet", "'10.0.0.1'"},
		"utm":           {"text", `'{"source":"s", "medium" : "m"}'`},
		"collection_id": {"bigint", "42"},
		"partner_id":    {"uuid", "'00000000-0000-0000-0000-000000000007'"},
		"tenant_id":     {"numeric", "1.50"},
		"external_id":   {"timestamptz", "'2024-01-02T03:04:05Z'"},
	} {
		shop.Exec(fmt.Sprintf(`ALTER TABLE hoko.links ALTER %[1]s DROP DEFAULT,
			ALTER %[1]s TYPE %[2]s USING (%[3]s)::%[2]s`, column, values.kind, values.value))
	}
	shop.Exec(`ALTER TABLE hoko.customers ALTER name TYPE varchar(200), ALTER email TYPE varchar(200),
		ALTER phone TYPE bigint USING NULL,
		ALTER avatar TYPE varchar(2048)`)
	shop.Exec(`INSERT INTO hoko.customers (id, workspace_id, external_id, name, email, phone, avatar)
		VALUES ('k1', 'w1', 'k', 'Ada', 'ada@example.com', 4930123456, 'https://example.com/a.png')`)
	store := shop.Store()
	request := func() *sale.Sale { return sell("k", keyed("key")) }
	first, again := mustRecord(t, store, request()), mustRecord(t, store, request())
	if !again.Replayed {
		t.Error("the second answer is no replay")
	}
	want := sale.AppendResponse(nil, first)
	for what, recorded := range map[string]*sale.Recorded{"replayed": again,
		"single": mustRecord(t, store, sell("k"))} {
		if got := sale.AppendResponse(nil, recorded); !bytes.Equal(got, want) {
			t.Errorf("answered\n%s\nand %s\n%s", want, what, got)
		}
	}
}

// The edge rejects the type when it connects, before a sale is sent.
func TestColumnThatCannotBeCast_IsRejected(t *testing.T) {
	shop := openShop(t)
	shop.Exec("ALTER TABLE hoko.links ALTER utm DROP DEFAULT, ALTER utm TYPE uuid USING NULL")
	metrics := prometheus.NewRegistry()
	got := record(t, shop.Store(withMetrics(metrics)), sell("k"))
	if !errors.Is(got.err, sale.ErrNotRecorded) || !strings.Contains(got.err.Error(),
		"cannot cast type uuid to jsonb") || !strings.Contains(got.err.Error(), "adopting.md") {
		t.Errorf("error %v", got.err)
	}
	if n, _ := statements(t, metrics); n != 0 {
		t.Errorf("%d statements were sent", n)
	}
	if err := sales.Rehearse(t.Context(), postgres.Options{DSN: shop.DSN}); err == nil ||
		!strings.Contains(err.Error(), "cannot cast") {
		t.Errorf("the rehearsal finds %v", err)
	}
}
