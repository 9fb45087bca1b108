//go:build linux

package bpf_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	ciliumebpf "github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/backends/ebpf"
	"github.com/trafficpolicy/trafficpolicy/backends/ebpf/bpf"
	"github.com/trafficpolicy/trafficpolicy/compiler"
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

// lab is a network namespace of our own with devices that nothing is sent by:
// programs are run with them, and told their indices.
type lab struct {
	calls   chan func()
	devices []device
}

type device struct {
	index uint32
	mac   [6]byte
}

// Devices of a lab.
const (
	devClient = iota
	devServer
	devUplink
	devCount
	devLoopback = devCount // where programs are run when nothing is said
)

// newLab makes a namespace that lasts as long as the test.
func newLab(t testing.TB) *lab {
	t.Helper()
	l := &lab{calls: make(chan func())}
	ready := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the namespace ends with the thread
		ready <- l.build()
		for f := range l.calls {
			f()
		}
	}()
	if err := <-ready; err != nil {
		t.Fatalf("make a network namespace: %v", err)
	}
	t.Cleanup(func() { close(l.calls) })
	return l
}

func (l *lab) build() error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return err
	}
	for i := range devCount {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = fmt.Sprintf("tp-%d", i)
		if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: attrs.Name + "-peer"}); err != nil {
			return err
		}
		link, err := netlink.LinkByName(attrs.Name)
		if err != nil {
			return err
		}
		d := device{index: uint32(link.Attrs().Index)}
		copy(d.mac[:], link.Attrs().HardwareAddr)
		l.devices = append(l.devices, d)
	}
	l.devices = append(l.devices, device{index: 1})
	return nil
}

// do runs f inside the namespace.
func (l *lab) do(f func()) {
	done := make(chan struct{})
	l.calls <- func() { defer close(done); f() }
	<-done
}

// world is an instance at work on the cluster.
type world struct {
	testing.TB
	*lab
	*bpf.Instance
	target     compiler.Target
	inventory  string
	generation uint32
	half       uint32 // lines of half an area
	deciders   []string
	rules      map[string]string // decider to rule or default
	counts     []bpf.Counter     // when last asked
	place      map[string]int    // devices of pods, where not as they come
	unchecked  bool              // checksums are not looked at
	iif        uint32            // where packets to pods come from; 0: the node
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
		t.Cleanup(func() { w.Instance.Close() })
		return w.in(t)
	}
	if shared[n] == nil {
		shared[n] = load(t, o)
	}
	w := *shared[n]
	t.Cleanup(func() { shared[n].generation = w.generation })
	w.in(t)
	w.forget()
	return &w
}

// load makes the world's instance.
func load(t testing.TB, o bpf.Options) *world {
	t.Helper()
	w := &world{target: compiler.Target{Node: "node-a"}, inventory: inventory}
	if o.PodScope {
		w.target = compiler.Target{Pod: "default/client"}
	}
	o.Lines = max(o.Lines, 8192)
	o.Deciders = max(o.Deciders, 1024)
	if o.Conns == 0 {
		o.Conns = 65536
	}
	w.half = o.Lines / 2
	var err error
	if w.Instance, err = bpf.Load(o); err != nil {
		t.Fatalf("%+v", err)
	}
	return w
}

// in gives the world to a test.
func (w *world) in(t testing.TB) *world {
	w.TB, w.lab = t, newLab(t)
	w.iif = w.devices[devUplink].index
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
	tables, err := ebpf.ReadTables(a.Files[1].Data)
	w.must(err)
	w.rules = map[string]string{"": "not selected"}
	for _, r := range a.Manifest.Rules {
		w.rules[r.ID] = strings.TrimPrefix(r.Name, "TrafficPolicy/default/")
	}
	for _, d := range a.Manifest.Defaults {
		w.rules[d.ID] = "default " + d.Direction
	}
	w.deciders = tables.Deciders
	g, err := ebpf.Check(a.Files[0].Data, tables)
	w.must(err)
	w.generation++
	place := &ebpf.Placement{Generation: w.generation}
	for i, p := range tables.Pods {
		for range p.Addrs {
			place.Interfaces = append(place.Interfaces, w.devices[w.deviceOf(p.Ref, i)].index)
		}
	}
	for i := range tables.Deciders {
		place.Counters = append(place.Counters, uint32(i))
	}
	for _, a := range tables.NodeAddrs {
		w.must(w.Nodes.Put(bpf.NodeKey{Generation: w.generation, Address: bpf.AddressOf(a)}, uint32(1)))
	}
	placed, err := g.Place(place)
	w.must(err)
	for n, links := range tables.Chains {
		for i := len(links) - 1; i >= 0; i-- { // the first has the last word
			for _, k := range a.Manifest.Names {
				if k.Name != links[i].Name {
					continue
				}
				for _, known := range k.Addrs {
					w.must(w.Names.Put(bpf.NameKey{Generation: w.generation, Chain: uint32(n), Address: bpf.AddressOf(known)}, uint32(place.Placed(&links[i]))))
				}
			}
		}
	}
	w.write(placed)
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

// write puts a graph as it is in force.
func (w *world) write(placed []byte) {
	w.Helper()
	root := w.generation % 2 * w.half
	n := len(placed) / ebpf.LineSize
	if uint32(n) > w.half {
		w.Fatalf("a graph of %d lines does not fit in %d", n, w.half)
	}
	keys, lines := make([]uint32, n), make([]bpf.Line, n)
	for i := range keys {
		keys[i] = root + uint32(i)
	}
	w.must(binary.Read(bytes.NewReader(placed), binary.LittleEndian, lines))
	_, err := w.Area.BatchUpdate(keys, lines, nil)
	w.must(err)
	w.must(w.Ctl.Put(uint32(0), bpf.Ctl{Root: root}))
	w.counted()
}

// skb is struct __sk_buff of linux/bpf.h.
type skb struct {
	Len, PktType, Mark, QueueMapping, Protocol, VlanPresent, VlanTci, VlanProto, Priority uint32
	IngressIfindex, Ifindex, TcIndex                                                      uint32
	Cb                                                                                    [5]uint32
	Hash, TcClassid, Data, DataEnd, NapiID, Family, RemoteIP4, LocalIP4                   uint32
	RemoteIP6, LocalIP6                                                                   [4]uint32
	RemotePort, LocalPort, DataMeta                                                       uint32
	FlowKeys, Tstamp                                                                      uint64
	WireLen, GsoSegs                                                                      uint32
	Sk                                                                                    uint64
	GsoSize                                                                               uint32
	TstampType                                                                            uint8
	_                                                                                     [3]uint8
	Hwtstamp                                                                              uint64
}

// Ends of a judgement.
const (
	passed   = 0xffffffff // TC_ACT_UNSPEC
	dropped  = 2          // TC_ACT_SHOT
	answered = 7          // TC_ACT_REDIRECT
)

// result is what a program did.
type result struct {
	end   uint32
	frame []byte // as it left it
	mark  uint32
}

func (r result) String() string {
	switch r.end {
	case passed:
		return "passed"
	case dropped:
		return "dropped"
	case answered:
		return "answered"
	}
	return fmt.Sprintf("returned %#x", r.end)
}

// run has a program judge a frame.
func (w *world) run(p *ciliumebpf.Program, frame []byte, ctx skb) (r result) {
	w.Helper()
	out := make([]byte, 2048)
	var after skb
	var err error
	w.do(func() {
		opts := ciliumebpf.RunOptions{Data: frame, DataOut: out, Context: &ctx, ContextOut: &after}
		r.end, err = p.Run(&opts)
		r.frame = opts.DataOut
	})
	if err != nil {
		w.Fatalf("run %s with %x: %v", p, frame, err)
	}
	r.mark = after.Mark
	return r
}

// ether puts a packet behind an Ethernet header to a device.
func ether(to device, packet []byte) []byte {
	proto := uint16(unix.ETH_P_IP)
	if len(packet) > 0 && packet[0]>>4 == 6 {
		proto = unix.ETH_P_IPV6
	}
	return etherOf(to, proto, packet)
}

// elsewhere is the link-layer address at the other end of every device.
var elsewhere = [6]byte{2, 0, 0, 0, 0, 9}

func etherOf(to device, proto uint16, payload []byte) []byte {
	b := slices.Concat(to.mac[:], elsewhere[:])
	return append(binary.BigEndian.AppendUint16(b, proto), payload...)
}

// from judges what a device's pod sends.
func (w *world) from(dev int, packet []byte) result {
	w.Helper()
	d := w.devices[dev]
	return w.run(w.FromEther, ether(d, packet), skb{Ifindex: d.index, IngressIfindex: w.received(d.index)})
}

// to judges what a device's pod is sent from elsewhere, w.iif.
func (w *world) to(dev int, packet []byte) result {
	w.Helper()
	d := w.devices[dev]
	return w.run(w.ToEther, ether(d, packet), skb{Ifindex: d.index, IngressIfindex: w.received(w.iif)})
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
	send     func(packet []byte) result
	back     func(packet []byte) result // what answers it
	raw      func(packet []byte) result // as send, without link layer
}

// ways returns both, with good as the other end.
func (w *world) ways() []way {
	d := w.devices[devClient]
	from := func(b []byte) result { w.Helper(); return w.from(devClient, b) }
	to := func(b []byte) result { w.Helper(); return w.to(devClient, b) }
	fromIP := func(b []byte) result { w.Helper(); return w.run(w.FromIP, b, skb{Ifindex: d.index}) }
	toIP := func(b []byte) result {
		w.Helper()
		return w.run(w.ToIP, b, skb{Ifindex: d.index, IngressIfindex: w.received(w.iif)})
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
func (w *world) expect(what string, got result, pass bool) {
	w.Helper()
	want := uint32(dropped)
	if pass {
		want = passed
	}
	if got.end != want {
		w.Errorf("%s: %s, want %s", what, got, result{end: want})
	}
}

// forget empties the connection tables.
func (w *world) forget() {
	w.Helper()
	for _, m := range []*ciliumebpf.Map{w.Conns, w.Opening} {
		var key bpf.ConnKey
		var keys []bpf.ConnKey
		var c bpf.Conn
		for it := m.Iterate(); it.Next(&key, &c); {
			keys = append(keys, key)
		}
		for _, k := range keys {
			_ = m.Delete(k) // an LRU may have done so
		}
	}
	var key bpf.FragKey
	var f bpf.Frag
	var keys []bpf.FragKey
	for it := w.Frags.Iterate(); it.Next(&key, &f); {
		keys = append(keys, key)
	}
	for _, k := range keys {
		_ = w.Frags.Delete(k)
	}
}
