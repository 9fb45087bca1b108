//go:build linux

package main

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/internal/netlab"
	"github.com/trafficpolicy/trafficpolicy/model"
)

func TestApply(t *testing.T) {
	for _, mode := range []netlab.Mode{netlab.Routed, netlab.Bridged} {
		t.Run(mode.String(), func(t *testing.T) {
			n := newNode(t, mode)
			before := n.nft("list", "ruleset")
			out := n.apply(0, open.bundle(t))
			if !strings.Contains(out.stdout, "is in force, 2 interfaces") || out.stderr != "" {
				t.Errorf("first apply: %+v", out)
			}
			n.wantPing("open", netlab.Answered)
			n.run(0, "status")
			n.apply(0, shut.bundle(t))
			n.wantPing("shut", netlab.Silence)
			ruleset := n.nft("-s", "list", "ruleset")
			if out := n.apply(0, shut.bundle(t)); !strings.Contains(out.stdout, "nothing changed") {
				t.Errorf("second apply: %+v", out)
			}
			if again := n.nft("-s", "list", "ruleset"); again != ruleset {
				t.Errorf("the second apply changed the ruleset:\n%s\n---\n%s", ruleset, again)
			}
			n.run(0, "rollback")
			n.wantPing("rolled back", netlab.Answered)
			n.run(0, "rollback")
			n.wantPing("rolled forward", netlab.Silence)
			n.run(0, "remove")
			n.wantPing("removed", netlab.Answered)
			if after := n.nft("list", "ruleset"); after != before {
				t.Errorf("remove left:\n%s", after)
			}
			n.wantNoState()
			n.run(1, "status")
			if out := n.run(0, "remove"); !strings.Contains(out.stdout, "nothing to remove") {
				t.Errorf("second remove: %+v", out)
			}
		})
	}
}

func TestPodScope(t *testing.T) {
	n := newNode(t, netlab.Routed)
	p := shut
	p.pod = true
	out := n.apply(2, p.bundle(t))
	if !strings.Contains(out.stderr, "pod default/a, whose address 10.20.0.10 is not in this network namespace") {
		t.Errorf("a pod's bundle in the node's namespace: %s", out.stderr)
	}
	n.space = n.lab.Pod("a").Namespace
	n.apply(0, p.bundle(t), "--node-addr", "192.168.10.11", "--node-addr", "fd00:10::11")
	n.wantPing("shut", netlab.Dropped)
	if out := n.run(0, "status"); !strings.Contains(out.stdout, "pod default/a, backend nftables, on node n1") {
		t.Errorf("status: %s", out.stdout)
	}
	if set := n.nft("list", "table", "inet", "trafficpolicy"); !strings.Contains(set, "fd00:10::11") {
		t.Errorf("--node-addr is not in the kernel:\n%s", set)
	}
	node := open.bundle(t)
	if out := n.apply(2, node); !strings.Contains(out.stderr, "scope pod is in force") {
		t.Errorf("a node's bundle where a pod's is in force: %s", out.stderr)
	}
	p.world = open.world
	n.apply(0, p.bundle(t))
	n.wantPing("open", netlab.Answered)
	n.run(0, "remove")
}

// Flags stand before or after the verb, and dry-run changes nothing.
func TestDryRun(t *testing.T) {
	n := newNode(t, netlab.Routed)
	out := runCommand(t, tploader("apply", "--dry-run", "--node", "n1", "--netns", n.space.Path(), "--state-dir", n.state),
		strings.NewReader(string(shut.bundle(t))))
	if out.code != 0 || !strings.Contains(out.stdout, "would be loaded") {
		t.Fatalf("%+v", out)
	}
	n.wantNoState()
	if rules := n.nft("list", "ruleset"); rules != "" {
		t.Errorf("dry run loaded:\n%s", rules)
	}
	n.apply(0, open.bundle(t))
	rules := n.nft("-s", "list", "ruleset")
	n.apply(0, shut.bundle(t), "--dry-run")
	if again := n.nft("-s", "list", "ruleset"); again != rules {
		t.Errorf("dry run changed the ruleset:\n%s", again)
	}
	n.wantPing("after a dry run", netlab.Answered)
}

func TestSequence(t *testing.T) {
	n := newNode(t, netlab.Routed)
	at := func(p policy, sequence uint64) []byte {
		p.sequence = sequence
		return p.bundle(t)
	}
	n.apply(0, at(open, 5))
	out := n.apply(2, at(shut, 4))
	if !strings.Contains(out.stderr, "sequence 4") || !strings.Contains(out.stderr, "refusing to go back") {
		t.Errorf("lower: %s", out.stderr)
	}
	n.wantPing("a lower sequence", netlab.Answered)
	n.apply(0, at(shut, 5))
	n.apply(0, at(open, 9))
	n.run(0, "rollback")
	n.wantPing("rolled back", netlab.Silence)
	if out := n.apply(2, at(open, 8)); !strings.Contains(out.stderr, "one with 9 was in force") {
		t.Errorf("the rollback lowered the sequence: %s", out.stderr)
	}
	// What is in force may be applied again, though its sequence is lower.
	n.apply(0, at(shut, 5))
	n.apply(0, at(open, 9))
	n.wantPing("applied again", netlab.Answered)
}

// Counters go on for rules that keep their name, and go with those that do not.
func TestCountersSurvive(t *testing.T) {
	n := newNode(t, netlab.Routed)
	n.apply(0, open.bundle(t))
	n.ping()
	count := func(rule string) string {
		for line := range strings.Lines(n.run(0, "stats").stdout) {
			if f := strings.Fields(line); f[len(f)-1] == rule {
				return f[0]
			}
		}
		return "none"
	}
	first := count("TrafficPolicy/default/p#egress[0]")
	if first == "0" || first == "none" {
		t.Fatalf("the rule counted %s", first)
	}
	again := open
	again.rules = 3 // another generation
	n.apply(0, again.bundle(t))
	if got := count("TrafficPolicy/default/p#egress[0]"); got != first {
		t.Errorf("after an apply the rule has counted %s, before %s", got, first)
	}
	other := open
	other.name = "q"
	n.apply(0, other.bundle(t))
	if rules := n.nft("list", "counters"); strings.Count(rules, "counter tp_r_") != 3 {
		t.Errorf("counters of rules that are gone:\n%s", rules)
	}
}

func TestUnattached(t *testing.T) {
	n := newNode(t, netlab.Routed)
	p := shut
	p.pods = []compiler.ProgramPod{
		{Ref: "default/a", Addrs: addrA[:]},
		{Ref: "default/elsewhere", Addrs: []netip.Addr{netip.MustParseAddr("10.30.0.1")}},
		{Ref: "default/node", Addrs: []netip.Addr{netip.MustParseAddr("192.168.10.11")}},
	}
	out := n.apply(0, p.bundle(t))
	for _, want := range []string{
		"warning: pod default/elsewhere: address 10.30.0.1 is ",
		"warning: pod default/node: address 192.168.10.11 is an address of the node itself",
	} {
		if !strings.Contains(out.stderr, want) {
			t.Errorf("stderr lacks %q:\n%s", want, out.stderr)
		}
	}
	if out := n.run(1, "status"); strings.Count(out.stdout, "UNATTACHED") != 2 {
		t.Errorf("status:\n%s", out.stdout)
	}
	// Restricting the interfaces leaves the pod unattached as well.
	out = n.apply(0, shut.bundle(t), "--iface", "pod0")
	if !strings.Contains(out.stderr, "is behind pod1, which no --iface matches") {
		t.Errorf("--iface: %s", out.stderr)
	}
	if chains := n.nft("list", "table", "inet", "trafficpolicy"); strings.Contains(chains, `device "pod1"`) || !strings.Contains(chains, `device "pod0"`) {
		t.Errorf("attached:\n%s", chains)
	}
	// A pod that appears is attached without loading anything.
	prefix := n.prefix()
	n.run(1, "status")
	out = n.apply(0, shut.bundle(t))
	if chains := n.nft("list", "table", "inet", "trafficpolicy"); !strings.Contains(chains, `device "pod1"`) || n.prefix() != prefix {
		t.Errorf("attached:\n%s", chains)
	}
	n.run(0, "status")
}

// A bridge whose packets pass no hook cannot be enforced from the node.
func TestBridgeUnseen(t *testing.T) {
	n := newNode(t, netlab.Bridged)
	n.apply(0, shut.bundle(t))
	if err := n.space.Sysctl("net/bridge/bridge-nf-call-ip6tables", "0"); err != nil {
		t.Fatal(err)
	}
	out := n.apply(2, open.bundle(t))
	for _, want := range []string{"pod default/a: address fd00:20::10 is behind bridge cni0", "pod scope"} {
		if !strings.Contains(out.stderr, want) {
			t.Errorf("stderr lacks %q:\n%s", want, out.stderr)
		}
	}
	if strings.Contains(out.stderr, "10.20.0.10") {
		t.Errorf("IPv4 is filtered, and yet:\n%s", out.stderr)
	}
	n.wantPing("refused", netlab.Silence)
	n.run(1, "status")
}

func TestLimit(t *testing.T) {
	n := newNode(t, netlab.Routed)
	n.apply(0, open.bundle(t), "--max-connections", "3")
	s, err := n.lab.Outside.Serve(7)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	opened := 0
	for range 6 {
		c, err := n.lab.Pod("a").Dial(addrA[0], netip.AddrPortFrom(world, 7), probeWait)
		if err == nil {
			opened++
			defer c.Close()
		}
	}
	if opened != 3 {
		t.Errorf("%d connections of at most 3", opened)
	}
	if out := n.run(0, "stats"); !strings.Contains(out.stdout, "over the limit") || strings.Contains(out.stdout, "\n       0      0  drop    over the limit") {
		t.Errorf("stats:\n%s", out.stdout)
	}
	n.run(0, "status")
	n.apply(0, open.bundle(t))
	n.run(0, "status")
	if rules := n.nft("list", "ruleset"); strings.Contains(rules, "tp_limit_") {
		t.Errorf("the limit is off:\n%s", rules)
	}
}

// On a bridge a governed pod cannot be reached at an address that the bundle
// does not have, whoever sends.
func TestBridgedDelivery(t *testing.T) {
	n := newNode(t, netlab.Bridged)
	p := open
	p.pods = []compiler.ProgramPod{{Ref: "default/b", Addrs: addrB[:]}}
	n.apply(0, p.bundle(t))
	a, b := n.lab.Pod("a"), n.lab.Pod("b")
	linkLocal := netip.MustParseAddr("fe80::bb")
	for _, c := range []struct {
		name string
		to   *netlab.Host
		src  netip.Addr
		dst  netip.Addr
		want bool
	}{
		{"to its address", b, addrA[1], addrB[1], true},
		{"to its link-local address", b, netip.MustParseAddr("fe80::aa"), linkLocal, false},
		{"to an address it has given itself", b, addrA[0], netip.MustParseAddr("10.20.0.99"), false},
		{"the node's address in its frame", b, addrA[0], netip.MustParseAddr("10.20.0.1"), false},
	} {
		packet := netlab.Packet{Src: c.src, Dst: c.dst, Proto: model.IPProtoUDP, SrcPort: 1000, DstPort: 7, Cookie: netlab.NextCookie()}
		a.Learn(c.dst, c.to.MAC)
		if err := a.SendFrame(packet.Bytes()); err != nil {
			t.Fatal(err)
		}
		if _, got := c.to.Tap().Wait(probeWait, netlab.WithCookie(packet.Cookie)); got != c.want {
			t.Errorf("%s: arrived %t, want %t", c.name, got, c.want)
		}
	}
	n.run(0, "status")
}
