//go:build linux

package bpf_test

import (
	"os"
	"strconv"
	"sync"
	"testing"

	"github.com/cilium/ebpf/features"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"
)

// usable reports why the kernel cannot be asked, once.
var usable = sync.OnceValue(func() error {
	if err := rlimit.RemoveMemlock(); err != nil { // before Linux 5.11
		return err
	}
	return features.HaveProgramType(ebpf.SchedCLS)
})

// require skips the test where programs cannot be loaded, or fails it if
// TRAFFICPOLICY_REQUIRE_KERNEL=1.
func require(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		lacking(t, "needs root: it loads eBPF programs")
	}
	if err := usable(); err != nil {
		lacking(t, "needs eBPF programs of traffic control (Linux 5.15): "+err.Error())
	}
}

func lacking(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("TRAFFICPOLICY_REQUIRE_KERNEL") == "1" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// soak returns how many times as long random tests run, from TRAFFICPOLICY_SOAK.
func soak() int {
	n, err := strconv.Atoi(os.Getenv("TRAFFICPOLICY_SOAK"))
	if err != nil || n < 1 {
		return 1
	}
	return n
}
