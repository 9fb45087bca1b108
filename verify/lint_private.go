package verify

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"go4.org/netipx"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// privateRanges are where clusters and networks of the company live: RFC 1918, and
// the shared address space of RFC 6598, in which the cloud has services of its own.
var privateRanges = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"),
	netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.168.0.0/16"),
	sharedRange,
}

var sharedRange = netip.MustParsePrefix("100.64.0.0/10")

// privateReachable reports egress rules that allow 0.0.0.0/0 and by which pods
// reach private addresses that no rule before has taken (TP504), each rule once.
func privateReachable(ctx context.Context, a *Analysis) ([]model.Finding, error) {
	return a.openingFindings(ctx, privateRanges, hasAllIPv4, func(s *sense, o *opening) model.Finding {
		ranges := o.names(privateRanges)
		f := s.finding(model.PrivateReachable, o.rule.Rule().Pos, fmt.Sprintf(
			"0.0.0.0/0 is allowed to pods such as %s with private addresses: the rules before do not deny all of %s",
			o.first().at.name(), strings.Replace(ranges, " and ", " or ", 1)))
		f.Suggestion = "deny " + ranges + " before it, behind rules that allow what the pods need there"
		if o.to[len(o.to)-1] != nil {
			f.Suggestion += fmt.Sprintf(", such as the resolvers %s and %s", vpcResolvers[0], vpcResolvers[1])
		}
		return f
	})
}

// hasAllIPv4 reports whether the cidrs of r together are all of 0.0.0.0/0.
func hasAllIPv4(r *model.Rule) bool {
	all := model.IPv4.All()
	if len(r.Peers) == 0 {
		return true
	}
	var size uint64 // of all together, if they are disjoint
	for i := range r.Peers {
		if p := &r.Peers[i]; p.Kind == model.PeerCIDR && p.CIDR.Addr().Is4() {
			size += 1 << (32 - p.CIDR.Bits())
		}
	}
	if size < 1<<32 {
		return false
	}
	var set netipx.IPSetBuilder
	for i := range r.Peers {
		if p := &r.Peers[i]; p.Kind == model.PeerCIDR {
			set.AddPrefix(p.CIDR)
		}
	}
	s, err := set.IPSet()
	return err == nil && s.ContainsPrefix(all)
}
