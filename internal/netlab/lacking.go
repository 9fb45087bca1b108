//go:build linux

package netlab

import (
	"os"
	"testing"
)

// Lacking ends a test that cannot be run here, with the reason: it is skipped, or
// fails if TRAFFICPOLICY_REQUIRE_KERNEL=1.
func Lacking(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("TRAFFICPOLICY_REQUIRE_KERNEL") == "1" {
		t.Fatal(why)
	}
	t.Skip(why)
}
