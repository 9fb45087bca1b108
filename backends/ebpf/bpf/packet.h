/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* What the program knows of the packet at hand. */
#ifndef TP_PACKET_H
#define TP_PACKET_H

#include "maps.h"

/* Pass means on to the next program of the hook. */
#define TP_PASS TC_ACT_UNSPEC
#define TP_DROP TC_ACT_SHOT

#define TP_IPV4 4
#define TP_IPV6 6

/* Bytes before the IP header. */
#define TP_LINK_ETHER 14
#define TP_LINK_IP 0

/* What a walk needs: the graph, and the words that search nodes look at; sixteen, so
 * that any number in a ref is in bounds. */
struct tp_words {
	__u32 word[16];
	__u32 base;       /* line of the graph's header */
	__u32 generation;
	__u32 family;     /* TP_IPV4 or TP_IPV6 */
	__u32 stamp;      /* of what judges: the graph, and what its domain names mean */
};

/* Where the IP header and the extension headers lead. */
struct tp_headers {
	__u32 transport;    /* offset in the frame of what follows them */
	__u32 end;          /* offset of the end of the packet; exclusive */
	__u32 frag_id;      /* as it stands there */
	__u16 frag_offset;  /* bytes */
	__u8 fragment;      /* TP_WHOLE, TP_FIRST or TP_LATER */
	__u8 frag_protocol; /* as it stands beside frag_id */
	__u8 protocol;      /* of what is at transport */
	__u8 zero[3];
};

#define TP_WHOLE 0
#define TP_FIRST 1 /* of several */
#define TP_LATER 2

struct tp_packet {
	struct tp_words words;
	struct tp_conn_key key;
	struct tp_headers headers;
	__u64 now;         /* of tp_now, zero until it was asked */
	__u32 link;        /* offset of the IP header */
	__u32 pod;         /* these three from the record of the local address */
	__u32 egress;
	__u32 ingress;
	__u8 direction;    /* TP_EGRESS: from the pod */
	__u8 tcp_flags;
	__u8 icmp_type;
	__u8 icmp_code;
	__u8 hops;         /* hop limit, IPv6 */
	__u8 about;        /* TP_ABOUT_* */
	__u8 ports_unknown; /* of a later fragment without its first */
	__u8 reopens;      /* a SYN on a connection that has ended */
};

/* What decides about the packet. */
#define TP_ABOUT_CONN 0      /* its connection */
#define TP_ABOUT_QUOTED 1    /* the connection of the packet that it quotes */
#define TP_ABOUT_NEIGHBOUR 2 /* neighbour or listener discovery */
#define TP_ABOUT_NOTHING 3   /* ICMP that no connection has */

#define TP_TCP_FLAG_FIN 0x01
#define TP_TCP_FLAG_SYN 0x02
#define TP_TCP_FLAG_RST 0x04
#define TP_TCP_FLAG_ACK 0x10
#define TP_TCP_FLAG_URG 0x20

/* Keeps the compiler from reasoning about x. */
#define TP_OPAQUE(x) asm volatile("" : "+r"(x))

/* Keeps the compiler from reading ahead what it then has no registers for. */
#define TP_IN_ORDER() asm volatile("" : : : "memory")

static __always_inline int tp_is_pod_scope(void)
{
	return tp_pod_scope;
}

/* CLOCK_MONOTONIC in nanoseconds, to the tick; the same all through a judgement. It
 * costs as much as some lookups, so it is asked for by those who need it. */
static __always_inline __u64 tp_now(struct tp_packet *p)
{
	if (!p->now)
		p->now = bpf_ktime_get_coarse_ns();
	return p->now;
}

/* Length as counters and events have it. */
static __always_inline __u32 tp_length(const struct tp_packet *p)
{
	return p->headers.end - p->link;
}

/* Returns len bytes, a constant, of the frame at offset, moved to where they can be
 * read where they are in another part of it; NULL where it ends before. Pointers that
 * were returned before are no longer valid. */
static __always_inline void *tp_direct(struct __sk_buff *skb, __u32 offset, const __u32 len)
{
	void *from;

	if (offset > 0x7fff)
		return NULL;
	from = (void *)(long)skb->data + offset;
	TP_OPAQUE(from); /* what is returned is what is compared, not a second sum */
	if (from + len <= (void *)(long)skb->data_end)
		return from;
	if (bpf_skb_pull_data(skb, offset + len))
		return NULL;
	from = (void *)(long)skb->data + offset;
	TP_OPAQUE(from);
	return from + len <= (void *)(long)skb->data_end ? from : NULL;
}

#endif
