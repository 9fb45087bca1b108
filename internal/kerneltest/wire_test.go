//go:build linux

package kerneltest

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/internal/netlab"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// The cluster of the tests of single sentences of SEMANTICS 5: on one node two
// governed pods, client and server, and open, which is not enrolled; the
// Service web in front of server.
const wireInventory = `
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
  metadata: &governed
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
  status: {phase: Running, podIPs: [{ip: 10.20.0.20}, {ip: "fd00:20::20"}]}
- apiVersion: v1
  kind: Pod
  metadata: {name: open, namespace: default, labels: {app: open}}
  spec: {nodeName: node-a}
  status: {phase: Running, podIPs: [{ip: 10.20.0.30}, {ip: "fd00:20::30"}]}
- apiVersion: v1
  kind: Service
  metadata: {name: web, namespace: default}
  spec: {clusterIPs: [172.21.0.100, "fd00:21::100"], clusterIP: 172.21.0.100, selector: {app: server}, ports: [{port: 80, targetPort: 8080}]}
`

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// Addresses of the cluster, IPv4 and IPv6, and of the world.
var (
	clientIP  = [2]netip.Addr{addr("10.20.0.10"), addr("fd00:20::10")}
	serverIP  = [2]netip.Addr{addr("10.20.0.20"), addr("fd00:20::20")}
	openIP    = [2]netip.Addr{addr("10.20.0.30"), addr("fd00:20::30")}
	nodeIP    = [2]netip.Addr{addr("192.168.10.11"), addr("fd00:10::11")}
	serviceIP = [2]netip.Addr{addr("172.21.0.100"), addr("fd00:21::100")}
	goodIP    = [2]netip.Addr{addr("8.8.8.8"), addr("2001:db8:8::8")} // policies allow it, as a rule
	badIP     = [2]netip.Addr{addr("9.9.9.9"), addr("2001:db8:9::9")} // and deny this
)

// wireSpec is the node of the cluster.
func wireSpec(mode netlab.Mode) netlab.Spec {
	s := netlab.Spec{Mode: mode, Addrs: nodeIP[:], Pods: []netlab.PodSpec{
		{Name: "default.client", Addrs: clientIP[:]},
		{Name: "default.server", Addrs: serverIP[:]},
		{Name: "default.open", Addrs: openIP[:]},
	}}
	if mode == netlab.Bridged {
		s.Bridge = []netip.Prefix{netip.MustParsePrefix("10.20.0.1/24"), netip.MustParsePrefix("fd00:20::1/64")}
	}
	return s
}

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

// wire is a fixture on the cluster.
type wire struct {
	*fixture
	client, server, open *netlab.Host
}

// set puts policies in force.
func (w *wire) set(policies ...string) *Policies {
	w.Helper()
	p, err := WritePolicies(w.TempDir(), strings.Join(policies, ""), wireInventory)
	w.must(err)
	w.apply(p)
	return p
}

// onWire runs a test on a routed and on a bridged node with each backend.
func onWire(t *testing.T, f func(w *wire)) {
	forLoaded(t, func(t *testing.T, b Backend) {
		for _, mode := range []netlab.Mode{netlab.Routed, netlab.Bridged} {
			t.Run(mode.String(), func(t *testing.T) { f(newWire(t, b, wireSpec(mode), "")) })
		}
	})
}

// onEvery runs a test on a routed and on a bridged node and with the policy in
// client's own namespace.
func onEvery(t *testing.T, f func(w *wire)) {
	onWire(t, f)
	t.Run("pod", func(t *testing.T) { inPod(t, f) })
}

// way is a path of packets to or from a governed pod.
type way struct {
	what     string
	from     *netlab.Host
	src, dst [2]netip.Addr
}

// ways are from client to the world and from the world to server, or where the
// policy is in client's own namespace to client.
func (w *wire) ways() []way {
	in := serverIP
	if w.Pod != nil {
		in = clientIP
	}
	return []way{{"out", w.client, clientIP, goodIP}, {"in", w.Node.Outside, goodIP, in}}
}

// inPod runs a test with the policy in client's own namespace.
func inPod(t *testing.T, f func(w *wire)) {
	forLoaded(t, func(t *testing.T, b Backend) { f(newWire(t, b, wireSpec(netlab.Routed), "default/client")) })
}

func newWire(t *testing.T, b Backend, spec netlab.Spec, pod string) *wire {
	w := &wire{fixture: newFixture(t, b, spec, "node-a", pod)}
	w.client, w.server, w.open = w.Node.Pod("default.client"), w.Node.Pod("default.server"), w.Node.Pod("default.open")
	return w
}

// shot is one packet of a test, sent as it is.
type shot struct {
	what   string
	from   *netlab.Host
	bytes  [][]byte // sent in this order
	cookie uint64
	at     *netlab.Receiver
	pass   bool
}

// one is a shot of a whole packet at where its destination is.
func (w *wire) one(what string, from *netlab.Host, p *netlab.Packet, pass bool) shot {
	p.Cookie = netlab.NextCookie()
	return shot{what: fmt.Sprintf("%s (%s)", what, p), from: from, bytes: [][]byte{p.Bytes()}, cookie: p.Cookie, at: w.Receiver(p.Dst), pass: pass}
}

// fire sends all shots at once and compares.
func (w *wire) fire(shots []shot) {
	w.Helper()
	w.Forget()
	w.must(w.Node.Settle(func() error {
		for _, s := range shots {
			for _, b := range s.bytes {
				var err error
				if e := w.local[s.from.Namespace]; e != nil {
					if err = e.RawSender.Send(b); err != nil && denied(err) {
						err = nil
					}
				} else {
					err = s.from.SendFrame(b)
				}
				if err != nil {
					return fmt.Errorf("%s: %w", s.what, err)
				}
			}
		}
		return nil
	}))
	for _, s := range shots {
		match := func(a *netlab.Arrival) bool { return a.Cookie == s.cookie }
		_, seen := s.at.Find(match)
		if !seen && s.pass {
			_, seen = s.at.Wait(late, match)
		}
		switch {
		case seen && !s.pass:
			w.Errorf("%s: it passed", s.what)
		case !seen && s.pass:
			w.Errorf("%s: it was dropped", s.what)
		}
	}
}

// udp is a UDP packet with a source port of its own; ID is for tests that make
// it ICMP.
func udp(src, dst netip.Addr, port uint16) *netlab.Packet {
	own := 30000 + uint16(netlab.NextCookie()%30000)
	return &netlab.Packet{Src: src, Dst: dst, Proto: model.IPProtoUDP, SrcPort: own, DstPort: port, ID: own}
}

// TestSpoofed: whatever a governed pod's interface sends from an address that is
// not that pod's is dropped, and so is what would reach it under such an address.
func TestSpoofed(t *testing.T) {
	onEvery(t, func(w *wire) {
		w.set(policyOf("client", allowOut, allowIn), policyOf("server", allowOut, allowIn))
		linkLocal := addr("fe80::aaaa")
		var shots []shot
		for i, dst := range goodIP {
			shots = append(shots,
				w.one("own address", w.client, udp(clientIP[i], dst, 53), true),
				w.one("another governed pod's", w.client, udp(serverIP[i], dst, 53), false),
				w.one("an open pod's", w.client, udp(openIP[i], dst, 53), false),
				w.one("the node's", w.client, udp(nodeIP[i], dst, 53), false),
				w.one("a Service's", w.client, udp(serviceIP[i], dst, 53), false),
				w.one("the world's", w.client, udp(badIP[i], dst, 53), false),
				w.one("a world's, to a pod", w.client, udp(badIP[i], openIP[i], 53), false),
				w.one("a world's, to the node", w.client, udp(badIP[i], nodeIP[i], 53), false),
			)
		}
		if w.Pod == nil { // a stack fills in a source of zeros
			shots = append(shots, w.one("from 0.0.0.0", w.client, udp(addr("0.0.0.0"), goodIP[0], 53), false))
		}
		for _, src := range []string{"10.20.0.11", "10.20.0.9", "169.254.7.7", "255.255.255.255"} {
			shots = append(shots, w.one("from "+src, w.client, udp(addr(src), goodIP[0], 53), false))
		}
		shots = append(shots,
			w.one("link-local to the world", w.client, udp(linkLocal, goodIP[1], 53), false),
			w.one("link-local to a pod", w.client, udp(linkLocal, openIP[1], 53), false),
			w.one("link-local to the node", w.client, udp(linkLocal, nodeIP[1], 53), false),
			w.one("unspecified", w.client, udp(addr("::"), goodIP[1], 53), false),
			w.one("neighbours of the own address", w.client, udp(addr("fd00:20::f"), goodIP[1], 53), false),
			w.one("neighbours of the own address", w.client, udp(addr("fd00:20::11"), goodIP[1], 53), false),
		)
		w.fire(shots)
	})
}

// TestNodeSource: only packets that originate on the node are the node's; one
// that comes from elsewhere with the node's address is judged like any other.
func TestNodeSource(t *testing.T) {
	onWire(t, func(w *wire) {
		w.set(policyOf("client", closed), policyOf("server", closed))
		var shots []shot
		for f := range nodeIP {
			shots = append(shots,
				w.one("the node's address, from the world", w.Node.Outside, udp(nodeIP[f], serverIP[f], 53), false),
				w.one("the node's address, from an open pod", w.open, udp(nodeIP[f], serverIP[f], 53), false))
		}
		w.fire(shots)
	})
}

// TestNodeSourceFragments: fragments that the node has put together and cut again are no
// more the node's than they were; its own are.
func TestNodeSourceFragments(t *testing.T) {
	onWire(t, func(w *wire) {
		w.set(policyOf("client", closed), policyOf("server", closed))
		w.must(w.Node.NFT("table inet tracking {\nchain seen {\ntype filter hook prerouting priority 0;\nct state new counter\n}\n}\n"))
		var shots []shot
		for _, at := range []int{8, 64, 1000} {
			for f := range nodeIP {
				for _, crowded := range []bool{false, true}[:1+f] {
					p := udp(nodeIP[f], serverIP[f], 53)
					p.Payload, p.IPID = make([]byte, 1200), p.SrcPort
					s := w.one("the node's address, in fragments", w.Node.Outside, p, false)
					b := p.Fragments(at)
					if crowded {
						s.what += ", the first with headers that leave the later ones no room"
						b[0] = withOptions(b[0])
					}
					s.bytes = b[:]
					shots = append(shots, s)
				}
			}
		}
		w.fire(shots)
		for f := range nodeIP {
			w.must(w.Node.Do(func() error {
				u, err := net.DialUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(nodeIP[f], 0)), net.UDPAddrFromAddrPort(netip.AddrPortFrom(serverIP[f], 53)))
				if err != nil {
					return err
				}
				defer u.Close()
				_, err = u.Write(make([]byte, 4000))
				return err
			}))
			last := func(a *netlab.Arrival) bool { return a.Src == nodeIP[f] && a.Offset > 2000 }
			if _, ok := w.Receiver(serverIP[f]).Wait(late, last); !ok {
				w.Errorf("fragments that %s sends to %s were dropped", nodeIP[f], serverIP[f])
			}
		}
	})
}

// withOptions puts 256 bytes of destination options before the first header of an IPv6
// fragment.
func withOptions(b []byte) []byte {
	const destination = 60
	b = slices.Concat(b[:40], []byte{b[6], 31, 1, 252}, make([]byte, 252), b[40:])
	b[6] = destination
	binary.BigEndian.PutUint16(b[4:], uint16(len(b)-40))
	return b
}

// TestSCTPFirst: an INIT opens an association. What else comes first is invalid for
// connection tracking; hooks on interfaces judge it as they judge an INIT.
func TestSCTPFirst(t *testing.T) {
	const data, initiation, selective, abort = 0, 1, 3, 6 // chunks (RFC 9260, 3.2)
	onWire(t, func(w *wire) {
		w.set(policyOf("client", goodOut))
		var shots []shot
		for f := range clientIP {
			for _, chunk := range []byte{data, initiation, selective, abort} {
				for _, dst := range []netip.Addr{goodIP[f], badIP[f]} {
					p := udp(clientIP[f], dst, 80)
					p.Proto = model.IPProtoSCTP
					pass := dst == goodIP[f] && (chunk == initiation || w.Backend.Interfaces)
					s := w.one(fmt.Sprintf("chunk %d", chunk), w.client, p, pass)
					withChunk(s.bytes[0][[]int{20, 40}[f]:], chunk)
					shots = append(shots, s)
				}
			}
		}
		w.fire(shots)
	})
}

// withChunk makes the chunk of an SCTP packet, an INIT, another one.
func withChunk(b []byte, chunk byte) {
	const initiation = 1
	b[12] = chunk
	if chunk != initiation {
		b[7] = 1 // of the verification tag, which is zero with an INIT alone
	}
	clear(b[8:12])
	binary.LittleEndian.PutUint32(b[8:], crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
}

// TestForeignSourceAtOutput: what leaves the node's own output hook with a source
// that is not the node's, as IPVS sends it, is judged; the node's own is not.
func TestForeignSourceAtOutput(t *testing.T) {
	onWire(t, func(w *wire) {
		w.set(policyOf("client", allowOut), policyOf("server", `ingress: {rules: [{action: allow, from: [{workload: {selector: {app: client}}}], ports: [{protocol: UDP, port: 53}]}]}`))
		var shots []shot
		for f := range serverIP {
			for _, c := range []struct {
				what string
				src  netip.Addr
				port uint16
				pass bool
			}{
				{"a pod that may", clientIP[f], 53, true},
				{"a pod that may, to another port", clientIP[f], 54, false},
				{"a pod that may not", openIP[f], 53, false},
				{"the world", badIP[f], 53, false},
				{"the node", nodeIP[f], 54, true},
			} {
				s := w.one(c.what, w.Node.Outside, udp(c.src, serverIP[f], c.port), c.pass)
				s.from = &netlab.Host{Namespace: w.Node.Namespace}
				shots = append(shots, s)
			}
		}
		w.fire(shots)
	})
}

// TestNodeErrors: what the node itself says of a pod's packets reaches the pod,
// and nothing is said of packets that are denied.
func TestNodeErrors(t *testing.T) {
	onWire(t, func(w *wire) {
		w.set(policyOf("client", goodOut))
		var all []*netlab.Packet
		for f := range clientIP {
			for _, dst := range []netip.Addr{goodIP[f], badIP[f]} {
				p := udp(clientIP[f], dst, 53)
				p.TTL, p.Cookie = 1, netlab.NextCookie()
				all = append(all, p)
			}
		}
		w.Forget()
		w.must(w.Node.Settle(func() error {
			for _, p := range all {
				if err := w.client.SendFrame(p.Bytes()); err != nil {
					return err
				}
			}
			return nil
		}))
		for i, p := range all {
			exceeded := func(a *netlab.Arrival) bool { return a.IsError() && a.Cookie == p.Cookie }
			_, told := w.client.Tap().Find(exceeded)
			if !told && i%2 == 0 {
				_, told = w.client.Tap().Wait(late, exceeded)
			}
			if told != (i%2 == 0) {
				w.Errorf("time exceeded about %s: %v", p, told)
			}
		}
	})
}

// TestFragments: a non-first fragment has the verdict of its first.
func TestFragments(t *testing.T) {
	ports := `egress: {rules: [{action: allow, ports: [{protocol: UDP, port: 53}, {protocol: TCP, port: 443}, {protocol: ICMP}]}]}`
	in := `ingress: {rules: [{action: allow, ports: [{protocol: UDP, port: 53}, {protocol: TCP, port: 443}, {protocol: ICMP}]}]}`
	onEvery(t, func(w *wire) {
		w.set(policyOf("client", ports, in), policyOf("server", in))
		var shots []shot
		for _, way := range append(w.ways(), way{"between pods", w.client, clientIP, serverIP}) {
			for f := range clientIP {
				for _, c := range []struct {
					proto uint8
					port  uint16
					pass  bool
				}{{17, 53, true}, {17, 54, false}, {6, 443, true}, {6, 444, false}, {58, 0, true}, {253, 0, false}} {
					if c.proto == 58 && f == 0 {
						c.proto = 1
					}
					for _, order := range [][]int{{0, 1}, {1, 0}} {
						p := &netlab.Packet{Src: way.src[f], Dst: way.dst[f], Proto: c.proto, SrcPort: 1024 + uint16(netlab.NextCookie()%60000), DstPort: c.port, Cookie: netlab.NextCookie()}
						p.IPID, p.ID = uint16(p.Cookie), uint16(p.Cookie)
						p.Type = map[uint8]uint8{1: 8, 58: 128}[c.proto]
						fs := p.Fragments(128)
						// Where a stack receives, both fragments must have passed.
						lost := w.Backend.Interfaces && order[0] == 1 && c.port != 0 && w.end(p.Dst) != nil
						shots = append(shots, shot{fmt.Sprintf("%s, %s, fragments %v", way.what, p, order), way.from, [][]byte{fs[order[0]], fs[order[1]]}, p.Cookie, w.Receiver(p.Dst), c.pass && !lost})
					}
				}
				p := udp(way.src[f], way.dst[f], 53)
				p.Cookie = netlab.NextCookie()
				p.IPID = uint16(p.Cookie)
				shots = append(shots, shot{what: "a last fragment alone, " + p.String(), from: way.from, bytes: [][]byte{slices.Clone(p.Fragments(128)[1])}, cookie: p.Cookie, at: w.Receiver(p.Dst)})
			}
		}
		w.fire(shots)
	})
}
