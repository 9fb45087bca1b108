package verify

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/model"
)

func requirement(key string, op model.Operator, values ...string) model.Requirement {
	return model.Requirement{Key: key, Operator: op, Values: values}
}

func egressPolicy(name string, priority int, s model.Selector, rules ...model.Rule) *model.Policy {
	return &model.Policy{Kind: model.TrafficPolicy, Namespace: "a", Name: name, Priority: priority, Selector: s, Egress: &model.Section{Rules: rules}}
}

func cidrRule(action model.Action, cidr string) model.Rule {
	return model.Rule{Action: action, Peers: []model.Peer{{Kind: model.PeerCIDR, CIDR: netip.MustParsePrefix(cidr)}}}
}

// eitherWay returns, for each of n keys, a policy that wants it and one that does
// not: their minimal sets are two to the power of n.
func eitherWay(n, priority int, rule model.Rule) []*model.Policy {
	var out []*model.Policy
	for i := range n {
		for _, op := range []model.Operator{model.Exists, model.DoesNotExist} {
			s := model.Selector{MatchExpressions: []model.Requirement{requirement(fmt.Sprintf("k%02d", i), op)}}
			out = append(out, egressPolicy(fmt.Sprintf("%s%02d", strings.ToLower(string(op)), i), priority, s, rule))
		}
	}
	return out
}

// TestUnchecked holds which findings are known where the pods are too many, and
// that the others are told as unchecked.
func TestUnchecked(t *testing.T) {
	app := model.Selector{MatchLabels: labels("app", "z")}
	shadowed := []model.Rule{cidrRule(model.Allow, "10.0.0.0/8"), cidrRule(model.Deny, "10.1.0.0/16")}
	idle := cidrRule(model.Deny, "12.0.0.0/8")
	d := egressPolicy("d", 500, app, append(shadowed, idle)...)
	e := egressPolicy("e", 500, app, cidrRule(model.Allow, "12.0.0.0/8"), idle)
	inMany := func(n int) (model.Selector, []*model.Policy) {
		s, others := model.Selector{}, []*model.Policy(nil)
		for i := range n {
			k := fmt.Sprintf("k%02d", i)
			s.MatchExpressions = append(s.MatchExpressions, requirement(k, model.In, "1", "2"))
			others = append(others, egressPolicy("o"+k, 10, model.Selector{MatchLabels: labels(k, "2")}, cidrRule(model.Allow, "10.3.0.0/16")))
		}
		return s, others
	}
	exact, others := inMany(4)
	two := egressPolicy("two", 500, exact, cidrRule(model.Allow, "10.0.0.0/8"), cidrRule(model.Allow, "10.1.0.0/16"), cidrRule(model.Deny, "10.2.0.0/16"))
	for _, c := range []struct {
		name      string
		policies  []*model.Policy
		about     string
		found     []string // about this policy, the names without the namespace
		unchecked []string // codes
	}{
		{"as many as can be looked at", append(eitherWay(3, 10, cidrRule(model.Allow, "11.0.0.0/8")), d), "d",
			[]string{"TP101 d#egress[1]", "TP104 d#egress[2]"}, nil},
		{"more before it", append(eitherWay(4, 10, cidrRule(model.Allow, "10.3.0.0/16")), d), "d",
			nil, []string{"TP101", "TP102", "TP103", "TP104", "TP203"}},
		{"more before it, for other packets", append(eitherWay(4, 10, cidrRule(model.Allow, "11.0.0.0/8")), d), "d",
			[]string{"TP101 d#egress[1]"}, []string{"TP104"}},
		{"more before it, for names", append(eitherWay(4, 10, model.Rule{Peers: []model.Peer{{Kind: model.PeerFQDN, FQDN: "x.example"}}}), d), "d",
			nil, []string{"TP101", "TP102", "TP103", "TP104", "TP203"}},
		{"more before it, for everyone", append(eitherWay(4, 10, model.Rule{Action: model.Allow}), d), "d",
			nil, []string{"TP101", "TP102", "TP103", "TP104", "TP203"}},
		{"more behind it", append(eitherWay(4, 600, cidrRule(model.Deny, "11.0.0.0/8")), d), "d",
			[]string{"TP101 d#egress[1]"}, []string{"TP104"}},
		{"more before it, of the other direction", append(ingressOnly(eitherWay(4, 10, cidrRule(model.Allow, "11.0.0.0/8"))), d), "d",
			[]string{"TP101 d#egress[1]"}, []string{"TP104"}},
		{"more of smaller priority than a pair", append(eitherWay(4, 10, cidrRule(model.Allow, "12.0.0.0/8")), d, e), "e",
			nil, []string{"TP101", "TP102", "TP103", "TP104", "TP201", "TP202", "TP203"}},
		{"more of smaller priority than a pair, for other packets", append(eitherWay(4, 10, cidrRule(model.Allow, "13.0.0.0/8")), d, e), "e",
			[]string{"TP101 e#egress[0]", "TP102 e#egress[1]", "TP201 d e", "TP203 e"}, nil},
		{"more of another priority than a pair", append(eitherWay(4, 600, cidrRule(model.Deny, "12.3.0.0/16")), d, e), "e",
			[]string{"TP101 e#egress[0]", "TP102 e#egress[1]", "TP201 d e", "TP203 e"}, nil},
		{"more pods that tell who takes its packets", append(slices.Clone(others), two), "two",
			[]string{"TP101 two#egress[2]"}, []string{"TP101", "TP102"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := &compiler.Input{Policies: slices.SortedFunc(slices.Values(c.policies), model.ComparePolicies), Inventory: &model.Inventory{}}
			r, err := Lint(t.Context(), in, LintOptions{Only: orderCodes, maxPods: 8})
			if err != nil {
				t.Fatal(err)
			}
			var found, unchecked []string
			for i := range r.Findings {
				f := &r.Findings[i]
				line := string(f.Code) + " " + strings.ReplaceAll(subjectOf(f), "TrafficPolicy/a/", "")
				if strings.Contains(line+" ", " "+c.about+" ") || strings.Contains(line, " "+c.about+"#") {
					found = append(found, line)
				}
			}
			for _, u := range r.Unchecked {
				if slices.Contains(u.Policies, "TrafficPolicy/a/"+c.about) {
					for _, code := range u.Codes {
						unchecked = append(unchecked, string(code))
					}
				}
			}
			slices.Sort(unchecked)
			if diff := cmp.Diff(c.found, found); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.unchecked, unchecked); diff != "" {
				t.Errorf("unchecked (-want +got):\n%s", diff)
			}
		})
	}
}

func ingressOnly(ps []*model.Policy) []*model.Policy {
	for _, p := range ps {
		p.Ingress, p.Egress = p.Egress, nil
	}
	return ps
}

func TestUncheckedLine(t *testing.T) {
	in := &compiler.Input{Inventory: &model.Inventory{}}
	in.Policies = append(in.Policies, eitherWay(5, 10, cidrRule(model.Allow, "11.0.0.0/8"))...)
	slices.SortFunc(in.Policies, model.ComparePolicies)
	r, err := Lint(t.Context(), in, LintOptions{Only: []model.Code{model.ClosedDirection, model.NoDNS}, maxPods: 8})
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for i := range r.Unchecked {
		lines = append(lines, r.Unchecked[i].String())
	}
	want := []string{"TP301 and TP302 not checked for TrafficPolicy/a/doesnotexist00, TrafficPolicy/a/doesnotexist01, TrafficPolicy/a/doesnotexist02 and 7 more: " +
		"more label assignments matter than the 16384 that can be looked at (keys k00, k01, k02 and 2 more)"}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
