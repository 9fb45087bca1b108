/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* From the hook to the judgement. */
#ifndef TP_PROGRAM_H
#define TP_PROGRAM_H

#include "judge.h"

#define TP_ETHERTYPE_OTHER 0
#define TP_ETHERTYPE_ARP 1 /* else TP_IPV4 or TP_IPV6 */

/* What a frame holds. A VLAN tag, which may have been taken out of the frame, would
 * lead the packet past the address check of its interface. On a device without link
 * layer the packet itself tells, as its receiver's stack reads it. */
static __always_inline int tp_ethertype(struct __sk_buff *skb, int link)
{
	if (link == TP_LINK_ETHER) {
		struct ethhdr *ether = tp_direct(skb, 0, sizeof(*ether));

		if (!ether || skb->vlan_present)
			return TP_ETHERTYPE_OTHER;
		switch (ether->h_proto) {
		case bpf_htons(ETH_P_IP):
			return TP_IPV4;
		case bpf_htons(ETH_P_IPV6):
			return TP_IPV6;
		case bpf_htons(ETH_P_ARP):
			return TP_ETHERTYPE_ARP;
		}
		return TP_ETHERTYPE_OTHER;
	}
	__u8 *first = tp_direct(skb, 0, 1);

	if (!first || (*first >> 4 != TP_IPV4 && *first >> 4 != TP_IPV6))
		return TP_ETHERTYPE_OTHER;
	return *first >> 4;
}

/* Finds the graph in force. Returns nonzero where there is none: generation zero is
 * that of connections which no graph has judged. */
static __always_inline int tp_begin(struct tp_packet *p)
{
	__u32 zero = 0;
	struct tp_ctl *ctl = bpf_map_lookup_elem(&tp_ctl, &zero);
	struct tp_header *header;
	__u64 control;

	if (!ctl)
		return -1;
	control = *(volatile __u64 *)ctl;
	p->words.base = control;
	header = tp_header(p->words.base);
	if (!header || header->magic != TP_MAGIC || !header->generation)
		return -1;
	p->words.generation = header->generation;
	p->words.stamp = header->generation + (control >> 32);
	return 0;
}

static __always_inline int tp_parse(struct __sk_buff *skb, struct tp_packet *p, int pod_sends, int ethertype)
{
	if (ethertype == TP_IPV4 ? tp_parse_ip4(skb, p, pod_sends) : tp_parse_ip6(skb, p, pod_sends))
		return -1;
	if (p->headers.fragment != TP_LATER)
		return tp_parse_transport(skb, p, pod_sends);
	/* Nothing may be behind the last byte that a packet can have, nor, of TCP, change
	 * the flags of the first fragment (RFC 3128). */
	if (p->headers.frag_offset + (p->headers.end - p->headers.transport) > 0xffff)
		return -1;
	return p->headers.frag_offset == 8 && p->headers.protocol == IPPROTO_TCP;
}

/* Reports whether a packet is an answer of ours: it has the mark, which a process may
 * set too, and was received by this interface, which nothing was that a process sends. */
static __always_inline int tp_is_answer(struct __sk_buff *skb)
{
	return skb->mark == tp_mark && skb->ingress_ifindex == skb->ifindex;
}

static __always_inline int tp_program(struct __sk_buff *skb, int direction, int link)
{
	struct tp_packet p = {.direction = direction, .link = link};
	int ethertype;

	if (tp_is_answer(skb)) {
		skb->mark = 0;
		return TP_PASS;
	}
	ethertype = tp_ethertype(skb, link);
	if (ethertype == TP_ETHERTYPE_ARP)
		return TP_PASS;
	p.headers.end = skb->len;
	if (tp_begin(&p))
		return tp_deny(skb, &p, TP_DROPPED(TP_COUNTER_BROKEN));
	if (ethertype == TP_ETHERTYPE_OTHER)
		return tp_deny(skb, &p, TP_DROPPED(TP_COUNTER_ETHERTYPE));
	if (tp_parse(skb, &p, direction == TP_EGRESS, ethertype)) {
		p.headers.end = skb->len; /* what it says is not to be trusted */
		return tp_deny(skb, &p, TP_DROPPED(TP_COUNTER_BROKEN));
	}
	return tp_settle(skb, &p, tp_judge(skb, &p));
}

#endif
