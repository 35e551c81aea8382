package stage

import (
	"net/http"
	"strings"
	"testing"
)

// The harness changes the shipped Caddyfile by its lines: this fails where those are others by now.
func TestTheShippedCaddyfileHasTheLinesThatAreChanged(t *testing.T) {
	for name, c := range map[string]Caddyfile{"ungrouped": Ungrouped(), "apiProxy": APIProxy()} {
		if !strings.HasPrefix(c.local("/dir", 8443), "{\n\tadmin unix//dir/admin.sock\n") {
			t.Errorf("%s: the global options are not the first block", name)
		}
	}
	if !strings.Contains(Ungrouped().text, "batch 1\n") || strings.Contains(Shipped().text, "batch") {
		t.Error("the batch bound is not what tells ungrouped from shipped")
	}
}

func TestStockCaddyAnswersWithAsManyHeaders(t *testing.T) {
	a := Answer{401, http.Header{"Date": {"today"}, "Content-Length": {"2"}, "X-Request-Id": {"1"}, "Www-Authenticate": {"Bearer"}}, "{}"}
	text := StockRespond(a).text
	for _, line := range []string{"\theader X-Request-Id `1`\n", "\theader Www-Authenticate `Bearer`\n", "\trespond `{}` 401\n", "\tlog\n"} {
		if strings.Count(text, line) != 1 {
			t.Errorf("not once %q in\n%s", line, text)
		}
	}
	if strings.Contains(text, "today") || strings.Contains(text, "hoko") {
		t.Errorf("more than a stock Caddy needs:\n%s", text)
	}
}
