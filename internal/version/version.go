// Package version says which build this is.
package version

import "runtime/debug"

// Set by the Makefile through -ldflags -X; otherwise what the Go tool recorded.
var (
	version string
	commit  string
)

// String returns "VERSION (commit COMMIT)".
func String() string {
	v, c := version, commit
	if info, ok := debug.ReadBuildInfo(); ok {
		if v == "" {
			v = info.Main.Version
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && c == "" {
				c = s.Value
			}
		}
	}
	if v == "" {
		v = "(devel)"
	}
	if c == "" {
		c = "unknown"
	}
	return v + " (commit " + c + ")"
}
