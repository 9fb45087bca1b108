package verify

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/model"
	"github.com/trafficpolicy/trafficpolicy/verify/simulate"
)

// remote returns the address of the witness's other end.
func remote(f *model.Finding) netip.Addr {
	if a, err := netip.ParseAddr(f.Witness.Src); err == nil {
		return a
	}
	return netip.MustParseAddr(f.Witness.Dst)
}

// simulated returns what simulate says of a finding's witness: the side of the pod
// that the finding is about, once for each case.
func simulated(sims map[model.Scope]*simulate.Simulator, f *model.Finding) ([]*simulate.Side, error) {
	w := f.Witness
	res, err := sims[f.Scope].Judge(simulate.Flow{Src: w.Src, Dst: w.Dst, Proto: w.Proto, Port: w.Port, HasPort: true})
	if err != nil {
		return nil, err
	}
	side := func(r *simulate.Result) *simulate.Side {
		if remote(f).String() == w.Src {
			return r.Ingress
		}
		return r.Egress
	}
	if res.Verdict != simulate.Mixed {
		return []*simulate.Side{side(res)}, nil
	}
	var out []*simulate.Side
	for i := range res.Cases {
		out = append(out, side(&res.Cases[i]))
	}
	return out, nil
}

// showsFinding returns what is wrong with sides as an illustration of f. assumes
// reports that the packet is one only where some name has its address: then one
// case has to do, and simulate may name another rule of the same verdict.
func showsFinding(f *model.Finding, sides []*simulate.Side, assumes bool) error {
	var last error
	for _, s := range sides {
		if remote(f).IsLoopback() && s.Reason == simulate.Self {
			return nil // nothing else is left of some rules
		}
		if s.Reason != simulate.ByRule && s.Reason != simulate.DefaultDeny {
			last = fmt.Errorf("policies do not decide: %s", s.Reason)
			continue
		}
		if last = showsSide(f, s); last == nil || assumes {
			return nil
		}
	}
	return last
}

func showsSide(f *model.Finding, s *simulate.Side) error {
	related := func(r model.Related) bool { return r.Rule == s.Rule }
	switch f.Code {
	case model.ShadowedRule, model.RedundantRule:
		if f.RelatedOmitted == 0 && s.Rule == f.Rule || s.Rule == "" {
			return fmt.Errorf("decided by %q", s.Rule)
		}
	case model.UnreachablePeer:
		if !slices.ContainsFunc(f.Related, related) {
			return fmt.Errorf("decided by %q, not by the related rule", s.Rule)
		}
	case model.NoEffect:
		if s.Rule != f.Rule {
			return fmt.Errorf("decided by %q", s.Rule)
		}
	case model.OverriddenPolicy:
		if strings.HasPrefix(s.Rule, f.Policy+"#") || s.Rule == "" {
			return fmt.Errorf("decided by %q", s.Rule)
		}
	case model.MetadataReachable, model.PrivateReachable, model.FQDNFirst:
		if s.Rule != f.Rule {
			return fmt.Errorf("decided by %q", s.Rule)
		}
	case model.FQDNOverlap, model.BaselineOverridden:
		if s.Rule != f.Related[0].Rule {
			return fmt.Errorf("decided by %q, not by the first related rule", s.Rule)
		}
	case model.ClosedDirection:
		if s.Reason != simulate.DefaultDeny {
			return fmt.Errorf("decided by %q", s.Rule)
		}
	case model.NoDNS:
		if s.Verdict != simulate.Deny || f.Rule != "" && s.Rule != f.Rule {
			return fmt.Errorf("%s by %q", s.Verdict, s.Rule)
		}
	case model.PriorityConflict:
		if !slices.Contains(s.Policies, f.Policy) || !slices.Contains(s.Policies, f.Related[0].Policy) {
			return fmt.Errorf("the pod has %q", s.Policies)
		}
	}
	return nil
}

// TestWitnessesSimulate holds that a user who pastes a witness into simulate sees
// what the finding says.
func TestWitnessesSimulate(t *testing.T) {
	for seed := range uint64(soak(t, 400)) {
		c := named(seed)
		in := &compiler.Input{Policies: c.Policies, Inventory: c.Inventory, InventoryGiven: true}
		o := LintOptions{Only: slices.Concat(orderCodes, securityCodes, practiceCodes)}
		o.Resolve, o.IsolateByDirection = c.Resolve, seed%3 == 0
		r, err := Lint(t.Context(), in, o)
		if err != nil {
			t.Fatal(err)
		}
		without := &compiler.Input{Policies: c.Policies, Inventory: &model.Inventory{}}
		sims := map[model.Scope]*simulate.Simulator{
			model.Always:      simulate.New(without, o.Options),
			model.InInventory: simulate.New(in, o.Options),
		}
		unresolved := o.Options
		unresolved.Resolve = nil
		anyAnswer := map[model.Scope]*simulate.Simulator{model.Always: simulate.New(without, unresolved)}
		for i := range r.Findings {
			f := &r.Findings[i]
			if f.Witness == nil {
				continue
			}
			with := sims
			if f.Code == model.FQDNFirst {
				with = anyAnswer // tomorrow's answer need not be today's
			}
			sides, err := simulated(with, f)
			if err != nil && f.Scope == model.InInventory && strings.Contains(err.Error(), "no address of the family") {
				continue // of one pod to another, and no pod of the class has an address of its own
			}
			if err == nil {
				err = showsFinding(f, sides, strings.Contains(f.Message, "(where "))
			}
			if err != nil {
				t.Fatalf("seed %d: %s %s %q, witness %+v: %v\n%s---\n%s--resolve %v", seed, f.Scope, f.Code, f.Message, *f.Witness, err, c.PolicyYAML(), c.InventoryYAML(), c.Resolve)
			}
		}
	}
}
