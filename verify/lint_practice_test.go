package verify

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// brief spells findings as "RULE.PEER < related, related | packet", without
// "TrafficPolicy/".
func brief(fs []model.Finding) (out []string) {
	for i := range fs {
		f := &fs[i]
		s := f.Rule
		if entry := f.Field[strings.LastIndexByte(f.Field, '.'):]; !strings.HasPrefix(entry, ".rules") {
			s += entry
		}
		for i, r := range f.Related {
			s += []string{" < ", ", "}[min(i, 1)] + r.Rule
		}
		out = append(out, fmt.Sprintf("%s | %s %s %s %d", strings.ReplaceAll(s, "TrafficPolicy/", ""), f.Witness.Src, f.Witness.Dst, f.Witness.Proto, f.Witness.Port))
	}
	return out
}

func TestNamesOverlap(t *testing.T) {
	known := compiler.Options{Resolve: map[string][]netip.Addr{
		"x.example": {netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")},
		"y.example": {netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("192.0.2.3"), netip.MustParseAddr("2001:db8::1")},
		"z.example": {netip.MustParseAddr("192.0.2.3"), netip.MustParseAddr("2001:db8::1")},
	}}
	ipv4 := known
	ipv4.Families = compiler.FamiliesIPv4
	for _, c := range []struct {
		name, policies string
		o              compiler.Options
		want           []string
	}{
		{"allowed, then denied", "tp a/p 1\n egress allow fqdn:x.example\n egress deny fqdn:y.example", known,
			[]string{"a/p#egress[1].to[0] < a/p#egress[0] | a? 192.0.2.2 TCP 0"}},
		{"denied, then allowed", "tp a/p 1\n egress reject fqdn:x.example\n egress allow fqdn:y.example", known,
			[]string{"a/p#egress[1].to[0] < a/p#egress[0] | a? 192.0.2.2 TCP 0"}},
		{"decided alike", "tp a/p 1\n egress deny fqdn:x.example\n egress reject fqdn:y.example", known, nil},
		{"no address in common", "tp a/p 1\n egress allow fqdn:x.example\n egress deny fqdn:z.example", known, nil},
		{"addresses not known", "tp a/p 1\n egress allow fqdn:x.example\n egress deny fqdn:y.example", compiler.Options{}, nil},
		{"the same name", "tp a/p 1\n egress allow fqdn:x.example\n egress deny fqdn:x.example", known, nil},
		{"ports in common", "tp a/p 1\n egress allow fqdn:x.example tcp/80-90\n egress deny fqdn:y.example tcp/90-99", known,
			[]string{"a/p#egress[1].to[0] < a/p#egress[0] | a? 192.0.2.2 TCP 90"}},
		{"no ports in common", "tp a/p 1\n egress allow fqdn:x.example tcp/80-90\n egress deny fqdn:y.example tcp/91-99", known, nil},
		{"a family that is analysed", "tp a/p 1\n egress allow fqdn:y.example\n egress deny 192.0.2.3/32\n egress deny fqdn:z.example", known,
			[]string{"a/p#egress[2].to[0] < a/p#egress[0] | a? 192.0.2.3 TCP 0"}},
		{"one that is not", "tp a/p 1\n egress allow 192.0.2.0/24\n egress allow fqdn:y.example\n egress deny fqdn:z.example", ipv4, nil},
		{"and with it", "tp a/p 1\n egress allow 192.0.2.0/24\n egress allow fqdn:y.example\n egress deny fqdn:z.example", known,
			[]string{"a/p#egress[2].to[0] < a/p#egress[1] | a? 2001:db8::1 TCP 0"}},
		{"taken before both", "tp a/p 1\n egress deny 192.0.2.2/32\n egress allow fqdn:x.example\n egress deny fqdn:y.example", known, nil},
		{"taken before both on some ports", "tp a/p 1\n egress deny 192.0.2.2/32 tcp\n egress allow fqdn:x.example\n egress deny fqdn:y.example", known,
			[]string{"a/p#egress[2].to[0] < a/p#egress[1] | a? 192.0.2.2 UDP 0"}},
		{"allowed without the name", "tp a/p 1\n egress allow fqdn:x.example,192.0.2.0/24\n egress deny fqdn:y.example", known, nil},
		{"allowed between", "tp a/p 1\n egress allow fqdn:x.example\n egress allow 192.0.2.0/24\n egress deny fqdn:y.example", known, nil},
		{"denied between", "tp a/p 1\n egress allow fqdn:x.example\n egress deny 0.0.0.0/0\n egress deny fqdn:y.example", known,
			[]string{"a/p#egress[2].to[0] < a/p#egress[0] | a? 192.0.2.2 TCP 0"}},
		{"decided before by its own name", "tp a/p 1\n egress allow fqdn:x.example,fqdn:y.example\n egress deny fqdn:y.example", known, nil},
		{"two policies", "tp a/p 1 app=web\n egress allow fqdn:x.example\ngtp q 5 env=prod\n egress deny fqdn:y.example", known,
			[]string{"Globalq#egress[0].to[0] < a/p#egress[0] | a?app=web,env=prod 192.0.2.2 TCP 0"}},
		{"two policies that no pod has", "tp a/p 1 app=web\n egress allow fqdn:x.example\ngtp q 5 app=db\n egress deny fqdn:y.example", known, nil},
		{"two policies of two namespaces", "tp a/p 1\n egress allow fqdn:x.example\ntp b/q 5\n egress deny fqdn:y.example", known, nil},
		{"one between at every pod", "tp a/p 1 app=web\n egress allow fqdn:x.example\ngtp o 3\n egress allow 0.0.0.0/0\ngtp q 5 env=prod\n egress deny fqdn:y.example", known, nil},
		{"one between at some pods", "tp a/p 1 app=web\n egress allow fqdn:x.example\ngtp o 3 tier=x\n egress allow 0.0.0.0/0\ngtp q 5 env=prod\n egress deny fqdn:y.example", known,
			[]string{"Globalq#egress[0].to[0] < a/p#egress[0] | a?app=web,env=prod 192.0.2.2 TCP 0"}},
		{"several before", "tp a/p 1\n egress allow fqdn:x.example tcp\n egress allow fqdn:x.example\n egress deny fqdn:y.example", known,
			[]string{"a/p#egress[2].to[0] < a/p#egress[0], a/p#egress[1] | a? 192.0.2.2 TCP 0"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, brief(only(t, model.FQDNOverlap, c.policies, c.o))); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestNamesBeforeDenials(t *testing.T) {
	for _, c := range []struct {
		name, policies string
		want           []string
	}{
		{"before a private range", "tp a/p 1\n egress allow fqdn:x.example\n egress deny 10.0.0.0/8",
			[]string{"a/p#egress[0].to[0] < a/p#egress[1] | a? 10.0.0.0 TCP 0"}},
		{"behind it", "tp a/p 1\n egress deny 10.0.0.0/8\n egress allow fqdn:x.example", nil},
		{"before the metadata service", "tp a/p 1\n egress allow fqdn:x.example\n egress reject 100.100.100.200/32",
			[]string{"a/p#egress[0].to[0] < a/p#egress[1] | a? 100.100.100.200 TCP 0"}},
		{"before the other metadata service", "tp a/p 1\n egress allow fqdn:x.example\n egress deny 169.254.0.0/16",
			[]string{"a/p#egress[0].to[0] < a/p#egress[1] | a? 169.254.169.254 TCP 0"}},
		{"before a part of a range", "tp a/p 1\n egress allow fqdn:x.example\n egress deny 172.31.255.255/32",
			[]string{"a/p#egress[0].to[0] < a/p#egress[1] | a? 172.31.255.255 TCP 0"}},
		{"before what is beside a range", "tp a/p 1\n egress allow fqdn:x.example\n egress deny 172.32.0.0/16,11.0.0.0/8,169.254.169.253/32,100.128.0.0/9", nil},
		{"before more than a range", "tp a/p 1\n egress allow fqdn:x.example\n egress deny 192.0.0.0/8",
			[]string{"a/p#egress[0].to[0] < a/p#egress[1] | a? 192.168.0.0 TCP 0"}},
		{"before a denial of everything", "tp a/p 1\n egress allow fqdn:x.example\n egress deny 0.0.0.0/0", nil},
		{"before a denial of everyone", "tp a/p 1\n egress allow fqdn:x.example\n egress deny any", nil},
		{"before everything in two halves", "tp a/p 1\n egress allow fqdn:x.example\n egress deny 0.0.0.0/1,128.0.0.0/1", nil},
		{"before half of everything", "tp a/p 1\n egress allow fqdn:x.example\n egress deny 0.0.0.0/1",
			[]string{"a/p#egress[0].to[0] < a/p#egress[1] | a? 10.0.0.0 TCP 0"}},
		{"before the default deny", "tp a/p 1\n egress allow fqdn:x.example", nil},
		{"before an allow", "tp a/p 1\n egress allow fqdn:x.example\n egress allow 10.0.0.0/8", nil},
		{"denied, not allowed", "tp a/p 1\n egress deny fqdn:x.example\n egress deny 10.0.0.0/8", nil},
		{"on ports in common", "tp a/p 1\n egress allow fqdn:x.example tcp/80-443\n egress deny 10.0.0.0/8 tcp/443-445",
			[]string{"a/p#egress[0].to[0] < a/p#egress[1] | a? 10.0.0.0 TCP 443"}},
		{"on no ports in common", "tp a/p 1\n egress allow fqdn:x.example tcp/80-442\n egress deny 10.0.0.0/8 tcp/443-445", nil},
		{"all opened are named", "tp a/p 1\n egress allow fqdn:x.example\n egress deny 100.100.100.200/32\n egress deny 10.0.0.0/8\n egress deny 10.0.0.0/9\n egress deny 192.168.0.0/16",
			[]string{"a/p#egress[0].to[0] < a/p#egress[1], a/p#egress[2], a/p#egress[4] | a? 100.100.100.200 TCP 0"}},
		{"one opened before already", "tp a/p 1\n egress allow 10.0.0.0/8\n egress allow fqdn:x.example\n egress deny 10.0.0.0/8", nil},
		{"one opened in part before", "tp a/p 1\n egress allow 10.0.0.0/9\n egress allow fqdn:x.example\n egress deny 10.0.0.0/8",
			[]string{"a/p#egress[1].to[0] < a/p#egress[2] | a? 10.128.0.0 TCP 0"}},
		{"an allow between", "tp a/p 1\n egress allow fqdn:x.example\n egress allow 0.0.0.0/0\n egress deny 10.0.0.0/8", nil},
		{"everything denied between", "tp a/p 1\n egress allow fqdn:x.example\n egress deny 0.0.0.0/0\n egress deny 10.0.0.0/8", nil},
		{"the name was denied before", "tp a/p 1\n egress deny fqdn:x.example tcp\n egress allow fqdn:x.example\n egress deny 10.0.0.0/8",
			[]string{"a/p#egress[1].to[0] < a/p#egress[2] | a? 10.0.0.0 UDP 0"}},
		{"the name was allowed before", "tp a/p 1\n egress allow fqdn:x.example\n egress allow fqdn:x.example,fqdn:y.example\n egress deny 10.0.0.0/8",
			[]string{"a/p#egress[0].to[0] < a/p#egress[2] | a? 10.0.0.0 TCP 0", "a/p#egress[1].to[1] < a/p#egress[2] | a? 10.0.0.0 TCP 0"}},
		{"a global denial", "tp a/p 100 app=web\n egress allow fqdn:x.example\ngtp g 1000\n egress deny 10.0.0.0/8",
			[]string{"a/p#egress[0].to[0] < Globalg#egress[0] | a?app=web 10.0.0.0 TCP 0"}},
		{"a global denial that comes first", "tp a/p 100 app=web\n egress allow fqdn:x.example\ngtp g 100\n egress deny 10.0.0.0/8", nil},
		{"a denial for other pods", "tp a/p 100 app=web\n egress allow fqdn:x.example\ntp a/q 200 app=db\n egress deny 10.0.0.0/8", nil},
		{"a denial for some of the pods", "tp a/p 100 app=web\n egress allow fqdn:x.example\ntp a/q 200 env=prod\n egress deny 10.0.0.0/8",
			[]string{"a/p#egress[0].to[0] < a/q#egress[0] | a?app=web,env=prod 10.0.0.0 TCP 0"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, o := range []compiler.Options{{}, {Resolve: map[string][]netip.Addr{"x.example": addr("192.0.2.1")}}} {
				if diff := cmp.Diff(c.want, brief(only(t, model.FQDNFirst, c.policies, o))); diff != "" {
					t.Errorf("resolved %d names (-want +got):\n%s", len(o.Resolve), diff)
				}
			}
		})
	}
}

func TestOverriddenBaselines(t *testing.T) {
	for _, c := range []struct {
		name, policies string
		want           []string
	}{
		{"an exception", "gtp g 1000\n egress deny 10.0.0.0/8\ntp a/p 100 app=web\n egress allow 10.1.0.0/16",
			[]string{"Globalg#egress[0] < a/p#egress[0] | a?app=web 10.1.0.0 TCP 0"}},
		{"of smaller priority", "gtp g 100\n egress deny 10.0.0.0/8\ntp a/p 101 app=web\n egress allow 10.1.0.0/16", nil},
		{"of equal priority", "gtp g 100\n egress deny 10.0.0.0/8\ntp a/p 100 app=web\n egress allow 10.1.0.0/16", nil},
		{"of greater priority by one", "gtp g 100\n egress reject 10.0.0.0/8\ntp a/p 99 app=web\n egress allow 10.1.0.0/16",
			[]string{"Globalg#egress[0] < a/p#egress[0] | a?app=web 10.1.0.0 TCP 0"}},
		{"of other packets", "gtp g 1000\n egress deny 10.0.0.0/8 tcp\ntp a/p 100 app=web\n egress allow 10.1.0.0/16 udp\n egress allow 11.0.0.0/8", nil},
		{"in the other direction", "gtp g 1000\n ingress deny 10.0.0.0/8\ntp a/p 100 app=web\n egress allow 10.1.0.0/16", nil},
		{"for other pods", "gtp g 1000 app=db\n egress deny 10.0.0.0/8\ntp a/p 100 app=web\n egress allow 10.1.0.0/16", nil},
		{"for some of the pods", "gtp g 1000 env=prod\n egress deny 10.0.0.0/8\ntp a/p 100 app=web\n egress allow 10.1.0.0/16",
			[]string{"Globalg#egress[0] < a/p#egress[0] | a?app=web,env=prod 10.1.0.0 TCP 0"}},
		{"by another global policy", "gtp g 1000\n egress deny 10.0.0.0/8\ngtp h 10\n egress allow 10.1.0.0/16", nil},
		{"allowed by global policies anyway", "gtp g 1000\n egress deny 10.0.0.0/8\ngtp h 500\n egress allow 10.1.0.0/16\ntp a/p 100 app=web\n egress allow 10.1.0.0/16", nil},
		{"allowed by the policy itself", "gtp g 1000\n egress allow 10.1.0.0/16\n egress deny 10.0.0.0/8\ntp a/p 100 app=web\n egress allow 10.1.0.0/16", nil},
		{"denied by the application itself first", "gtp g 1000\n egress deny 10.0.0.0/8\ntp a/p 100 app=web\n egress deny 10.1.0.0/16\n egress allow 10.1.0.0/16", nil},
		{"each denial by itself", "gtp g 1000\n egress deny 10.0.0.0/8\n egress deny 192.168.0.0/16\n egress deny 172.16.0.0/12\ntp a/p 100 app=web\n egress allow 10.1.0.0/16,192.168.1.0/24",
			[]string{"Globalg#egress[0] < a/p#egress[0] | a?app=web 10.1.0.0 TCP 0", "Globalg#egress[1] < a/p#egress[0] | a?app=web 192.168.1.0 TCP 0"}},
		{"all policies are named, the most specific first", "gtp g 1000\n egress deny 10.0.0.0/8\ntp a/p 100 app=web\n egress allow 0.0.0.0/0 tcp\ntp a/q 200 app=db\n egress allow 10.2.0.3/32 udp\ntp b/r 50\n egress allow 10.3.0.0/24",
			[]string{"Globalg#egress[0] < a/q#egress[0], b/r#egress[0], a/p#egress[0] | a?app=db 10.2.0.3 UDP 0"}},
		{"everything, by an exception", "gtp g 1000\n egress deny 0.0.0.0/0\ntp a/p 100 app=web\n egress allow 10.1.0.0/16",
			[]string{"Globalg#egress[0] < a/p#egress[0] | a?app=web 10.1.0.0 TCP 0"}},
		{"everything, by a name of unknown addresses", "gtp g 1000\n egress deny any\ntp a/p 100 app=web\n egress allow service:a/db tcp/5432",
			[]string{"Globalg#egress[0] < a/p#egress[0] | a?app=web 0.0.0.0 TCP 5432"}},
		{"a range, by a name that may have addresses in it", "gtp g 1000\n egress deny 10.0.0.0/8\ntp a/p 100 app=web\n egress allow service:a/db tcp/5432", nil},
		{"a name, by an exception that it may have", "gtp g 1000\n egress deny fqdn:x.example\ntp a/p 100 app=web\n egress allow 10.0.0.0/8", nil},
		{"a name that is denied, by itself", "gtp g 1000\n egress deny fqdn:x.example\ntp a/p 100 app=web\n egress allow fqdn:x.example",
			[]string{"Globalg#egress[0] < a/p#egress[0] | a?app=web 0.0.0.0 TCP 0"}},
		{"a name that is denied, by everything", "gtp g 1000\n egress deny fqdn:x.example tcp/443\ntp a/p 100 app=web\n egress allow 0.0.0.0/0",
			[]string{"Globalg#egress[0] < a/p#egress[0] | a?app=web 0.0.0.0 TCP 443"}},
		{"a name that is denied, by another", "gtp g 1000\n egress deny service:a/x\ntp a/p 100 app=web\n egress allow service:a/y", nil},
		{"a name that is denied where it is not allowed", "gtp g 1000\n egress allow fqdn:x.example tcp\n egress deny fqdn:x.example\ntp a/p 100 app=web\n egress allow fqdn:x.example tcp", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, brief(only(t, model.BaselineOverridden, c.policies, compiler.Options{}))); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// What a name has is known of the inventory, and so are the pods.
func TestOverriddenBaselinesOfTheInventory(t *testing.T) {
	const text = "gtp g 1000\n egress deny 10.0.0.0/8\ntp a/p 100 app=web\n egress allow service:a/db"
	db := func(a string) *model.Service { return &model.Service{Namespace: "a", Name: "db", ClusterIPs: addr(a)} }
	for _, c := range []struct {
		name string
		inv  *model.Inventory
		want []string
	}{
		{"in the range", &model.Inventory{Services: []*model.Service{db("10.9.9.9")}, Pods: []*model.Pod{web("w")}},
			[]string{"Globalg#egress[0] < a/p#egress[0] | a/w 10.9.9.9 TCP 0"}},
		{"outside of it", &model.Inventory{Services: []*model.Service{db("11.9.9.9")}, Pods: []*model.Pod{web("w")}}, nil},
		{"no such pod", &model.Inventory{Services: []*model.Service{db("10.9.9.9")}, Pods: []*model.Pod{web("w", func(p *model.Pod) { p.Labels = nil })}}, nil},
		{"pods not known", &model.Inventory{Services: []*model.Service{db("10.9.9.9")}},
			[]string{"Globalg#egress[0] < a/p#egress[0] | a?app=web 10.9.9.9 TCP 0"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := lint(t, policies(t, text), c.inv, LintOptions{Only: []model.Code{model.BaselineOverridden}})
			if diff := cmp.Diff(c.want, brief(r.Findings)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			for _, f := range r.Findings {
				if f.Scope != model.InInventory {
					t.Errorf("scope %s", f.Scope)
				}
			}
		})
	}
}

func TestRelatedOfDenialsAreFew(t *testing.T) {
	text := "gtp g 1000\n egress deny 10.0.0.0/8\n"
	for i := range 20 {
		text += fmt.Sprintf("tp a/p%02d 100 app=a%d\n egress allow 10.%d.0.0/16\n", i, i, i)
	}
	f := only(t, model.BaselineOverridden, text, compiler.Options{})
	if len(f) != 1 || len(f[0].Related) != 16 {
		t.Errorf("findings %q, want one with 16 of 20 related policies", lines(f))
	}
	text = "tp a/p 100\n egress allow fqdn:x.example\n"
	for i := range 20 {
		text += fmt.Sprintf(" egress deny 10.%d.0.0/16\n", i)
	}
	f = only(t, model.FQDNFirst, text, compiler.Options{})
	if len(f) != 1 || len(f[0].Related) != 16 || f[0].RelatedOmitted != 4 {
		t.Errorf("findings %q, want one with 16 of 20 related denials", lines(f))
	}
}
