/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* The judgement of one direction of one packet at one pod. */
#ifndef TP_JUDGE_H
#define TP_JUDGE_H

#include "frag.h"
#include "icmp.h"
#include "reject.h"

/* Reports whether the graph in force judges this interface. A loader attaches to an
 * interface before the first graph that judges it and detaches behind the last;
 * meanwhile nothing is to be dropped there. It is asked for drops by no rule alone:
 * no record names such an interface, so that every packet comes to one. */
static __always_inline int tp_is_judged(struct __sk_buff *skb, const struct tp_packet *p)
{
	struct tp_interface_key key = {.generation = p->words.generation, .ifindex = skb->ifindex};

	return !tp_listed || bpf_map_lookup_elem(&tp_interfaces, &key);
}

/* Drops a packet, or answers it. */
__noinline int tp_deny(struct __sk_buff *skb, struct tp_packet *p, __u32 decision)
{
	__u32 verdict = decision >> TP_VERDICT_SHIFT & 3, counter = tp_counter_of(decision);

	if (!p)
		return TP_DROP;
	if (verdict == TP_VERDICT_OTHER) {
		counter = decision & TP_INDEX_MASK;
		if (counter >= TP_COUNTER_FIXED) {
			if (tp_is_self(p))
				return TP_PASS;
			counter = TP_COUNTER_BROKEN;
		}
		if (!tp_is_judged(skb, p))
			return TP_PASS;
		verdict = TP_VERDICT_DENY;
	} else if (tp_is_self(p)) {
		return TP_PASS;
	}
	tp_count(counter, tp_length(p));
	tp_tell(skb, p, counter, verdict);
	return verdict == TP_VERDICT_REJECT ? tp_reject(skb, p) : TP_DROP;
}

/* Carries out a decision. */
static __always_inline int tp_settle(struct __sk_buff *skb, struct tp_packet *p, __u32 decision)
{
	if (!decision)
		return TP_PASS;
	if (!tp_is_allow(decision))
		return tp_deny(skb, p, decision);
	tp_count(tp_counter_of(decision), tp_length(p));
	return TP_PASS;
}

/* Reports whether a packet can be the first of a connection. */
static __always_inline int tp_opens(const struct tp_packet *p)
{
	if (p->about == TP_ABOUT_NOTHING)
		return 0;
	if (p->key.kind != TP_CONN_PLAIN)
		return p->key.kind == (p->direction == TP_EGRESS ? TP_CONN_QUERY : TP_CONN_QUERIED);
	return p->key.protocol != IPPROTO_TCP || p->headers.fragment == TP_LATER || tp_tcp_opens(p);
}

/* Reports whether a packet that is let through leaves an entry. */
static __always_inline int tp_is_tracked(const struct tp_packet *p)
{
	return p->about == TP_ABOUT_CONN && p->headers.fragment != TP_LATER;
}

/* Judges a packet that no connection is known of in its own direction. *flags are
 * those of the entry that it may leave, if it passes. */
static __always_inline __u32 tp_decide(struct __sk_buff *skb, struct tp_packet *p, __u8 *flags)
{
	__u32 terminal;

	if (tp_is_from_node(skb, p)) {
		*flags = TP_CONN_NODE;
		return 0;
	}
	if (!tp_opens(p) || (tp_has_sums(skb, p) && !tp_sums_are_right(skb, p)))
		return TP_REFUSED;
	if (!p->ports_unknown)
		return tp_walk(&p->words, p->direction == TP_EGRESS ? p->egress : p->ingress);
	terminal = tp_judge_stretch(p);
	return terminal ? terminal : TP_REFUSED;
}

/* A packet that no connection is known of. */
__noinline __u32 tp_new(struct __sk_buff *skb, struct tp_packet *p)
{
	__u8 flags = 0;
	__u32 decision;

	if (!p)
		return TP_REFUSED;
	decision = tp_decide(skb, p, &flags);
	if ((!decision || tp_is_allow(decision)) && tp_is_tracked(p) && tp_opens(p))
		tp_enter(skb, p, decision, flags);
	return decision;
}

/* A packet whose connection may be known. TP_GO_ON: it is not. */
__noinline __u32 tp_known(struct __sk_buff *skb, struct tp_packet *p)
{
	struct tp_conn *c;
	__u32 terminal;
	int reply, tcp;

	if (!p)
		return TP_REFUSED;
	c = tp_find(p);
	if (!c) {
		tp_forget(p);
		return TP_GO_ON;
	}
	if (tp_is_syn(p) && tp_tcp_is_closed(c)) {
		p->reopens = 1; /* if it passes: one that is denied ends nothing */
		return TP_GO_ON;
	}
	reply = c->direction != p->direction;
	tcp = p->key.protocol == IPPROTO_TCP && p->headers.fragment != TP_LATER;
	if (tcp && p->tcp_flags & (TP_TCP_FLAG_SYN | TP_TCP_FLAG_FIN | TP_TCP_FLAG_RST)) {
		if (tp_is_syn(p) && reply && c->flags & TP_CONN_REPLIED)
			return TP_REFUSED;
		if (tp_has_sums(skb, p) && !tp_sums_are_right(skb, p))
			return TP_REFUSED;
	}
	if (!reply && p->direction == TP_INGRESS) {
		int node = tp_is_from_node(skb, p);

		/* What comes from elsewhere under the node's address is not the node's. */
		if (!node && c->flags & TP_CONN_NODE)
			return tp_walk(&p->words, p->ingress);
		if (node && !(c->flags & TP_CONN_NODE)) {
			c->flags |= TP_CONN_NODE;
			tp_set_judged(c, p->words.stamp, 0);
		}
	}
	terminal = tp_judged(p, c);
	c->seen = tp_now(p);
	c->ifindex = skb->ifindex;
	if (tcp)
		c->tcp = tp_tcp_next(c->tcp, p->tcp_flags, !reply);
	if (reply && !(c->flags & TP_CONN_REPLIED))
		tp_promote(p, c);
	return terminal;
}

/* An ICMP error has the verdict of the connection that it quotes. It goes to who sent
 * the packet that it is about: to anybody else it would be a way around. */
__noinline __u32 tp_error(struct __sk_buff *skb, struct tp_packet *p)
{
	struct tp_conn *c;
	int from_node;
	__be32 to[4];

	if (!p)
		return TP_REFUSED;
	from_node = tp_is_from_node(skb, p);
	tp_copy_address(to, tp_receiver(p));
	if (!tp_quote(skb, p) && tp_is_same_address(to, tp_receiver(p)) && tp_own(skb, p)) {
		c = tp_find(p);
		if (c)
			return tp_judged(p, c);
	}
	return from_node ? 0 : TP_DROPPED(TP_COUNTER_BROKEN);
}

/* What is not the pod's. What the node itself sends there, to a link-local address or
 * to many, is no more judged than what it sends to the pod's own. */
static __always_inline __u32 tp_foreign(struct __sk_buff *skb, const struct tp_packet *p)
{
	if (!tp_is_pod_scope() && skb->ingress_ifindex == 0 && tp_is_from_node(skb, p))
		return 0;
	return TP_DROPPED(p->direction == TP_EGRESS ? TP_COUNTER_SPOOFED : TP_COUNTER_STRAY);
}

/* A packet with its connection, or its first fragment, at hand. */
static __always_inline __u32 tp_by_kind(struct __sk_buff *skb, struct tp_packet *p)
{
	if (p->about == TP_ABOUT_QUOTED)
		return tp_error(skb, p);
	return p->about == TP_ABOUT_CONN && !p->ports_unknown ? tp_known(skb, p) : TP_GO_ON;
}

/* A packet that is not whole. TP_GO_ON: it is judged as if it were. */
__noinline __u32 tp_fragment(struct __sk_buff *skb, struct tp_packet *p)
{
	if (!p)
		return TP_REFUSED;
	if (!tp_own(skb, p))
		return tp_foreign(skb, p);
	if (p->headers.fragment == TP_LATER)
		tp_recall(p);
	else
		tp_remember(p);
	/* No error is longer than what every link carries (RFC 1812, 4.3.2.3; RFC 4443,
	 * 2.4 c), and discovery is not cut (RFC 6980). */
	if (p->about == TP_ABOUT_QUOTED || p->about == TP_ABOUT_NEIGHBOUR)
		return TP_DROPPED(TP_COUNTER_BROKEN);
	return TP_GO_ON;
}

/* Whole packets but the plain ones of connections that the graph in force has judged.
 * TP_GO_ON: it belongs to no connection that is known. */
__noinline __u32 tp_slow(struct __sk_buff *skb, struct tp_packet *p)
{
	__u32 decision;

	if (!p)
		return TP_REFUSED;
	if (p->about == TP_ABOUT_NEIGHBOUR) {
		decision = tp_discovery(skb, p);
		if (decision != TP_GO_ON)
			return decision;
	}
	if (!tp_own(skb, p))
		return tp_foreign(skb, p);
	return tp_by_kind(skb, p);
}

/* Reports whether a connection's entry alone says what becomes of a packet. */
static __always_inline int tp_is_settled(struct __sk_buff *skb, struct tp_packet *p, const struct tp_conn *c)
{
	if (c->ifindex != skb->ifindex || tp_is_old(c, p))
		return 0;
	if (p->headers.protocol == IPPROTO_TCP &&
	    (c->tcp != TP_TCP_OPEN || p->tcp_flags & (TP_TCP_FLAG_SYN | TP_TCP_FLAG_FIN | TP_TCP_FLAG_RST)))
		return 0;
	return c->flags & TP_CONN_REPLIED || c->direction == p->direction;
}

/* Looks for what has been decided already. TP_GO_ON: nothing, but the local address is
 * the pod's. */
static __always_inline __u32 tp_decided(struct __sk_buff *skb, struct tp_packet *p)
{
	struct tp_conn *c;
	__u64 judged;

	if (p->headers.fragment) {
		__u32 decision = tp_fragment(skb, p);

		return decision == TP_GO_ON ? tp_by_kind(skb, p) : decision;
	}
	if (p->about != TP_ABOUT_CONN)
		return tp_slow(skb, p);
	c = bpf_map_lookup_elem(&tp_conns, &p->key);
	if (!c)
		c = bpf_map_lookup_elem(&tp_opening, &p->key);
	if (!c)
		return tp_own(skb, p) ? TP_GO_ON : tp_foreign(skb, p);
	judged = *(volatile __u64 *)c;
	if ((__u32)judged != p->words.stamp || !tp_is_settled(skb, p, c))
		return tp_slow(skb, p);
	/* A denial asks whether the pod sends to itself, and so which pod it is; what the
	 * node sends, whether it does. */
	if (!tp_is_allow(judged >> 32) && (judged >> 32 || p->direction == TP_INGRESS))
		return tp_slow(skb, p);
	if (c->seen != tp_now(p))
		c->seen = tp_now(p);
	return judged >> 32;
}

/* What becomes of a packet. */
static __always_inline __u32 tp_judge(struct __sk_buff *skb, struct tp_packet *p)
{
	__u32 decision = tp_decided(skb, p);

	return decision == TP_GO_ON ? tp_new(skb, p) : decision;
}

#endif
