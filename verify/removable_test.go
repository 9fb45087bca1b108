package verify

import (
	"strings"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/model"
	"github.com/trafficpolicy/trafficpolicy/verify/oracle"
)

// Removable says what holds for both families and any address of a name.
func TestRemovable(t *testing.T) {
	for _, c := range []struct {
		name, policies string
		options        compiler.Options
		want           string // rules and entries, by field
	}{
		{"shadowed, redundant and an entry", `
			tp a/p 100 x=y
			  egress allow 10.0.0.0/8,10.1.0.0/16
			  egress deny 10.2.0.0/16
			  egress allow 10.3.0.0/16`, compiler.Options{},
			"spec.egress.rules[1] spec.egress.rules[2] spec.egress.rules[0].to[1]"},
		{"a name behind all of IPv4", `
			tp a/p 100 x=y
			  egress deny 0.0.0.0/0
			  egress allow fqdn:x.example`, compiler.Options{}, ""},
		{"a name behind all of IPv4, IPv4 alone", `
			tp a/p 100 x=y
			  egress deny 0.0.0.0/0
			  egress allow fqdn:x.example`, compiler.Options{Families: compiler.FamiliesIPv4}, ""},
		{"a name behind all of both families", `
			tp a/p 100 x=y
			  egress deny 0.0.0.0/0,::/0
			  egress allow fqdn:x.example`, compiler.Options{Families: compiler.FamiliesIPv4}, "spec.egress.rules[1]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			policies := mustParse(t, c.policies)
			found, err := Removable(t.Context(), policies, c.options)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range found {
				got = append(got, f.Field)
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

func mustParse(t *testing.T, text string) []*model.Policy {
	t.Helper()
	policies, err := oracle.Parse(strings.ReplaceAll(text, "\n\t\t\t", "\n"))
	if err != nil {
		t.Fatal(err)
	}
	return policies
}

func TestUnchanged(t *testing.T) {
	const before = `
			tp a/p 100 x=y
			  egress allow 10.0.0.0/8 tcp/80
			  egress deny 10.1.0.0/16
			  egress deny 10.1.1.0/24
			tp a/q 200 x=y
			  egress deny any`
	for _, c := range []struct{ name, after, want string }{
		{"what is dead goes", `
			tp a/p 100 x=y
			  egress allow 10.0.0.0/8 tcp/80
			  egress deny 10.1.0.0/16
			tp a/q 200 x=y
			  egress deny any`, ""},
		{"the next policy says the same", `
			tp a/p 100 x=y
			  egress allow 10.0.0.0/8 tcp/80
			tp a/q 200 x=y
			  egress deny any`, "decided by TrafficPolicy/a/p#egress[1], and would be by TrafficPolicy/a/q#egress[0]"},
		{"what lives goes", `
			tp a/p 100 x=y
			  egress deny 10.1.0.0/16
			  egress deny 10.1.1.0/24
			tp a/q 200 x=y
			  egress deny any`, "decided by TrafficPolicy/a/p#egress[0]"},
		{"a port goes", `
			tp a/p 100 x=y
			  egress allow 10.0.0.0/8 tcp/81
			  egress deny 10.1.0.0/16
			  egress deny 10.1.1.0/24
			tp a/q 200 x=y
			  egress deny any`, "10.0.0.0 TCP 80: decided by TrafficPolicy/a/p#egress[0], and would be by TrafficPolicy/a/q#egress[0]"},
		{"a section goes", `
			tp a/p 100 x=y
			  egress allow 10.0.0.0/8 tcp/80
			  egress deny 10.1.0.0/16
			  egress deny 10.1.1.0/24
			tp a/q 200 x=y`, "would become another policy"},
		{"a policy goes", `
			tp a/p 100 x=y
			  egress allow 10.0.0.0/8 tcp/80
			  egress deny 10.1.0.0/16
			  egress deny 10.1.1.0/24`, "there were 2 policies, and would be 1"},
		{"another selector", `
			tp a/p 100 x=z
			  egress allow 10.0.0.0/8 tcp/80
			  egress deny 10.1.0.0/16
			  egress deny 10.1.1.0/24
			tp a/q 200 x=y
			  egress deny any`, "would become another policy"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := Unchanged(t.Context(), mustParse(t, before), mustParse(t, c.after), compiler.Options{})
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}
