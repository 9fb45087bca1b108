package flat

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/compiler/space"
	"github.com/trafficpolicy/trafficpolicy/internal/synth"
	"github.com/trafficpolicy/trafficpolicy/model"
	"github.com/trafficpolicy/trafficpolicy/verify/simulate"
)

// TestAnswersAreThoseOfTheWalk draws clusters and flows between everything that a
// flow can name, and compares the answers, in every byte, with and without the
// tables: with inventory and without, names resolved and not.
func TestAnswersAreThoseOfTheWalk(t *testing.T) {
	n := uint64(600)
	if f, err := strconv.Atoi(os.Getenv("TRAFFICPOLICY_SOAK")); err == nil {
		n *= uint64(f)
	}
	cases, conditions := 0, 0
	for seed := range n {
		c := synth.Small(seed)
		if seed%2 == 1 {
			c = synth.Dense(seed)
		}
		rng := rand.New(rand.NewPCG(seed, 6))
		in := &compiler.Input{Policies: c.Policies, Inventory: &model.Inventory{}}
		if rng.IntN(3) > 0 {
			in.Inventory, in.InventoryGiven = c.Inventory, true
		}
		if rng.IntN(4) == 0 { // Services alone: their clusterIPs are known, their endpoints are not
			in.Inventory = &model.Inventory{Services: c.Inventory.Services, Namespaces: c.Inventory.Namespaces}
		}
		o := compiler.Options{IsolateByDirection: rng.IntN(3) == 0, AllEnrolled: rng.IntN(2) == 0}
		if rng.IntN(2) == 0 {
			o.Resolve = c.Resolve
		}
		flows := randomFlows(rng, c)
		plain := simulate.New(in, o)
		want, got := stream(t, plain, flows), stream(t, plain.With(new(Tables).Shortcut), flows)
		cases += strings.Count(want, `"cases"`)
		conditions += strings.Count(want, `"rule"`)
		for i, line := range strings.Split(want, "\n") {
			if other := strings.Split(got, "\n")[i]; other != line {
				t.Fatalf("seed %d: flow %s\nwalk   %s\ntables %s\n%s%s", seed, strings.Split(flows, "\n")[i+1], line, other, c.PolicyYAML(), c.InventoryYAML())
			}
		}
	}
	if uint64(cases) < n/4 || uint64(conditions) < n*20 {
		t.Errorf("%d answers with cases, %d rules, want more", cases, conditions)
	}
}

// TestKnownInPart holds that of a Service without endpoints, in an inventory without
// pods, the clusterIP is known and anything else is a case.
func TestKnownInPart(t *testing.T) {
	in := &compiler.Input{
		Policies: []*model.Policy{{
			Kind: model.TrafficPolicy, Namespace: "default", Name: "p", Priority: 1,
			Egress: &model.Section{Rules: []model.Rule{{Action: model.Allow, Peers: []model.Peer{
				{Kind: model.PeerService, Service: model.ServicePeer{Namespace: "default", Name: "db"}},
			}}}},
		}},
		Inventory: &model.Inventory{Services: []*model.Service{{
			Namespace: "default", Name: "db", ClusterIPs: []netip.Addr{netip.MustParseAddr("10.96.0.1")}, Selector: model.NewLabels(map[string]string{"app": "db"}),
		}}},
	}
	rules := new(Tables).Shortcut(compiler.NewResolver(in.Inventory, compiler.Options{}), in.Policies, model.Egress)
	if rule, conds, ok := rules.Find(netip.MustParseAddr("10.96.0.1"), 80); rule != 0 || conds != nil || !ok {
		t.Errorf("the clusterIP matches rule %d, if %v, %v", rule, conds, ok)
	}
	if rule, conds, ok := rules.Find(netip.MustParseAddr("10.96.0.2"), 80); rule != -1 || len(conds) != 1 || !ok {
		t.Errorf("another address matches rule %d, if %v, %v", rule, conds, ok)
	}
	plain := simulate.New(in, compiler.Options{})
	for dst, want := range map[string]simulate.Verdict{"10.96.0.1": simulate.Allow, "10.96.0.2": simulate.Mixed} {
		for _, s := range []*simulate.Simulator{plain, plain.With(new(Tables).Shortcut)} {
			res, err := s.Judge(simulate.Flow{Src: "default?app=web", Dst: dst, Port: 80, HasPort: true})
			if err != nil || res.Verdict != want {
				t.Errorf("%s: %+v, %v, want %s", dst, res, err, want)
			}
		}
	}
}

// TestTooLarge holds that flows are walked where there is no table, and counted.
func TestTooLarge(t *testing.T) {
	in := &compiler.Input{Inventory: &model.Inventory{}}
	for i, ns := range []string{"a", "b"} {
		in.Policies = append(in.Policies, &model.Policy{Kind: model.TrafficPolicy, Namespace: ns, Name: "p", Priority: 1 + i,
			Egress: &model.Section{Rules: []model.Rule{{Action: model.Allow, Peers: []model.Peer{{CIDR: netip.MustParsePrefix("8.0.0.0/8")}}}}}})
	}
	tables := &Tables{flatten: func(l *model.RuleList, f model.Family) (*space.Table, error) {
		if l.Rules[0].Ref.Policy.Namespace == "a" {
			return nil, &space.LimitError{What: "rules", Max: 0}
		}
		return space.Flatten(l, f)
	}}
	plain := simulate.New(in, compiler.Options{})
	flows := "src,dst,port\na?,8.8.8.8,1\na?,9.9.9.9,1\nb?,8.8.8.8,1\na?,8.8.8.8,1\n"
	if want, got := stream(t, plain, flows), stream(t, plain.With(tables.Shortcut), flows); got != want {
		t.Errorf("got\n%s, want\n%s", got, want)
	}
	if n := tables.TooLarge(); n != 1 {
		t.Errorf("%d tables are too large, want 1", n)
	}
}

func stream(t *testing.T, s *simulate.Simulator, flows string) string {
	t.Helper()
	var out bytes.Buffer
	if _, err := s.Stream(context.Background(), strings.NewReader(flows), &out, nil); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// randomFlows returns 200 flows as CSV: more than are judged both ways at once.
func randomFlows(rng *rand.Rand, c *synth.Cluster) string {
	ends := []string{"8.8.8.8", "2001:4860:4860::8888", "default?app=x", "a?app=x,env=y", "b?app=y", "a?"}
	for _, p := range c.Inventory.Pods {
		ends = append(ends, p.Ref())
		for _, a := range p.IPs {
			ends = append(ends, a.String())
		}
	}
	for range 8 {
		a, b := synth.Block4.Addr().As4(), synth.Block6.Addr().As16()
		a[3], b[15] = byte(rng.IntN(70)), byte(rng.IntN(70))
		ends = append(ends, fmt.Sprintf("%d.%d.%d.%d", a[0], a[1], a[2], a[3]))
	}
	dsts := ends
	for _, s := range c.Inventory.Services {
		dsts = append(dsts, "svc:"+s.Ref())
		for _, a := range s.ClusterIPs {
			dsts = append(dsts, a.String())
		}
	}
	for name := range c.Resolve {
		dsts = append(dsts, name)
	}
	dsts = append(dsts, "x.example", "y.example")
	var b strings.Builder
	b.WriteString("src,dst,proto,port\n")
	for range 200 {
		proto := []string{"tcp", "udp", "sctp", "icmp", "other", "47"}[rng.IntN(6)]
		port := []string{"", "0", "1", "79", "80", "81", "443", "65535"}[rng.IntN(8)]
		fmt.Fprintf(&b, "%q,%q,%s,%s\n", ends[rng.IntN(len(ends))], dsts[rng.IntN(len(dsts))], proto, port)
	}
	return b.String()
}
