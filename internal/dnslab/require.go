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
		netlab.Lacking(t, "needs root: it makes network namespaces")
	}
	if _, err := find("knotd"); err != nil {
		netlab.Lacking(t, "needs the DNS server knotd (package knot): "+err.Error())
	}
	if err := ready(); err != nil {
		netlab.Lacking(t, "needs network namespaces: "+err.Error())
	}
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
