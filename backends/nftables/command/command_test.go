package command

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// one parses one line.
func one(t *testing.T, line string) Command {
	t.Helper()
	var got Command
	if err := Parse([]byte(line+"\n"), func(_ int, c Command) error { got = c; return nil }); err != nil {
		t.Errorf("%s: %v", line, err)
	}
	return got
}

func TestParse(t *testing.T) {
	const rule = "add rule inet trafficpolicy tp_a "
	for _, tt := range []struct {
		line string
		want Command
	}{
		{"add table inet trafficpolicy", &Table{}},
		{"add chain inet trafficpolicy tp_a", &Chain{Name: "tp_a"}},
		{"add chain inet trafficpolicy tp_a { type filter hook output priority -110; policy accept; }", &Chain{"tp_a", "output", -110}},
		{"add set inet trafficpolicy tp_a { type ipv4_addr; }", &Set{Name: "tp_a", Types: []string{"ipv4_addr"}}},
		{"add set inet trafficpolicy tp_a { type ipv6_addr . ipv6_addr; }", &Set{Name: "tp_a", Types: []string{"ipv6_addr", "ipv6_addr"}}},
		{"add set inet trafficpolicy tp_a { type ipv4_addr; size 65535; flags timeout; }", &Set{Name: "tp_a", Types: []string{"ipv4_addr"}, Size: 65535, Timeout: true}},
		{"add set inet trafficpolicy tp_a { type ipv6_addr; size 1024; flags dynamic,timeout; timeout 10s; }",
			&Set{Name: "tp_a", Types: []string{"ipv6_addr"}, Size: 1024, Timeout: true, Dynamic: true}},
		{"add map inet trafficpolicy tp_a { type ifname : verdict; }", &Set{Name: "tp_a", Types: []string{"ifname"}, Map: true}},
		{"add map inet trafficpolicy tp_a { type inet_service : verdict; flags interval; }", &Set{Name: "tp_a", Types: []string{"inet_service"}, Map: true, Interval: true}},
		{"add counter inet trafficpolicy tp_a", &Counter{"tp_a"}},
		{"add limit inet trafficpolicy tp_a { rate 100/second burst 200 packets; }", &Limit{"tp_a", 100, 200}},
		{"flush map inet trafficpolicy tp_a", &Flush{"map", "tp_a"}},
		{"add element inet trafficpolicy tp_a { 10.0.0.1, 10.0.0.2-10.0.0.9 : goto tp_b, 1 . 2 : return }", &Elements{"tp_a", []Element{
			{Key: []string{"10.0.0.1"}}, {[]string{"10.0.0.2-10.0.0.9"}, &Verdict{"goto", "tp_b"}}, {[]string{"1", "2"}, &Verdict{Kind: "return"}},
		}}},
		{rule + `counter name "tp_r" accept comment "TrafficPolicy/a/b#egress[0]"`,
			&Rule{"tp_a", []Term{&Count{"tp_r"}, &Verdict{Kind: "accept"}, &Comment{"TrafficPolicy/a/b#egress[0]"}}}},
		{rule + `meta l4proto { tcp, icmp } ct protocol tcp ct original proto-dst vmap @tp_m`,
			&Rule{"tp_a", []Term{&Match{Field: "meta l4proto", Values: []string{"tcp", "icmp"}}, &Match{Field: "ct protocol", Values: []string{"tcp"}},
				&Lookup{[]string{"ct original proto-dst"}, "tp_m", true}}}},
		{rule + `ip saddr . ct original ip saddr @tp_s return`,
			&Rule{"tp_a", []Term{&Lookup{[]string{"ip saddr", "ct original ip saddr"}, "tp_s", false}, &Verdict{Kind: "return"}}}},
		{rule + `rt seg-left > 0 ct protocol != tcp fib saddr . iif oif missing drop`,
			&Rule{"tp_a", []Term{&Match{"rt seg-left", ">", []string{"0"}}, &Match{"ct protocol", "!=", []string{"tcp"}},
				&Match{Field: "fib saddr . iif oif", Values: []string{"missing"}}, &Verdict{Kind: "drop"}}}},
		{rule + `limit name "tp_l" log prefix "tp_x " group 21584 snaplen 128`, &Rule{"tp_a", []Term{&Rate{"tp_l"}, &Log{"tp_x ", 21584, 128}}}},
		{rule + `reject with tcp reset`, &Rule{"tp_a", []Term{&Verdict{"reject", "tcp reset"}}}},
		{rule + `reject with icmpx type admin-prohibited`, &Rule{"tp_a", []Term{&Verdict{"reject", "admin-prohibited"}}}},
		{rule + `update @tp_s { ip6 saddr }`, &Rule{"tp_a", []Term{&Update{"tp_s", "ip6 saddr"}}}},
		{rule + `iifname "lo" accept`, &Rule{"tp_a", []Term{&Match{Field: "iifname", Values: []string{`"lo`}}, &Verdict{Kind: "accept"}}}},
	} {
		if d := cmp.Diff(tt.want, one(t, tt.line)); d != "" {
			t.Errorf("%s (-want +got)\n%s", tt.line, d)
		}
	}
}

// TestParseEdges has both sides of every limit.
func TestParseEdges(t *testing.T) {
	const rule = "add rule inet trafficpolicy tp_a "
	for _, tt := range []struct {
		good, bad string
	}{
		{"add counter inet trafficpolicy tp_a", "add counter inet trafficpolicy tp_"},
		{"add counter inet trafficpolicy tp_a", "add counter inet trafficpolicy tp_A"},
		{"add counter inet trafficpolicy tp_a", "add  counter inet trafficpolicy tp_a"},
		{"add counter inet trafficpolicy tp_a", " add counter inet trafficpolicy tp_a"},
		{"add counter inet trafficpolicy tp_a", "add counter inet trafficpolicy tp_a "},
		{"add counter inet trafficpolicy tp_a", "add counter inet trafficpolicy tp_a tp_b"},
		{rule + "icmp type 255 drop", rule + "icmp type 256 drop"},
		{rule + "icmp type 0 drop", rule + "icmp type 00 drop"},
		{rule + "th dport 0-65535 drop", rule + "th dport 0-65536 drop"},
		{rule + "th dport 1-2 drop", rule + "th dport 2-1 drop"},
		{rule + "ip saddr 10.0.0.0/8 drop", rule + "ip saddr 10.0.0.1/8 drop"},
		{rule + "ip saddr 10.0.0.1 drop", rule + "ip saddr fd00::1 drop"},
		{rule + "ip6 saddr fe80::1 drop", rule + "ip6 saddr fe80::1%eth0 drop"},
		{rule + `iifname "abcdefghijklmno" accept`, rule + `iifname "abcdefghijklmnop" accept`},
		{rule + `drop`, rule + `drop {`},
		{rule + `drop comment "a b"`, rule + `drop comment a`},
		{rule + `ip saddr @tp_a drop`, rule + `ip saddr @other drop`},
		{rule + `ip saddr . ip daddr @tp_a drop`, rule + `ip saddr . ip daddr 1.2.3.4 drop`},
	} {
		one(t, tt.good)
		if err := Parse([]byte(tt.bad+"\n"), func(int, Command) error { return nil }); err == nil {
			t.Errorf("%q passes", tt.bad)
		}
	}
}

// FuzzParse: no panic, and Parse calls back for each line it accepts.
func FuzzParse(f *testing.F) {
	f.Add([]byte("add rule inet trafficpolicy tp_a ip saddr { 1.2.3.4, 5.6.7.0/24 } goto tp_b\n"))
	f.Add([]byte("add element inet trafficpolicy tp_a { 1-2 : goto tp_b }\nadd table inet trafficpolicy\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		n := 0
		err := Parse(text, func(line int, c Command) error {
			if n++; line != n || c == nil {
				t.Fatalf("line %d of %d: %v", line, n, c)
			}
			return nil
		})
		lines := 0
		for _, c := range text {
			if c == '\n' {
				lines++
			}
		}
		if err == nil && n != lines {
			t.Fatalf("%d of %d lines", n, lines)
		}
	})
}
