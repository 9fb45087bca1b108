/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Fragments: the first tells the later ones their ports. */
#ifndef TP_FRAG_H
#define TP_FRAG_H

#include "conn.h"
#include "parse.h"

#define TP_FRAG_TIMEOUT (30 * TP_SECOND)

static __always_inline struct tp_frag_key tp_frag_key(const struct tp_packet *p)
{
	struct tp_frag_key key = {
		.id = p->headers.frag_id,
		.protocol = p->headers.frag_protocol,
		.direction = p->direction,
	};

	for (int i = 0; i < 4; i++) {
		key.local[i] = p->key.local[i];
		key.peer[i] = p->key.peer[i];
	}
	return key;
}

/* Remembers of a first fragment what later ones lack. */
static __always_inline void tp_remember(struct tp_packet *p)
{
	struct tp_frag_key key = tp_frag_key(p);
	struct tp_frag frag = {
		.seen = tp_now(p),
		.local_port = p->key.local_port,
		.peer_port = p->key.peer_port,
		.protocol = p->key.protocol,
		.kind = p->key.kind,
		.about = p->about,
	};

	bpf_map_update_elem(&tp_frags, &key, &frag, BPF_ANY);
}

/* Gives a later fragment what its first had. Without one nothing is known of its
 * ports; behind an IPv6 extension header not even the protocol. */
static __always_inline void tp_recall(struct tp_packet *p)
{
	struct tp_frag_key key = tp_frag_key(p);
	struct tp_frag *frag = bpf_map_lookup_elem(&tp_frags, &key);

	if (frag && tp_now(p) - frag->seen <= TP_FRAG_TIMEOUT) {
		p->key.local_port = frag->local_port;
		p->key.peer_port = frag->peer_port;
		p->key.protocol = frag->protocol;
		p->key.kind = frag->kind;
		p->about = frag->about;
		p->words.word[TP_WORD_L4] =
			tp_point(p->words.family, p->key.protocol, p->direction == TP_EGRESS ? p->key.peer_port : p->key.local_port);
		return;
	}
	p->key.protocol = p->headers.frag_protocol;
	p->words.word[TP_WORD_L4] = TP_L4_OTHER;
	p->ports_unknown = tp_point(p->words.family, p->key.protocol, 0) != TP_L4_OTHER ||
			   (p->words.family == TP_IPV6 && tp_is_extension(p->key.protocol));
}

/* The points of the L4 axis where a fragment of unknown ports may be. */
static __always_inline void tp_stretch(const struct tp_packet *p, __u32 *first, __u32 *last)
{
	__u8 protocol = p->headers.frag_protocol;

	*first = tp_point(p->words.family, protocol, 0);
	*last = *first < TP_L4_ICMP ? *first + 0xffff : *first;
	if (p->words.family == TP_IPV6 && tp_is_extension(protocol)) {
		*first = 0;
		*last = TP_L4_OTHER;
	}
}

/* So many intervals of ports are looked at. */
#define TP_MAX_INTERVALS 8

/* The verdict of a fragment of unknown ports in its own direction: zero where a port
 * could change it. */
static __always_inline __u32 tp_judge_stretch(struct tp_packet *p)
{
	__u32 first, last, verdict = 0;

	tp_stretch(p, &first, &last);
	for (int i = 0; i < TP_MAX_INTERVALS; i++) {
		__u32 upto = last, terminal;

		p->words.word[TP_WORD_L4] = first;
		terminal = tp_walk_upto(&p->words, p->direction == TP_EGRESS ? p->egress : p->ingress, &upto);
		if (!tp_is_verdict(terminal) || (verdict && tp_is_allow(verdict) != tp_is_allow(terminal)))
			return 0;
		if (!verdict)
			verdict = terminal;
		if (upto >= last)
			return verdict;
		first = upto + 1;
	}
	return 0;
}

#endif
