package apikey

import (
	"slices"
	"strings"
	"testing"
)

func TestChallenge_DependsOnKeySentOnly(t *testing.T) {
	for _, cause := range causes {
		sent, missing := &Rejected{Cause: cause, KeySent: true, KeyID: "key_1"}, &Rejected{Cause: cause}
		if got := sent.Challenge(); got != `Bearer error="invalid_token"` {
			t.Errorf("%s: got %s for a key", cause, got)
		}
		if got := missing.Challenge(); got != "Bearer" {
			t.Errorf("%s: got %s without a key", cause, got)
		}
	}
}

func TestScopeChallenge_NamesMissingScopes(t *testing.T) {
	for _, missing := range []string{"conversionsWrite", "tagsRead linksRead"} {
		want := `Bearer error="insufficient_scope", scope="` + missing + `"`
		if got := ScopeChallenge(strings.Fields(missing)); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestMissing_KeepsRouteOrder(t *testing.T) {
	required, err := ParseRequired([]string{"conversionsWrite", "linksRead", "tagsWrite"})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name          string
		granted, want []string
	}{
		{"all", []string{"conversionsWrite", "linksRead", "tagsWrite"}, nil},
		{"more than all", ScopeNames(), nil},
		{"none", nil, []string{"conversionsWrite", "linksRead", "tagsWrite"}},
		{"all but the middle one", []string{"tagsWrite", "conversionsWrite"}, []string{"linksRead"}},
		{"write does not imply read", []string{"linksWrite", "tagsWrite", "conversionsWrite"}, []string{"linksRead"}},
		{"wrong case", []string{"LinksRead"}, []string{"conversionsWrite", "linksRead", "tagsWrite"}},
		{"wildcard", []string{"*"}, []string{"conversionsWrite", "linksRead", "tagsWrite"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for range 2 { // Missing must not change required
				if got := required.Missing(ScopesOf(test.granted)); !slices.Equal(got, test.want) {
					t.Errorf("got %v, want %v", got, test.want)
				}
			}
		})
	}
}

func TestParseRequired_UnknownOrRepeatedScope(t *testing.T) {
	for _, names := range [][]string{{"conversionswrite"}, {"linksRead", "all"}, {""}, {"linksRead", "linksRead"}} {
		if _, err := ParseRequired(names); err == nil {
			t.Errorf("%q: no error", names)
		}
	}
	if required, err := ParseRequired(nil); err != nil || required.Missing(0) != nil {
		t.Errorf("without scopes: got %v, %v", required.Missing(0), err)
	}
}

func TestScopes_AreIndependent(t *testing.T) {
	names := ScopeNames()
	if len(names) != 12 {
		t.Fatalf("%d scopes, want 12", len(names))
	}
	for _, name := range names {
		scope, ok := ParseScope(name)
		if !ok || scope.String() != name {
			t.Errorf("%s is parsed as %q", name, scope)
		}
		for _, other := range names {
			if ScopesOf([]string{name}).Has(ScopesOf([]string{other})) != (name == other) {
				t.Errorf("%s implies %s: want %t", name, other, name == other)
			}
		}
		if _, ok := ParseScope(strings.ToUpper(name)); ok {
			t.Errorf("%s is accepted in upper case", name)
		}
	}
	if got := ScopesOf(names).String(); got != strings.Join(names, " ") {
		t.Errorf("got %s, want all scopes", got)
	}
}
