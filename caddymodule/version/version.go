// Package version identifies this build of the edge.
package version

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"

	"github.com/caddyserver/caddy/v2"

	"hoko.to/edge/plugin/postgres"
)

// stamped is the version that a build sets with
// -ldflags "-X hoko.to/edge/caddymodule/version.stamped=v1.2.3".
var stamped string

const modulePath = "hoko.to/edge"

// Info identifies a build.
type Info struct {
	// Version is the stamped version, else that of the module, which Go derives from the commit in
	// builds from a checkout, else "devel", as in an unstamped xcaddy build of a folder.
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"` // the commit, with "+dirty" if the checkout had changes
	Caddy    string `json:"caddy"`
	Go       string `json:"go"`
	Schema   int32  `json:"schema"` // version to which this build migrates the schema hoko; an older one may do
}

// Read returns the Info of the running binary.
var Read = sync.OnceValue(func() Info {
	caddyVersion, _ := caddy.Version()
	info := Info{Caddy: caddyVersion, Go: runtime.Version(), Schema: postgres.LatestVersion()}
	build, _ := debug.ReadBuildInfo()
	info.Version, info.Revision = ofModule(build)
	info.Version = cmp.Or(stamped, info.Version, "devel")
	return info
})

// SchemaText returns the version of the schema as a label of a metric.
func (i Info) SchemaText() string { return strconv.Itoa(int(i.Schema)) }

// String returns one line with all that is known.
func (i Info) String() string {
	revision := ""
	if i.Revision != "" {
		revision = "revision " + i.Revision + ", "
	}
	return fmt.Sprintf("Hoko Edge %s (%sCaddy %s, %s, schema %d)", i.Version, revision, i.Caddy, i.Go, i.Schema)
}

// ofModule returns the version and the commit of the edge's module, each "" if it is unknown. The
// edge is the main module of cmd/caddy, and a dependency of what xcaddy builds.
func ofModule(build *debug.BuildInfo) (version, revision string) {
	if build == nil {
		return "", ""
	}
	if build.Main.Path == modulePath {
		return known(build.Main.Version), commit(build.Settings)
	}
	for _, module := range build.Deps {
		if module.Path != modulePath {
			continue
		}
		if module.Replace != nil {
			return known(module.Replace.Version), ""
		}
		return known(module.Version), ""
	}
	return "", ""
}

// known returns "" for Go's names of an unknown version.
func known(version string) string {
	if version == "(devel)" || strings.HasPrefix(version, "v0.0.0-00010101000000-") {
		return ""
	}
	return version
}

func commit(settings []debug.BuildSetting) string {
	values := make(map[string]string, len(settings))
	for _, setting := range settings {
		values[setting.Key] = setting.Value
	}
	revision := values["vcs.revision"]
	if revision != "" && values["vcs.modified"] == "true" {
		revision += "+dirty"
	}
	return revision
}
