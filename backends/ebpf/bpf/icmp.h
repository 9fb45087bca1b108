/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* ICMP that is judged by other things than its own connection: errors, and neighbour
 * and listener discovery. */
#ifndef TP_ICMP_H
#define TP_ICMP_H

#include "conn.h"
#include "parse.h"

#define TP_ROUTER_SOLICITATION 133
#define TP_ROUTER_ADVERTISEMENT 134
#define TP_NEIGHBOUR_SOLICITATION 135
#define TP_NEIGHBOUR_ADVERTISEMENT 136

/* Makes p's addresses, ports and key those of the packet that an ICMP error quotes:
 * one that the pod has sent where the error goes to it, one that it was sent where the
 * error comes from it. Returns nonzero where no connection can be read. */
__noinline int tp_quote(struct __sk_buff *skb, struct tp_packet *p)
{
	int pod_sends;
	struct tp_headers h = {};
	__be16 port[4];

	if (!p)
		return -1;
	pod_sends = p->direction == TP_INGRESS;
	h.transport = p->headers.transport + 8;
	h.end = p->headers.end;
	if (p->words.family == TP_IPV4) {
		struct iphdr ip;

		if (h.transport + sizeof(ip) > h.end || bpf_skb_load_bytes(skb, h.transport, &ip, sizeof(ip)))
			return -1;
		if (ip.version != 4 || ip.ihl < 5 || ip.frag_off & bpf_htons(0x1fff))
			return -1;
		h.transport += ip.ihl * 4;
		h.protocol = ip.protocol;
		tp_set_ip4(p, pod_sends, ip.saddr, ip.daddr);
	} else {
		struct ipv6hdr ip;

		if (h.transport + sizeof(ip) > h.end || bpf_skb_load_bytes(skb, h.transport, &ip, sizeof(ip)))
			return -1;
		if (ip.version != 6 || tp_is_mapped(ip.saddr.in6_u.u6_addr32) || tp_is_mapped(ip.daddr.in6_u.u6_addr32))
			return -1;
		h.transport += sizeof(ip);
		h.protocol = ip.nexthdr;
		tp_set_ip6(p, pod_sends, ip.saddr.in6_u.u6_addr32, ip.daddr.in6_u.u6_addr32);
		if (tp_extensions(skb, &h) || h.fragment == TP_LATER)
			return -1;
	}
	p->key.protocol = h.protocol;
	p->key.kind = TP_CONN_PLAIN;
	p->key.local_port = p->key.peer_port = 0;
	if (tp_point(p->words.family, h.protocol, 0) == TP_L4_OTHER)
		return 0;
	if (h.transport + sizeof(port) > h.end || bpf_skb_load_bytes(skb, h.transport, port, sizeof(port)))
		return -1;
	if (tp_point(p->words.family, h.protocol, 0) == TP_L4_ICMP)
		return tp_set_query(p, bpf_ntohs(port[0]) >> 8, port[2], pod_sends);
	tp_set_ports(p, pod_sends, port[0], port[1]);
	return 0;
}

/* Whom an ICMP error goes to and, once tp_quote has read p's ends, who has sent the
 * packet that it quotes. */
static __always_inline const __be32 *tp_receiver(const struct tp_packet *p)
{
	return p->direction == TP_EGRESS ? p->key.peer : p->key.local;
}

static __always_inline void tp_copy_address(__be32 *to, const __be32 *from)
{
	for (int i = 0; i < 4; i++)
		to[i] = from[i];
}

static __always_inline int tp_is_same_address(const __be32 *a, const __be32 *b)
{
	return !((a[0] ^ b[0]) | (a[1] ^ b[1]) | (a[2] ^ b[2]) | (a[3] ^ b[3]));
}

/* Reports whether a router never forwards what goes to an address: link-local,
 * solicited-node (RFC 4291 2.7.1), all nodes, all routers. */
static __always_inline int tp_is_on_link(const __be32 *a)
{
	if (tp_is_link_local(a))
		return 1;
	if (a[0] != bpf_htonl(0xff020000) || a[1])
		return 0;
	if (a[2] == bpf_htonl(1) && (a[3] & bpf_htonl(0xff000000)) == bpf_htonl(0xff000000))
		return 1;
	return !a[2] && (a[3] == bpf_htonl(1) || a[3] == bpf_htonl(2));
}

/* Reports whether an address that is tried, and so not yet anybody's, may send to a:
 * solicited-node, all routers (RFC 4862 5.4). */
static __always_inline int tp_is_for_unspecified(const __be32 *a)
{
	return tp_is_on_link(a) && !tp_is_link_local(a) && !(!a[2] && a[3] == bpf_htonl(1));
}

/* The key under which it is remembered that the peer asked. */
static __always_inline struct tp_conn_key tp_asked_key(const struct tp_packet *p)
{
	struct tp_conn_key key = {.protocol = IPPROTO_ICMPV6, .kind = TP_CONN_NEIGHBOUR};

	for (int i = 0; i < 4; i++)
		key.peer[i] = p->key.peer[i];
	return key;
}

static __always_inline int tp_has_asked(struct tp_packet *p)
{
	struct tp_conn_key key = tp_asked_key(p);
	struct tp_conn *c = bpf_map_lookup_elem(&tp_opening, &key);

	return c && tp_now(p) - c->seen <= 10 * TP_SECOND;
}

static __always_inline void tp_remember_asked(struct tp_packet *p)
{
	struct tp_conn_key key = tp_asked_key(p);
	struct tp_conn c = {.seen = tp_now(p)};

	bpf_map_update_elem(&tp_opening, &key, &c, BPF_ANY);
}

static __always_inline int tp_is_unspecified(const __be32 *a)
{
	return !(a[0] | a[1] | a[2] | a[3]);
}

/* Discovery that the pod sends. own: the source is its address. */
static __always_inline int tp_discovery_from(struct tp_packet *p, int listener, int own)
{
	const __be32 *to = p->key.peer, *from = p->key.local;
	int link_local = tp_is_link_local(from), unspecified = tp_is_unspecified(from);

	if (listener)
		return (to[0] & bpf_htonl(0xff000000)) == bpf_htonl(0xff000000) && (own || link_local || unspecified);
	if (p->icmp_type == TP_ROUTER_ADVERTISEMENT || p->icmp_code || p->hops != 255)
		return 0;
	if (unspecified)
		return p->icmp_type != TP_NEIGHBOUR_ADVERTISEMENT && tp_is_for_unspecified(to);
	if (!own && !link_local)
		return 0;
	return tp_is_on_link(to) || tp_is_node(p->words.generation, to) || (tp_is_pod_scope() && tp_has_asked(p));
}

/* Discovery that the pod is sent. own: the destination is its address. */
static __always_inline int tp_discovery_to(struct tp_packet *p, int listener, int own)
{
	const __be32 *to = p->key.local;

	if (listener)
		return (to[0] & bpf_htonl(0xff000000)) == bpf_htonl(0xff000000);
	if (p->icmp_code || p->hops != 255)
		return 0;
	if (tp_is_pod_scope() && p->icmp_type == TP_NEIGHBOUR_SOLICITATION)
		tp_remember_asked(p);
	return tp_is_on_link(to) || (tp_is_pod_scope() && own);
}

/* What becomes of a whole packet of discovery. TP_GO_ON: it is judged as ICMP, without
 * a connection. */
__noinline __u32 tp_discovery(struct __sk_buff *skb, struct tp_packet *p)
{
	int own, listener;

	if (!p)
		return TP_REFUSED;
	own = tp_own(skb, p);
	listener = p->icmp_type < TP_ROUTER_SOLICITATION || p->icmp_type > TP_NEIGHBOUR_ADVERTISEMENT;
	if (p->direction == TP_EGRESS) {
		if (tp_discovery_from(p, listener, own))
			return 0;
		return p->icmp_type == TP_ROUTER_ADVERTISEMENT ? TP_DROPPED(TP_COUNTER_BROKEN) : TP_GO_ON;
	}
	return tp_discovery_to(p, listener, own) ? 0 : TP_GO_ON;
}

#endif
