package verify

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/internal/synth"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// practiceCodes are the codes of good practice that have a packet.
var practiceCodes = []model.Code{model.FQDNOverlap, model.FQDNFirst, model.BaselineOverridden}

// trial tries every pod and packet of a small cluster, to find by definition what
// the checks of practiceCodes find by their algebra.
type trial struct {
	policies []*model.Policy
	families []model.Family
	options  compiler.Options
	addrs    []netip.Addr
	l4       []model.L4
	all      map[*model.Rule][2]bool // by family: the rule's cidrs hold every address
}

func newTrial(in *compiler.Input, o compiler.Options) *trial {
	tr := &trial{policies: in.Policies, families: in.Families(o), options: o, all: map[*model.Rule][2]bool{}}
	ends := []netip.Prefix{model.IPv4.All(), model.IPv6.All()}
	ends = append(ends, sensitive...)
	bounds := []model.L4Range{model.AllL4}
	for _, p := range in.Policies {
		for _, d := range model.Directions {
			for _, r := range p.Rules(d) {
				for i := range r.Peers {
					if r.Peers[i].Kind == model.PeerCIDR {
						ends = append(ends, r.Peers[i].CIDR)
					}
				}
				bounds = append(bounds, model.PortsL4(r.Ports)...)
			}
		}
	}
	add := func(a netip.Addr) {
		if a.IsValid() && slices.Contains(tr.families, model.FamilyOf(a)) {
			tr.addrs = append(tr.addrs, a)
		}
	}
	for _, addrs := range o.Resolve {
		for _, a := range addrs {
			ends = append(ends, netip.PrefixFrom(a, a.BitLen()))
		}
	}
	for _, p := range in.Inventory.Pods {
		for _, a := range p.IPs {
			ends = append(ends, netip.PrefixFrom(a, a.BitLen()))
		}
	}
	for _, e := range in.Inventory.Endpoints {
		for _, s := range e.Subsets {
			for _, a := range s.Addrs {
				ends = append(ends, netip.PrefixFrom(a, a.BitLen()))
			}
		}
	}
	for _, s := range in.Inventory.Services {
		for _, a := range s.ClusterIPs {
			ends = append(ends, netip.PrefixFrom(a, a.BitLen()))
		}
	}
	for _, p := range ends {
		add(p.Addr())
		last := p.Addr().AsSlice()
		for i := p.Bits(); i < len(last)*8; i++ {
			last[i/8] |= 0x80 >> (i % 8)
		}
		a, _ := netip.AddrFromSlice(last)
		add(a)
		add(a.Next())
	}
	slices.SortFunc(tr.addrs, netip.Addr.Compare)
	tr.addrs = slices.Compact(tr.addrs)
	for _, r := range bounds {
		tr.l4 = append(tr.l4, r.First)
		if r.Last < model.L4Last {
			tr.l4 = append(tr.l4, r.Last+1)
		}
	}
	slices.Sort(tr.l4)
	tr.l4 = slices.Compact(tr.l4)
	return tr
}

// possible returns the policies of every pod that could exist, each list once.
func (tr *trial) possible() (out [][]*model.Policy) {
	index := compiler.NewPolicyIndex(tr.policies)
	values := []string{"", "x", "y", "other"}
	seen := map[string]bool{}
	for _, ns := range []string{"a", "b", "none"} {
		for n := range 64 {
			m := map[string]string{}
			for i, key := range []string{"app", "env", "tier"} {
				if v := values[n>>(2*i)&3]; v != "" {
					m[key] = v
				}
			}
			ps := index.Select(ns, model.NewLabels(m))
			if key := fmt.Sprintf("%p", ps); len(ps) > 0 && !seen[key] {
				seen[key] = true
				out = append(out, ps)
			}
		}
	}
	return out
}

// matched is how a rule matches a packet.
type matched struct {
	ref   model.RuleRef
	known bool  // by a peer that is no name, whose addresses are known
	names []int // peers that are names and have the address
	atom  bool  // by the unresolved peer assumed
}

// walk returns the rules of policies that match a packet, in order. known tells the
// addresses of a peer; assumed, unless "", is an unresolved peer that has the address.
func (tr *trial) walk(policies []*model.Policy, d model.Direction, addr netip.Addr, x model.L4, r *compiler.Resolver, assumed string) (out []matched) {
	for _, ref := range rulesOf(policies, d) {
		rule := ref.Rule()
		if !model.PortsL4(rule.Ports).Contains(x) {
			continue
		}
		m := matched{ref: ref, known: len(rule.Peers) == 0}
		for j := range rule.Peers {
			peer := &rule.Peers[j]
			res := r.Peer(peer, d)
			has := slices.ContainsFunc(res.Prefixes, func(p netip.Prefix) bool { return p.Contains(addr) })
			switch {
			case has && peer.Kind == model.PeerFQDN:
				m.names = append(m.names, j)
			case has:
				m.known = true
			case res.Unknown() && peer.String() == assumed:
				m.atom = true
			}
		}
		if m.known || m.atom || len(m.names) > 0 {
			out = append(out, m)
		}
	}
	return out
}

// each calls f for every packet.
func (tr *trial) each(f func(addr netip.Addr, x model.L4)) {
	for _, a := range tr.addrs {
		for _, x := range tr.l4 {
			f(a, x)
		}
	}
}

// namesIn returns the names of the egress rules of policies, as atoms.
func namesIn(policies []*model.Policy) (out []string) {
	for _, ref := range rulesOf(policies, model.Egress) {
		for j := range ref.Rule().Peers {
			if p := &ref.Rule().Peers[j]; p.Kind == model.PeerFQDN && !slices.Contains(out, p.String()) {
				out = append(out, p.String())
			}
		}
	}
	return out
}

// overlaps returns the names of TP602.
func (tr *trial) overlaps() map[string]bool {
	r := compiler.NewResolver(&model.Inventory{}, tr.options)
	found := map[string]bool{}
	for _, ps := range tr.possible() {
		if len(namesIn(ps)) < 2 {
			continue
		}
		tr.each(func(addr netip.Addr, x model.L4) {
			ms := tr.walk(ps, model.Egress, addr, x, r, "")
			if len(ms) == 0 || ms[0].known {
				return
			}
			allows := ms[0].ref.Rule().Action.Allows()
			before := map[string]bool{}
			for i, m := range ms {
				rule := m.ref.Rule()
				for _, j := range m.names {
					if rule.Action.Allows() != allows && !before[rule.Peers[j].FQDN] {
						found[m.ref.Peer(j)] = true
					}
				}
				if i > 0 && m.known && rule.Action.Allows() == allows {
					return
				}
				for _, j := range m.names {
					before[rule.Peers[j].FQDN] = true
				}
			}
		})
	}
	return found
}

// firsts returns the rules of TP604, each with its first name.
func (tr *trial) firsts() map[string]bool {
	r := compiler.NewResolver(&model.Inventory{}, compiler.Options{}) // no name is known
	peers := map[string]int{}
	refs := map[string]model.RuleRef{}
	for _, ps := range tr.possible() {
		names := namesIn(ps)
		if len(names) == 0 {
			continue
		}
		tr.each(func(addr netip.Addr, x model.L4) {
			if !slices.ContainsFunc(sensitive, func(p netip.Prefix) bool { return p.Contains(addr) }) {
				return
			}
			without := tr.walk(ps, model.Egress, addr, x, r, "")
			if len(without) == 0 {
				return
			}
			d := without[0].ref.Rule()
			if d.Action.Allows() || tr.covers(d) != [2]bool{} {
				return
			}
			for _, name := range names {
				first := tr.walk(ps, model.Egress, addr, x, r, name)[0]
				if first.known || !first.ref.Rule().Action.Allows() {
					continue
				}
				j := slices.IndexFunc(first.ref.Rule().Peers, func(p model.Peer) bool { return p.String() == name })
				key := first.ref.String()
				if old, seen := peers[key]; !seen || j < old {
					peers[key] = j
				}
				refs[key] = first.ref
			}
		})
	}
	found := map[string]bool{}
	for key, j := range peers {
		found[refs[key].Peer(j)] = true
	}
	return found
}

// covers reports, by family, whether the cidrs of r hold every address that matters.
func (tr *trial) covers(r *model.Rule) [2]bool {
	if c, ok := tr.all[r]; ok {
		return c
	}
	both := newTrial(&compiler.Input{Policies: tr.policies, Inventory: &model.Inventory{}}, compiler.Options{Families: compiler.FamiliesDual})
	c := [2]bool{true, true}
	for _, a := range both.addrs {
		if len(r.Peers) > 0 && !slices.ContainsFunc(r.Peers, func(p model.Peer) bool { return p.Kind == model.PeerCIDR && p.CIDR.Contains(a) }) {
			c[model.FamilyOf(a)] = false
		}
	}
	tr.all[r] = c
	return c
}

// overridden returns the denials of TP606 at pods with these policies.
func (tr *trial) overridden(pods [][]*model.Policy, r *compiler.Resolver) map[string]bool {
	found := map[string]bool{}
	for _, ps := range pods {
		globals := slices.DeleteFunc(slices.Clone(ps), func(p *model.Policy) bool { return p.Kind == model.TrafficPolicy })
		for _, d := range model.Directions {
			if !slices.ContainsFunc(rulesOf(globals, d), func(r model.RuleRef) bool { return !r.Rule().Action.Allows() }) {
				continue
			}
			assume := []string{""}
			for _, ref := range rulesOf(ps, d) {
				for j := range ref.Rule().Peers {
					if p := &ref.Rule().Peers[j]; r.Peer(p, d).Unknown() && !slices.Contains(assume, p.String()) {
						assume = append(assume, p.String())
					}
				}
			}
			tr.each(func(addr netip.Addr, x model.L4) {
				for _, atom := range assume {
					all := tr.walk(ps, d, addr, x, r, atom)
					if len(all) == 0 || all[0].ref.Policy.Kind != model.TrafficPolicy || !all[0].ref.Rule().Action.Allows() {
						continue
					}
					own := tr.walk(globals, d, addr, x, r, atom)
					if len(own) == 0 {
						continue
					}
					rule := own[0].ref.Rule()
					// Any address would do: the rule is of the name, or of every address.
					fits := func(m *matched) bool { return m.atom || tr.covers(m.ref.Rule())[model.FamilyOf(addr)] }
					if !rule.Action.Allows() && (atom == "" || fits(&own[0]) && fits(&all[0])) {
						found[own[0].ref.String()] = true
					}
				}
			})
		}
	}
	return found
}

// practiceFindings returns what the findings are about, by code and scope.
func practiceFindings(fs []model.Finding) map[string]map[string]bool {
	out := map[string]map[string]bool{}
	for i := range fs {
		f := &fs[i]
		key, about := string(f.Code)+" "+string(f.Scope), f.Rule
		if f.Code != model.BaselineOverridden {
			about = subjectOf(&model.Finding{Code: model.UnreachablePeer, Rule: f.Rule, Field: f.Field})
		}
		if out[key] == nil {
			out[key] = map[string]bool{}
		}
		out[key][about] = true
	}
	return out
}

// named returns the cluster of seed; in two of four, names stand for most Services
// of egress, and some have addresses in common; in one, a Service stands for all that
// a TrafficPolicy allows, before all GlobalTrafficPolicies.
func named(seed uint64) *synth.Cluster {
	c := synth.Dense(seed)
	switch seed % 4 {
	case 0:
		return c
	case 1:
		for _, p := range c.Policies {
			if p.Priority = 1000; p.Kind == model.GlobalTrafficPolicy {
				continue
			}
			p.Priority = 100
			for _, d := range model.Directions {
				for i, r := range p.Rules(d) {
					if r.Action.Allows() {
						p.Rules(d)[i].Peers = []model.Peer{{Kind: model.PeerService, Service: model.ServicePeer{Namespace: "a", Name: "s0"}}}
					}
				}
			}
		}
		slices.SortFunc(c.Policies, model.ComparePolicies)
		return c
	}
	c.Resolve["x.example"] = append(c.Resolve["x.example"], netip.MustParseAddr("10.0.0.0"), netip.MustParseAddr("128.0.0.0"))
	c.Resolve["y.example"] = []netip.Addr{netip.MustParseAddr("10.0.0.0"), netip.MustParseAddr("255.255.255.255")}
	n := 0
	for _, r := range rulesOf(c.Policies, model.Egress) {
		peers := r.Rule().Peers
		for j := range peers {
			if n++; peers[j].Kind == model.PeerService || n%8 == 0 {
				peers[j] = model.Peer{Kind: model.PeerFQDN, FQDN: []string{"x.example", "y.example", "z.example"}[n%3]}
			}
		}
	}
	return c
}

// TestPracticeIsTrial compares the checks with trying everything.
func TestPracticeIsTrial(t *testing.T) {
	found := map[string]int{}
	disagree := func(c *synth.Cluster) string {
		o := LintOptions{Only: practiceCodes}
		o.Resolve, o.IsolateByDirection = c.Resolve, c.Seed%3 == 0
		in := &compiler.Input{Policies: c.Policies, Inventory: c.Inventory, InventoryGiven: true}
		got := practiceFindings(lintInput(t, in, o).Findings)
		tr := newTrial(in, o.Options)
		want := map[string]map[string]bool{}
		add := func(key string, found map[string]bool) {
			if len(found) > 0 {
				want[key] = found
			}
		}
		add("TP602 always", tr.overlaps())
		add("TP604 always", tr.firsts())
		always := tr.overridden(tr.possible(), compiler.NewResolver(&model.Inventory{}, o.Options))
		add("TP606 always", always)
		here, index := tr.possible(), compiler.NewPolicyIndex(c.Policies)
		if len(c.Inventory.Pods) > 0 {
			here = nil
			for _, p := range c.Inventory.Pods {
				if ps := index.Governing(p, o.Options); len(ps) > 0 {
					here = append(here, ps)
				}
			}
		}
		further := tr.overridden(here, compiler.NewResolver(c.Inventory, o.Options))
		for rule := range always {
			delete(further, rule)
		}
		add("TP606 inventory", further)
		for key := range got {
			found[key] += len(got[key])
		}
		return cmp.Diff(want, got)
	}
	for seed := range uint64(soak(t, 150)) {
		c := named(seed)
		if disagree(c) == "" {
			continue
		}
		small := synth.Shrink(c, func(c *synth.Cluster) bool { return disagree(c) != "" })
		t.Fatalf("seed %d (-trial +lint):\n%s%s---\n%s--resolve %v", seed, disagree(small), small.PolicyYAML(), small.InventoryYAML(), small.Resolve)
	}
	for _, key := range []string{"TP602 always", "TP604 always", "TP606 always", "TP606 inventory"} {
		if found[key] == 0 {
			t.Errorf("no finding %s: nothing was compared", key)
		}
	}
}
