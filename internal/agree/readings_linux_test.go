package agree

import (
	"os"
	"testing"
)

// allReadings returns every reading that can be had here. Without root that lacks
// the programs, which is a failure where TRAFFICPOLICY_REQUIRE_KERNEL=1.
func allReadings(t *testing.T) []Reading {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("TRAFFICPOLICY_REQUIRE_KERNEL") == "1" {
			t.Fatal("needs root: it loads eBPF programs")
		}
		t.Log("not root: the eBPF programs are not asked")
		return Derived
	}
	p, err := NewPrograms()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return append(Derived[:len(Derived):len(Derived)], p.Reading())
}
