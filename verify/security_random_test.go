package verify

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/model"
	"github.com/trafficpolicy/trafficpolicy/verify/oracle"
)

// securityCodes are those that TestSecurityIsPlainReading compares.
var securityCodes = []model.Code{model.NoDNS, model.ClosedDirection, model.MetadataReachable, model.PrivateReachable}

// What random policies are made of. No two denials together cover what one does
// not: TP301 looks at one denial at a time.
var (
	drawnAllows = []string{"0.0.0.0/0", "0.0.0.0/0", "any", "10.0.0.0/8", "100.64.0.0/10", "100.100.0.0/16", "169.254.0.0/16", "8.8.8.0/24",
		"fqdn:x.example", "fqdn:y.example", "service:a/db", "service:kube-system/kube-dns", "service:kube-system/*", "100.100.2.136/32,100.100.2.138/32"}
	drawnDenies = []string{"0.0.0.0/0", "100.64.0.0/10", "169.254.0.0/16", "100.100.100.200/32", "169.254.169.254/32", "100.100.2.136/32",
		"10.0.0.0/9", "172.16.0.0/12,192.168.0.0/16", "10.0.0.0/8,172.16.0.0/12,192.168.0.0/16", "8.8.8.0/25", "fqdn:x.example", "service:kube-system/kube-dns"}
	drawnPorts     = []string{"", "", "", "tcp", "udp/53", "tcp/53,udp/53", "tcp/443", "icmp"}
	drawnSelectors = []string{"", "app=x", "app=x", "env=y", "app=x env=y", "env:notin(y)", "app:exists"}
)

func drawSecurityPolicies(rng *rand.Rand) string {
	one := func(of []string) string { return of[rng.IntN(len(of))] }
	var b strings.Builder
	for i := range 1 + rng.IntN(4) {
		kind := "tp a/p"
		if rng.IntN(4) == 0 {
			kind = "gtp p"
		}
		fmt.Fprintf(&b, "%s%d %d %s\n", kind, i, 1+rng.IntN(3), one(drawnSelectors))
		if rng.IntN(3) == 0 {
			b.WriteString("  ingress\n")
		}
		for range rng.IntN(5) {
			if rng.IntN(5) < 3 {
				fmt.Fprintf(&b, "  egress allow %s %s\n", one(drawnAllows), one(drawnPorts))
			} else {
				fmt.Fprintf(&b, "  egress deny %s %s\n", one(drawnDenies), one(drawnPorts))
			}
		}
	}
	return b.String()
}

// plainReading says what lint should, by asking about every pod and packet there
// is to tell apart.
type plainReading struct {
	in       oracle.Input
	policies map[string]*model.Policy
	rules    map[string]*model.Rule
	want     map[string]bool // findings of a policy or rule
	// unresolved are pods, by their policies, that need names and have no kube-dns.
	unresolved [][]string
}

// tellingPoints are one of each stretch that drawn ports tell apart.
var tellingPoints = []model.L4{model.L4Of(model.TCP, 0), model.L4Of(model.TCP, 53), model.L4Of(model.TCP, 80), model.L4Of(model.TCP, 443),
	model.L4Of(model.UDP, 0), model.L4Of(model.UDP, 53), model.L4Of(model.SCTP, 0), model.L4Of(model.ICMP, 0), model.L4Of(model.Other, 0)}

// addresses4 are the ends, and the neighbours, of every prefix drawn or asked about.
var addresses4 = func() []netip.Addr {
	set := map[netip.Addr]bool{netip.MustParseAddr("172.21.0.10"): true, netip.MustParseAddr("1.0.0.0"): true}
	list := slices.Concat(drawnAllows, drawnDenies, []string{"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.100.2.138/32", "169.254.20.10/32"})
	for p := range strings.SplitSeq(strings.Join(list, ","), ",") {
		prefix, err := netip.ParsePrefix(p)
		if err != nil {
			continue
		}
		set[prefix.Addr()] = true
		last := prefix.Addr().As4()
		for bit := prefix.Bits(); bit < 32; bit++ {
			last[bit/8] |= 0x80 >> (bit % 8)
		}
		for _, a := range []netip.Addr{netip.AddrFrom4(last), netip.AddrFrom4(last).Next(), prefix.Addr().Prev()} {
			if a.IsValid() {
				set[a] = true
			}
		}
	}
	return slices.SortedFunc(maps.Keys(set), netip.Addr.Compare)
}()

func inPrefix(a netip.Addr, prefixes ...string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool { return netip.MustParsePrefix(p).Contains(a) })
}

func isPublicAddr(a netip.Addr) bool {
	return !inPrefix(a, "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16", "224.0.0.0/3")
}

// rule returns the egress rule that decides, nil for none.
func (r *plainReading) rule(pod oracle.Pod, a netip.Addr, x model.L4, in ...model.Atom) (string, *model.Rule) {
	d := oracle.Decide(r.in, pod, oracle.Packet{Direction: model.Egress, Addr: a, L4: x, In: in})
	return d.Rule, r.rules[d.Rule]
}

func (r *plainReading) read() {
	for _, ns := range []string{"a", "b"} {
		for _, app := range []string{"", "x", "z"} {
			for _, env := range []string{"", "y", "z"} {
				set := map[string]string{"app": app, "env": env}
				maps.DeleteFunc(set, func(_, v string) bool { return v == "" })
				r.pod(oracle.Pod{Namespace: ns, Labels: model.NewLabels(set)})
			}
		}
	}
}

func (r *plainReading) pod(pod oracle.Pod) {
	var selecting []string
	egress, ingress := false, false
	for ref, p := range r.policies {
		if (p.Kind == model.GlobalTrafficPolicy || p.Namespace == pod.Namespace) && compiler.NewSelector(&p.Selector).Matches(pod.Labels) {
			selecting = append(selecting, ref)
			egress, ingress = egress || p.Egress != nil, ingress || p.Ingress != nil
		}
	}
	if len(selecting) == 0 {
		return
	}
	for _, ref := range selecting {
		if !egress {
			r.want["TP302 "+ref+" egress"] = true
		}
		if !ingress {
			r.want["TP302 "+ref+" ingress"] = true
		}
	}
	r.openings(pod)
	if r.needsNames(pod) {
		r.resolvers(pod)
		if r.noKubeDNS(pod, tellingPoints[1]) || r.noKubeDNS(pod, tellingPoints[5]) {
			r.unresolved = append(r.unresolved, selecting)
		}
	}
}

func (r *plainReading) openings(pod oracle.Pod) {
	for _, a := range addresses4 {
		for _, x := range tellingPoints {
			name, rule := r.rule(pod, a, x)
			if rule == nil || !rule.Action.Allows() {
				continue
			}
			if s := a.String(); s == "100.100.100.200" || s == "169.254.169.254" {
				r.want["TP501 "+name+" "+s] = true
			}
			all := len(rule.Peers) == 0 || rule.Peers[0].Kind == model.PeerCIDR && rule.Peers[0].CIDR.Bits() == 0
			for _, p := range []string{"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"} {
				if all && inPrefix(a, p) {
					r.want["TP504 "+name+" "+p] = true
				}
			}
		}
	}
}

func (r *plainReading) needsNames(pod oracle.Pod) bool {
	x, y := model.Atom("fqdn x.example"), model.Atom("fqdn y.example")
	for _, a := range addresses4 {
		for _, l4 := range tellingPoints {
			for _, in := range [][]model.Atom{nil, {x}, {y}} {
				if _, rule := r.rule(pod, a, l4, in...); isPublicAddr(a) && rule != nil && rule.Action.Allows() {
					return true
				}
			}
		}
	}
	return false
}

func (r *plainReading) resolvers(pod oracle.Pod) {
	for _, s := range []string{"100.100.2.136", "100.100.2.138", "169.254.20.10"} {
		for _, x := range []model.L4{tellingPoints[1], tellingPoints[5]} {
			name, rule := r.rule(pod, netip.MustParseAddr(s), x)
			if rule == nil || rule.Action.Allows() {
				continue
			}
			if fallback := len(rule.Ports) == 0 && len(rule.Peers) == 1 && rule.Peers[0].CIDR.Bits() == 0; !fallback {
				r.want["TP301 "+name] = true
			}
		}
	}
}

func (r *plainReading) noKubeDNS(pod oracle.Pod, x model.L4) bool {
	return !slices.ContainsFunc(addresses4, func(a netip.Addr) bool {
		if !inPrefix(a, "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16") {
			return false
		}
		_, rule := r.rule(pod, a, x, "service kube-system/kube-dns", "service kube-system/*")
		return rule != nil && rule.Action.Allows()
	})
}

// said turns findings into what plainReading wants; those of TP301 about kube-dns
// it returns by policy.
func said(fs []model.Finding) (got map[string]bool, kube map[string]bool) {
	got, kube = map[string]bool{}, map[string]bool{}
	for _, f := range fs {
		switch {
		case f.Code == model.NoDNS && f.Rule == "":
			kube[f.Policy] = true
		case f.Code == model.NoDNS:
			got["TP301 "+f.Rule] = true
		case f.Code == model.ClosedDirection && f.Witness.Dst == "192.0.2.1":
			got["TP302 "+f.Policy+" egress"] = true
		case f.Code == model.ClosedDirection:
			got["TP302 "+f.Policy+" ingress"] = true
		default:
			for _, to := range []string{"100.100.100.200", "169.254.169.254", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"} {
				if strings.Contains(f.Message, to) {
					got[string(f.Code)+" "+f.Rule+" "+to] = true
				}
			}
		}
	}
	return got, kube
}

// TestSecurityIsPlainReading compares lint without an inventory with asking about
// every pod and packet in the plainest way.
func TestSecurityIsPlainReading(t *testing.T) {
	const seed = 1
	rng := rand.New(rand.NewPCG(seed, seed))
	kubeFindings := 0
	for round := range soak(t, 250) {
		text := drawSecurityPolicies(rng)
		ps := slices.SortedFunc(slices.Values(policies(t, text)), model.ComparePolicies)
		r := &plainReading{in: oracle.Input{Policies: ps}, policies: map[string]*model.Policy{}, rules: map[string]*model.Rule{}, want: map[string]bool{}}
		for _, p := range ps {
			r.policies[p.Ref()] = p
			for i := range p.Rules(model.Egress) {
				ref := model.RuleRef{Policy: p, Direction: model.Egress, Index: i}
				r.rules[ref.String()] = ref.Rule()
			}
		}
		r.read()
		in := &compiler.Input{Policies: ps, Inventory: &model.Inventory{}}
		report, err := Lint(t.Context(), in, LintOptions{Only: securityCodes})
		if err != nil {
			t.Fatal(err)
		}
		got, kube := said(report.Findings)
		if diff := cmp.Diff(r.want, got); diff != "" {
			t.Fatalf("seed %d round %d: -plain reading +lint:\n%s%s", seed, round, diff, text)
		}
		checkKubeDNS(t, r, kube, text)
		kubeFindings += len(kube)
	}
	if kubeFindings == 0 {
		t.Error("no policies without kube-dns were drawn")
	}
}

// checkKubeDNS holds that each pod without kube-dns has a policy about which there
// is a finding, and that each such policy has such a pod.
func checkKubeDNS(t *testing.T, r *plainReading, kube map[string]bool, text string) {
	t.Helper()
	right := map[string]bool{}
	for _, pod := range r.unresolved {
		if !slices.ContainsFunc(pod, func(p string) bool { return kube[p] }) {
			t.Fatalf("no finding for a pod with the policies %q\n%s", pod, text)
		}
		for _, p := range pod {
			right[p] = true
		}
	}
	for p := range kube {
		if !right[p] {
			t.Fatalf("a finding for %s, whose pods all have kube-dns\n%s", p, text)
		}
	}
}
