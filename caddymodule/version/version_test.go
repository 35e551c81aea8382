package version

import (
	"runtime/debug"
	"testing"
)

func TestOfModule(t *testing.T) {
	commit := []debug.BuildSetting{{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.modified", Value: "true"}}
	edge := func(version string, replace *debug.Module) []*debug.Module {
		return []*debug.Module{{Path: "example.com/other", Version: "v9.0.0"},
			{Path: modulePath, Version: version, Replace: replace}}
	}
	ours := func(version string, settings ...debug.BuildSetting) *debug.BuildInfo {
		return &debug.BuildInfo{Main: debug.Module{Path: modulePath, Version: version}, Settings: settings}
	}
	xcaddy := func(deps []*debug.Module, settings ...debug.BuildSetting) *debug.BuildInfo {
		return &debug.BuildInfo{Main: debug.Module{Path: "caddy"}, Deps: deps, Settings: settings}
	}
	const unknown = "v0.0.0-00010101000000-000000000000"
	for name, tc := range map[string]struct {
		build             *debug.BuildInfo
		version, revision string
	}{
		"no build info":        {nil, "", ""},
		"checkout":             {ours("v1.2.3", commit...), "v1.2.3", "abc+dirty"},
		"clean checkout":       {ours("v1.2.3", commit[0]), "v1.2.3", "abc"},
		"without a commit":     {ours("(devel)"), "", ""},
		"xcaddy":               {xcaddy(edge("v1.2.3", nil)), "v1.2.3", ""},
		"xcaddy with a folder": {xcaddy(edge(unknown, &debug.Module{Path: "/src"})), "", ""},
		"xcaddy with a fork":   {xcaddy(edge("v1.2.3", &debug.Module{Path: "fork", Version: "v1.2.4"})), "v1.2.4", ""},
		"commit of another":    {xcaddy(edge("v1.2.3", nil), commit...), "v1.2.3", ""},
		"another binary":       {xcaddy(nil), "", ""},
	} {
		if version, revision := ofModule(tc.build); version != tc.version || revision != tc.revision {
			t.Errorf("%s: got %q, %q", name, version, revision)
		}
	}
}

func TestInfo_String(t *testing.T) {
	info := Info{Version: "v1.2.3", Revision: "abc", Caddy: "v2.11.9", Go: "go1.26.8", Schema: 2}
	want := "Hoko Edge v1.2.3 (revision abc, Caddy v2.11.9, go1.26.8, schema 2)"
	if got := info.String(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
