package nftables

import "strings"

// ends writes the chains of pod scope, where every packet is the pod's: what it
// sends must carry one of its addresses, what it is sent must be for one.
// Packets that the namespace would forward are neither and are dropped.
func (e *emitter) ends() {
	e.others()
	for _, f := range fams {
		send, recv, through := gen("send%s", f.n), gen("recv%s", f.n), gen("through%s", f.n)
		e.out.chain(send)
		e.out.chain(recv)
		e.out.chain(through)
		for _, p := range e.p.Pods {
			if own := ofFamily(p.Addrs, f); len(own) > 0 {
				e.out.rule(send, "%s saddr { %s } goto %s", f.ip, strings.Join(own, ", "), gen("from%s_%d", f.n, p.Class))
				e.out.rule(recv, "%s daddr { %s } goto %s", f.ip, strings.Join(own, ", "), gen("to%s_%d", f.n, p.Class))
			}
		}
		e.out.rule(send, "goto %s", gen("src_other"))
		e.out.rule(recv, "goto %s", gen("dst_other"))
		e.out.rule(through, "goto %s", gen("stray"))
	}
}

// devices writes the two chains of each pod's device: src for what comes in
// from it, dst for what is forwarded out to it.
func (e *emitter) devices() {
	e.others()
	for i, p := range e.p.Pods {
		src, dst := gen("src_%d", i), gen("dst_%d", i)
		e.out.chain(src)
		e.out.chain(dst)
		for _, f := range fams {
			if own := ofFamily(p.Addrs, f); len(own) > 0 {
				e.out.rule(src, "%s saddr { %s } accept", f.ip, strings.Join(own, ", "))
				e.out.rule(dst, "%s daddr { %s } goto %s", f.ip, strings.Join(own, ", "), gen("to%s_%d", f.n, p.Class))
			}
		}
		e.out.rule(src, "goto %s", gen("src_other"))
		e.out.rule(dst, "goto %s", gen("dst_other"))
	}
}

// others writes the chains for packets with an address that is not the pod's.
// src_other passes neighbour discovery from link-local or, while an address is
// being tried (RFC 4862 5.4), from the unspecified address, and MLD; dst_other
// passes neighbour discovery and MLD. Everything else ends.
func (e *emitter) others() {
	src, dst := gen("src_other"), gen("dst_other")
	e.out.chain(src)
	e.out.chain(dst)
	const local = "ip6 saddr fe80::/10"
	e.out.rule(src, "%s %s %s accept", local, discovery, onLink)
	e.out.rule(src, "%s %s ip6 daddr @%s accept", local, discovery, gen("node6"))
	e.out.rule(src, "ip6 saddr :: icmpv6 type { 133, 135 } icmpv6 code 0 ip6 hoplimit 255 ip6 daddr { ff02::1:ff00:0/104, ff02::2 } accept")
	e.out.rule(src, "ip6 saddr { ::, fe80::/10 } %s accept", listener)
	e.out.rule(src, "goto %s", gen("spoofed"))
	if e.pod {
		e.out.rule(dst, "icmpv6 type 135 icmpv6 code 0 ip6 hoplimit 255 update @%s { ip6 saddr }", gen("asked6"))
	}
	e.out.rule(dst, "%s %s accept", discoveryIn, onLink)
	e.out.rule(dst, "%s accept", listener)
	e.out.rule(dst, "goto %s", gen("stray"))
}
