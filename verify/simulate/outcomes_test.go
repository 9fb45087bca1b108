package simulate

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/internal/synth"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// TestOutcomesAgreeWithDecide draws clusters of which little is known, and holds
// that of all outcomes of a walk exactly one has a condition that is true, and
// that it is what [Walk.Decide] finds, whatever the unresolved names mean. A
// destination that is given by name is tried with addresses the name might have.
func TestOutcomesAgreeWithDecide(t *testing.T) {
	n := uint64(1000)
	if f, err := strconv.Atoi(os.Getenv("TRAFFICPOLICY_SOAK")); err == nil {
		n *= uint64(f)
	}
	open := 0
	for seed := range n {
		c := synth.Small(seed)
		inv := &model.Inventory{}
		if seed%3 == 0 {
			inv = c.Inventory
		}
		s := New(&compiler.Input{Policies: c.Policies, Inventory: inv}, compiler.Options{})
		w := s.Walk(c.Policies, model.Directions[seed%2])
		rng := rand.New(rand.NewPCG(seed, 2))
		for range 30 {
			in := map[model.Atom]bool{}
			for _, r := range w.rules {
				for _, u := range r.unknown {
					in[u.atom] = rng.IntN(3) == 0
				}
			}
			a := synth.Block4.Addr().As4()
			a[3] = byte(rng.IntN(70))
			addr := netip.AddrFrom4(a)
			if rng.IntN(3) == 0 {
				b := synth.Block6.Addr().As16()
				b[15] = byte(rng.IntN(70))
				addr = netip.AddrFrom16(b)
			}
			to := remote{addr: addr}
			if rng.IntN(2) == 0 {
				to = remote{name: "x.example", family: model.FamilyOf(addr)}
				in["fqdn x.example"] = true
			}
			x := model.L4Of(model.Proto(rng.IntN(5)), []uint16{0, 1, 79, 80, 81, 443, 65535}[rng.IntN(7)])
			outs, err := w.outcomes(nil, to, pointOf(x))
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if len(outs) > 1 {
				open++
			}
			if err := exactlyOne(outs, addr, in, w.Decide(addr, x, func(a model.Atom) bool { return in[a] })); err != nil {
				t.Fatalf("seed %d, %s to %+v at %s, %s, in %v: %v\n%s%s", seed, w.Direction, to, addr, x, in, err, c.PolicyYAML(), c.InventoryYAML())
			}
		}
	}
	if open < int(n) {
		t.Errorf("only %d walks of %d clusters had more than one outcome", open, n)
	}
}

// exactlyOne returns an error unless one outcome holds, and its action is want's.
func exactlyOne(outs []outcome, a netip.Addr, in map[model.Atom]bool, want Decision) error {
	contains := func(ps []netip.Prefix) bool {
		return slices.ContainsFunc(ps, func(p netip.Prefix) bool { return p.Contains(a) })
	}
	var held []outcome
	for _, o := range outs {
		if o.in != "" && !in[o.in] || o.within != nil && !contains(o.within) || contains(o.outside) ||
			slices.ContainsFunc(o.not, func(a model.Atom) bool { return in[a] }) {
			continue
		}
		held = append(held, o)
	}
	if len(held) != 1 {
		return fmt.Errorf("%d outcomes hold of %d", len(held), len(outs))
	}
	if got := held[0].decision; got.Action != want.Action || got.Reason != want.Reason || got.Rule != want.Rule {
		return fmt.Errorf("outcome %+v, decided %+v", got, want)
	}
	return nil
}

// TestManyUnknowns holds that walks past very many names and prefixes that only
// might match end in good time.
func TestManyUnknowns(t *testing.T) {
	const n = 20_000
	var rules []model.Rule
	for i := range n {
		rules = append(rules, allow(fqdn(fmt.Sprintf("n%d.example", i)), cidr(fmt.Sprintf("10.%d.%d.0/25", i>>8, i&255))))
	}
	s := New(world(rules...), compiler.Options{})
	for _, dst := range []string{"9.9.9.9", "other.example"} {
		start := time.Now()
		r, err := s.Judge(Flow{Src: "default/a", Dst: dst, Port: 1, HasPort: true})
		if err != nil || r.Verdict != Mixed || len(r.Cases) < n {
			t.Fatalf("%s: %v, %d cases, error %v", dst, r.Verdict, len(r.Cases), err)
		}
		if d := time.Since(start); d > 10*time.Second {
			t.Errorf("%s took %s", dst, d)
		}
	}
}
