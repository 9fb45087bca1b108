package space

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// caseRule reads "allow 10.0.0.0/8,fd00::/8,@name tcp/80-90,udp,icmp"; @ is an
// atom, a rule without ports means every protocol and port.
func caseRule(t *testing.T, s string) model.ListRule {
	t.Helper()
	f := strings.Fields(s)
	r := model.ListRule{Action: map[string]model.Action{"allow": model.Allow, "deny": model.Deny, "reject": model.Reject}[f[0]], L4: model.EveryL4}
	for j, p := range strings.Split(f[1], ",") {
		if strings.HasPrefix(p, "@") {
			r.Peers = append(r.Peers, model.ListPeer{Index: j, Atom: model.Atom(p)})
			continue
		}
		r.Peers = append(r.Peers, model.ListPeer{Index: j, Prefixes: []netip.Prefix{netip.MustParsePrefix(p)}})
	}
	if len(f) == 3 {
		var ports []model.Port
		for _, p := range strings.Split(f[2], ",") {
			ports = append(ports, casePort(t, p))
		}
		source := &model.Policy{Egress: &model.Section{Rules: []model.Rule{{Ports: ports}}}}
		r.Ref, r.L4 = model.RuleRef{Policy: source}, model.PortsL4(ports)
	}
	return r
}

func casePort(t *testing.T, s string) model.Port {
	t.Helper()
	name, ports, given := strings.Cut(s, "/")
	proto, ok := model.ParseProto(name, model.IPv4)
	if !ok {
		t.Fatalf("protocol %q", name)
	}
	p := model.Port{Proto: proto}
	switch {
	case !proto.HasPorts():
	case !given:
		p.Last = 65535
	default:
		if n, _ := fmt.Sscanf(ports, "%d-%d", &p.First, &p.Last); n == 1 {
			p.Last = p.First
		}
	}
	return p
}

// TestAnalyseCases holds the classic anomalies and the blind spots of checkers
// that compare rules in pairs. want has one word a rule: live, idle (live, no
// effect), or dead with D, A or DA for who takes its packets and its cover.
func TestAnalyseCases(t *testing.T) {
	both := model.Families[:]
	v4 := both[:1]
	for _, tt := range []struct {
		name     string
		families []model.Family
		rules    string
		want     string
	}{
		{"shadowing", v4, "deny 10.0.0.0/8; allow 10.1.0.0/16", "live dead:D[0]"},
		{"redundancy", v4, "allow 10.0.0.0/8; allow 10.1.0.0/16", "live dead:A[0]"},
		{"generalisation", v4, "deny 10.1.0.0/16; allow 10.0.0.0/8", "live live"},
		{"generalisation, alike", v4, "allow 10.1.0.0/16; allow 10.0.0.0/8", "idle live"},
		{"correlation", v4, "deny 10.0.0.0/8 tcp/80; allow 10.1.0.0/16", "live live"},
		{"irrelevance: the default denies", v4, "deny 10.0.0.0/8", "idle"},
		{"a reject is a deny", v4, "reject 10.0.0.0/8; deny 10.1.0.0/16; allow 10.2.0.0/16", "live dead:D[0] dead:D[0]"},
		{"two halves that cover", v4, "allow 10.0.0.0/9; deny 10.128.0.0/9; allow 10.0.0.0/8", "idle live dead:DA[0 1]"},
		{"halves by one rule", v4, "allow 10.0.0.0/9,10.128.0.0/9; deny 10.0.0.0/8", "live dead:A[0]"},
		{"a hole of one address", v4, "allow 10.0.0.0/31; allow 10.0.0.3/32; deny 10.0.0.0/30; allow 0.0.0.0/0", "live live live live"},
		{"a cover with a hole of one port", v4, "allow 10.0.0.0/8 tcp/1-79; allow 10.0.0.0/8 tcp/81-65535; deny 10.1.0.0/16 tcp/1-65535", "live live idle"},
		{"the hole filled", v4, "allow 10.0.0.0/8 tcp/1-79; allow 10.0.0.0/8 tcp/81-65535; deny 10.0.0.0/7 tcp/80; deny 10.1.0.0/16 tcp/1-65535", "live live idle dead:DA[1 0 2]"},
		{"port 0 is a port", v4, "allow 10.0.0.0/8 tcp/1-65535; allow 10.0.0.0/8 tcp", "idle live"},
		{"protocol union", v4, "allow 10.0.0.0/8 tcp,udp; deny 10.0.0.0/8 sctp,icmp; deny 10.1.0.0/16 tcp,udp,sctp,icmp", "live idle dead:DA[0 1]"},
		{"protocol union without other", v4, "deny 10.0.0.0/8 tcp,udp; deny 10.0.0.0/8 sctp,icmp; allow 10.1.0.0/16", "live live live"},
		{"chain of covers", v4, "deny 10.0.0.0/8; allow 10.0.0.0/9; allow 10.0.0.0/10", "live dead:D[0] dead:D[0]"},
		{"a residue that children eat up", v4, "allow 10.0.0.0/8 tcp/1-100; deny 10.0.0.0/9; deny 10.128.0.0/9; allow 10.0.0.0/8 tcp/50-200", "live live live dead:DA[0 1 2]"},
		{"one child eats less", v4, "allow 10.0.0.0/8 tcp/1-100; deny 10.0.0.0/9; deny 10.128.0.0/9 tcp/1-199; allow 10.0.0.0/8 tcp/50-200", "live live live live"},
		{"an atom behind an equal atom", v4, "allow @x; deny @x tcp/80", "live dead:A[0]"},
		{"an atom behind another", v4, "allow @x; deny @y; allow @z", "live live live"},
		{"an atom behind an equal atom on other ports", v4, "allow @x tcp/80; deny @x tcp/80-81; allow 0.0.0.0/0", "live live live"},
		{"an atom behind everything", v4, "deny 0.0.0.0/0; allow @x", "live dead:D[0]"},
		{"IPv6 is left", both, "deny 0.0.0.0/0; allow @x", "live live"},
		{"both families closed", both, "deny 0.0.0.0/0; reject ::/0; allow @x", "live live dead:D[0 1]"},
		{"an atom makes no cover", v4, "allow @x; deny 10.0.0.0/8; allow 10.0.0.0/8", "live live dead:DA[1]"},
		{"the last of the space", v4, "allow 0.0.0.0/1; deny 128.0.0.0/1; allow 255.255.255.255/32", "live live dead:D[1]"},
		{"own peers nest", v4, "allow 10.1.0.0/16,10.0.0.0/8; deny 10.0.0.0/8", "live dead:A[0]"},
		{"an effect below", v4, "allow 10.0.0.0/8; deny 10.1.0.0/16; allow 0.0.0.0/0", "live dead:A[0] live"},
		{"no packet of the family", v4, "allow fd00::/8; deny 0.0.0.0/0", "none idle"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			list := &model.RuleList{Isolated: true}
			for _, s := range strings.Split(tt.rules, "; ") {
				list.Rules = append(list.Rules, caseRule(t, s))
			}
			a := Analyse(list, tt.families...)
			idle := a.Idle(list, tt.families...)
			var got []string
			for i := range a.Rules {
				got = append(got, caseWord(&a.Rules[i], idle[i]))
			}
			if g := strings.Join(got, " "); g != tt.want {
				t.Errorf("got  %s\nwant %s", g, tt.want)
			}
			if err := checkAnalysis(list, tt.families); err != nil {
				t.Error(err)
			}
		})
	}
}

func caseWord(r *RuleAnalysis, idle bool) string {
	switch {
	case !r.Own:
		return "none"
	case idle:
		return "idle"
	case r.Live:
		return "live"
	}
	w := "dead:"
	for b, name := range []string{"D", "A"} {
		if r.Taken[b] {
			w += name
		}
	}
	return w + fmt.Sprint(r.Cover)
}
