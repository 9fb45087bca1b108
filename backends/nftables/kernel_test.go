//go:build linux

package nftables

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/internal/kerneltest"
	"github.com/trafficpolicy/trafficpolicy/internal/netlab"
	"github.com/trafficpolicy/trafficpolicy/model"
)

func emit(t testing.TB, p *compiler.Program) *bundle.Bundle {
	t.Helper()
	a, err := Emit(p)
	if err != nil {
		t.Fatal(err)
	}
	if err := Check(a.Files); err != nil {
		t.Fatalf("its own output is refused: %v", err)
	}
	return a
}

// load gives each nft file of the payload to nft, as a loader does.
func load(t *testing.T, n *netlab.Namespace, files []bundle.File) {
	t.Helper()
	for _, f := range files[:3] {
		if err := n.NFT(string(f.Data)); err != nil {
			t.Fatalf("%s: %v", f.Name, err)
		}
	}
}

func listed(t *testing.T, n *netlab.Namespace) string {
	t.Helper()
	out, err := n.Command(context.Background(), "", "nft", "list", "ruleset")
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestKernelTwice: each file again changes nothing but that rules of the
// generation's chains, which a loader never adds twice, stand twice.
func TestKernelTwice(t *testing.T) {
	for _, p := range []*compiler.Program{sample(), samplePod()} {
		n := kerneltest.NewNamespace(t, "nft")
		a := emit(t, p)
		load(t, n, a.Files)
		before := listed(t, n)
		for _, i := range []int{0, 2} {
			if err := n.NFT(string(a.Files[i].Data)); err != nil {
				t.Errorf("%s again: %v", a.Files[i].Name, err)
			}
		}
		if d := cmp.Diff(before, listed(t, n)); d != "" {
			t.Errorf("skeleton and switch again (-before +after):\n%s", d)
		}
	}
}

// TestKernelScript: a script loads, loads again with the same result, and
// replaces another.
func TestKernelScript(t *testing.T) {
	n := kerneltest.NewNamespace(t, "nft")
	for _, p := range []*compiler.Program{sample(), sampleUnknown(), samplePod(), sample()} {
		script, err := Script(p)
		if err != nil {
			t.Fatal(err)
		}
		if err := n.NFT(string(script)); err != nil {
			t.Fatalf("the first time: %v", err)
		}
		before := listed(t, n)
		if err := n.NFT(string(script)); err != nil {
			t.Fatalf("again: %v", err)
		}
		if d := cmp.Diff(before, listed(t, n)); d != "" {
			t.Errorf("again (-before +after):\n%s", d)
		}
	}
}

// TestKernelSmall: what the kernel holds equals what a person wrote for the case.
func TestKernelSmall(t *testing.T) {
	p := &compiler.Program{
		Target: compiler.Target{Pod: "default/a"}, NodeName: "node-1", NodeAddrs: addrs("192.168.1.1"),
		Pods: []compiler.ProgramPod{{Ref: "default/a", Addrs: addrs("10.0.0.10")}},
		Classes: []compiler.ProgramClass{class("a",
			[]model.ListRule{
				rule(model.Allow, cidrs("10.1.0.0/24"), tcp(80, 80), tcp(8000, 8080)),
				rule(model.Reject, cidrs("10.0.0.0/8")),
				rule(model.Allow, cidrs("0.0.0.0/0")),
			}, nil)},
	}
	a := emit(t, p)
	n := kerneltest.NewNamespace(t, "nft")
	load(t, n, a.Files)
	pods, err := ReadPods(a.Files[3].Data)
	if err != nil {
		t.Fatal(err)
	}
	got := strings.ReplaceAll(listed(t, n), pods.Tag, "TAG")
	hand, err := os.ReadFile("testdata/small.nft")
	if err != nil {
		t.Fatal(err)
	}
	other := kerneltest.NewNamespace(t, "nft")
	if err := other.NFT(string(hand)); err != nil {
		t.Fatalf("testdata/small.nft: %v", err)
	}
	if d := cmp.Diff(sortBlocks(listed(t, other)), sortBlocks(strings.ReplaceAll(got, "tp_TAG", "tp_tag"))); d != "" {
		t.Errorf("-by hand +emitted:\n%s", d)
	}
}

// sortBlocks sorts the objects of a table, which nft lists in the order in
// which they were made.
func sortBlocks(ruleset string) []string {
	var blocks []string
	for _, b := range strings.Split(ruleset, "\n\n") {
		b = strings.TrimPrefix(strings.TrimSuffix(strings.TrimRight(b, "\n"), "\n}"), "table inet trafficpolicy {\n")
		blocks = append(blocks, b)
	}
	slices.Sort(blocks)
	return blocks
}

// TestKernelRandom: whatever is emitted is accepted by nft and by Check.
func TestKernelRandom(t *testing.T) {
	n := kerneltest.NewNamespace(t, "nft")
	for seed := range uint64(60) {
		p := randomProgram(rand.New(rand.NewPCG(seed, 1)))
		a, err := Emit(p)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if err := Check(a.Files); err != nil {
			t.Errorf("seed %d: Check: %v", seed, err)
		}
		for _, f := range a.Files[:3] {
			if err := n.NFT(string(f.Data)); err != nil {
				t.Fatalf("seed %d: %s: %v\n%s", seed, f.Name, err, f.Data)
			}
		}
		if err := n.NFT("delete table inet trafficpolicy"); err != nil {
			t.Fatal(err)
		}
		script, err := Script(p)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if err := n.NFT(string(script) + "delete table inet trafficpolicy\n"); err != nil {
			t.Fatalf("seed %d: script: %v\n%s", seed, err, script)
		}
	}
}

// randomProgram draws rules whose prefixes and ports meet at their ends, at the
// ends of the address space, and in every protocol.
func randomProgram(r *rand.Rand) *compiler.Program {
	prefixes := []string{"0.0.0.0/0", "0.0.0.0/1", "128.0.0.0/1", "255.255.255.255/32", "0.0.0.0/32", "10.0.0.0/8", "10.0.0.0/31", "10.0.0.2/32",
		"::/0", "::/128", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128", "8000::/1", "fd00::/64", "fd00::1/128", "::ffff:0:0/96"}
	ports := []model.L4Range{tcp(0, 65535), tcp(80, 80), tcp(0, 79), tcp(81, 65535), udp(53, 53), udp(0, 65535), {First: model.L4SCTP, Last: model.L4SCTP + 9},
		{First: model.L4ICMP, Last: model.L4ICMP}, {First: model.L4Other, Last: model.L4Other}, {First: 65535, Last: model.L4UDP}}
	names := []string{"a.example", "b.example"}
	list := func(egress bool) []model.ListRule {
		var rules []model.ListRule
		for range r.IntN(7) {
			var peers []model.ListPeer
			for range 1 + r.IntN(3) {
				peers = append(peers, cidrs(prefixes[r.IntN(len(prefixes))])...)
			}
			if egress && r.IntN(3) == 0 {
				peers = append(peers, fqdn(names[r.IntN(2)])...)
				peers = peers[r.IntN(len(peers)):]
			}
			var l4 []model.L4Range
			for range r.IntN(4) {
				l4 = append(l4, ports[r.IntN(len(ports))])
			}
			rules = append(rules, rule([]model.Action{model.Allow, model.Deny, model.Reject}[r.IntN(3)], peers, l4...))
		}
		return rules
	}
	p := &compiler.Program{Target: compiler.Target{Node: "node-1"}, NodeName: "node-1", NodeAddrs: addrs("192.168.1.1", "fd00:1::1")}
	for i := range 1 + r.IntN(4) {
		p.Classes = append(p.Classes, class(fmt.Sprint("p", i), list(true), list(false)))
		p.Pods = append(p.Pods, compiler.ProgramPod{
			Ref: fmt.Sprint("default/p", i), Class: i,
			Addrs: addrs(fmt.Sprintf("10.0.0.%d", 10+i), fmt.Sprintf("fd00::%d", 10+i)),
		})
	}
	for i, n := range names {
		p.Names = append(p.Names, compiler.ProgramName{Name: n, Addrs: addrs("1.2.3.4", "2001:db8::1")[:i+1]})
	}
	if r.IntN(3) == 0 {
		p.UnknownDeny = sampleUnknown().UnknownDeny
	}
	if r.IntN(4) == 0 {
		p.Target, p.Pods, p.UnknownDeny = compiler.Target{Pod: p.Pods[0].Ref}, p.Pods[:1], nil
		p.PodAddrs = p.Pods[0].Addrs
	}
	return p
}

// TestKernelLarge: 100,000 elements are emitted in proportion and load.
func TestKernelLarge(t *testing.T) {
	var peers []model.ListPeer
	for i := range 100_000 {
		a := netip.AddrFrom4([4]byte{10, byte(i >> 15), byte(i >> 7), byte(i << 1)})
		peers = append(peers, model.ListPeer{Prefixes: []netip.Prefix{netip.PrefixFrom(a, 32)}})
	}
	p := &compiler.Program{
		Target: compiler.Target{Node: "node-1"}, NodeName: "node-1",
		Pods:    []compiler.ProgramPod{{Ref: "default/a", Addrs: addrs("10.200.0.1")}},
		Classes: []compiler.ProgramClass{class("a", []model.ListRule{rule(model.Allow, peers), rule(model.Deny, cidrs("0.0.0.0/0"))}, nil)},
	}
	a := emit(t, p)
	if a.Manifest.Counts.Elements < 200_000 {
		t.Errorf("%d elements, want those of each prefix and each gap", a.Manifest.Counts.Elements)
	}
	for line := range bytes.Lines(a.Files[1].Data) {
		if len(line) > 64<<10 {
			t.Fatalf("a line of %d bytes", len(line))
		}
	}
	n := kerneltest.NewNamespace(t, "nft")
	load(t, n, a.Files)
}
