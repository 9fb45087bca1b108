package verify

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// The universe of the random programs: few enough packets to try each.
var (
	tinyPeers = madeAddrs("0.0.0.0", "10.0.0.0", "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "255.255.255.255", "::", "fd00::", "fd00::1", "fd00::2", "ffff::")
	tinyL4    = []model.L4{0, 1, 2, model.L4UDP - 1, model.L4UDP, model.L4SCTP - 1, model.L4ICMP - 1, model.L4ICMP, model.L4Other}
	tinyNames = []string{"x.example", "y.example"}
	tinyPods  = madeAddrs("10.0.0.1", "10.0.0.2", "10.0.0.3", "fd00::1", "fd00::2")
)

// tinyProgram draws a program of up to three pods in two classes.
func tinyProgram(rng *rand.Rand) *compiler.Program {
	p := &compiler.Program{Target: compiler.Target{Node: "n"}}
	for c := range 2 {
		policy := &model.Policy{Kind: model.GlobalTrafficPolicy, Name: fmt.Sprint("p", c)}
		class := compiler.ProgramClass{Policies: []*model.Policy{policy}}
		class.Egress, class.Ingress = tinyList(rng, policy, model.Egress), tinyList(rng, policy, model.Ingress)
		p.Classes = append(p.Classes, class)
	}
	free := slices.Clone(tinyPods)
	for i := range 1 + rng.IntN(3) {
		pod := compiler.ProgramPod{Ref: fmt.Sprint("default/", i), Class: rng.IntN(2)}
		for range 1 + rng.IntN(2) {
			if len(free) > 0 {
				j := rng.IntN(len(free))
				pod.Addrs, free = append(pod.Addrs, free[j]), slices.Delete(free, j, j+1)
			}
		}
		if len(pod.Addrs) > 0 {
			p.Pods = append(p.Pods, pod)
		}
	}
	for _, n := range tinyNames {
		name := compiler.ProgramName{Name: n}
		for _, a := range tinyPeers {
			if rng.IntN(6) == 0 {
				name.Addrs = append(name.Addrs, a)
			}
		}
		p.Names = append(p.Names, name)
	}
	for _, a := range tinyPeers {
		if rng.IntN(6) == 0 {
			p.NodeAddrs = append(p.NodeAddrs, a)
		}
	}
	slices.SortFunc(p.NodeAddrs, netip.Addr.Compare)
	if rng.IntN(2) == 0 {
		p.UnknownDeny = &compiler.UnknownDeny{PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/30"), netip.MustParsePrefix("fd00::/126")}}
		for _, a := range tinyPods {
			if rng.IntN(4) == 0 {
				p.UnknownDeny.Known = append(p.UnknownDeny.Known, a)
			}
		}
	}
	return p
}

func tinyList(rng *rand.Rand, p *model.Policy, d model.Direction) *model.RuleList {
	if rng.IntN(8) == 0 {
		return &model.RuleList{Direction: d}
	}
	var rules []model.ListRule
	for range rng.IntN(5) {
		peers := []string{"0.0.0.0/0", "::/0", "10.0.0.0/30", "10.0.0.2/31", "10.0.0.1/32", "fd00::/127", "fd00::2/128", "x.example.", "y.example."}
		if d == model.Ingress {
			peers = peers[:7]
		}
		r := madeRule(model.Action(rng.IntN(3)), model.EveryL4, peers[rng.IntN(len(peers))])
		if rng.IntN(2) == 0 {
			x, y := tinyL4[rng.IntN(len(tinyL4))], tinyL4[rng.IntN(len(tinyL4))]
			r.L4 = model.NewL4Set(model.L4Range{First: min(x, y), Last: max(x, y)})
		}
		rules = append(rules, r)
	}
	return madeList(p, d, rules...)
}

// mutated returns p with one thing changed, now and then with nothing.
func mutated(rng *rand.Rand, p *compiler.Program) *compiler.Program {
	q := *p
	q.Classes, q.Pods, q.Names = slices.Clone(p.Classes), slices.Clone(p.Pods), slices.Clone(p.Names)
	other := tinyProgram(rng)
	switch rng.IntN(9) {
	case 0:
		i := rng.IntN(len(q.Pods))
		q.Pods[i].Class = 1 - q.Pods[i].Class
	case 1:
		q.Pods = slices.Delete(q.Pods, 0, 1)
	case 2:
		q.Pods[0].Ref = "default/other"
	case 3:
		q.Names = other.Names
	case 4:
		q.NodeAddrs = other.NodeAddrs
	case 5:
		q.UnknownDeny = other.UnknownDeny
	case 6, 7:
		list := q.Classes[0].Egress
		if rng.IntN(2) == 0 {
			list = q.Classes[0].Ingress
		}
		if len(list.Rules) == 0 {
			break
		}
		changed := *list
		changed.Rules = slices.Clone(list.Rules)
		i := rng.IntN(len(list.Rules))
		switch rng.IntN(4) {
		case 0:
			changed.Rules[i].Action = model.Action(rng.IntN(3))
		case 1:
			changed.Rules = slices.Delete(changed.Rules, i, i+1)
		case 2:
			j := rng.IntN(len(list.Rules))
			changed.Rules[i], changed.Rules[j] = changed.Rules[j], changed.Rules[i]
		case 3:
			changed.Rules[i].L4 = model.NewL4Set(model.L4Range{First: 0, Last: tinyL4[rng.IntN(len(tinyL4))]})
		}
		if list == q.Classes[0].Egress {
			q.Classes[0].Egress = &changed
		} else {
			q.Classes[0].Ingress = &changed
		}
	}
	return &q
}

// plainJudge is what p says of a packet, by walking its rules: slow and obvious.
// in are the names that the peer has, nil for those that p knows.
func plainJudge(p *compiler.Program, d model.Direction, local, peer netip.Addr, x model.L4, in []string) string {
	for _, pod := range p.Pods {
		if !slices.Contains(pod.Addrs, local) {
			continue
		}
		if d == model.Ingress && slices.Contains(p.NodeAddrs, peer) && in == nil {
			return "allow node-local"
		}
		class := &p.Classes[pod.Class]
		list := class.List(d)
		if !list.Isolated {
			return "allow not-selected"
		}
		for _, r := range list.Rules {
			if r.L4.Contains(x) && plainMatch(p, &r, peer, in) {
				return fmt.Sprint(r.Action, " ", r.Ref)
			}
		}
		return "deny default " + d.String() + " " + class.Policies[0].Ref()
	}
	if u := p.UnknownDeny; u != nil && !slices.Contains(u.Known, local) && !slices.Contains(p.NodeAddrs, local) &&
		slices.ContainsFunc(u.PodCIDRs, func(c netip.Prefix) bool { return c.Contains(local) }) {
		return "deny unknown-pod"
	}
	return "allow not-governed"
}

func plainMatch(p *compiler.Program, r *model.ListRule, peer netip.Addr, in []string) bool {
	for _, l := range r.Peers {
		for _, n := range p.Names {
			has := slices.Contains(in, n.Name) || in == nil && slices.Contains(n.Addrs, peer)
			if l.Atom == model.Atom("fqdn "+n.Name) && has {
				return true
			}
		}
		if inAny(l.Prefixes, peer) {
			return true
		}
	}
	return false
}

// plainDiffers reports whether two programs decide some packet otherwise.
func plainDiffers(p, q *compiler.Program) string {
	for _, local := range append(slices.Clone(tinyPods), netip.MustParseAddr("10.0.0.0"), netip.MustParseAddr("fd00::"), netip.MustParseAddr("fd00::3")) {
		ref, other := ownerOf(p, local), ownerOf(q, local)
		if ref != "" && other != "" && ref != other {
			return fmt.Sprintf("%s is %s's and %s's", local, ref, other)
		}
		for _, d := range model.Directions {
			for _, peer := range tinyPeers {
				if peer.Is4() != local.Is4() {
					continue
				}
				for _, x := range tinyL4 {
					for bits := -1; bits < 4; bits++ {
						var in []string
						if bits >= 0 {
							in = []string{}
							for i, n := range tinyNames {
								if bits>>i&1 != 0 {
									in = append(in, n)
								}
							}
						}
						if a, b := plainJudge(p, d, local, peer, x, in), plainJudge(q, d, local, peer, x, in); a != b {
							return fmt.Sprintf("%s %s %s %s %q: %s, %s", d, local, peer, x, in, a, b)
						}
					}
				}
			}
		}
	}
	return ""
}

func ownerOf(p *compiler.Program, a netip.Addr) string {
	for _, pod := range p.Pods {
		if slices.Contains(pod.Addrs, a) {
			return pod.Ref
		}
	}
	return ""
}

// TestArtifactRandom draws programs and artifacts of programs that differ in one
// thing, or in nothing, and compares the answer with every packet of the universe.
func TestArtifactRandom(t *testing.T) {
	kinds := map[string]int{}
	for seed := range uint64(4000 * soakFactor(t)) {
		rng := rand.New(rand.NewPCG(seed, 0x6571))
		p := tinyProgram(rng)
		q := mutated(rng, p)
		e, err := Artifact(context.Background(), p, readingOf(t, q), EquivalenceOptions{Most: 1000})
		if err != nil {
			t.Fatal(err)
		}
		if differs := plainDiffers(p, q); e.Equivalent != (differs == "") {
			t.Fatalf("seed %d: equivalent %v, but %q: %q", seed, e.Equivalent, differs, diffLines(e))
		}
		kinds["equivalent"] += map[bool]int{true: 1}[e.Equivalent]
		for i := range e.Differences {
			kinds[e.Differences[i].Kind]++
			if err := checkDisagreement(p, q, &e.Differences[i]); err != nil {
				t.Fatalf("seed %d: %v in %s", seed, err, diffLines(e)[i])
			}
		}
	}
	for _, k := range []string{"equivalent", DisagreeMissing, DisagreeAllowed, DisagreeUnknown, DisagreeNode, DisagreeName, DisagreeDenied, DisagreePod, DisagreeReject, DisagreeRule} {
		if kinds[k] < 50 {
			t.Errorf("%d of kind %s, want more", kinds[k], k)
		}
	}
}

// checkDisagreement judges the witness on both sides.
func checkDisagreement(p, q *compiler.Program, d *Disagreement) error {
	w := d.Witness
	proto, _ := model.ParseProto(w.Proto, model.FamilyOf(w.Peer))
	x, dir := model.L4Of(proto, w.Port), model.Egress
	if w.Direction == "ingress" {
		dir = model.Ingress
	}
	in := w.Names
	switch {
	case d.Kind == DisagreeName || d.Kind == DisagreeNode:
		in = nil
	case in == nil:
		in = []string{}
	}
	want, have := plainJudge(p, dir, w.Local, w.Peer, x, in), plainJudge(q, dir, w.Local, w.Peer, x, in)
	if d.Kind == DisagreePod {
		have = "deny spoofed"
	}
	for _, s := range []struct {
		j    *Judgement
		want string
	}{{&d.Want, want}, {&d.Have, have}} {
		if got := plainName(s.j, dir); got != s.want {
			return fmt.Errorf("%s, and it is %s", got, s.want)
		}
	}
	if want == have {
		return fmt.Errorf("both are %s", want)
	}
	if d.Peers != nil && (!inAny(d.Peers, w.Peer) || !portSet(d.Ports).Contains(x)) {
		return fmt.Errorf("the witness is not in its block")
	}
	return nil
}

func plainName(j *Judgement, d model.Direction) string {
	verdict := j.Verdict
	if j.Reject {
		verdict = "reject"
	}
	switch j.Reason {
	case ReasonRule:
		return verdict + " " + j.Rule
	case ReasonDefaultDeny:
		return verdict + " default " + d.String() + " " + j.Policies[0]
	}
	return verdict + " " + j.Reason
}

// A decider that is asked of many tables is compared as one.
func BenchmarkArtifact(b *testing.B) {
	for _, n := range []int{1000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			policy := &model.Policy{Kind: model.GlobalTrafficPolicy, Name: "p"}
			var rules []model.ListRule
			for i := range n {
				a := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
				rules = append(rules, model.ListRule{Action: model.Action(i % 3), L4: https, Peers: []model.ListPeer{{Prefixes: []netip.Prefix{netip.PrefixFrom(a, 32)}}}})
			}
			p := &compiler.Program{
				Pods:    []compiler.ProgramPod{{Ref: "default/a", Addrs: tinyPods[:1]}},
				Classes: []compiler.ProgramClass{{Policies: []*model.Policy{policy}, Egress: madeList(policy, model.Egress, rules...), Ingress: &model.RuleList{}}},
			}
			r := readingOf(b, p)
			b.ReportAllocs()
			for b.Loop() {
				if e, err := Artifact(context.Background(), p, r, EquivalenceOptions{}); err != nil || !e.Equivalent {
					b.Fatal(err)
				}
			}
		})
	}
}
