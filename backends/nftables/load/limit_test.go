//go:build linux

package load

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/backends/nftables"
	"github.com/trafficpolicy/trafficpolicy/internal/state"
)

func TestCheckLimit(t *testing.T) {
	addr := netip.MustParseAddr
	b := &payload{pods: []nftables.Pod{
		{Addrs: []netip.Addr{addr("10.0.0.1"), addr("fd00::1")}},
		{Addrs: []netip.Addr{addr("10.0.0.2"), addr("fd00::2"), addr("fd00::3")}},
	}}
	for _, tt := range []struct {
		limit uint32
		most  int
		want  string
	}{
		{0, 1, ""},
		{1, 3, ""},
		{1, 2, "for 2 IPv6 addresses of pods, and the bundle has 3"},
		{1, 1, "for 1 IPv4 addresses of pods, and the bundle has 2"},
	} {
		err := checkLimit(b, &state.Record{Options: state.Options{MaxConnections: tt.limit}}, tt.most)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("limit %d, room for %d: error %v, want %q", tt.limit, tt.most, err, tt.want)
		}
	}
}
