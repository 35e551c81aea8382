package stage

import (
	"net/http"
	"strings"
	"testing"
)

func TestCaddyfile_ShippedHasTheLinesToChange(t *testing.T) {
	for name, c := range map[string]Caddyfile{"Ungrouped": Ungrouped(), "APIProxy": APIProxy("600/1m")} {
		if !strings.HasPrefix(c.local("/dir", 8443), "{\n\tadmin unix//dir/admin.sock\n") {
			t.Errorf("%s: the text does not begin with the global options", name)
		}
	}
	if !strings.Contains(Ungrouped().text, "batch 1\n") || strings.Contains(Shipped().text, "batch") {
		t.Error("Ungrouped must set batch, and Shipped must not")
	}
}

func TestStockProxy_HasTheShippedTransport(t *testing.T) {
	_, transport, found := strings.Cut(StockProxy().text, "transport http {\n")
	setting, _, _ := strings.Cut(strings.TrimSpace(transport), "\n")
	if !found || !strings.HasPrefix(setting, "keepalive_") || !strings.Contains(Shipped().text, "\t"+setting+"\n") {
		t.Errorf("want the transport of the shipped Caddyfile in\n%s", StockProxy().text)
	}
}

func TestStockRespond_SameNumberOfHeaders(t *testing.T) {
	header := http.Header{
		"Date": {"today"}, "Content-Length": {"2"}, "X-Request-Id": {"1"}, "Www-Authenticate": {"Bearer"},
	}
	text := StockRespond(Response{401, header, "{}"}).text
	lines := []string{"header X-Request-Id `1`", "header Www-Authenticate `Bearer`", "respond `{}` 401", "log"}
	for _, line := range lines {
		if strings.Count(text, "\t"+line+"\n") != 1 {
			t.Errorf("want %q once in\n%s", line, text)
		}
	}
	if strings.Contains(text, "today") || strings.Contains(text, "hoko") {
		t.Errorf("want neither the edge's modules nor headers that Caddy sets:\n%s", text)
	}
}
