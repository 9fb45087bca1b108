/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* The connection table. An entry speaks for one pod and was opened in one direction.
 * States and timeouts follow nf_conntrack's defaults; sequence numbers are not
 * followed. */
#ifndef TP_CONN_H
#define TP_CONN_H

#include "owner.h"
#include "parse.h"

#define TP_SECOND 1000000000ULL

/* How long a connection without packets is remembered. */
static __always_inline __u64 tp_timeout(const struct tp_conn *c, __u8 protocol, __u8 kind)
{
	int replied = c->flags & TP_CONN_REPLIED;

	switch (protocol) {
	case IPPROTO_TCP:
		if (c->tcp & TP_TCP_RESET)
			return 10 * TP_SECOND;
		if (c->tcp & (TP_TCP_FIN_OPENER | TP_TCP_FIN_OTHER))
			return 120 * TP_SECOND;
		if (c->tcp & TP_TCP_OPEN)
			return (replied ? 432000 : 300) * TP_SECOND;
		return (replied ? 60 : 120) * TP_SECOND;
	case IPPROTO_UDP:
		return (replied ? 120 : 30) * TP_SECOND;
	case IPPROTO_SCTP:
		return (replied ? 210 : 30) * TP_SECOND;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return (kind == TP_CONN_NEIGHBOUR ? 10 : 30) * TP_SECOND;
	}
	return 600 * TP_SECOND;
}

/* Reports whether an entry is so old that its timeout must be looked at. */
static __always_inline int tp_is_old(const struct tp_conn *c, struct tp_packet *p)
{
	return (__s64)(tp_now(p) - c->seen) > (__s64)(10 * TP_SECOND); /* the shortest there is */
}

static __always_inline int tp_is_over(const struct tp_conn *c, struct tp_packet *p)
{
	return tp_is_old(c, p) &&
	       (__s64)(tp_now(p) - c->seen) > (__s64)tp_timeout(c, p->key.protocol, p->key.kind);
}

static __always_inline int tp_tcp_is_closed(const struct tp_conn *c)
{
	const __u8 both = TP_TCP_FIN_OPENER | TP_TCP_FIN_OTHER;

	return c->tcp & TP_TCP_RESET || (c->tcp & both) == both;
}

static __always_inline int tp_is_syn(const struct tp_packet *p)
{
	return p->key.protocol == IPPROTO_TCP &&
	       (p->tcp_flags & (TP_TCP_FLAG_SYN | TP_TCP_FLAG_ACK)) == TP_TCP_FLAG_SYN;
}

/* Reports whether a TCP packet may open a connection: a SYN, or one from the midst of
 * a connection that is older than the table (nf_conntrack_tcp_loose). */
static __always_inline int tp_tcp_opens(const struct tp_packet *p)
{
	return !(p->tcp_flags & (TP_TCP_FLAG_FIN | TP_TCP_FLAG_RST)) &&
	       (p->tcp_flags & (TP_TCP_FLAG_SYN | TP_TCP_FLAG_ACK)) != (TP_TCP_FLAG_SYN | TP_TCP_FLAG_ACK);
}

/* The state of a TCP connection behind a packet of it. */
static __always_inline __u8 tp_tcp_next(__u8 state, __u8 flags, int opener)
{
	if (flags & TP_TCP_FLAG_RST)
		return state | TP_TCP_RESET;
	/* A forged SYN must not make an established connection a young one. */
	if (flags & TP_TCP_FLAG_SYN)
		return flags & TP_TCP_FLAG_ACK || state == TP_TCP_OPEN ? state : 0;
	if (flags & TP_TCP_FLAG_FIN)
		state |= opener ? TP_TCP_FIN_OPENER : TP_TCP_FIN_OTHER;
	return state | TP_TCP_OPEN;
}

/* Writes what judged the connection, in one store: another CPU sees both or neither. */
static __always_inline void tp_set_judged(struct tp_conn *c, __u32 stamp, __u32 terminal)
{
	*(volatile __u64 *)c = (__u64)terminal << 32 | stamp;
}

/* Forgets the connection of p. */
static __always_inline void tp_forget(struct tp_packet *p)
{
	bpf_map_delete_elem(&tp_conns, &p->key);
	bpf_map_delete_elem(&tp_opening, &p->key);
}

/* Enters a new connection. */
static __always_inline void tp_enter(struct __sk_buff *skb, struct tp_packet *p, __u32 terminal, __u8 flags)
{
	struct tp_conn c = {
		.stamp = p->words.stamp,
		.terminal = terminal,
		.seen = tp_now(p),
		.ifindex = skb->ifindex,
		.direction = p->direction,
		.flags = flags,
	};

	if (p->key.protocol == IPPROTO_TCP)
		c.tcp = tp_tcp_next(0, p->tcp_flags, 1);
	if (p->reopens)
		tp_forget(p);
	if (bpf_map_update_elem(&tp_opening, &p->key, &c, BPF_ANY))
		tp_count(TP_COUNTER_UNTRACKED, tp_length(p));
}

/* Moves a connection that has been answered to where it is safe from new ones. */
static __always_inline void tp_promote(struct tp_packet *p, struct tp_conn *c)
{
	struct tp_conn copy = *c;

	copy.flags |= TP_CONN_REPLIED;
	if (bpf_map_update_elem(&tp_conns, &p->key, &copy, BPF_ANY)) {
		tp_count(TP_COUNTER_UNTRACKED, tp_length(p));
		return; /* the next answer tries again */
	}
	bpf_map_delete_elem(&tp_opening, &p->key);
}

/* The connection of p, unless it is over. */
static __always_inline struct tp_conn *tp_find(struct tp_packet *p)
{
	struct tp_conn *c = bpf_map_lookup_elem(&tp_conns, &p->key);

	if (c && !tp_is_over(c, p))
		return c;
	c = bpf_map_lookup_elem(&tp_opening, &p->key);
	return c && !tp_is_over(c, p) ? c : NULL;
}

/* What the graph in force says of the connection: asks again where that was another
 * graph, or domain names have come to mean something else. The connection's own tuple decides, whichever packet of it is at hand. Zero:
 * the node's own. */
static __always_inline __u32 tp_judged(struct tp_packet *p, struct tp_conn *c)
{
	__u64 judged = *(volatile __u64 *)c;
	__u32 terminal = judged >> 32;
	int egress = c->direction == TP_EGRESS;

	if ((__u32)judged == p->words.stamp)
		return terminal;
	terminal = 0;
	if (c->flags & TP_CONN_NODE &&
	    !tp_is_node(p->words.generation, p->key.peer) && !tp_is_link_local(p->key.peer))
		c->flags &= ~TP_CONN_NODE;
	if (!(c->flags & TP_CONN_NODE)) {
		p->words.word[TP_WORD_L4] = tp_point(p->words.family, p->key.protocol, egress ? p->key.peer_port : p->key.local_port);
		terminal = tp_walk(&p->words, egress ? p->egress : p->ingress);
	}
	tp_set_judged(c, p->words.stamp, terminal);
	return terminal;
}

#endif
