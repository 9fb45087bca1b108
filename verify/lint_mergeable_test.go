package verify

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/internal/synth"
	"github.com/trafficpolicy/trafficpolicy/model"
)

func TestMergeable(t *testing.T) {
	for _, c := range []struct {
		name, policies string
		want           []string // names of the policies that could be one
	}{
		{"two", "tp a/p 100 app=web\n egress allow 10.0.0.0/8\ntp a/q 100 app=web\n egress deny 10.0.0.0/8", []string{"p q"}},
		{"three, and a pair", "tp a/p 1\ntp a/q 1\ntp a/r 1\ntp b/p 1 x=y\ntp b/q 1 x=y", []string{"p q", "p q r"}}, // as their messages sort
		{"another priority", "tp a/p 100 app=web\ntp a/q 101 app=web", nil},
		{"another namespace", "tp a/p 100 app=web\ntp b/q 100 app=web", nil},
		{"another selector", "tp a/p 100 app=web\ntp a/q 100 app=web env=prod", nil},
		{"another kind", "tp a/p 100 app=web\ngtp q 100 app=web", nil},
		{"of the cluster", "gtp p 100 app=web\ngtp q 100 app=web", []string{"p q"}},
		{"selectors of one meaning", "tp a/p 100 app=web\ntp a/q 100 app:in(web)\ntp a/r 100 app:in(web|db) app:notin(db) app:exists", []string{"p q r"}},
		{"selectors that nothing meets", "tp a/p 100 app=web app:absent\ntp a/q 100 app=web app:absent", nil},
		{"one between that decides otherwise",
			"tp a/p 100 app=web\n egress allow 10.0.0.0/8\ntp a/q 100 env=prod\n egress deny 10.1.0.0/16\ntp a/r 100 app=web\n egress allow 10.1.0.0/16", nil},
		{"one between that decides other packets",
			"tp a/p 100 app=web\n egress allow 10.0.0.0/8\ntp a/q 100 env=prod\n egress deny 10.1.0.0/16\ntp a/r 100 app=web\n egress allow 10.2.0.0/16", []string{"p r"}},
		{"one between that decides the same",
			"tp a/p 100 app=web\n egress allow 10.0.0.0/8\ntp a/q 100 env=prod\n egress allow 10.1.0.0/16\ntp a/r 100 app=web\n egress allow 10.1.0.0/16", []string{"p r"}},
		{"one between that no pod has too",
			"tp a/p 100 app=web\n egress allow 10.0.0.0/8\ntp a/q 100 app=db\n egress deny 10.1.0.0/16\ntp a/r 100 app=web\n egress allow 10.1.0.0/16", []string{"p r"}},
		{"one between, behind one that takes the packets",
			"tp a/o 1 app=web\n egress deny 10.1.0.0/16\ntp a/p 100 app=web\n egress allow 10.0.0.0/8\ntp a/q 100 env=prod\n egress deny 10.1.0.0/16\ntp a/r 100 app=web\n egress allow 10.1.0.0/16", []string{"p r"}},
		{"one outside that decides otherwise",
			"tp a/p 100 app=web\n egress allow 10.0.0.0/8\ntp a/r 100 app=web\n egress allow 10.1.0.0/16\ntp a/s 100 env=prod\n egress deny 10.1.0.0/16", []string{"p r"}},
		{"two runs", "tp a/p 100 app=web\ntp a/p1 100 app=web\ntp a/q 100 env=prod\n egress deny 10.1.0.0/16\ntp a/r 100 app=web\n egress allow 10.1.0.0/16\ntp a/s 100 app=web", []string{"p p1", "r s"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, f := range only(t, model.Mergeable, c.policies, compiler.Options{}) {
				got = append(got, strings.Join(mergedNames(&f), " "))
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// mergedNames returns the names of the policies of a finding.
func mergedNames(f *model.Finding) (names []string) {
	for _, ref := range mergedRefs(f) {
		names = append(names, ref[strings.LastIndexByte(ref, '/')+1:])
	}
	return names
}

func mergedRefs(f *model.Finding) []string {
	refs := []string{f.Policy}
	for _, r := range f.Related {
		refs = append(refs, r.Policy)
	}
	return refs
}

// suggested reads the policy that a finding suggests.
func suggested(t *testing.T, f *model.Finding) *model.Policy {
	t.Helper()
	path := filepath.Join(t.TempDir(), "merged.yaml")
	if err := os.WriteFile(path, []byte(f.Suggestion), 0o644); err != nil {
		t.Fatal(err)
	}
	in, err := compiler.Load(t.Context(), compiler.LoadOptions{Policies: []string{path}})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range in.Findings {
		if f.Code != model.ImplicitDefault { // an empty peer list stays one
			t.Errorf("the suggestion has %s: %s", f.Code, f.Message)
		}
	}
	if len(in.Policies) != 1 {
		t.Fatalf("the suggestion has %d policies:\n%s", len(in.Policies), f.Suggestion)
	}
	return in.Policies[0]
}

// alike returns the cluster of seed with few selectors and priorities, so that many
// policies could be one.
func alike(seed uint64) *synth.Cluster {
	c := synth.Dense(seed)
	for i, p := range c.Policies {
		p.Priority, p.Namespace = 100, strings.Replace(p.Namespace, "b", "a", 1)
		if i > 1 {
			p.Selector = c.Policies[i%2].Selector
		}
	}
	slices.SortFunc(c.Policies, model.ComparePolicies)
	return c
}

// TestMergedDecidesTheSame holds that the suggestion can be taken as it is.
func TestMergedDecidesTheSame(t *testing.T) {
	n := 0
	for seed := range uint64(soak(t, 150)) {
		c := alike(seed)
		o := LintOptions{Only: []model.Code{model.Mergeable}}
		o.IsolateByDirection = seed%2 == 0
		before := &compiler.Input{Policies: c.Policies, Inventory: &model.Inventory{}}
		r := lintInput(t, before, o)
		after := slices.Clone(c.Policies)
		for i := range r.Findings {
			f := &r.Findings[i]
			n++
			after = slices.DeleteFunc(after, func(p *model.Policy) bool { return slices.Contains(mergedRefs(f), p.Ref()) })
			after = append(after, suggested(t, f))
		}
		slices.SortFunc(after, model.ComparePolicies)
		d, err := Compare(t.Context(), before, &compiler.Input{Policies: after, Inventory: &model.Inventory{}}, o.Options)
		if err != nil {
			t.Fatal(err)
		}
		if !d.Same {
			t.Fatalf("seed %d: merged, the policies decide otherwise: %+v\n%s", seed, d.Classes, c.PolicyYAML())
		}
	}
	if n < 100 {
		t.Errorf("%d merged policies, too few to tell", n)
	}
}

func TestMergedYAML(t *testing.T) {
	f := only(t, model.Mergeable, `
gtp p 7 app=web env:notin(dev|test) x:exists
  ingress
  egress reject fqdn:x.example,10.0.0.0/8 tcp/80,tcp/81-90,udp,icmp
gtp q 7 env:notin(test|dev) x:exists app:in(web)
  egress deny any
  ingress allow namespace:a,workload:b?k=true,workload:b,service:a/*
`, compiler.Options{Families: compiler.FamiliesDual})
	want := `# decides the same, in place of all of them
apiVersion: network.alibabacloud.com/v1alpha1
kind: GlobalTrafficPolicy
metadata:
  name: p
spec:
  priority: 7
  selector:
    matchLabels: {app: web}
    matchExpressions:
      - key: env
        operator: NotIn
        values: [dev, test]
      - key: x
        operator: Exists
  ingress:
    rules:
      - action: allow
        from:
          - namespace: a
          - workload: {namespace: b, selector: {k: "true"}}
          - workload: {namespace: b, selector: {}}
          - service: {namespace: a, name: '*'}
  egress:
    rules:
      - action: reject
        to:
          - fqdn: x.example
          - cidr: 10.0.0.0/8
        ports:
          - protocol: TCP
            port: 80
          - protocol: TCP
            port: 81
            endPort: 90
          - protocol: UDP
          - protocol: ICMP
      - action: deny`
	if len(f) != 1 {
		t.Fatalf("findings %q", lines(f))
	}
	if diff := cmp.Diff(want, f[0].Suggestion); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	suggested(t, &f[0])

	// A section without rules is declared, a selector without conditions selects all.
	f = only(t, model.Mergeable, "tp a/p 7\n ingress\ntp a/q 7", compiler.Options{})
	if p := suggested(t, &f[0]); p.Ingress == nil || p.Egress != nil || !p.Selector.Empty() {
		t.Errorf("ingress %v, egress %v, selector %v from\n%s", p.Ingress, p.Egress, p.Selector, f[0].Suggestion)
	}
}
