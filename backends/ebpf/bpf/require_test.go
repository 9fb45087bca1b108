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

	"github.com/trafficpolicy/trafficpolicy/internal/netlab"
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
		netlab.Lacking(t, "needs root: it loads eBPF programs")
	}
	if err := usable(); err != nil {
		netlab.Lacking(t, "needs eBPF programs of traffic control (Linux 5.15): "+err.Error())
	}
}

// soak returns how many times as long random tests run, from TRAFFICPOLICY_SOAK.
func soak() int {
	n, err := strconv.Atoi(os.Getenv("TRAFFICPOLICY_SOAK"))
	if err != nil || n < 1 {
		return 1
	}
	return n
}
