package simulate_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/internal/synth"
	"github.com/trafficpolicy/trafficpolicy/model"
	"github.com/trafficpolicy/trafficpolicy/verify/simulate"
)

// TestSuggestionsAllow draws clusters and flows, and holds that a denied flow is
// allowed once its suggestions are followed, each by the rule it suggests.
func TestSuggestionsAllow(t *testing.T) {
	n := uint64(300)
	if f, err := strconv.Atoi(os.Getenv("TRAFFICPOLICY_SOAK")); err == nil {
		n *= uint64(f)
	}
	followed := 0
	for seed := range n {
		c := synth.Small(seed)
		in := &compiler.Input{Policies: c.Policies, Inventory: c.Inventory, InventoryGiven: true}
		o := compiler.Options{Resolve: c.Resolve, IsolateByDirection: seed%2 == 0, AllEnrolled: seed%3 == 0}
		rng := rand.New(rand.NewPCG(seed, 1))
		for range 20 {
			f, ok := randomFlow(rng, c)
			if !ok {
				break
			}
			done, err := follow(in, o, f)
			if err != nil {
				t.Fatalf("seed %d, %+v: %v\n%s%s", seed, f, err, c.PolicyYAML(), c.InventoryYAML())
			}
			followed += done
		}
	}
	if followed < int(n) {
		t.Errorf("only %d suggestions followed in %d clusters: the flows are not worth much", followed, n)
	}
}

// randomFlow draws a flow between a pod and a pod, a Service or an address.
func randomFlow(rng *rand.Rand, c *synth.Cluster) (simulate.Flow, bool) {
	if len(c.Inventory.Pods) == 0 {
		return simulate.Flow{}, false
	}
	pod := func() string { return c.Inventory.Pods[rng.IntN(len(c.Inventory.Pods))].Ref() }
	f := simulate.Flow{Src: pod(), Dst: pod(), Proto: []string{"tcp", "udp", "sctp", "icmp", "other"}[rng.IntN(5)]}
	f.Port, f.HasPort = uint16(rng.IntN(4)), true
	switch rng.IntN(4) {
	case 0:
		f.Dst = fmt.Sprintf("10.0.0.%d", rng.IntN(64))
	case 1:
		f.Src = fmt.Sprintf("10.0.0.%d", rng.IntN(64))
	case 2:
		if svcs := c.Inventory.Services; len(svcs) > 0 {
			s := svcs[rng.IntN(len(svcs))]
			f.Dst = "svc:" + s.Ref()
			if len(s.Ports) > 0 {
				p := s.Ports[rng.IntN(len(s.Ports))]
				f.Proto, f.Port = p.Proto.String(), p.Port
			}
		}
	}
	return f, true
}

// follow judges f, follows the suggestions and judges again. It returns how many
// there were.
func follow(in *compiler.Input, o compiler.Options, f simulate.Flow) (int, error) {
	r, err := simulate.New(in, o).Judge(f)
	if err != nil || r.Verdict == simulate.Mixed {
		return 0, nil // nothing to suggest
	}
	suggestions := r.Suggest()
	if (len(suggestions) == 0) != (r.Verdict == simulate.Allow) {
		return 0, fmt.Errorf("%s has %d suggestions", r.Verdict, len(suggestions))
	}
	after := &compiler.Input{Policies: slices.Clone(in.Policies), Inventory: in.Inventory, InventoryGiven: true}
	for _, s := range suggestions {
		if err := add(after, s); err != nil {
			return 0, err
		}
	}
	if len(suggestions) == 0 {
		return 0, nil
	}
	r, err = simulate.New(after, o).Judge(f)
	switch {
	case err != nil:
		return 0, err
	case r.Verdict == simulate.Mixed: // other families and endpoints are still denied
		r = &r.Cases[0]
	}
	for _, s := range suggestions {
		side := r.Egress
		if s.Direction == model.Ingress {
			side = r.Ingress
		}
		want := fmt.Sprintf("%s#%s[%d]", s.Policy.Ref(), s.Direction, s.Index)
		if side.Verdict != simulate.Allow || side.Rule != want {
			return 0, fmt.Errorf("with\n%s%s the %s is %s by %q, want %s", s.YAML(), s.Where(), s.Direction, side.Verdict, side.Rule, want)
		}
	}
	return len(suggestions), nil
}

// add puts the suggested rule into a copy of its policy.
func add(in *compiler.Input, s simulate.Suggestion) error {
	i := slices.IndexFunc(in.Policies, func(p *model.Policy) bool { return p.Ref() == s.Policy.Ref() })
	if i < 0 {
		return fmt.Errorf("no policy %s", s.Policy.Ref())
	}
	p := *in.Policies[i]
	section := &model.Section{Rules: slices.Insert(slices.Clone(p.Rules(s.Direction)), s.Index, s.Rule)}
	if s.Direction == model.Egress {
		p.Egress = section
	} else {
		p.Ingress = section
	}
	in.Policies[i] = &p
	return nil
}

// TestSuggestion holds where the suggested rule goes and how it reads.
func TestSuggestion(t *testing.T) {
	tp := func(name string, priority int, rules ...model.Rule) *model.Policy {
		return &model.Policy{Kind: model.TrafficPolicy, Namespace: "default", Name: name, Priority: priority, Egress: &model.Section{Rules: rules}}
	}
	gtp := func(name string, priority int, rules ...model.Rule) *model.Policy {
		p := tp(name, priority, rules...)
		p.Kind, p.Namespace = model.GlobalTrafficPolicy, ""
		return p
	}
	deny := model.Rule{Action: model.Deny, Peers: []model.Peer{{CIDR: netip.MustParsePrefix("8.0.0.0/8")}}}
	other := model.Rule{Action: model.Allow, Peers: []model.Peer{{CIDR: netip.MustParsePrefix("9.0.0.0/8")}}}
	for _, tt := range []struct {
		name     string
		policies []*model.Policy
		flow     simulate.Flow
		where    string
		yaml     string
	}{
		{"a TrafficPolicy denies", []*model.Policy{gtp("g", 1, other), tp("p", 2, other, deny)},
			simulate.Flow{Dst: "8.8.8.8", Port: 443, HasPort: true}, "before TrafficPolicy/default/p#egress[1]",
			"- action: allow\n  to:\n  - cidr: \"8.8.8.8/32\"\n  ports:\n  - protocol: TCP\n    port: 443\n"},
		{"a global one denies after a TrafficPolicy", []*model.Policy{tp("p", 2, other), gtp("g", 3, deny), tp("q", 4)},
			simulate.Flow{Dst: "8.8.8.8", Proto: "icmp"}, "at the end of the egress rules of TrafficPolicy/default/p",
			"- action: allow\n  to:\n  - cidr: \"8.8.8.8/32\"\n  ports:\n  - protocol: ICMP\n"},
		{"a global one denies before any TrafficPolicy", []*model.Policy{gtp("f", 1, other), gtp("g", 3, deny), tp("q", 4)},
			simulate.Flow{Dst: "8.8.8.8", Proto: "other"}, "before GlobalTrafficPolicy/g#egress[0]",
			"- action: allow\n  to:\n  - cidr: \"8.8.8.8/32\"\n"},
		{"default deny", []*model.Policy{tp("p", 1, other), tp("q", 2), gtp("g", 3, other)},
			simulate.Flow{Dst: "fd00::1", Proto: "udp"}, "as the first egress rule of TrafficPolicy/default/q",
			"- action: allow\n  to:\n  - cidr: \"fd00::1/128\"\n  ports:\n  - protocol: UDP\n"},
		{"default deny of global ones alone", []*model.Policy{gtp("f", 1, other), gtp("g", 3, other)},
			simulate.Flow{Dst: "x.example", Proto: "sctp", Port: 0, HasPort: true}, "at the end of the egress rules of GlobalTrafficPolicy/g",
			"- action: allow\n  to:\n  - fqdn: x.example\n  ports:\n  - protocol: SCTP\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.flow.Src = "default?app=a"
			in := &compiler.Input{Policies: tt.policies, Inventory: &model.Inventory{}}
			r, err := simulate.New(in, compiler.Options{}).Judge(tt.flow)
			if err != nil {
				t.Fatal(err)
			}
			if r.Verdict == simulate.Mixed {
				r = &r.Cases[0]
			}
			s := r.Suggest()
			if len(s) != 1 {
				t.Fatalf("%d suggestions for %s, want 1", len(s), r.Verdict)
			}
			if s[0].Where() != tt.where || s[0].YAML() != tt.yaml {
				t.Errorf("%s\n%swant %s\n%s", s[0].Where(), s[0].YAML(), tt.where, tt.yaml)
			}
		})
	}
}
