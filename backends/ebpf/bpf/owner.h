/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Whose addresses a packet has. */
#ifndef TP_OWNER_H
#define TP_OWNER_H

#include "event.h"
#include "walk.h"

static __always_inline struct tp_header *tp_header(__u32 base)
{
	return (struct tp_header *)tp_line(base);
}

/* The record of the address that stands in w as the local one; NULL where it is no
 * governed pod's. */
static __always_inline struct tp_record *tp_record(const struct tp_words *w)
{
	struct tp_header *header = tp_header(w->base);
	struct tp_line *line;
	__u32 end, slot;

	if (!header)
		return NULL;
	end = tp_walk(w, w->family == TP_IPV4 ? header->local4 : header->local6);
	if (end >= TP_NO_MATCH || end >> TP_VERDICT_SHIFT != (TP_REF_TERMINAL >> TP_VERDICT_SHIFT | TP_VERDICT_OTHER))
		return NULL;
	end &= TP_INDEX_MASK;
	if (end >= header->records_len)
		return NULL;
	slot = header->records + end;
	line = tp_line(w->base + slot / 2);
	if (!line)
		return NULL;
	return (struct tp_record *)&line->word[(slot & 1) * (TP_SLOT_SIZE / 4)];
}

/* Fills in what p's local address is about and reports whether it is an address of
 * the pod behind this interface. */
__noinline int tp_own(struct __sk_buff *skb, struct tp_packet *p)
{
	struct tp_record *record;

	if (!p)
		return 0;
	record = tp_record(&p->words);
	if (!record || (!tp_is_pod_scope() && record->ifindex != skb->ifindex))
		return 0;
	p->pod = record->pod;
	p->egress = record->egress;
	p->ingress = record->ingress;
	return 1;
}

/* Exchanges the local address and the peer's. */
static __always_inline void tp_turn(struct tp_words *w)
{
#pragma unroll
	for (int i = 0; i < 4; i++) {
		__u32 local = w->word[TP_WORD_LOCAL + i];

		w->word[TP_WORD_LOCAL + i] = w->word[TP_WORD_PEER + i];
		w->word[TP_WORD_PEER + i] = local;
	}
}

/* Reports whether the peer's address is the same pod's as the local one. */
__noinline int tp_is_self(struct tp_packet *p)
{
	struct tp_record *record;

	if (!p)
		return 0;
	tp_turn(&p->words);
	record = tp_record(&p->words);
	tp_turn(&p->words);
	return record && record->pod == p->pod;
}

static __always_inline int tp_is_link_local(const __be32 *address)
{
	return (address[0] & bpf_htonl(0xffc00000)) == bpf_htonl(0xfe800000);
}

/* Reports whether address, as keys of maps have it, is the node's. */
static __always_inline int tp_is_node(__u32 generation, const __be32 *address)
{
	struct tp_node_key key = {.generation = generation};

	for (int i = 0; i < 4; i++)
		key.address[i] = address[i];
	return !!bpf_map_lookup_elem(&tp_nodes, &key);
}

/* Reports whether the peer is one that may always send to the pod: the node, and by
 * way of the node's address (hairpin masquerade) the pod itself. In node scope the
 * packet must have begun its way on the node: an address alone proves nothing. In
 * pod scope every packet comes from elsewhere. */
static __always_inline int tp_is_from_node(struct __sk_buff *skb, const struct tp_packet *p)
{
	if (p->direction != TP_INGRESS)
		return 0;
	if (tp_is_pod_scope())
		return tp_is_node(p->words.generation, p->key.peer);
	if (skb->ingress_ifindex != 0 && skb->ingress_ifindex != skb->ifindex)
		return 0;
	/* What the node has put together and cut again has forgotten where it was received
	 * (IPv6), but is no socket's either. */
	if (skb->ingress_ifindex == 0 && p->headers.fragment && !skb->sk)
		return 0;
	if (skb->ingress_ifindex == 0 && p->words.family == TP_IPV6 && tp_is_link_local(p->key.peer))
		return 1;
	return tp_is_node(p->words.generation, p->key.peer);
}

#endif
