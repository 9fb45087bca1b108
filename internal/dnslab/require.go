//go:build linux

package dnslab

import (
	"errors"
	"net/netip"
	"os"
	"sync"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/internal/netlab"
)

// ready deletes what earlier runs left and tries whether a namespace can be made.
var ready = sync.OnceValue(func() error {
	lab := netlab.New()
	_, err := lab.Namespace("try")
	return errors.Join(err, lab.Close(), netlab.Sweep())
})

// Require skips the test where no server can be started, or fails it if
// TRAFFICPOLICY_REQUIRE_KERNEL=1.
func Require(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		lacking(t, "needs root: it makes network namespaces")
	}
	if _, err := find("knotd"); err != nil {
		lacking(t, "needs the DNS server knotd (package knot): "+err.Error())
	}
	if err := ready(); err != nil {
		lacking(t, "needs network namespaces: "+err.Error())
	}
}

func lacking(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("TRAFFICPOLICY_REQUIRE_KERNEL") == "1" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// New starts a server that ends with the test, as Start does.
func New(t testing.TB, ns *netlab.Namespace, listen []netip.Addr, zones ...string) *Server {
	t.Helper()
	s, err := Start(ns, listen, zones...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("end the DNS server: %v", err)
		}
	})
	return s
}
