package verify

import (
	"net/netip"
	"slices"

	"go4.org/netipx"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// band is a stretch of priorities that the guide recommends, both ends inclusive.
type band struct{ first, last int }

// The guide's two tables: "Combine multi-level security policies" has the first
// three, "Combine TrafficPolicy with GlobalTrafficPolicy" the others.
var (
	infrastructureBand = band{1, 49}
	businessBand       = band{50, 499}
	fallbackBand       = band{500, 1000}
	applicationBand    = band{50, 200}
	baselineBand       = band{1000, 1000}
)

// purpose is what a policy is for, as far as its rules tell, with the bands
// recommended for it. The zero purpose is one that no band is recommended for.
type purpose struct {
	what  string // such as "allows business services"
	bands []band // ascending
}

// fits reports whether some band of u holds priority.
func (u *purpose) fits(priority int) bool {
	return slices.ContainsFunc(u.bands, func(b band) bool { return b.first <= priority && priority <= b.last })
}

// purposeOf tells what p is for. Only what is plain counts: a TrafficPolicy that
// denies some addresses and opens no more than infrastructure has no purpose, and
// neither has a policy without rules.
func purposeOf(p *model.Policy) purpose {
	t := traitsOf(p)
	closes := t.everything > 0 || t.denials > 0
	switch {
	case t.rules == 0:
		return purpose{}
	case t.infrastructure == t.rules:
		return purpose{"allows infrastructure services alone", []band{infrastructureBand}}
	case p.Kind == model.GlobalTrafficPolicy && p.Selector.Empty() && closes:
		return purpose{"is a baseline for every pod of the cluster", []band{baselineBand}}
	case t.everything == t.rules:
		return purpose{"decides every packet alike", []band{fallbackBand}}
	case t.business > 0 && t.everything == 0:
		return purpose{"allows business services", []band{businessBand}}
	case t.everything == 0 && t.anyone == 0:
		return purpose{}
	case p.Kind == model.GlobalTrafficPolicy:
		return purpose{"decides for every address, across applications", []band{businessBand, fallbackBand}}
	case t.business > 0:
		return purpose{"decides every packet of an application", []band{applicationBand}}
	}
	return purpose{"decides for every address, and allows no business service", []band{applicationBand, fallbackBand}}
}

// traits counts the rules of a policy by what they do. A rule is of one kind.
type traits struct {
	rules          int
	infrastructure int // allows DNS, monitoring or logs alone
	everything     int // decides about every address, on every port
	anyone         int // allows every address, on some ports
	business       int // allows anything else
	denials        int // denies anything else
}

func traitsOf(p *model.Policy) traits {
	var t traits
	for _, d := range model.Directions {
		for _, r := range p.Rules(d) {
			t.rules++
			allows, anyone := r.Action.Allows(), matchesEveryone(&r)
			switch {
			case allows && isInfrastructure(&r):
				t.infrastructure++
			case anyone && model.PortsL4(r.Ports).IsEvery():
				t.everything++
			case !allows:
				t.denials++
			case anyone:
				t.anyone++
			default:
				t.business++
			}
		}
	}
	return t
}

// matchesEveryone reports whether the rule's cidrs hold every address of a family.
func matchesEveryone(r *model.Rule) bool {
	return slices.ContainsFunc(model.Families[:], func(f model.Family) bool { return matchesFamily(r, f) })
}

// matchesFamily reports whether the rule's cidrs hold every address of f.
func matchesFamily(r *model.Rule, f model.Family) bool {
	if len(r.Peers) == 0 {
		return true
	}
	var b netipx.IPSetBuilder
	n := 0
	for i := range r.Peers {
		if p := &r.Peers[i]; p.Kind == model.PeerCIDR && model.FamilyOf(p.CIDR.Addr()) == f {
			if p.CIDR.Bits() == 0 {
				return true
			}
			b.AddPrefix(p.CIDR)
			n++
		}
	}
	if n < 2 {
		return false
	}
	set, err := b.IPSet()
	return err == nil && set.ContainsPrefix(f.All())
}

// isInfrastructure reports whether a rule is about DNS, monitoring or logs alone: by
// each of its peers, or by its ports.
func isInfrastructure(r *model.Rule) bool {
	isDNS := func(p model.Port) bool { return p.First == 53 && p.Last == 53 && p.Proto != model.SCTP }
	if len(r.Ports) > 0 && !slices.ContainsFunc(r.Ports, func(p model.Port) bool { return !isDNS(p) }) {
		return true
	}
	return len(r.Peers) > 0 && !slices.ContainsFunc(r.Peers, func(p model.Peer) bool { return !isInfrastructurePeer(&p) })
}

// Where infrastructure is found: docs/checks.md, TP601, lists the same.
var (
	infrastructureNamespaces = []string{"kube-system", "monitoring", "prometheus", "observability", "logging", "logs", "arms-prom"}
	infrastructureServices   = []string{"kube-dns", "coredns", "node-local-dns", "prometheus", "fluentd", "fluent-bit", "logtail"}
	// NodeLocal DNSCache, and the resolvers of a VPC.
	infrastructureAddresses = []netip.Prefix{
		netip.MustParsePrefix("169.254.20.10/32"), netip.MustParsePrefix("100.100.2.136/32"), netip.MustParsePrefix("100.100.2.138/32"),
	}
)

func isInfrastructurePeer(p *model.Peer) bool {
	switch p.Kind {
	case model.PeerCIDR:
		return slices.Contains(infrastructureAddresses, p.CIDR)
	case model.PeerService:
		return slices.Contains(infrastructureNamespaces, p.Service.Namespace) || slices.Contains(infrastructureServices, p.Service.Name)
	case model.PeerNamespace:
		return slices.Contains(infrastructureNamespaces, p.Namespace)
	case model.PeerWorkload:
		return slices.Contains(infrastructureNamespaces, p.Workload.Namespace)
	}
	return false
}
