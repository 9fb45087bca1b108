package verify

import (
	"net/netip"
	"slices"
	"strings"
	"sync"

	"go4.org/netipx"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/compiler/space"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// Where pods resolve names: the resolvers of every VPC of Alibaba Cloud, and
// NodeLocal DNSCache.
var (
	vpcResolvers = []netip.Addr{netip.MustParseAddr("100.100.2.136"), netip.MustParseAddr("100.100.2.138")}
	nodeLocalDNS = netip.MustParseAddr("169.254.20.10")

	otherResolvers = []netip.Addr{vpcResolvers[0], vpcResolvers[1], nodeLocalDNS} // than kube-dns
)

const dnsNamespace = "kube-system"

// kubeDNS is the cluster's own DNS.
var kubeDNS = model.Peer{Kind: model.PeerService, Service: model.ServicePeer{Namespace: dnsNamespace, Name: "kube-dns"}}

// kubeDNSAtoms are the names that hold every address of kube-dns where these are
// not known.
var kubeDNSAtoms = []model.Atom{
	model.Atom(kubeDNS.String()),
	model.Atom((&model.Peer{Kind: model.PeerService, Service: model.ServicePeer{Namespace: dnsNamespace, Name: model.AnyService}}).String()),
}

// dnsPoints are UDP and TCP 53: a resolver asks again by TCP where an answer does
// not fit.
var dnsPoints = [...]model.L4{model.L4Of(model.UDP, 53), model.L4Of(model.TCP, 53)}

// serviceNetworks are where the addresses of kube-dns are taken to be where they are
// not known: ACK gives Services and pods private networks (RFC 1918, RFC 4193).
// exampleDNS is the one it has in the default Service network.
var (
	serviceNetworks = []netip.Prefix{
		netip.MustParsePrefix("10.0.0.0/8"),
		netip.MustParsePrefix("172.16.0.0/12"),
		netip.MustParsePrefix("192.168.0.0/16"),
		netip.MustParsePrefix("fc00::/7"),
	}
	exampleDNS = netip.MustParseAddr("172.21.0.10")
)

// notPublic is what is reached without a name of the public DNS: private, shared,
// local, multicast and reserved addresses (RFC 6890); of IPv6 all but global
// unicast (RFC 4291).
var notPublic = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("10.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"),
	netip.MustParsePrefix("127.0.0.0/8"),
	netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("224.0.0.0/3"),
	netip.MustParsePrefix("::/3"),
	netip.MustParsePrefix("4000::/2"),
	netip.MustParsePrefix("8000::/1"),
}

// dnsSense is a sense with what it knows of kube-dns.
type dnsSense struct {
	*sense
	// kube are the addresses that kube-dns may have, example one of them, sorted. It
	// is nil where it has none or the inventory lacks it: nothing is said then.
	kube    []netip.Prefix
	example netip.Addr
	in      []model.Atom // that hold them
}

func newDNSSense(s *sense) *dnsSense {
	d := &dnsSense{sense: s}
	res := s.resolver.Peer(&kubeDNS, model.Egress)
	prefixes, here := res.Prefixes, res.Prefixes
	if res.Unknown() { // or what it has in the cluster at hand
		here = s.a.Resolver().Peer(&kubeDNS, model.Egress).Prefixes
		prefixes = joinPrefixes(serviceNetworks, here)
		d.example, d.in = exampleDNS, kubeDNSAtoms
	}
	analysed := func(p netip.Prefix) bool { return slices.Contains(s.a.Families, model.FamilyOf(p.Addr())) }
	for _, p := range prefixes {
		if analysed(p) {
			d.kube = append(d.kube, p)
		}
	}
	if slices.ContainsFunc(here, func(p netip.Prefix) bool { return analysed(p) && p.Contains(d.example) }) {
		return d
	}
	if i := slices.IndexFunc(here, analysed); i >= 0 { // what is known is what simulate takes
		d.example = here[i].Addr()
	}
	for _, a := range s.clusterIPs(kubeDNS.Service) {
		if slices.ContainsFunc(here, func(p netip.Prefix) bool { return analysed(p) && p.Contains(a) }) {
			d.example = a // what pods ask
			break
		}
	}
	return d
}

// joinPrefixes returns the fewest prefixes that are a and b, sorted.
func joinPrefixes(a, b []netip.Prefix) []netip.Prefix {
	var set netipx.IPSetBuilder
	for _, p := range slices.Concat(a, b) {
		set.AddPrefix(p)
	}
	s, err := set.IPSet()
	if err != nil { // an invalid prefix, which nobody has
		return a
	}
	return s.Prefixes()
}

// clusterIPs returns those of a Service of the inventory.
func (s *sense) clusterIPs(of model.ServicePeer) []netip.Addr {
	for _, svc := range s.a.Inventory.Services {
		if svc.Namespace == of.Namespace && svc.Name == of.Name {
			return svc.ClusterIPs
		}
	}
	return nil
}

// dnsState is what becomes of name resolution at one subject.
type dnsState struct {
	at *subject
	// kube is set where kube-dns is denied, whichever of its addresses is asked: by
	// one rule or the default deny, or by one for UDP and another for TCP.
	kube []*dnsDenial
	// resolvers are the denials of other resolvers, one for each rule.
	resolvers []*dnsDenial
	// allowed is the later of the rules that allow the example of kube-dns on UDP and
	// on TCP, zero unless both are.
	allowed model.RuleRef
	// need is a rule for which the pods need names, zero for none, as far as that
	// was asked.
	need model.RuleRef
}

// denies reports whether anything is denied.
func (s *dnsState) denies() bool { return len(s.kube)+len(s.resolvers) > 0 }

// dnsDenial is a rule, or the default deny, by which a resolver cannot be asked.
type dnsDenial struct {
	rule   model.RuleRef // zero for the default deny
	points []model.L4    // of dnsPoints, in order
	addrs  []netip.Addr  // of resolvers, in order; of kube-dns the example
	packet space.Packet  // the first of these
}

// addDenial adds to ds that rule denies p.
func addDenial(ds []*dnsDenial, rule model.RuleRef, p *space.Packet) []*dnsDenial {
	i := slices.IndexFunc(ds, func(d *dnsDenial) bool { return d.rule == rule })
	if i < 0 {
		i = len(ds)
		ds = append(ds, &dnsDenial{rule: rule, packet: *p})
	}
	d := ds[i]
	if !slices.Contains(d.points, p.L4) {
		d.points = append(d.points, p.L4)
	}
	if !slices.Contains(d.addrs, p.Addr) {
		d.addrs = append(d.addrs, p.Addr)
	}
	return ds
}

// look tells what is denied at a subject, and where anything is, what for names
// are needed.
func (d *dnsSense) look(at *subject) *dnsState {
	s := d.judge(at)
	if s.denies() {
		d.findNeed(s)
	}
	return s
}

// judge tells what is denied at a subject.
func (d *dnsSense) judge(at *subject) *dnsState {
	s := &dnsState{at: at}
	list := d.resolver.RuleList(at.policies, model.Egress, compiler.ForAnalysis)
	if !list.Isolated {
		return s
	}
	for _, x := range dnsPoints {
		part := atPoint(list, x)
		d.judgeKubeDNS(s, part, x)
		for _, a := range otherResolvers {
			p := space.Packet{Addr: a, L4: x}
			if r := ruleAt(part, firstMatch(part, &p)); !r.IsZero() && !r.Rule().Action.Allows() && !deniesEverything(r.Rule()) {
				s.resolvers = addDenial(s.resolvers, r, &p)
			}
		}
	}
	return s
}

// judgeKubeDNS tells what becomes of kube-dns at x by the rules for it.
func (d *dnsSense) judgeKubeDNS(s *dnsState, part *model.RuleList, x model.L4) {
	if d.kube == nil {
		return
	}
	p := space.Packet{Addr: d.example, L4: x, In: d.in}
	r := ruleAt(part, firstMatch(part, &p))
	if !r.IsZero() && r.Rule().Action.Allows() { // as it should be
		switch {
		case x == dnsPoints[0]:
			s.allowed = r
		case !s.allowed.IsZero() && model.ComparePolicies(s.allowed.Policy, r.Policy) < 0:
			s.allowed = r
		}
		return
	}
	s.allowed = model.RuleRef{}
	if d.deniesKubeDNS(part) {
		s.kube = addDenial(s.kube, r, &p)
	}
}

// ruleAt returns the rule at index i of list, zero for space.NoRule.
func ruleAt(list *model.RuleList, i int) model.RuleRef {
	if i < 0 {
		return model.RuleRef{}
	}
	return list.Rules[i].Ref
}

// deniesEverything reports whether r is the default deny written out, as the
// guide recommends to end a policy.
func deniesEverything(r *model.Rule) bool {
	return !r.Action.Allows() && model.PortsL4(r.Ports).IsEvery() && hasAllIPv4(r)
}

// atPoint returns the rules of list that match at x, as if they did everywhere.
func atPoint(list *model.RuleList, x model.L4) *model.RuleList {
	out := &model.RuleList{Direction: list.Direction, Isolated: list.Isolated}
	for i := range list.Rules {
		if r := list.Rules[i]; r.L4.Contains(x) {
			r.L4 = model.EveryL4
			out.Rules = append(out.Rules, r)
		}
	}
	return out
}

// deniesKubeDNS reports whether the rules of part, which are those for one point,
// allow none of the addresses that kube-dns may have.
func (d *dnsSense) deniesKubeDNS(part *model.RuleList) bool {
	asked := &model.RuleList{Direction: part.Direction, Isolated: part.Isolated}
	allows := false
	for i := range part.Rules {
		r := part.Rules[i]
		if r.Peers = d.kubeDNSPart(&r); len(r.Peers) == 0 {
			continue
		}
		r.Ref = model.RuleRef{} // of its ports one point is left
		asked.Rules = append(asked.Rules, r)
		allows = allows || r.Action.Allows()
	}
	if !allows {
		return true
	}
	found := space.Reached(asked, d.a.Families...)
	for i := range asked.Rules {
		if asked.Rules[i].Action.Allows() && found.Rules[i].Live {
			return false
		}
	}
	return true
}

// kubeDNSPart returns the peers of r with the addresses that kube-dns may have. A
// workload of its namespace that is not known might be its pods: it is taken to be
// where a rule allows it, and not to be where a rule denies it.
func (d *dnsSense) kubeDNSPart(r *model.ListRule) (peers []model.ListPeer) {
	for i := range r.Peers {
		p := r.Peers[i]
		switch {
		case p.Atom == "":
			var part []netip.Prefix
			for k := range d.kube {
				part = append(part, partWithin(p.Prefixes, d.kube[k:k+1])...)
			}
			p.Prefixes = part
		case slices.Contains(kubeDNSAtoms, p.Atom), r.Action.Allows() && strings.HasPrefix(string(p.Atom), "workload "+dnsNamespace+"?"):
			p.Atom, p.Prefixes = "", d.kube
		default:
			continue
		}
		if len(p.Prefixes) > 0 {
			peers = append(peers, p)
		}
	}
	return peers
}

// findNeed sets s.need: the first rule that allows a name or a public address,
// where it is the first match of some such packet, and of some packet also where
// the known addresses of names are all that they have.
func (d *dnsSense) findNeed(s *dnsState) {
	// Every fqdn is an unknown set here, also one whose addresses are known; nothing
	// else that is not known has any address.
	list := d.resolver.RuleList(s.at.policies, model.Egress, compiler.ForArtifact)
	last := len(list.Rules)
	for last > 0 && !mayNeedNames(&list.Rules[last-1]) {
		last--
	}
	if last == 0 || !list.Isolated {
		return
	}
	aside := model.ListRule{Action: model.Deny, L4: model.EveryL4, Peers: []model.ListPeer{{Index: -1, Prefixes: notPublic}}}
	list.Rules = slices.Insert(list.Rules[:last], 0, aside)
	found := space.Reached(list, d.a.Families...)
	reached := sync.OnceValue(func() *space.Analysis {
		known := d.resolver.RuleList(s.at.policies, model.Egress, compiler.ForAnalysis)
		known.Rules = known.Rules[:last]
		return space.Reached(known, d.a.Families...)
	})
	for i := range list.Rules {
		r := &list.Rules[i]
		if !found.Rules[i].Live || !r.Action.Allows() || hasKnownName(r) && !reached().Rules[i-1].Live {
			continue
		}
		s.need = r.Ref
		return
	}
}

// hasKnownName reports whether r, of a list for artifacts, has a name with addresses.
func hasKnownName(r *model.ListRule) bool {
	return slices.ContainsFunc(r.Peers, func(p model.ListPeer) bool { return p.Atom != "" && len(p.Prefixes) > 0 })
}

// mayNeedNames reports whether r allows a name or a public address.
func mayNeedNames(r *model.ListRule) bool {
	return r.Action.Allows() && slices.ContainsFunc(r.Peers, func(p model.ListPeer) bool {
		return p.Atom != "" || slices.ContainsFunc(p.Prefixes, isPublic)
	})
}

// isPublic reports whether some address of p is public.
func isPublic(p netip.Prefix) bool {
	return !slices.ContainsFunc(notPublic, func(n netip.Prefix) bool { return n.Bits() <= p.Bits() && n.Contains(p.Addr()) })
}
