package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"hoko.to/edge/caddymodule/backend"
	"hoko.to/edge/caddymodule/explain"
	"hoko.to/edge/caddymodule/health"
	"hoko.to/edge/caddymodule/version"
	"hoko.to/edge/internal/testenv"
)

func TestAdminEndpoint_ShowsTheState(t *testing.T) {
	e := startEdge(t, saleRoutes)
	e.send("POST", "/api/track/sale", bearer(e.key("conversionsWrite").Key), validSale)
	recorder := httptest.NewRecorder()
	if err := (adminState{}).serve(recorder, httptest.NewRequest("GET", "/hoko/", nil)); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Backends []map[string]any `json:"backends"`
	}
	if err := json.Unmarshal(recorder.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Backends) != 1 || recorder.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("%v %s", recorder.Header(), recorder.Body)
	}
	for _, part := range []string{"since", "configs", "keys", "limits", "sales"} {
		if got.Backends[0][part] == nil {
			t.Errorf("the state lacks %s: %s", part, recorder.Body)
		}
	}
	for request, status := range map[string]int{"POST /hoko/": 405, "GET /hoko/x": 404} {
		method, path, _ := strings.Cut(request, " ")
		recorder := httptest.NewRecorder()
		err := (adminState{}).serve(recorder, httptest.NewRequestWithContext(context.Background(), method, path, nil))
		if rejected, ok := errors.AsType[caddy.APIError](err); !ok || rejected.HTTPStatus != status {
			t.Errorf("%s: %v", request, err)
		}
		if allow := recorder.Header().Get("Allow"); (status == 405) != (allow == "GET, HEAD") {
			t.Errorf("%s: Allow %q", request, allow)
		}
	}
}

func TestAdminEndpoint_AnswersWithAndWithoutSlash(t *testing.T) {
	mux := http.NewServeMux()
	for _, route := range (adminState{}).Routes() {
		mux.Handle(route.Pattern, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := route.Handler.ServeHTTP(w, r); err != nil {
				t.Error(err)
			}
		}))
	}
	for _, path := range []string{"/hoko", "/hoko/"} {
		recorder := httptest.NewRecorder()
		mux.ServeHTTP(recorder, httptest.NewRequest("GET", path, nil))
		build, err := json.Marshal(version.Read())
		testenv.NoError(t, err)
		denied, err := json.Marshal(explain.MostDenied())
		testenv.NoError(t, err)
		want := fmt.Sprintf(`{"version":%s,"backends":[],"denied":%s}`+"\n", build, denied)
		if recorder.Code != 200 || recorder.Body.String() != want {
			t.Errorf("%s: %d %s, want %s", path, recorder.Code, recorder.Body, want)
		}
	}
}

func TestAdminEndpoint_Health(t *testing.T) {
	startEdge(t, "respond ok")
	for path, want := range map[string]health.Report{"live": health.Live, "ready": health.Ready()} {
		for _, method := range []string{"GET", "HEAD"} {
			recorder := httptest.NewRecorder()
			err := (adminState{}).serve(recorder, httptest.NewRequest(method, "/hoko/health/"+path, nil))
			var got health.Report
			if err != nil || json.Unmarshal(recorder.Body.Bytes(), &got) != nil || recorder.Code != 200 ||
				path == "live" && got.Status != want.Status || recorder.Header().Get("Cache-Control") != "no-store" {
				t.Errorf("%s %s: %v %d %v %s", method, path, err, recorder.Code, recorder.Header(), recorder.Body)
			}
		}
	}
}

func TestAdminEndpoint_OldestBackendFirst(t *testing.T) {
	e := startEdge(t, saleRoutes)
	for rate := range 5 {
		e.hoko = fmt.Sprintf("guesses %d/1m", rate+1)
		e.mustLoad()
	}
	for range 50 { // the order of a map differs each time
		all := backend.States()
		byAge := func(a, b backend.State) int { return a.Since.Compare(b.Since) }
		if len(all) != 6 || !slices.IsSortedFunc(all, byAge) {
			t.Fatalf("%d backends: %+v", len(all), all)
		}
	}
}
