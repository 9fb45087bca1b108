//go:build linux

package bpf_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	ciliumebpf "github.com/cilium/ebpf"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/backends/ebpf"
	"github.com/trafficpolicy/trafficpolicy/backends/ebpf/bpf"
	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/internal/bpflab"
	"github.com/trafficpolicy/trafficpolicy/internal/netlab"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// The cluster of the tests: on one node two governed pods, client and server, and
// open, which is not enrolled. Server has two addresses of each family.
const inventory = `
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Namespace, metadata: {name: default}}
- apiVersion: v1
  kind: Node
  metadata: {name: node-a}
  status: {addresses: [{type: InternalIP, address: 192.168.10.11}, {type: InternalIP, address: "fd00:10::11"}]}
- apiVersion: v1
  kind: Pod
  metadata:
    name: client
    namespace: default
    labels: {app: client}
    annotations: {network.alibabacloud.com/enable-network-policy-agent: "true", network.alibabacloud.com/network-policy-mode: traffic-policy}
  spec: {nodeName: node-a}
  status: {phase: Running, podIPs: [{ip: 10.20.0.10}, {ip: "fd00:20::10"}]}
- apiVersion: v1
  kind: Pod
  metadata:
    name: server
    namespace: default
    labels: {app: server}
    annotations: {network.alibabacloud.com/enable-network-policy-agent: "true", network.alibabacloud.com/network-policy-mode: traffic-policy}
  spec: {nodeName: node-a}
  status: {phase: Running, podIPs: [{ip: 10.20.0.20}, {ip: "fd00:20::20"}, {ip: 10.20.0.21}, {ip: "fd00:20::21"}]}
- apiVersion: v1
  kind: Pod
  metadata: {name: open, namespace: default, labels: {app: open}}
  spec: {nodeName: node-a}
  status: {phase: Running, podIPs: [{ip: 10.20.0.30}, {ip: "fd00:20::30"}]}
`

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// Addresses of the cluster, IPv4 and IPv6, and of the world.
var (
	clientIP  = [2]netip.Addr{addr("10.20.0.10"), addr("fd00:20::10")}
	serverIP  = [2]netip.Addr{addr("10.20.0.20"), addr("fd00:20::20")}
	serverIP2 = [2]netip.Addr{addr("10.20.0.21"), addr("fd00:20::21")}
	openIP    = [2]netip.Addr{addr("10.20.0.30"), addr("fd00:20::30")}
	nodeIP    = [2]netip.Addr{addr("192.168.10.11"), addr("fd00:10::11")}
	goodIP    = [2]netip.Addr{addr("8.8.8.8"), addr("2001:db8:8::8")} // policies allow it, as a rule
	badIP     = [2]netip.Addr{addr("9.9.9.9"), addr("2001:db8:9::9")} // and deny this
)

// policyOf is a TrafficPolicy for the pods of one app; sections are ingress and
// egress in YAML flow style.
func policyOf(app string, sections ...string) string {
	return fmt.Sprintf("---\n{apiVersion: %s, kind: TrafficPolicy, metadata: {name: %s, namespace: default}, spec: {priority: 100, selector: {matchLabels: {app: %s}}, %s}}\n",
		model.GroupVersion, app, app, strings.Join(sections, ", "))
}

// Sections of policies.
const (
	allowOut = "egress: {rules: [{action: allow}]}"
	allowIn  = "ingress: {rules: [{action: allow}]}"
	goodOut  = `egress: {rules: [{action: allow, to: [{cidr: 8.8.8.8/32}, {cidr: "2001:db8:8::8/128"}]}]}`
	goodIn   = `ingress: {rules: [{action: allow, from: [{cidr: 8.8.8.8/32}, {cidr: "2001:db8:8::8/128"}]}]}`
	closed   = "ingress: {rules: []}, egress: {rules: []}"
)

// Devices of a lab.
const (
	devClient = iota
	devServer
	devUplink
	devCount
	devLoopback = devCount // where programs are run when nothing is said
)

// Ends of a judgement.
const (
	passed   = bpflab.Passed
	dropped  = bpflab.Dropped
	answered = bpflab.Answered
)

// newLab makes a namespace that lasts as long as the test.
func newLab(t testing.TB) *bpflab.Lab {
	t.Helper()
	l, err := bpflab.NewLab(devCount)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	l.Devices = append(l.Devices, bpflab.Loopback)
	return l
}

// world is an instance at work on the cluster.
type world struct {
	testing.TB
	*bpflab.Lab
	*bpflab.Machine
	target    compiler.Target
	inventory string
	deciders  []string
	rules     map[string]string // decider to rule or default
	counts    []bpf.Counter     // when last asked
	place     map[string]int    // devices of pods, where not as they come
	unchecked bool              // checksums are not looked at
	iif       uint32            // where packets to pods come from; 0: the node
}

// shared are instances that tests take turns with, by scope: loading one takes longer
// than most tests.
var shared [2]*world

// newWorld makes a world for the node or, in pod scope, for client. One with other
// options than the scope has an instance of its own.
func newWorld(t testing.TB, o bpf.Options) *world {
	t.Helper()
	require(t)
	n := 0
	if o.PodScope {
		n = 1
	}
	own := o
	own.PodScope = false
	if !reflect.ValueOf(own).IsZero() {
		w := load(t, o)
		t.Cleanup(func() { w.Machine.Close() })
		return w.in(t)
	}
	if shared[n] == nil {
		shared[n] = load(t, o)
	}
	w := *shared[n]
	w.in(t)
	w.Forget()
	return &w
}

// load makes the world's instance.
func load(t testing.TB, o bpf.Options) *world {
	t.Helper()
	w := &world{target: compiler.Target{Node: "node-a"}, inventory: inventory}
	if o.PodScope {
		w.target = compiler.Target{Pod: "default/client"}
	}
	var err error
	if w.Machine, err = bpflab.NewMachine(o); err != nil {
		t.Fatalf("%+v", err)
	}
	return w
}

// in gives the world to a test.
func (w *world) in(t testing.TB) *world {
	w.TB, w.Lab = t, newLab(t)
	w.iif = w.Devices[devUplink].Index
	return w
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// set puts policies in force.
func (w *world) set(policies ...string) {
	w.Helper()
	w.install(w.compile(strings.Join(policies, "")))
}

func (w *world) compile(policies string) *bundle.Bundle {
	w.Helper()
	dir := w.TempDir()
	p, i := filepath.Join(dir, "policies.yaml"), filepath.Join(dir, "inventory.yaml")
	w.must(os.WriteFile(p, []byte(policies), 0o644))
	w.must(os.WriteFile(i, []byte(w.inventory), 0o644))
	in, err := compiler.Load(context.Background(), compiler.LoadOptions{Policies: []string{p}, Inventory: []string{i}})
	w.must(err)
	prog, err := compiler.Compile(context.Background(), in, compiler.CompileOptions{Target: w.target, AllowUnresolved: true})
	w.must(err)
	a, err := ebpf.Emit(prog)
	w.must(err)
	return a
}

// install writes an artifact beside what is in force and switches.
func (w *world) install(a *bundle.Bundle) {
	w.Helper()
	w.rules = map[string]string{"": "not selected"}
	for _, r := range a.Manifest.Rules {
		w.rules[r.ID] = strings.TrimPrefix(r.Name, "TrafficPolicy/default/")
	}
	for _, d := range a.Manifest.Defaults {
		w.rules[d.ID] = "default " + d.Direction
	}
	tables, err := w.Install(a, func(ref string, i int) bpflab.Device { return w.Devices[w.deviceOf(ref, i)] })
	w.must(err)
	w.deciders = tables.Deciders
	w.counted()
}

// deviceOf returns the device of a pod.
func (w *world) deviceOf(ref string, i int) int {
	if d, ok := w.place[ref]; ok {
		return d
	}
	switch ref {
	case "default/client":
		return devClient
	case "default/server":
		return devServer
	}
	return i % 2
}

// run has a program judge a frame.
func (w *world) run(p *ciliumebpf.Program, frame []byte, ctx bpflab.SKB) bpflab.Result {
	w.Helper()
	r, err := w.Run(p, frame, ctx)
	w.must(err)
	return r
}

// from judges what a device's pod sends.
func (w *world) from(dev int, packet []byte) bpflab.Result {
	w.Helper()
	d := w.Devices[dev]
	return w.run(w.FromEther, bpflab.Frame(d, packet), bpflab.SKB{Ifindex: d.Index, IngressIfindex: w.received(d.Index)})
}

// to judges what a device's pod is sent from bpflab.Elsewhere, w.iif.
func (w *world) to(dev int, packet []byte) bpflab.Result {
	w.Helper()
	d := w.Devices[dev]
	return w.run(w.ToEther, bpflab.Frame(d, packet), bpflab.SKB{Ifindex: d.Index, IngressIfindex: w.received(w.iif)})
}

// received is where a packet was received; nowhere for tests of packets whose
// checksums are not right, which those of a stack need not be.
func (w *world) received(ifindex uint32) uint32 {
	if w.unchecked {
		return 0
	}
	return ifindex
}

// way is a direction of packets: from client, or to it.
type way struct {
	name     string
	src, dst [2]netip.Addr
	send     func(packet []byte) bpflab.Result
	back     func(packet []byte) bpflab.Result // what answers it
	raw      func(packet []byte) bpflab.Result // as send, without link layer
}

// ways returns both, with good as the other end.
func (w *world) ways() []way {
	d := w.Devices[devClient]
	from := func(b []byte) bpflab.Result { w.Helper(); return w.from(devClient, b) }
	to := func(b []byte) bpflab.Result { w.Helper(); return w.to(devClient, b) }
	fromIP := func(b []byte) bpflab.Result { w.Helper(); return w.run(w.FromIP, b, bpflab.SKB{Ifindex: d.Index}) }
	toIP := func(b []byte) bpflab.Result {
		w.Helper()
		return w.run(w.ToIP, b, bpflab.SKB{Ifindex: d.Index, IngressIfindex: w.received(w.iif)})
	}
	return []way{{"from the pod", clientIP, goodIP, from, to, fromIP}, {"to the pod", goodIP, clientIP, to, from, toIP}}
}

// counted returns, by name, how many packets each counter has counted since the
// last call; without those of none and of events.
func (w *world) counted() map[string]int {
	w.Helper()
	info, err := w.Counters.Info()
	w.must(err)
	now := make([]bpf.Counter, info.MaxEntries)
	var perCPU []bpf.Counter
	got := map[string]int{}
	for i := range now {
		if i >= int(bpf.FixedCounters)+len(w.deciders) {
			break
		}
		w.must(w.Counters.Lookup(uint32(i), &perCPU))
		for _, c := range perCPU {
			now[i].Packets += c.Packets
			now[i].Bytes += c.Bytes
		}
		n := now[i].Packets
		if w.counts != nil {
			n -= w.counts[i].Packets
		}
		number := bpf.CounterNumber(i)
		name := number.String()
		if d, ok := number.Decider(); ok {
			name = w.rules[w.deciders[d]]
		}
		if n > 0 && !slices.Contains([]bpf.CounterNumber{bpf.CounterEvents, bpf.CounterEventsLimited, bpf.CounterEventsLost}, number) {
			got[name] += int(n)
		}
	}
	w.counts = now
	return got
}

// udp is a UDP packet.
func udp(src, dst netip.Addr, port uint16) *netlab.Packet {
	return &netlab.Packet{Src: src, Dst: dst, Proto: model.IPProtoUDP, SrcPort: 30000, DstPort: port, ID: 30000}
}

// reply is the answer to p.
func reply(p *netlab.Packet) *netlab.Packet {
	q := *p
	q.Src, q.Dst, q.SrcPort, q.DstPort = p.Dst, p.Src, p.DstPort, p.SrcPort
	switch {
	case p.Proto == model.IPProtoTCP:
		q.Flags = netlab.SYN | netlab.ACK
	case p.Proto == model.IPProtoICMP && p.Type == 8:
		q.Type = 0
	case p.Proto == model.IPProtoICMP:
		q.Type = p.Type + 1
	case p.Proto == model.IPProtoICMPv6:
		q.Type = p.Type + 1
	}
	return &q
}

// expect compares what became of a packet.
func (w *world) expect(what string, got bpflab.Result, pass bool) {
	w.Helper()
	want := dropped
	if pass {
		want = passed
	}
	if got.End != want {
		w.Errorf("%s: %s, want %s", what, got, want)
	}
}
