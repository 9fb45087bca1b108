package verify

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/internal/synth"
	"github.com/trafficpolicy/trafficpolicy/model"
	"github.com/trafficpolicy/trafficpolicy/verify/oracle"
)

// orderCodes are the codes that the oracle knows.
var orderCodes = []model.Code{model.ShadowedRule, model.RedundantRule, model.UnreachablePeer, model.NoEffect,
	model.PriorityConflict, model.PriorityTie, model.OverriddenPolicy}

// soak returns n times the factor of TRAFFICPOLICY_SOAK.
func soak(t *testing.T, n int) int {
	t.Helper()
	s := os.Getenv("TRAFFICPOLICY_SOAK")
	if s == "" {
		return n
	}
	factor, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n * factor
}

// question is one set of policies, asked of lint and of the oracle.
type question struct {
	policies   []*model.Policy
	inventory  *model.Inventory // nil without one
	resolve    map[string][]netip.Addr
	families   compiler.FamilyMode
	directions bool // --isolation=direction
	maxPods    int  // as lint is to have it, 0 for its own bound
}

func (q *question) input() (*compiler.Input, LintOptions) {
	in := &compiler.Input{Policies: slices.SortedFunc(slices.Values(q.policies), model.ComparePolicies), Inventory: &model.Inventory{}}
	if q.inventory != nil {
		in.Inventory, in.InventoryGiven = q.inventory, true
	}
	o := LintOptions{Only: orderCodes}
	o.maxPods = q.maxPods
	o.Options = compiler.Options{IsolateByDirection: q.directions, Resolve: q.resolve, Families: q.families}
	return in, o
}

// senses returns the oracle's question in the always sense and in that of the inventory.
func (q *question) senses() (always, inventory oracle.Input) {
	in, o := q.input()
	always = oracle.Input{
		Policies: q.policies, Peers: oracle.Known{Resolve: q.resolve},
		Families: in.Families(o.Options), IsolateByDirection: q.directions,
	}
	if q.inventory == nil {
		return always, always
	}
	return always, oracle.InCluster(always, &oracle.Cluster{Inventory: *q.inventory, Resolve: q.resolve})
}

// subjectOf returns what a finding is about, as the oracle names it.
func subjectOf(f *model.Finding) string {
	switch f.Code {
	case model.OverriddenPolicy:
		return f.Policy
	case model.PriorityConflict, model.PriorityTie:
		return f.Policy + " " + f.Related[0].Policy
	case model.UnreachablePeer:
		return f.Rule + f.Field[strings.LastIndexByte(f.Field, '.'):]
	}
	return f.Rule
}

func orderLines(r *oracle.Report) []string {
	out := []string{}
	for _, f := range r.Findings {
		if slices.Contains(orderCodes, f.Code) {
			out = append(out, string(f.Code)+" "+f.Subject)
		}
	}
	return sorted(out)
}

// disagreement returns how lint and the oracle differ on q, "" where they agree.
func disagreement(t *testing.T, q *question) string {
	t.Helper()
	in, o := q.input()
	r, err := Lint(t.Context(), in, o)
	if err != nil {
		return err.Error()
	}
	got := map[model.Scope][]string{model.Always: {}, model.InInventory: {}}
	for i := range r.Findings {
		f := &r.Findings[i]
		got[f.Scope] = append(got[f.Scope], string(f.Code)+" "+subjectOf(f))
	}
	inAlways, inInventory := q.senses()
	always, err := oracle.Analyze(inAlways)
	if err != nil {
		return err.Error()
	}
	inventory, err := oracle.Analyze(inInventory)
	if err != nil {
		return err.Error()
	}
	if diff := cmp.Diff(orderLines(always), sorted(got[model.Always])); diff != "" {
		return "always (-oracle +lint):\n" + diff
	}
	if diff := cmp.Diff(orderLines(oracle.Further(always, inventory)), sorted(got[model.InInventory])); diff != "" {
		return "inventory (-oracle +lint):\n" + diff
	}
	if len(r.Unchecked) > 0 {
		return fmt.Sprintf("unchecked %v", r.Unchecked)
	}
	for i := range r.Findings {
		f := &r.Findings[i]
		in := inAlways
		if f.Scope == model.InInventory {
			in = inInventory
		}
		if err := q.check(in, f); err != nil {
			return fmt.Sprintf("%s finding %q: %v", f.Scope, f.Message, err)
		}
	}
	return ""
}

// check judges the witness and the related rules of f.
func (q *question) check(in oracle.Input, f *model.Finding) error {
	if f.Code != model.PriorityTie {
		w, err := q.witness(f)
		if err != nil {
			return err
		}
		if err := oracle.CheckWitness(in, oracle.Finding{Code: f.Code, Subject: subjectOf(f), Witness: w}); err != nil {
			return err
		}
	}
	if f.Code == model.ShadowedRule || f.Code == model.RedundantRule {
		var related []string
		for _, r := range f.Related {
			related = append(related, r.Rule)
		}
		return oracle.CheckRelated(in, f.Rule, related, f.RelatedOmitted > 0)
	}
	return nil
}

// witness reads the witness of f back.
func (q *question) witness(f *model.Finding) (w oracle.Witness, err error) {
	var src, dst = f.Witness.Src, f.Witness.Dst
	if w.Packet.Addr, err = netip.ParseAddr(dst); err != nil {
		w.Packet.Direction = model.Ingress
		src, dst = dst, src
		if w.Packet.Addr, err = netip.ParseAddr(dst); err != nil {
			return w, err
		}
	}
	proto, ok := model.ParseProto(f.Witness.Proto, model.IPv4)
	if !ok {
		return w, fmt.Errorf("protocol %q", f.Witness.Proto)
	}
	w.Packet.L4 = model.L4Of(proto, f.Witness.Port)
	if ns, list, ok := strings.Cut(src, "?"); ok {
		w.Pod.Namespace = ns
		set := map[string]string{}
		for pair := range strings.SplitSeq(list, ",") {
			if k, v, ok := strings.Cut(pair, "="); ok {
				set[k] = v
			}
		}
		w.Pod.Labels = model.NewLabels(set)
		return w, nil
	}
	for _, p := range q.inventory.Pods {
		if p.Ref() == src {
			w.Pod = oracle.Pod{Namespace: p.Namespace, Name: p.Name, Labels: p.Labels}
			return w, nil
		}
	}
	return w, fmt.Errorf("no pod %q", src)
}

// questionOf asks about a cluster, of one seed in two with its inventory.
func questionOf(c *synth.Cluster) *question {
	q := &question{policies: c.Policies, resolve: c.Resolve, directions: c.Seed%3 == 0}
	if c.Seed%2 == 0 {
		q.inventory = c.Inventory
	}
	switch c.Seed % 10 {
	case 3:
		q.families = compiler.FamiliesIPv4
	case 7:
		q.families = compiler.FamiliesDual
	}
	return q
}

// TestLintIsOracle compares lint with trying everything, on sets drawn at random.
func TestLintIsOracle(t *testing.T) {
	compareLint(t, synth.Dense, soak(t, 3000), disagreement)
}

// TestLintIsOracleOfManyKeys does so where selectors have many expressions.
func TestLintIsOracleOfManyKeys(t *testing.T) {
	compareLint(t, synth.DenseKeys, soak(t, 300), disagreement)
}

// TestLintIsLoud holds that lint, where it can look at next to no pods, says nothing
// that is not so, and that for what it does not say it says that it cannot.
func TestLintIsLoud(t *testing.T) {
	for _, n := range []int{1, 2} {
		compareLint(t, synth.DenseKeys, soak(t, 600), func(t *testing.T, q *question) string {
			q.maxPods = n
			return silence(t, q)
		})
	}
}

// silence returns what lint says wrongly or keeps silent of, "" for nothing.
func silence(t *testing.T, q *question) string {
	t.Helper()
	q.inventory = nil
	in, o := q.input()
	r, err := Lint(t.Context(), in, o)
	if err != nil {
		return err.Error()
	}
	always, _ := q.senses()
	report, err := oracle.Analyze(always)
	if err != nil {
		return err.Error()
	}
	want := orderLines(report)
	said := map[string]bool{}
	for i := range r.Findings {
		line := string(r.Findings[i].Code) + " " + subjectOf(&r.Findings[i])
		said[line] = true
		if !slices.Contains(want, line) {
			return "not so: " + line
		}
	}
	for _, line := range want {
		code, subject, _ := strings.Cut(line, " ")
		open := func(u Unchecked) bool {
			return u.about(model.Code(code)) && slices.ContainsFunc(u.Policies, func(p string) bool {
				return subject == p || strings.HasPrefix(subject, p+"#") || strings.HasPrefix(subject, p+" ")
			})
		}
		if !said[line] && !slices.ContainsFunc(r.Unchecked, open) {
			return "silent: " + line
		}
	}
	return ""
}

// compareLint draws count clusters, and finds a small one about which differ has
// something to say.
func compareLint(t *testing.T, draw func(seed uint64) *synth.Cluster, count int, differ func(*testing.T, *question) string) {
	const parts = 4
	for part := range parts {
		t.Run(strconv.Itoa(part), func(t *testing.T) {
			t.Parallel()
			for seed := part; seed < count; seed += parts {
				c := draw(uint64(seed))
				if differ(t, questionOf(c)) == "" {
					continue
				}
				small := synth.Shrink(c, func(c *synth.Cluster) bool { return differ(t, questionOf(c)) != "" })
				t.Fatalf("seed %d: %s\n%s---\n%s--resolve %v", seed, differ(t, questionOf(small)), small.PolicyYAML(), small.InventoryYAML(), small.Resolve)
			}
		})
	}
}

// TestLintCases asks lint the oracle's hand-made questions.
func TestLintCases(t *testing.T) {
	for _, c := range oracle.Cases {
		t.Run(c.Name, func(t *testing.T) {
			in, cluster, err := c.Read()
			if err != nil {
				t.Fatal(err)
			}
			q := &question{policies: in.Policies, families: compiler.FamiliesDual}
			if len(in.Families) == 1 {
				q.families = compiler.FamiliesIPv4
			}
			if cluster != nil {
				q.inventory, q.resolve = &cluster.Inventory, cluster.Resolve
			}
			if d := disagreement(t, q); d != "" {
				t.Errorf("%s%s", d, c.Policies)
			}
		})
	}
}
