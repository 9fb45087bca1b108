// Package version says which build this is.
package version

import "runtime/debug"

// Set by the Makefile through -ldflags -X; otherwise what the Go tool recorded.
var (
	version string
	commit  string
)

// Module returns the version of the module, "(devel)" where it is not a release.
func Module() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

// Commit returns the commit that was built, "unknown" where nobody recorded it.
func Commit() string {
	if commit != "" {
		return commit
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				return s.Value
			}
		}
	}
	return "unknown"
}

// String returns "VERSION (commit COMMIT)".
func String() string { return Module() + " (commit " + Commit() + ")" }
