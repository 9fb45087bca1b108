//go:build linux

package bpf_test

import (
	"testing"

	"github.com/trafficpolicy/trafficpolicy/backends/ebpf/bpf"
	"github.com/trafficpolicy/trafficpolicy/internal/bpflab"
	"github.com/trafficpolicy/trafficpolicy/internal/netlab"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// neighbour is a packet of neighbour or listener discovery with hop limit 255.
func neighbour(src, dst string, typ uint8) *netlab.Packet {
	return &netlab.Packet{Src: addr(src), Dst: addr(dst), Proto: model.IPProtoICMPv6, Type: typ, TTL: 255, Payload: make([]byte, 16)}
}

// changed returns a changed copy.
func changed(p *netlab.Packet, f func(p *netlab.Packet)) *netlab.Packet {
	q := *p
	f(&q)
	return &q
}

const (
	own       = "fd00:20::10"
	foreign   = "fd00:20::20"
	linkLocal = "fe80::aa"
	solicited = "ff02::1:ff00:1"
	routers   = "ff02::2"
	everybody = "ff02::1"
	theNode   = "fd00:10::11"
	theWorld  = "2001:db8:8::8"
)

// discovery is one packet, and whether it passes though every rule denies.
type discovery struct {
	what string
	p    *netlab.Packet
	pass bool
}

// sent are both sides of each condition on what a pod sends, in node scope.
func sent() (out []discovery) {
	add := func(what string, p *netlab.Packet, pass bool) { out = append(out, discovery{what, p, pass}) }
	for _, typ := range []uint8{133, 135, 136} {
		for _, src := range []string{own, linkLocal} {
			for _, to := range []struct {
				dst  string
				pass bool
			}{
				{"fe80::1", true}, {"febf:ffff::1", true}, {"fec0::1", false}, {"fe7f::1", false},
				{"ff02::1:ff00:0", true}, {"ff02::1:ffff:ffff", true}, {"ff02::1:fe00:0", false}, {"ff02::2:ff00:0", false}, {"ff05::1:ff00:0", false}, {"ff02:0:0:1::1:ff00:0", false},
				{everybody, true}, {routers, true}, {"ff02::3", false}, {"ff01::1", false}, {"ff05::2", false}, {"ff02::", false},
				{theNode, true}, {"fd00:10::12", false}, {foreign, false}, {theWorld, false},
			} {
				p := neighbour(src, to.dst, typ)
				add(src+" > "+to.dst, p, to.pass)
				add("with code 1", changed(p, func(p *netlab.Packet) { p.Code = 1 }), false)
				add("with hop limit 254", changed(p, func(p *netlab.Packet) { p.TTL = 254 }), false)
				add("with hop limit 1", changed(p, func(p *netlab.Packet) { p.TTL = 1 }), false)
			}
		}
		for _, dst := range []string{solicited, routers, everybody, "fe80::1", theNode} {
			add("from another's address", neighbour(foreign, dst, typ), false)
			add("from ::1", neighbour("::1", dst, typ), false)
			pass := typ != 136 && (dst == solicited || dst == routers)
			add("from the unspecified address to "+dst, neighbour("::", dst, typ), pass)
		}
	}
	for _, src := range []string{own, linkLocal, "::"} {
		for _, dst := range []string{everybody, solicited, "fe80::1", theNode} {
			add("router advertisement", neighbour(src, dst, 134), false)
			add("redirect", neighbour(src, dst, 137), false)
		}
		for _, typ := range []uint8{130, 131, 132, 143} {
			add("listener discovery", neighbour(src, "ff02::16", typ), true)
			add("listener discovery with hop limit 1", changed(neighbour(src, "ff02::16", typ), func(p *netlab.Packet) { p.TTL = 1 }), true)
			add("listener discovery to a group", neighbour(src, "ff05::1234", typ), true)
			add("listener discovery to one", neighbour(src, "fe80::1", typ), false)
			add("listener discovery to the node", neighbour(src, theNode, typ), false)
		}
		for _, typ := range []uint8{129, 138, 139, 142, 144, 151} {
			add("no discovery", neighbour(src, everybody, typ), false)
		}
		add("an echo request to all nodes", neighbour(src, everybody, 128), false)
	}
	add("listener discovery from another's address", neighbour(foreign, "ff02::16", 143), false)
	return out
}

// received are those on what a pod is sent from bpflab.Elsewhere, in node scope.
func received() (out []discovery) {
	add := func(what string, p *netlab.Packet, pass bool) { out = append(out, discovery{what, p, pass}) }
	for _, typ := range []uint8{133, 134, 135, 136} {
		for _, to := range []struct {
			dst  string
			pass bool
		}{
			{"fe80::bb", true}, {solicited, true}, {everybody, true}, {routers, true}, {"ff02::3", false},
			{own, false}, {foreign, false}, {theWorld, false},
		} {
			p := neighbour("fe80::1", to.dst, typ)
			add("to "+to.dst, p, to.pass)
			add("with code 1", changed(p, func(p *netlab.Packet) { p.Code = 1 }), false)
			add("with hop limit 254", changed(p, func(p *netlab.Packet) { p.TTL = 254 }), false)
		}
	}
	add("duplicate address detection", neighbour("::", solicited, 135), true)
	for _, typ := range []uint8{130, 131, 132, 143} {
		add("listener discovery", neighbour("fe80::1", "ff02::16", typ), true)
		add("listener discovery to one", neighbour("fe80::1", "fe80::bb", typ), false)
	}
	add("redirect", neighbour("fe80::1", "fe80::bb", 137), false)
	add("echo request", neighbour("fe80::1", everybody, 128), false)
	return out
}

// TestDiscovery: both sides of each condition of SEMANTICS, in a closed pod.
func TestDiscovery(t *testing.T) {
	w := newWorld(t, bpf.Options{})
	w.set(policyOf("client", closed))
	for _, c := range sent() {
		w.expect("from the pod, "+c.what+", "+c.p.String(), w.from(devClient, c.p.Bytes()), c.pass)
	}
	for _, c := range received() {
		w.expect("to the pod, "+c.what+", "+c.p.String(), w.to(devClient, c.p.Bytes()), c.pass)
	}
	// The node answers the pod's solicitation at its global address.
	d := w.Devices[devClient]
	w.expect("the node's advertisement", w.run(w.ToEther, bpflab.Frame(d, neighbour("fe80::1", own, 136).Bytes()), bpflab.SKB{Ifindex: d.Index}), true)
}

// TestDiscoveryFragments: discovery in fragments is dropped (RFC 6980), whatever rules say.
func TestDiscoveryFragments(t *testing.T) {
	w := newWorld(t, bpf.Options{})
	for _, policy := range []string{policyOf("client", closed), policyOf("client", allowOut, allowIn)} {
		w.set(policy)
		for typ := uint8(133); typ <= 136; typ++ {
			p := neighbour(own, solicited, typ)
			p.Payload = make([]byte, 100)
			for _, b := range p.Fragments(64) {
				w.expect("a fragment from the pod", w.from(devClient, b), false)
			}
			p.Src, p.Dst = p.Dst, p.Src
			for _, b := range p.Fragments(64) {
				w.expect("a fragment to the pod", w.to(devClient, b), false)
			}
		}
	}
}

// TestDiscoveryByRule: what is exempt nowhere is judged as ICMP, packet by packet.
func TestDiscoveryByRule(t *testing.T) {
	w := newWorld(t, bpf.Options{})
	icmp := "rules: [{action: allow, ports: [{protocol: ICMP}]}]"
	for _, allow := range []bool{true, false} {
		if allow {
			w.set(policyOf("client", "egress: {"+icmp+"}, ingress: {"+icmp+"}"))
		} else {
			w.set(policyOf("client", closed))
		}
		w.expect("advertisement to a neighbour's global address", w.from(devClient, neighbour(own, foreign, 136).Bytes()), allow)
		w.expect("advertisement to the own global address", w.to(devClient, neighbour(foreign, own, 136).Bytes()), allow)
		w.expect("router advertisement", w.from(devClient, neighbour(own, foreign, 134).Bytes()), false)
		w.expect("redirect", w.from(devClient, neighbour(own, foreign, 137).Bytes()), false)
	}
}

// TestPodScopeDiscovery: in the pod's own namespace a neighbour that no router passed
// on may ask, and is answered wherever its address is.
func TestPodScopeDiscovery(t *testing.T) {
	w := newWorld(t, bpf.Options{PodScope: true})
	w.set(policyOf("client", closed))
	for _, c := range sent() {
		w.expect("from the pod, "+c.what+", "+c.p.String(), w.from(devClient, c.p.Bytes()), c.pass)
	}
	for _, c := range received() {
		if c.p.Dst == addr(own) && c.p.TTL == 255 && c.p.Code == 0 {
			c.pass = true
		}
		w.expect("to the pod, "+c.what+", "+c.p.String(), w.to(devClient, c.p.Bytes()), c.pass)
	}
	advertisement := neighbour(own, "fd00:20::77", 136).Bytes()
	w.expect("unasked", w.from(devClient, advertisement), false)
	w.expect("a routed solicitation", w.to(devClient, changed(neighbour("fd00:20::77", solicited, 135), func(p *netlab.Packet) { p.TTL = 254 }).Bytes()), false)
	w.expect("still unasked", w.from(devClient, advertisement), false)
	w.expect("a solicitation", w.to(devClient, neighbour("fd00:20::77", solicited, 135).Bytes()), true)
	w.expect("asked", w.from(devClient, advertisement), true)
	w.expect("another was not asked", w.from(devClient, neighbour(own, "fd00:20::78", 136).Bytes()), false)
}
