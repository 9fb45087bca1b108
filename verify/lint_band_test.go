package verify

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// only lints policies without an inventory for one code.
func only(t *testing.T, code model.Code, text string, o compiler.Options) []model.Finding {
	t.Helper()
	in := &compiler.Input{Policies: slices.SortedFunc(slices.Values(policies(t, text)), model.ComparePolicies), Inventory: &model.Inventory{}}
	return lintInput(t, in, LintOptions{Options: o, Only: []model.Code{code}}).Findings
}

func lintInput(t *testing.T, in *compiler.Input, o LintOptions) *Report {
	t.Helper()
	r, err := Lint(t.Context(), in, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range r.Unchecked {
		t.Error(u.String())
	}
	return r
}

func TestPriorityBands(t *testing.T) {
	const (
		infrastructure = "1-49"
		business       = "50-499"
		application    = "50-200"
		either         = "50-200 500-1000"
		global         = "50-499 500-1000"
		fallback       = "500-1000"
		baseline       = "1000-1000"
		anywhere       = "1-1000"
	)
	for _, c := range []struct{ name, policy, bands string }{
		{"DNS and monitoring", "tp a/p %d\n egress allow service:kube-system/kube-dns\n egress allow service:monitoring/prometheus", infrastructure},
		{"DNS by port", "tp a/p %d\n egress allow 0.0.0.0/0 udp/53,tcp/53", infrastructure},
		{"more than DNS by port", "tp a/p %d\n egress allow 0.0.0.0/0 udp/53,tcp/853", either},
		{"a resolver by address", "tp a/p %d\n egress allow 169.254.20.10/32,100.100.2.136/32", infrastructure},
		{"more than a resolver", "tp a/p %d\n egress allow 169.254.20.0/24", business},
		{"scraping", "tp a/p %d\n ingress allow namespace:monitoring\n ingress allow workload:kube-system?app=agent", infrastructure},
		{"global DNS", "gtp p %d\n egress allow service:kube-system/kube-dns", infrastructure},
		{"a Service", "tp a/p %d app=web\n egress allow service:a/redis", business},
		{"a name", "tp a/p %d app=web\n egress allow fqdn:x.example", business},
		{"a block", "tp a/p %d app=web\n egress allow 10.0.0.0/8", business},
		{"DNS beside a Service", "tp a/p %d\n egress allow service:kube-system/kube-dns\n egress allow service:a/redis", business},
		{"a Service or DNS in one rule", "tp a/p %d\n egress allow service:kube-system/kube-dns,service:a/redis", business},
		{"a Service, with a denial", "tp a/p %d\n egress deny 10.0.0.0/8\n egress allow service:a/redis", business},
		{"a Service for every pod", "gtp p %d\n egress allow service:a/redis", business},
		{"an application", "tp a/p %d app=web\n ingress allow service:a/gw\n ingress deny 0.0.0.0/0", application},
		{"an application that may go anywhere", "tp a/p %d app=web\n egress allow service:a/redis\n egress allow 0.0.0.0/0", application},
		{"an application across namespaces", "gtp p %d app=web\n ingress allow service:a/gw\n ingress deny 0.0.0.0/0", global},
		{"DNS and the public network", "tp a/p %d app=web\n egress allow service:kube-system/kube-dns\n egress allow 0.0.0.0/0", either},
		{"not the private network", "tp a/p %d app=web\n egress deny 10.0.0.0/8\n egress allow 0.0.0.0/0", either},
		{"the public network on a port", "tp a/p %d app=web\n egress allow 0.0.0.0/0 tcp/443", either},
		{"the public network", "tp a/p %d app=web\n egress allow 0.0.0.0/0", fallback},
		{"the public network in two halves", "tp a/p %d app=web\n egress allow 0.0.0.0/1,128.0.0.0/1", fallback},
		{"half of it", "tp a/p %d app=web\n egress allow 0.0.0.0/1", business},
		{"everybody", "tp a/p %d app=web\n egress allow any\n ingress allow any", fallback},
		{"nobody", "tp a/p %d\n egress deny ::/0\n ingress reject 0.0.0.0/0", fallback},
		{"nobody, for some pods of the cluster", "gtp p %d app=web\n egress deny 0.0.0.0/0", fallback},
		{"a baseline", "gtp p %d\n ingress deny 10.8.0.0/16\n ingress allow 0.0.0.0/0\n egress allow 0.0.0.0/0", baseline},
		{"a baseline that only denies", "gtp p %d\n egress deny 100.100.100.200/32", baseline},
		{"a baseline that only opens", "gtp p %d\n egress allow 0.0.0.0/0", baseline},
		{"a baseline with an exception", "gtp p %d\n ingress allow 10.8.1.0/24\n ingress deny 10.8.0.0/16", baseline},
		{"a guard", "tp a/p %d\n egress deny 100.100.100.200/32", anywhere},
		{"a guard on a port", "tp a/p %d\n egress deny 0.0.0.0/0 tcp/25", anywhere},
		{"a guard for some pods of the cluster", "gtp p %d app=web\n egress deny 100.100.100.200/32", anywhere},
		{"a guard beside DNS", "tp a/p %d\n egress deny 10.0.0.0/8\n egress allow service:kube-system/kube-dns", anywhere},
		{"no rules", "tp a/p %d\n egress\n ingress", anywhere},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, priority := range []int{1, 49, 50, 200, 201, 499, 500, 999, 1000} {
				inside := false
				for band := range strings.FieldsSeq(c.bands) {
					var first, last int
					if _, err := fmt.Sscanf(band, "%d-%d", &first, &last); err != nil {
						t.Fatal(err)
					}
					inside = inside || first <= priority && priority <= last
				}
				found := only(t, model.PriorityBand, fmt.Sprintf(c.policy, priority), compiler.Options{})
				if (len(found) == 0) != inside {
					t.Errorf("priority %d: findings %q, want inside=%t", priority, lines(found), inside)
				}
			}
		})
	}
}

// The guide keeps to its own bands.
func TestPriorityBandsOfTheGuide(t *testing.T) {
	files, err := filepath.Glob("../testdata/corpus/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	in, err := compiler.Load(t.Context(), compiler.LoadOptions{Policies: files})
	if err != nil {
		t.Fatal(err)
	}
	r := lintInput(t, in, LintOptions{Only: []model.Code{model.PriorityBand}})
	if len(r.Findings) > 0 || r.Summary.Policies == 0 {
		t.Errorf("%d policies, findings %q", r.Summary.Policies, lines(r.Findings))
	}
}

func TestPriorityBandWords(t *testing.T) {
	got := lines(append(
		only(t, model.PriorityBand, "tp a/p 900\n egress allow service:kube-system/kube-dns\n egress allow 0.0.0.0/0\ntp a/q 300\n egress deny 10.0.0.0/8\n egress allow any", compiler.Options{}),
		only(t, model.PriorityBand, "gtp b 10\n egress deny 10.0.0.0/8", compiler.Options{})...))
	want := []string{
		"TP601 info TrafficPolicy/a/q: TrafficPolicy/a/q decides for every address, and allows no business service: the guide recommends priority 50 to 200 or 500 to 1000 for that, not 300 at spec.priority; give it priority 50 to 200 or 500 to 1000",
		"TP601 info GlobalTrafficPolicy/b: GlobalTrafficPolicy/b is a baseline for every pod of the cluster: the guide recommends priority 1000 for that, not 10 at spec.priority; give it priority 1000, or accept it with # trafficpolicy:ignore TP601 REASON where no TrafficPolicy may reopen what it denies",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got %q, want %q", got, want)
	}
}
