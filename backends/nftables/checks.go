package nftables

import "fmt"

// ICMP types. Errors quote the packet that they are about (RFC 792, RFC 4443 2.1).
const (
	icmpErrors   = "icmp type { 3, 11, 12 }"
	icmpv6Errors = "icmpv6 type { 1, 2, 3, 4 }"
	// neighbour discovery but for router advertisements (RFC 4861); code and hop
	// limit of a packet that no router forwarded.
	discovery = "icmpv6 type { 133, 135, 136 } icmpv6 code 0 ip6 hoplimit 255"
	// the same with router advertisements.
	discoveryIn = "icmpv6 type { 133, 134, 135, 136 } icmpv6 code 0 ip6 hoplimit 255"
	// multicast listener discovery (RFC 2710, RFC 3810).
	listener = "icmpv6 type { 130, 131, 132, 143 } ip6 daddr ff00::/8"
	// destinations of neighbour discovery that a router never forwards:
	// link-local, solicited-node, all nodes and all routers.
	onLink = "ip6 daddr { fe80::/10, ff02::1:ff00:0/104, ff02::1, ff02::2 }"
)

// drops writes the chains in which packets end that no rule is about. Each
// counts, logs and drops.
func (e *emitter) drops() {
	for _, d := range []struct{ chain, counter string }{
		{"broken", CounterBroken}, {"spoofed", CounterSpoofed}, {"stray", CounterStray}, {"unknown", CounterUnknown},
	} {
		name := gen("%s", d.chain)
		e.out.chain(name)
		e.out.rule(name, `counter name "%s"`, d.counter)
		e.out.rule(name, "%s", logged(d.counter))
		e.out.rule(name, "drop")
	}
}

// logged returns the statement that logs a packet under a prefix, as far as the
// rate allows, and counts that it did.
func logged(prefix string) string {
	return fmt.Sprintf(`limit name "tp_log" counter name "%s" log prefix "%s " group %d snaplen 128`, CounterLogged, prefix, LogGroup)
}

// checks writes the chains that decide what no rule is asked about. They are
// jumped to first of all and return for packets that are to be judged: those
// have a connection, or are untracked and long enough for their ports.
func (e *emitter) checks() {
	e.untracked()
	for _, f := range fams {
		e.errors("from", f, "saddr")
		e.errors("to", f, "daddr")
		e.toNode(f)
		for _, kind := range []string{"from", "to"} {
			e.check(kind, f)
		}
		e.self(f)
	}
}

// check writes the chain of one kind ("from": the pod sends; "to": it is sent).
func (e *emitter) check(kind string, f fam) {
	name := gen("check_%s%s", kind, f.n)
	e.out.chain(name)
	if f.n == "6" {
		// Only a packet whose route is done goes where its destination says.
		e.out.rule(name, "rt seg-left > 0 goto %s", gen("broken"))
		e.discovery(name, kind)
	}
	e.out.rule(name, "ct state invalid goto %s", gen("broken"))
	e.out.rule(name, "ct state related meta l4proto %s jump %s", f.icmp, gen("error_%s%s", kind, f.n))
	e.out.rule(name, "ct state untracked jump %s", gen("untracked"))
	switch {
	case e.pod && kind == "to":
		e.out.rule(name, "ct direction original ct original %s saddr @%s accept", f.ip, gen("node%s", f.n))
		e.out.rule(name, "ct state untracked %s saddr @%s accept", f.ip, gen("node%s", f.n))
	case e.pod:
		e.out.rule(name, "ct direction reply ct original %s saddr @%s accept", f.ip, gen("node%s", f.n))
	case kind == "from":
		e.out.rule(name, "ct direction reply fib daddr type local jump %s", gen("tonode%s", f.n))
	}
}

// discovery adds the exemptions of neighbour discovery and MLD. In node scope
// nothing of it is forwarded; in pod scope a neighbour that asked, with a hop
// limit that no router passed on, is answered, whatever its address.
func (e *emitter) discovery(name, kind string) {
	switch {
	case kind == "from":
		e.out.rule(name, "%s %s accept", discovery, onLink)
		if e.pod {
			e.out.rule(name, "%s ip6 daddr @%s accept", discovery, gen("node6"))
			e.out.rule(name, "%s ip6 daddr @%s accept", discovery, gen("asked6"))
		} else {
			e.out.rule(name, "%s fib daddr type local accept", discovery)
		}
		e.out.rule(name, "icmpv6 type 134 goto %s", gen("broken"))
		e.out.rule(name, "%s accept", listener)
	case e.pod:
		e.out.rule(name, "icmpv6 type 135 icmpv6 code 0 ip6 hoplimit 255 update @%s { ip6 saddr }", gen("asked6"))
		e.out.rule(name, "%s accept", discoveryIn)
	}
}

// untracked writes the chain for packets that conntrack was told to leave alone:
// one with ports must be long enough to have them. (Of the others conntrack says
// invalid.)
func (e *emitter) untracked() {
	name := gen("untracked")
	e.out.chain(name)
	e.out.rule(name, "meta l4proto { tcp, udp, sctp } th dport 0-65535 return")
	e.out.rule(name, "meta l4proto { tcp, udp, sctp } goto %s", gen("broken"))
}

// errors writes the chain for ICMP that conntrack relates to a connection. It
// returns for an error about a connection of the pod at address, which is then
// judged as the quoted packet's answer would be.
func (e *emitter) errors(kind string, f fam, address string) {
	name := gen("error_%s%s", kind, f.n)
	types := icmpErrors
	if f.n == "6" {
		types = icmpv6Errors
	}
	// The pod is the end that the error comes from or goes to: whoever opened
	// the connection answers in the original direction, the other in the reply's.
	opener, other := "original", "reply"
	if kind == "to" {
		opener, other = other, opener
	}
	e.out.chain(name)
	e.out.rule(name, "%s ct direction %s %s %s . ct original %s saddr @%s return", types, opener, f.ip, address, f.ip, gen("self%s", f.n))
	e.out.rule(name, "%s ct direction %s %s %s . ct reply %s saddr @%s return", types, other, f.ip, address, f.ip, gen("self%s", f.n))
	e.out.rule(name, "goto %s", gen("broken"))
}

// toNode writes the chain for replies to an address of the node: those on a
// connection that the node itself opened pass. A connection from elsewhere whose
// source the node translated to its own address has another original source.
func (e *emitter) toNode(f fam) {
	if e.pod {
		return
	}
	name := gen("tonode%s", f.n)
	e.out.chain(name)
	e.out.rule(name, "ct status & snat == 0 accept")
	e.out.rule(name, "ct original %s saddr @%s accept", f.ip, gen("node%s", f.n))
}

// self writes the chains that lift a denial of what a pod sends to itself: by
// its own addresses, or through a Service that leads back to it.
func (e *emitter) self(f fam) {
	for _, s := range sides {
		name := gen("self_%s%s", s.n, f.n)
		other := "original %s daddr"
		if s.n == "i" {
			other = "reply %s saddr"
		}
		e.out.chain(name)
		e.out.rule(name, "ct original %s saddr . ct "+other+" @%s accept", f.ip, f.ip, gen("self%s", f.n))
		e.out.rule(name, "ct state untracked %s saddr . %s daddr @%s accept", f.ip, f.ip, gen("self%s", f.n))
	}
}
