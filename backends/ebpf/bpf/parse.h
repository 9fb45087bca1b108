/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* From the frame to struct tp_packet. Every function that parses returns zero, or
 * nonzero where the packet is broken. pod_sends: the source is the local end; it is a
 * constant wherever time matters. */
#ifndef TP_PARSE_H
#define TP_PARSE_H

#include "packet.h"

/* IPv6 extension headers that are walked, at most eight: RFC 8200 4.1, RFC 4302 3.1,
 * numbers by IANA. */
#define TP_HOP_BY_HOP 0
#define TP_ROUTING 43
#define TP_FRAGMENT 44
#define TP_AUTHENTICATION 51
#define TP_DESTINATION 60
#define TP_MAX_EXTENSIONS 8

static __always_inline int tp_is_extension(__u8 protocol)
{
	return protocol == TP_HOP_BY_HOP || protocol == TP_ROUTING || protocol == TP_FRAGMENT ||
	       protocol == TP_AUTHENTICATION || protocol == TP_DESTINATION;
}

/* Notes a fragment header: offset in bytes and whether more follow. */
static __always_inline int tp_note_fragment(struct tp_headers *h, __u32 offset, int more, __u32 id)
{
	if (!offset && !more)
		return 0; /* RFC 6946 */
	if (h->fragment)
		return -1;
	h->fragment = offset ? TP_LATER : TP_FIRST;
	h->frag_offset = offset;
	h->frag_id = id;
	h->frag_protocol = h->protocol;
	return 0;
}

/* Walks the extension headers that begin at h->transport, h->protocol saying what
 * is there. */
__noinline int tp_extensions(struct __sk_buff *skb, struct tp_headers *h)
{
	struct {
		__u8 next;
		__u8 length;
		__be16 word;
		__be32 id;
	} header;

	if (!h)
		return -1;
	for (int i = 0; i <= TP_MAX_EXTENSIONS; i++) {
		__u8 protocol = h->protocol;
		__u32 length;

		if (!tp_is_extension(protocol) || h->fragment == TP_LATER)
			return 0;
		if (i == TP_MAX_EXTENSIONS || h->transport + sizeof(header) > h->end)
			return -1;
		if (bpf_skb_load_bytes(skb, h->transport, &header, sizeof(header)))
			return -1;
		h->protocol = header.next;
		switch (protocol) {
		case TP_FRAGMENT:
			length = sizeof(header);
			if (tp_note_fragment(h, bpf_ntohs(header.word) & ~7, bpf_ntohs(header.word) & 1, header.id))
				return -1;
			break;
		case TP_AUTHENTICATION:
			length = (header.length + 2) * 4;
			break;
		case TP_ROUTING:
			if (bpf_ntohs(header.word) & 0xff) /* segments left */
				return -1;
			/* fallthrough */
		default:
			length = (header.length + 1) * 8;
		}
		h->transport += length;
		if (h->transport > h->end)
			return -1;
	}
	return -1;
}

/* Which word and which key the source is, which the destination. */
struct tp_ends {
	__u32 *source_word, *destination_word;
	__be32 *source, *destination;
};

static __always_inline struct tp_ends tp_ends(struct tp_packet *p, int pod_sends)
{
	struct tp_ends e = {&p->words.word[TP_WORD_LOCAL], &p->words.word[TP_WORD_PEER], p->key.local, p->key.peer};

	if (pod_sends)
		return e;
	return (struct tp_ends){e.destination_word, e.source_word, e.destination, e.source};
}

static __always_inline void tp_set_ip4(struct tp_packet *p, int pod_sends, __be32 source, __be32 destination)
{
	struct tp_ends e = tp_ends(p, pod_sends);

	p->words.family = TP_IPV4;
	e.source_word[0] = bpf_ntohl(source);
	e.destination_word[0] = bpf_ntohl(destination);
	e.source[2] = e.destination[2] = bpf_htonl(0xffff);
	e.source[3] = source;
	e.destination[3] = destination;
}

static __always_inline void tp_set_ip6(struct tp_packet *p, int pod_sends, const __be32 *source, const __be32 *destination)
{
	struct tp_ends e = tp_ends(p, pod_sends);

	p->words.family = TP_IPV6;
#pragma unroll
	for (int i = 0; i < 4; i++) {
		e.source_word[i] = bpf_ntohl(source[i]);
		e.destination_word[i] = bpf_ntohl(destination[i]);
		e.source[i] = source[i];
		e.destination[i] = destination[i];
		TP_IN_ORDER();
	}
}

/* Where the IP packet ends that says it is length bytes long: a super-packet that
 * is longer than its field can say has zero there (BIG TCP). */
static __always_inline __u32 tp_end(struct __sk_buff *skb, __u32 link, __u32 length, int none)
{
	return none && skb->gso_size ? skb->len : link + length;
}

static __always_inline int tp_parse_ip4(struct __sk_buff *skb, struct tp_packet *p, int pod_sends)
{
	struct iphdr *ip = tp_direct(skb, p->link, sizeof(*ip));
	__u32 header, fragment;

	if (!ip || ip->version != 4 || ip->ihl < 5)
		return -1;
	header = ip->ihl * 4;
	p->headers.end = tp_end(skb, p->link, bpf_ntohs(ip->tot_len), !ip->tot_len);
	p->headers.transport = p->link + header;
	if (p->headers.end > skb->len || p->headers.transport > p->headers.end)
		return -1;
	p->headers.protocol = ip->protocol;
	fragment = bpf_ntohs(ip->frag_off);
	if (fragment & 0x3fff && tp_note_fragment(&p->headers, (fragment & 0x1fff) * 8, fragment & 0x2000, ip->id))
		return -1;
	tp_set_ip4(p, pod_sends, ip->saddr, ip->daddr);
	return 0;
}

/* Reports whether an IPv6 address stands for an IPv4 one, which no packet may have
 * (the kernel drops it too): keys of maps would take it for that. */
static __always_inline int tp_is_mapped(const __be32 *a)
{
	return !(a[0] | a[1]) && a[2] == bpf_htonl(0xffff);
}

static __always_inline int tp_parse_ip6(struct __sk_buff *skb, struct tp_packet *p, int pod_sends)
{
	struct ipv6hdr *ip = tp_direct(skb, p->link, sizeof(*ip));

	if (!ip || ip->version != 6)
		return -1;
	p->headers.end = tp_end(skb, p->link, sizeof(*ip) + bpf_ntohs(ip->payload_len), !ip->payload_len);
	p->headers.transport = p->link + sizeof(*ip);
	if (p->headers.end > skb->len)
		return -1;
	if (tp_is_mapped(ip->saddr.in6_u.u6_addr32) || tp_is_mapped(ip->daddr.in6_u.u6_addr32))
		return -1;
	p->headers.protocol = ip->nexthdr;
	p->hops = ip->hop_limit;
	tp_set_ip6(p, pod_sends, ip->saddr.in6_u.u6_addr32, ip->daddr.in6_u.u6_addr32);
	return tp_is_extension(p->headers.protocol) ? tp_extensions(skb, &p->headers) : 0;
}

/* Combinations of TCP flags that occur, one bit each; those of PSH and ECN count for
 * nothing. */
static __always_inline int tp_tcp_flags_are_sound(__u8 flags)
{
	const __u64 sound = 1ULL << TP_TCP_FLAG_SYN | 1ULL << (TP_TCP_FLAG_SYN | TP_TCP_FLAG_URG) |
			    1ULL << (TP_TCP_FLAG_SYN | TP_TCP_FLAG_ACK) | 1ULL << TP_TCP_FLAG_RST |
			    1ULL << (TP_TCP_FLAG_RST | TP_TCP_FLAG_ACK) | 1ULL << (TP_TCP_FLAG_FIN | TP_TCP_FLAG_ACK) |
			    1ULL << (TP_TCP_FLAG_FIN | TP_TCP_FLAG_ACK | TP_TCP_FLAG_URG) | 1ULL << TP_TCP_FLAG_ACK |
			    1ULL << (TP_TCP_FLAG_ACK | TP_TCP_FLAG_URG);

	return sound >> (flags & 0x37) & 1;
}

static __always_inline void tp_set_ports(struct tp_packet *p, int pod_sends, __be16 source, __be16 destination)
{
	p->key.local_port = pod_sends ? source : destination;
	p->key.peer_port = pod_sends ? destination : source;
}

/* The point of the L4 axis of a connection to a destination port. */
static __always_inline __u32 tp_point(__u32 family, __u8 protocol, __be16 port)
{
	switch (protocol) {
	case IPPROTO_TCP:
		return TP_L4_TCP + bpf_ntohs(port);
	case IPPROTO_UDP:
		return TP_L4_UDP + bpf_ntohs(port);
	case IPPROTO_SCTP:
		return TP_L4_SCTP + bpf_ntohs(port);
	case IPPROTO_ICMP:
		return family == TP_IPV4 ? TP_L4_ICMP : TP_L4_OTHER;
	case IPPROTO_ICMPV6:
		return family == TP_IPV6 ? TP_L4_ICMP : TP_L4_OTHER;
	}
	return TP_L4_OTHER;
}

static __always_inline int tp_is_icmp(const struct tp_packet *p)
{
	return p->headers.protocol == (p->words.family == TP_IPV4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
}

/* The type of the request that a type of ICMP is, or answers; *request says which. -1:
 * neither. */
static __always_inline int tp_icmp_query(__u32 family, __u8 type, int *request)
{
	*request = 1;
	if (family == TP_IPV6) {
		*request = type == 128 || type == 139; /* echo, node information (RFC 4620) */
		return type == 128 || type == 129 ? 128 : type == 139 || type == 140 ? 139 : -1;
	}
	switch (type) {
	case ICMP_ECHOREPLY:
		*request = 0;
		return ICMP_ECHO;
	case ICMP_TIMESTAMPREPLY:
	case ICMP_INFO_REPLY:
	case ICMP_ADDRESSREPLY:
		*request = 0;
		return type - 1;
	case ICMP_ECHO:
	case ICMP_TIMESTAMP:
	case ICMP_INFO_REQUEST:
	case ICMP_ADDRESS:
		return type;
	}
	return -1;
}

static __always_inline int tp_icmp_is_error(__u32 family, __u8 type)
{
	if (family == TP_IPV6)
		return type >= 1 && type <= 4;
	return type == ICMP_DEST_UNREACH || type == ICMP_TIME_EXCEEDED || type == ICMP_PARAMETERPROB;
}

/* Neighbour discovery but for redirects, and listener discovery: 130 to 136, 143. */
static __always_inline int tp_icmp_is_discovery(__u32 family, __u8 type)
{
	return family == TP_IPV6 && (type >= 130 && type <= 136 || type == 143);
}

/* Fills in the key of the connection that a message of ICMP belongs to; sender is
 * the pod or not. Returns nonzero where it belongs to none. */
static __always_inline int tp_set_query(struct tp_packet *p, __u8 type, __be16 id, int pod_sends)
{
	int request, query = tp_icmp_query(p->words.family, type, &request);

	if (query < 0)
		return -1;
	p->key.local_port = id;
	p->key.peer_port = bpf_htons(query);
	p->key.kind = request == pod_sends ? TP_CONN_QUERY : TP_CONN_QUERIED;
	return 0;
}

static __always_inline int tp_parse_tcp(struct __sk_buff *skb, struct tp_packet *p, int pod_sends, __u32 room)
{
	struct tcphdr *tcp = tp_direct(skb, p->headers.transport, sizeof(*tcp));

	if (!tcp || room < sizeof(*tcp) || tcp->doff < 5 || tcp->doff * 4 > room)
		return -1;
	p->tcp_flags = ((__u8 *)tcp)[13];
	tp_set_ports(p, pod_sends, tcp->source, tcp->dest);
	p->words.word[TP_WORD_L4] = TP_L4_TCP + bpf_ntohs(tcp->dest);
	return !tp_tcp_flags_are_sound(p->tcp_flags);
}

static __always_inline int tp_parse_udp(struct __sk_buff *skb, struct tp_packet *p, int pod_sends, __u32 room)
{
	struct udphdr *udp = tp_direct(skb, p->headers.transport, sizeof(*udp));

	if (!udp || room < sizeof(*udp) || bpf_ntohs(udp->len) < sizeof(*udp))
		return -1;
	if (!p->headers.fragment && bpf_ntohs(udp->len) > room)
		return -1;
	tp_set_ports(p, pod_sends, udp->source, udp->dest);
	p->words.word[TP_WORD_L4] = TP_L4_UDP + bpf_ntohs(udp->dest);
	return 0;
}

static __always_inline int tp_parse_sctp(struct __sk_buff *skb, struct tp_packet *p, int pod_sends, __u32 room)
{
	struct {
		__be16 source, dest;
		__be32 tag, check;
	} *sctp = tp_direct(skb, p->headers.transport, sizeof(*sctp));

	if (!sctp || room < sizeof(*sctp))
		return -1;
	tp_set_ports(p, pod_sends, sctp->source, sctp->dest);
	p->words.word[TP_WORD_L4] = TP_L4_SCTP + bpf_ntohs(sctp->dest);
	return 0;
}

static __always_inline int tp_parse_icmp(struct __sk_buff *skb, struct tp_packet *p, int pod_sends, __u32 room)
{
	struct {
		__u8 type, code;
		__be16 check, id, sequence;
	} *icmp = tp_direct(skb, p->headers.transport, sizeof(*icmp));

	if (!icmp || room < sizeof(*icmp))
		return -1;
	p->icmp_type = icmp->type;
	p->icmp_code = icmp->code;
	p->words.word[TP_WORD_L4] = TP_L4_ICMP;
	if (tp_icmp_is_error(p->words.family, icmp->type))
		p->about = TP_ABOUT_QUOTED;
	else if (tp_icmp_is_discovery(p->words.family, icmp->type))
		p->about = TP_ABOUT_NEIGHBOUR;
	else if (tp_set_query(p, icmp->type, icmp->id, pod_sends))
		p->about = TP_ABOUT_NOTHING;
	return 0;
}

static __always_inline int tp_parse_transport(struct __sk_buff *skb, struct tp_packet *p, int pod_sends)
{
	__u32 room = p->headers.end - p->headers.transport;

	p->key.protocol = p->headers.protocol;
	switch (p->headers.protocol) {
	case IPPROTO_TCP:
		return tp_parse_tcp(skb, p, pod_sends, room);
	case IPPROTO_UDP:
		return tp_parse_udp(skb, p, pod_sends, room);
	case IPPROTO_SCTP:
		return tp_parse_sctp(skb, p, pod_sends, room);
	}
	if (tp_is_icmp(p))
		return tp_parse_icmp(skb, p, pod_sends, room);
	p->words.word[TP_WORD_L4] = TP_L4_OTHER;
	return 0;
}

#endif
