//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	ciliumebpf "github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/backends/ebpf"
	"github.com/trafficpolicy/trafficpolicy/backends/ebpf/bpf"
	"github.com/trafficpolicy/trafficpolicy/backends/nftables"
	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/internal/netlab"
)

// The cluster of these tests: both pods of the node under one policy.
const (
	verifyPolicies = `
apiVersion: network.alibabacloud.com/v1alpha1
kind: TrafficPolicy
metadata: {name: p, namespace: default}
spec:
  priority: 1
  selector: {}
  egress:
    rules:
    - {action: deny, to: [{cidr: 8.8.0.0/16}], ports: [{protocol: TCP, port: 443}]}
    - {action: allow, to: [{cidr: 10.1.0.0/24}], ports: [{protocol: TCP, port: 443}]}
    - {action: reject, to: [{fqdn: rds.example}]}
  ingress:
    rules:
    - {action: allow, from: [{cidr: 0.0.0.0/0}]}
`
	verifyCluster = `
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Namespace, metadata: {name: default}}
- apiVersion: v1
  kind: Node
  metadata: {name: n1}
  status: {addresses: [{type: InternalIP, address: 192.168.10.11}]}
- apiVersion: v1
  kind: Pod
  metadata: {name: a, namespace: default}
  spec: {nodeName: n1}
  status: {phase: Running, podIPs: [{ip: 10.20.0.10}, {ip: "fd00:20::10"}]}
- apiVersion: v1
  kind: Pod
  metadata: {name: b, namespace: default}
  spec: {nodeName: n1}
  status: {phase: Running, podIPs: [{ip: 10.20.0.20}, {ip: "fd00:20::20"}]}
`
)

// verifyLab is what verify is tried on.
type verifyLab struct {
	*node
	policies, cluster string // paths
	bundle            []byte
}

func newVerifyLab(t *testing.T, n *node, backend string, target compiler.Target) *verifyLab {
	t.Helper()
	v := &verifyLab{node: n, policies: filepath.Join(t.TempDir(), "p.yaml"), cluster: filepath.Join(t.TempDir(), "c.yaml")}
	for path, text := range map[string]string{v.policies: verifyPolicies, v.cluster: verifyCluster} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	in, err := compiler.Load(context.Background(), compiler.LoadOptions{Policies: []string{v.policies}, Inventory: []string{v.cluster}, Namespace: "default"})
	if err != nil {
		t.Fatal(err)
	}
	o := compiler.CompileOptions{Target: target}
	o.AllEnrolled, o.Resolve = true, map[string][]netip.Addr{"rds.example": {netip.MustParseAddr("203.0.113.7")}}
	p, err := compiler.Compile(context.Background(), in, o)
	if err != nil {
		t.Fatal(err)
	}
	emit := nftables.Emit
	if backend == bundle.EBPF {
		emit = ebpf.Emit
	}
	a, err := emit(p)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := bundle.Write(&b, a.Manifest, a.Files); err != nil {
		t.Fatal(err)
	}
	v.bundle = b.Bytes()
	return v
}

// verify runs tploader verify without policies and with them. Both answers must be
// as wanted; words stand in the texts, but those about the bundle's alone.
func (v *verifyLab) verify(what string, code int, words ...string) {
	v.t.Helper()
	with := []string{"verify", "-f", v.policies, "-i", v.cluster, "--enrollment", "all", "--resolve", "rds.example=203.0.113.7"}
	for _, args := range [][]string{{"verify"}, with} {
		out := v.run(code, args...)
		for _, w := range words {
			if !regexp.MustCompile(w).MatchString(out.stdout) {
				v.t.Errorf("%s, %s: lacks %q:\n%s%s", what, strings.Join(args[:min(2, len(args))], " "), w, out.stdout, out.stderr)
			}
		}
		var answer verified
		out = v.run(code, append(args, "-o", "json")...)
		if err := json.Unmarshal([]byte(out.stdout), &answer); err != nil || answer.Equivalent != (code == 0) {
			v.t.Errorf("%s: %v\n%s", what, err, out.stdout)
		}
	}
}

const equivalentText = `^equivalent: the kernel and the (bundle|policies), of node n1, backend \w+, generation [0-9a-f]{12}\n2 pods with 4 addresses in 1 class; 4 tables of \d+ cells; 1 domain name\n$`

// tamper is one change to what the kernel holds, and what verify says of it.
type tamper struct {
	name   string
	change func() error
	want   []string
}

// try makes each change, has verify find it, and mends it.
func (v *verifyLab) try(tampers []tamper) {
	v.t.Helper()
	for _, x := range tampers {
		if err := x.change(); err != nil {
			v.t.Fatalf("%s: %v", x.name, err)
		}
		v.verify(x.name, 1, append(x.want, "^(not equivalent|no packet differs, but not all is in order): ")...)
		v.apply(0, v.bundle)
		v.verify(x.name+", mended", 0, equivalentText)
	}
}

func TestVerifyNFT(t *testing.T) {
	n := newNode(t, netlab.Routed)
	v := newVerifyLab(t, n, bundle.NFTables, compiler.Target{Node: "n1"})
	if out := v.run(1, "verify"); !strings.HasPrefix(out.stdout, "not equivalent: nothing is in force\n") {
		t.Errorf("%+v", out)
	}
	v.apply(0, v.bundle, "--node-addr", "192.168.99.1")
	v.verify("untouched", 0, equivalentText)
	v.apply(0, v.bundle)
	v.verify("without --node-addr", 0, equivalentText)
	v.try([]tamper{
		{"an element less", func() error { return n.element("delete", "map", "8.8.0.0/16", "8.8.0.0/16") }, []string{
			`packet: +10.20.0.10 \(default/a\) to 8.8.0.0, TCP 443\n`, `(bundle|policies): +deny by TrafficPolicy/default/p#egress\[0\]\n`, `kernel: +deny by default`, "DRIFT: "}},
		{"a verdict", func() error {
			chain := n.name(`chain (tp_\w+_r_\w+) \{[^}]*p#egress\[0\]`)
			counter := "tp" + chain[strings.LastIndex(chain, "_r_"):]
			n.nft("flush", "chain", "inet", "trafficpolicy", chain)
			n.nft("add", "rule", "inet", "trafficpolicy", chain, "counter", "name", counter, "accept", "comment", `"TrafficPolicy/default/p#egress[0]"`)
			return nil
		}, []string{
			`egress of default/a: passes and is to be denied\n`, `packet: +10.20.0.10 \(default/a\) to 8.8.0.0, TCP 443\n`,
			`(bundle|policies): +deny by TrafficPolicy/default/p#egress\[0\]\n`, `kernel: +allow by TrafficPolicy/default/p#egress\[0\]\n`,
			`so for: +8.8.0.0/16, TCP 443, at 2 addresses\n`, "DRIFT: "}},
		{"a rule more", func() error {
			n.nft("insert", "rule", "inet", "trafficpolicy", "tp_prerouting", "accept")
			return nil
		}, []string{"the kernel holds what no loader writes: ", "DRIFT: "}},
		{"an address of a name", func() error { return n.element("delete", "set", "203.0.113.7", "203.0.113.7") }, []string{
			"203.0.113.7 is an address of other domain names", `kernel: +deny by default`, "DRIFT: "}},
		{"an address of the node", func() error {
			n.nft("add", "element", "inet", "trafficpolicy", n.name(`set (tp_\w+_node4) `), "{ 192.168.77.7 }")
			return nil
		}, []string{"192.168.77.7 is taken for an address of the node", "DRIFT: "}},
		{"a chain of a device", func() error { n.nft("flush", "map", "inet", "trafficpolicy", "tp_if"); return nil }, []string{"DRIFT: "}},
		{"the table", func() error { n.nft("delete", "table", "inet", "trafficpolicy"); return nil }, []string{"DRIFT: |NOT IN FORCE"}},
	})
	v.otherPolicies()
	v.unattached()
}

// otherPolicies compares with other policies than those that were compiled, and with
// some that cannot be.
func (v *verifyLab) otherPolicies() {
	v.t.Helper()
	for _, x := range []struct {
		text, old, new string
		code           int
		want           string
	}{
		{verifyPolicies, "8.8.0.0/16", "8.8.0.0/15", 1, `policies: +deny by TrafficPolicy/default/p#egress\[0\]\n +kernel: +deny by default.*\n +so for: +8.9.0.0/16, TCP 443, at 2 addresses`},
		{verifyPolicies, "fqdn: rds.example", "fqdn: other.example", 1, `trafficpolicy|tploader: .*other.example.*--allow-unresolved`},
		{verifyPolicies, "priority: 1", "priority: 0", 2, `TP005`},
	} {
		if err := os.WriteFile(v.policies, []byte(strings.Replace(x.text, x.old, x.new, 1)), 0o600); err != nil {
			v.t.Fatal(err)
		}
		out := v.run(x.code, "verify", "-f", v.policies, "-i", v.cluster, "--enrollment", "all", "--resolve", "rds.example=203.0.113.7")
		if !regexp.MustCompile(x.want).MatchString(out.stdout + out.stderr) {
			v.t.Errorf("%s: %+v, want %q", x.new, out, x.want)
		}
	}
	if err := os.WriteFile(v.policies, []byte(verifyPolicies), 0o600); err != nil {
		v.t.Fatal(err)
	}
	if out := v.run(2, "verify", "-f", v.policies); !strings.Contains(out.stderr, `node "n1" is not in the inventory`) {
		v.t.Errorf("without an inventory: %+v", out)
	}
	if out := v.run(2, "verify", "-o", "yaml"); !strings.Contains(out.stderr, "--output") {
		v.t.Errorf("-o yaml: %+v", out)
	}
}

// element changes the element of the map or set that has a line with some text.
func (n *node) element(verb, kind, text, element string) error {
	n.nft(verb, "element", "inet", "trafficpolicy", n.name(kind+` (tp_\w+) \{[^}]*`+regexp.QuoteMeta(text)), "{ "+element+" }")
	return nil
}

// name returns the first name in the ruleset that a pattern finds.
func (n *node) name(pattern string) string {
	n.t.Helper()
	list := n.nft("list", "table", "inet", "trafficpolicy")
	m := regexp.MustCompile(pattern).FindStringSubmatch(list)
	if m == nil {
		n.t.Fatalf("no %s in\n%s", pattern, list)
	}
	return m[1]
}

// unattached takes an interface away: that is no difference of packets.
func (v *verifyLab) unattached() {
	v.t.Helper()
	if out, err := v.space.Command(v.t.Context(), "", "ip", "link", "del", "pod1"); err != nil {
		v.t.Fatal(out, err)
	}
	v.verify("an interface less", 1, `default/b 10.20.0.20,fd00:20::20 UNATTACHED: `)
}

func TestVerifyEBPF(t *testing.T) {
	n := newEBPFNode(t, netlab.Routed)
	v := newVerifyLab(t, n, bundle.EBPF, compiler.Target{Node: "n1"})
	v.apply(0, v.bundle, "--node-addr", "192.168.99.1")
	v.verify("untouched", 0, equivalentText)
	v.apply(0, v.bundle)
	v.verify("without --node-addr", 0, equivalentText)
	v.try([]tamper{
		{"a verdict", func() error { return n.word(denied, func(w uint32) uint32 { return w &^ (3 << 29) }) }, []string{
			`passes and is to be denied\n`, `packet: +.*10.20.0.\d0|fd00:20::`, `(bundle|policies): +(deny|reject) by `, `kernel: +allow by `, "DRIFT: "}},
		{"a boundary", func() error {
			return n.word(func(w uint32) bool { return w == 0x08080000-1 }, func(w uint32) uint32 { return w - 256 })
		}, []string{`packet: +10.20.0.10 \(default/a\) to 8.7.255.0, TCP 443\n`, `kernel: +deny by TrafficPolicy/default/p#egress\[0\]\n`, `so for: +8.7.255.0/24, TCP 443, at 2 addresses`}},
		{"a reference", func() error {
			return n.word(func(w uint32) bool { return w == 0x08080000-1 }, func(uint32) uint32 { return 0xffffffff })
		}, []string{"the kernel holds what no loader writes: ", "DRIFT: "}},
		{"an address of a name", n.edit(bpf.MapNames, func(m *ciliumebpf.Map) error {
			var key bpf.NameKey
			if err := m.NextKey(nil, &key); err != nil {
				return err
			}
			return m.Delete(key)
		}), []string{"203.0.113.7 is an address of other domain names", `kernel: +deny by default`}},
		{"an address more of a name", n.edit(bpf.MapNames, func(m *ciliumebpf.Map) error {
			var key bpf.NameKey
			var value uint32
			if err := m.NextKey(nil, &key); err != nil {
				return err
			}
			if err := m.Lookup(key, &value); err != nil {
				return err
			}
			key.Address = bpf.AddressOf(world)
			return m.Put(key, value)
		}), []string{"8.8.8.8 is an address of other domain names", `kernel: +reject by TrafficPolicy/default/p#egress\[2\] \(as an address of rds.example\)`}},
		{"an address of the node less", n.edit(bpf.MapNodes, func(m *ciliumebpf.Map) error {
			return m.Delete(bpf.NodeKey{Generation: n.generation(), Address: bpf.AddressOf(netip.MustParseAddr("192.168.10.11"))})
		}), []string{"192.168.10.11 is an address of the node, and is not known as one"}},
		{"an address of the node more", n.edit(bpf.MapNodes, func(m *ciliumebpf.Map) error {
			return m.Put(bpf.NodeKey{Generation: n.generation(), Address: bpf.AddressOf(world)}, uint32(0))
		}), []string{"8.8.8.8 is taken for an address of the node"}},
		{"a link", func() error { return n.detach(n.links()[0]) }, []string{"DRIFT: the program is missing at"}},
		{"the root", n.edit(bpf.MapCtl, func(m *ciliumebpf.Map) error { return m.Put(uint32(0), &bpf.Ctl{Root: 1}) }), []string{"DRIFT: graph"}},
	})
	v.unattached()
}

// In one pod's own namespace only the node's addresses are exempt that it is told of.
func TestVerifyPodScope(t *testing.T) {
	for _, backend := range []string{bundle.NFTables, bundle.EBPF} {
		t.Run(backend, func(t *testing.T) {
			n := newNode(t, netlab.Routed)
			n.space = n.lab.Pod("a").Namespace
			v := newVerifyLab(t, n, backend, compiler.Target{Pod: "default/a"})
			defer v.run(0, "remove")
			v.apply(0, v.bundle, "--node-addr", "192.168.99.1")
			v.verify("untouched", 0, `^equivalent: the kernel and the (bundle|policies), of pod default/a, backend `+backend, `1 pod with 2 addresses in 1 class; 4 tables of `)
			if backend == bundle.NFTables {
				n.nft("add", "element", "inet", "trafficpolicy", n.name(`set (tp_\w+_node4) `), "{ 10.20.0.10 }")
				v.verify("an own address", 1, "10.20.0.10 is taken for an address of the node", "DRIFT: ")
				return
			}
			err := n.edit(bpf.MapNodes, func(m *ciliumebpf.Map) error {
				return m.Put(bpf.NodeKey{Generation: n.generation(), Address: bpf.AddressOf(addrA[0])}, uint32(0))
			})()
			if err != nil {
				t.Fatal(err)
			}
			v.verify("an own address", 1, "10.20.0.10 is taken for an address of the node", "DRIFT: ")
		})
	}
}

// edit returns a change to a map of the instance.
func (n *node) edit(name string, change func(m *ciliumebpf.Map) error) func() error {
	return func() error {
		m, err := ciliumebpf.LoadPinnedMap(filepath.Join(n.pinFolder(), n.oneGeneration(name), name), nil)
		if err != nil {
			return err
		}
		defer m.Close()
		return change(m)
	}
}

// detach takes a program off an interface at once: of a link that loses its pin the
// kernel lets go much later.
func (n *node) detach(pin string) error {
	l, err := link.LoadPinnedLink(pin, nil)
	if err != nil {
		return err
	}
	defer l.Close()
	return l.Detach()
}

// generation returns the number of the generation in force.
func (n *node) generation() (number uint32) {
	n.t.Helper()
	err := n.edit(bpf.MapInterfaces, func(m *ciliumebpf.Map) error {
		var key bpf.InterfaceKey
		err := m.NextKey(nil, &key)
		number = key.Generation
		return err
	})()
	if err != nil {
		n.t.Fatal(err)
	}
	return number
}

// denied reports whether a word of a graph is the terminal of a denial.
func denied(w uint32) bool { return w>>29 == 5 || w>>29 == 6 }

// word changes the first word of the graph in force, behind its header, that is.
func (n *node) word(is func(uint32) bool, change func(uint32) uint32) error {
	n.t.Helper()
	var root bpf.Ctl
	if err := n.edit(bpf.MapCtl, func(m *ciliumebpf.Map) error { return m.Lookup(uint32(0), &root) })(); err != nil {
		return err
	}
	return n.edit(bpf.MapArea, func(m *ciliumebpf.Map) error {
		var header bpf.Line
		if err := m.Lookup(root.Root, &header); err != nil {
			return err
		}
		for at := root.Root + 1; at < root.Root+header[ebpf.HeaderSize]/2; at++ {
			var line bpf.Line
			if err := m.Lookup(at, &line); err != nil {
				return err
			}
			for i := range line {
				if is(line[i]) {
					line[i] = change(line[i])
					return m.Put(at, &line)
				}
			}
		}
		return fmt.Errorf("no word is so")
	})()
}
