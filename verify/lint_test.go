package verify

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/model"
	"github.com/trafficpolicy/trafficpolicy/verify/oracle"
)

func policies(t *testing.T, text string) []*model.Policy {
	t.Helper()
	ps, err := oracle.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return ps
}

func addr(s string) []netip.Addr { return []netip.Addr{netip.MustParseAddr(s)} }

func labels(k, v string) model.Labels { return model.Labels{{Key: k, Value: v}} }

// web returns a running enrolled pod of namespace a with the label app=web, on
// a virtual node.
func web(name string, change ...func(*model.Pod)) *model.Pod {
	p := &model.Pod{Namespace: "a", Name: name, IPs: addr("10.0.0.1"),
		PodMeta: model.PodMeta{Labels: labels("app", "web"), Enrolled: true, VirtualNode: true}}
	for _, c := range change {
		c(p)
	}
	return p
}

func lint(t *testing.T, ps []*model.Policy, inv *model.Inventory, o LintOptions) *Report {
	t.Helper()
	in := &compiler.Input{Policies: ps, Inventory: inv, InventoryGiven: true}
	r, err := Lint(t.Context(), in, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// lines spells findings as "CODE severity rule or policy: message; suggestion".
func lines(fs []model.Finding) (out []string) {
	for _, f := range fs {
		about := f.Rule
		if about == "" {
			about = f.Policy
		}
		s := fmt.Sprintf("%s %s %s: %s", f.Code, f.Severity, about, f.Message)
		if f.Field != "" {
			s += " at " + f.Field
		}
		if f.Suggestion != "" {
			s += "; " + f.Suggestion
		}
		out = append(out, s)
	}
	return out
}

func TestPeerAddresses(t *testing.T) {
	ps := policies(t, `
tp a/p 100 app=web
  egress allow service:a/web,service:a/wbe
  egress deny service:a/none,service:nowhere/web
  egress reject service:a/idle,service:a/out,service:a/*
  egress deny workload:b?app=web,workload:a?app=none,fqdn:a.example
  ingress allow namespace:aa
  ingress allow service:a/lonely
`)
	inv := &model.Inventory{
		Pods: []*model.Pod{web("w0")},
		Services: []*model.Service{
			{Namespace: "a", Name: "web", Selector: labels("app", "web")},
			{Namespace: "a", Name: "lonely", ClusterIPs: addr("172.16.0.1")},
			{Namespace: "a", Name: "idle", Selector: labels("app", "none")},
			{Namespace: "a", Name: "out", ExternalName: "x.example"},
		},
	}
	r := lint(t, ps, inv, LintOptions{Only: []model.Code{model.UnknownReference, model.NoAddresses}})
	const p = "TrafficPolicy/a/p"
	want := []string{
		"TP401 warning " + p + "#egress[0]: service a/wbe is not in the inventory: the allow matches no address at spec.egress.rules[0].to[1]; did you mean a/web?",
		`TP401 error ` + p + `#egress[1]: namespace "nowhere" is not in the inventory: the deny matches no address at spec.egress.rules[1].to[1]`,
		"TP401 error " + p + "#egress[1]: service a/none is not in the inventory: the deny matches no address at spec.egress.rules[1].to[0]",
		`TP401 error ` + p + `#egress[3]: namespace "b" is not in the inventory: the deny matches no address at spec.egress.rules[3].to[0]`,
		`TP401 warning ` + p + `#ingress[0]: namespace "aa" is not in the inventory: the allow matches no address at spec.ingress.rules[0].from[0]; did you mean a?`,
		"TP402 warning " + p + "#egress[2]: service a/* includes a Service of type ExternalName, which has no addresses: the reject matches none of its addresses at spec.egress.rules[2].to[2]; name what it points to by cidr, or in egress by fqdn",
		"TP402 warning " + p + "#egress[2]: service a/idle has no addresses just now: the reject matches no address at spec.egress.rules[2].to[0]",
		"TP402 warning " + p + "#egress[2]: service a/out is of type ExternalName, which has no addresses: the reject matches none of its addresses at spec.egress.rules[2].to[1]; name what it points to by cidr, or in egress by fqdn",
		"TP402 warning " + p + "#egress[3]: workload a?app=none has no addresses just now: the deny matches no address at spec.egress.rules[3].to[1]",
		"TP402 warning " + p + "#ingress[1]: service a/lonely has no addresses just now: the allow matches no address at spec.ingress.rules[1].from[0]",
	}
	got := lines(r.Findings)
	if diff := cmp.Diff(sorted(want), sorted(got)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for _, f := range r.Findings {
		if f.Scope != model.InInventory {
			t.Errorf("%s: scope %s", f.Message, f.Scope)
		}
	}
}

func TestWorkloadChecks(t *testing.T) {
	ps := policies(t, `
tp a/web 100 app=web
tp a/none 100 app=none
gtp all 100
`)
	notEnrolled := func(p *model.Pod) { p.Enrolled = false }
	finished := func(p *model.Pod) { p.Phase = model.PodFailed }
	host := func(p *model.Pod) { p.HostNetwork = true }
	noToleration := func(p *model.Pod) { p.VirtualNode = false }
	acs := func(p *model.Pod) { p.Labels = model.NewLabels(map[string]string{"app": "web", acsLabel: "true"}) }
	template := func(meta model.PodMeta) *model.PodTemplate {
		return &model.PodTemplate{Kind: "Deployment", Namespace: "a", Name: "d", PodMeta: meta}
	}
	nothing := "TP403 warning TrafficPolicy/a/none: TrafficPolicy/a/none selects no pod or pod template of namespace a"
	unenrolled := func(n, of int, is, names string) string {
		return fmt.Sprintf("%d of %d selected pods and pod templates %s not enrolled, so that %%[1]s is not enforced there: %s", n, of, is, names)
	}
	both := func(msg string) []string {
		var out []string
		for _, p := range []string{"GlobalTrafficPolicy/all", "TrafficPolicy/a/web"} {
			out = append(out, fmt.Sprintf("TP404 warning %[1]s: "+msg, p))
		}
		return out
	}
	for _, c := range []struct {
		name string
		inv  model.Inventory
		all  bool
		want []string
	}{
		{"no pods given", model.Inventory{Namespaces: []*model.Namespace{{Name: "a"}}}, false, nil},
		{"all well", model.Inventory{Pods: []*model.Pod{web("w")}}, false, []string{nothing}},
		{"not enrolled", model.Inventory{Pods: []*model.Pod{web("w0", notEnrolled), web("w1")}}, false,
			append(both(unenrolled(1, 2, "is", "Pod a/w0")), nothing)},
		{"enrollment=all", model.Inventory{Pods: []*model.Pod{web("w0", notEnrolled)}}, true, []string{nothing}},
		{"finished and hostNetwork pods are selected but not missed", model.Inventory{Pods: []*model.Pod{
			web("w0", notEnrolled, finished), web("w1", notEnrolled, host)}}, false, []string{nothing}},
		{"a template counts", model.Inventory{Templates: []*model.PodTemplate{template(model.PodMeta{Labels: labels("app", "web")})}}, false,
			append(both(unenrolled(1, 1, "is", "Deployment a/d")), nothing)},
		{"many are counted", model.Inventory{Pods: []*model.Pod{
			web("w0", notEnrolled), web("w1", notEnrolled), web("w2", notEnrolled), web("w3", notEnrolled), web("w4", notEnrolled)}}, false,
			append(both(unenrolled(5, 5, "are", "Pod a/w0, Pod a/w1, Pod a/w2 and 2 more")), nothing)},
		{"no ACS", model.Inventory{
			Pods:      []*model.Pod{web("w0", noToleration), web("w1", noToleration, acs), web("w2"), web("w3", noToleration, finished)},
			Templates: []*model.PodTemplate{template(model.PodMeta{Labels: labels("app", "web"), Enrolled: true})}}, false,
			[]string{nothing, "TP406 info : enrolled pods or templates have neither the label alibabacloud.com/acs nor the toleration for virtual nodes: Pod a/w0 and Deployment a/d"}},
	} {
		r := lint(t, ps, &c.inv, LintOptions{
			Options: compiler.Options{AllEnrolled: c.all},
			Only:    []model.Code{model.SelectsNothing, model.NotEnrolled, model.ClusterTooOld, model.NotACS},
		})
		var got []string
		for _, l := range lines(r.Findings) {
			l, _, _ = strings.Cut(l, "; ")
			got = append(got, l)
		}
		if diff := cmp.Diff(sorted(c.want), sorted(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestClusterTooOld(t *testing.T) {
	var nodes []*model.Node
	for i, v := range []string{"v1.20.0", "v1.19.16-aliyun.1", "v1.20.0-rc.1", "", "unknown", "v1.19.16-aliyun.1", "v1.9.3", "v1.31.1", "v2.0.0"} {
		nodes = append(nodes, &model.Node{Name: fmt.Sprintf("n%d", i), KubeletVersion: v, Pos: model.Pos{File: "i", Line: i + 1}})
	}
	r := lint(t, nil, &model.Inventory{Nodes: nodes}, LintOptions{})
	want := []string{
		"TP405 warning : kubelet v1.19.16-aliyun.1 of nodes n1 and n5 is older than 1.20, the oldest version that enforces policies",
		"TP405 warning : kubelet v1.9.3 of node n6 is older than 1.20, the oldest version that enforces policies",
	}
	if diff := cmp.Diff(want, lines(r.Findings)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// Without inventory mode nothing is said of the cluster, also where policy files
// hold objects of it.
func TestLintWithoutInventory(t *testing.T) {
	in := &compiler.Input{
		Policies: policies(t, "tp a/p 100 app=none\n  egress deny service:a/none"),
		Inventory: &model.Inventory{
			Pods:     []*model.Pod{web("w", func(p *model.Pod) { p.Enrolled = false })},
			Services: []*model.Service{{Namespace: "a", Name: "web"}},
			Nodes:    []*model.Node{{Name: "n", KubeletVersion: "v1.9.0"}},
		},
	}
	cluster := LintOptions{Only: []model.Code{"TP401", "TP402", "TP403", "TP404", "TP405", "TP406"}}
	r, err := Lint(t.Context(), in, cluster)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Findings) > 0 {
		t.Errorf("findings %q, want none", lines(r.Findings))
	}
	in.InventoryGiven = true
	if r, err = Lint(t.Context(), in, cluster); err != nil || len(r.Findings) == 0 {
		t.Errorf("with an inventory: %v, error %v, want findings", r, err)
	}
}

func TestLintReport(t *testing.T) {
	at := func(c model.Code, line int) model.Finding {
		return model.NewFinding(c, model.Pos{File: "p", Line: line}, "m")
	}
	in := &compiler.Input{
		Policies:  policies(t, "tp a/p 100\n  egress deny 10.0.0.0/8\n  ingress allow 10.0.0.0/8\n  ingress deny 10.0.0.0/8"),
		Inventory: &model.Inventory{},
		Findings:  []model.Finding{at(model.InvalidValue, 9), at(model.CIDRForm, 3), at(model.UnknownField, 9), at(model.ImplicitDefault, 1)},
		Files:     4,
	}
	for _, c := range []struct {
		name          string
		only, disable []model.Code
		want          string
		summary       Summary
		hidden        int
	}{
		{"all", nil, nil, "TP011 TP010 TP002 TP003", Summary{Files: 4, Policies: 1, Rules: 3, Errors: 2, Warnings: 2}, 0},
		{"only", []model.Code{"TP010", "TP003"}, nil, "TP010 TP003", Summary{Files: 4, Policies: 1, Rules: 3, Errors: 1, Warnings: 1}, 1},
		{"disable", nil, []model.Code{"TP010", "TP003"}, "TP011 TP002", Summary{Files: 4, Policies: 1, Rules: 3, Errors: 1, Warnings: 1}, 1},
		{"both", []model.Code{"TP010", "TP003"}, []model.Code{"TP003"}, "TP010", Summary{Files: 4, Policies: 1, Rules: 3, Warnings: 1}, 2},
		{"nothing left", []model.Code{"TP606"}, nil, "", Summary{Files: 4, Policies: 1, Rules: 3}, 2},
	} {
		// The checks of the policies themselves are not the matter here.
		input := LintOptions{Only: c.only, Disable: c.disable}
		if len(input.Only) == 0 {
			input.Only = []model.Code{"TP002", "TP003", "TP010", "TP011"}
		}
		r, err := Lint(t.Context(), in, input)
		if err != nil {
			t.Fatal(err)
		}
		var codes []string
		for _, f := range r.Findings {
			codes = append(codes, string(f.Code))
		}
		if got := strings.Join(codes, " "); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
		if diff := cmp.Diff(c.summary, r.Summary); diff != "" {
			t.Errorf("%s: summary (-want +got):\n%s", c.name, diff)
		}
		if r.HiddenInvalid != c.hidden {
			t.Errorf("%s: %d hidden, want %d", c.name, r.HiddenInvalid, c.hidden)
		}
		if r.Findings == nil {
			t.Errorf("%s: findings are nil, want an empty list", c.name)
		}
	}
}

func TestLintCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Lint(ctx, &compiler.Input{Inventory: &model.Inventory{}}, LintOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
}

// Every check names codes that exist, and no code has two checks.
func TestChecks(t *testing.T) {
	seen := map[model.Code]bool{}
	for _, c := range checks {
		for _, code := range c.codes {
			if code.Info().Name == "" {
				t.Errorf("%q is no code", code)
			}
			if seen[code] {
				t.Errorf("%s has two checks", code)
			}
			seen[code] = true
		}
	}
}

func sorted(s []string) []string { return slices.Sorted(slices.Values(s)) }
