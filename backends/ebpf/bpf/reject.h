/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Answers to rejected packets: a reset to TCP, else ICMP administratively prohibited.
 * The packet itself is made the answer and sent back where it came from, with the
 * mark that both hooks pass. */
#ifndef TP_REJECT_H
#define TP_REJECT_H

#include "event.h"
#include "sum.h"

/* How much of a packet is quoted, so that an answer has at most 576 bytes (RFC 1812,
 * 4.3.2.3) or 1280 (RFC 4443, 2.4 c). */
#define TP_QUOTED_IP4 548
#define TP_QUOTED_IP6 1232

static __always_inline int tp_is_one_host(__u32 family, const __u32 *word)
{
	__u32 top = word[0] >> 24;

	if (family == TP_IPV4)
		return top != 0 && top < 224;
	return top != 0xff && (word[0] | word[1] | word[2] | word[3]);
}

/* Reports whether a packet may be answered: never a reset, an error, a later
 * fragment, or what was for many. */
static __always_inline int tp_is_answerable(struct __sk_buff *skb, const struct tp_packet *p)
{
	if (p->about != TP_ABOUT_CONN || p->headers.fragment == TP_LATER)
		return 0;
	if (p->headers.protocol == IPPROTO_TCP && p->tcp_flags & TP_TCP_FLAG_RST)
		return 0;
	if (skb->pkt_type == PACKET_BROADCAST || skb->pkt_type == PACKET_MULTICAST)
		return 0;
	return tp_is_one_host(p->words.family, &p->words.word[TP_WORD_LOCAL]) &&
	       tp_is_one_host(p->words.family, &p->words.word[TP_WORD_PEER]);
}

static __always_inline int tp_swap_ether(struct __sk_buff *skb)
{
	struct ethhdr ether, back;

	if (bpf_skb_load_bytes(skb, 0, &ether, sizeof(ether)))
		return -1;
	__builtin_memcpy(back.h_dest, ether.h_source, ETH_ALEN);
	__builtin_memcpy(back.h_source, ether.h_dest, ETH_ALEN);
	back.h_proto = ether.h_proto;
	return bpf_skb_store_bytes(skb, 0, &back, sizeof(back), 0);
}

/* Reports whether the sender left the checksum to the device: its field has the sum
 * of the pseudo header. */
static __always_inline int tp_is_partial(struct __sk_buff *skb, const struct tp_packet *p, __u16 *check)
{
	__u32 at = tp_check_offset(p);

	if (p->headers.protocol != IPPROTO_TCP && p->headers.protocol != IPPROTO_UDP)
		return 0;
	if (p->headers.fragment || bpf_skb_load_bytes(skb, p->headers.transport + at, check, sizeof(*check)))
		return 0;
	return *check == tp_pseudo_of(p);
}

/* Writes an IP header that answers p, for length bytes of protocol behind it. */
static __always_inline int tp_write_ip(struct __sk_buff *skb, const struct tp_packet *p, __u32 length, __u8 protocol, __u8 tos)
{
	const __be32 *source = p->key.peer, *destination = p->key.local; /* to the pod */

	if (p->direction == TP_INGRESS) {
		source = p->key.local;
		destination = p->key.peer;
	}
	if (p->words.family == TP_IPV4) {
		struct iphdr ip = {
			.version = 4,
			.ihl = 5,
			.tos = tos,
			.tot_len = bpf_htons(sizeof(ip) + length),
			.frag_off = bpf_htons(0x4000),
			.ttl = 64,
			.protocol = protocol,
			.saddr = source[3],
			.daddr = destination[3],
		};

		ip.check = ~tp_fold(bpf_csum_diff(NULL, 0, (__be32 *)&ip, sizeof(ip), 0));
		return bpf_skb_store_bytes(skb, p->link, &ip, sizeof(ip), BPF_F_RECOMPUTE_CSUM);
	}
	struct ipv6hdr ip = {.version = 6, .payload_len = bpf_htons(length), .nexthdr = protocol, .hop_limit = 64};

	__builtin_memcpy(&ip.saddr, source, sizeof(ip.saddr));
	__builtin_memcpy(&ip.daddr, destination, sizeof(ip.daddr));
	return bpf_skb_store_bytes(skb, p->link, &ip, sizeof(ip), BPF_F_RECOMPUTE_CSUM);
}

static __always_inline __u32 tp_ip_length(const struct tp_packet *p)
{
	return p->words.family == TP_IPV4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
}

/* Makes the packet the reset that answers it (RFC 9293, 3.10.7.1). */
__noinline int tp_reset(struct __sk_buff *skb, struct tp_packet *p)
{
	struct tcphdr tcp, reset = {};
	__u32 transport;
	__u16 check = 0, pseudo;
	int partial;

	if (!p || bpf_skb_load_bytes(skb, p->headers.transport, &tcp, sizeof(tcp)))
		return -1;
	partial = tp_is_partial(skb, p, &check);
	reset.source = tcp.dest;
	reset.dest = tcp.source;
	reset.doff = sizeof(reset) / 4;
	reset.rst = 1;
	if (tcp.ack) {
		reset.seq = tcp.ack_seq;
	} else {
		reset.ack = 1;
		reset.ack_seq = bpf_htonl(bpf_ntohl(tcp.seq) + tcp.syn + tcp.fin +
					  p->headers.end - p->headers.transport - tcp.doff * 4);
	}
	pseudo = tp_fold(tp_pseudo(p, sizeof(reset), IPPROTO_TCP));
	reset.check = partial ? pseudo : ~tp_fold(bpf_csum_diff(NULL, 0, (__be32 *)&reset, sizeof(reset), pseudo));
	transport = p->link + tp_ip_length(p);
	if (bpf_skb_change_tail(skb, transport + sizeof(reset), 0))
		return -1;
	if (tp_write_ip(skb, p, sizeof(reset), IPPROTO_TCP, 0))
		return -1;
	return bpf_skb_store_bytes(skb, transport, &reset, sizeof(reset), BPF_F_RECOMPUTE_CSUM);
}

/* The sum of the first length bytes of the packet as it will be once the device has
 * filled in its checksum: what is summed up then, pseudo header included, is zero. */
static __always_inline long tp_sum_quoted(struct __sk_buff *skb, const struct tp_packet *p, __u32 length, __u32 sum)
{
	__u16 check = 0;

	if (!tp_is_partial(skb, p, &check))
		return tp_sum(skb, p->link, length, sum);
	return tp_sum(skb, p->link, p->headers.transport - p->link, sum + (__u16)~check);
}

/* Makes the packet the ICMP error that quotes it (RFC 1812 5.2.7.1, RFC 4443 3.1). */
__noinline int tp_prohibited(struct __sk_buff *skb, struct tp_packet *p)
{
	__be32 icmp[2] = {};
	__u32 length, most, room, sum = 0;
	__u8 protocol;
	long total;

	if (!p)
		return -1;
	length = tp_length(p);
	if (p->words.family == TP_IPV4) {
		most = TP_QUOTED_IP4;
		protocol = IPPROTO_ICMP;
		icmp[0] = bpf_htonl(ICMP_DEST_UNREACH << 24 | ICMP_PKT_FILTERED << 16);
	} else {
		most = TP_QUOTED_IP6;
		protocol = IPPROTO_ICMPV6;
		icmp[0] = bpf_htonl(1 << 24 | 1 << 16); /* unreachable, prohibited */
	}
	if (length > most)
		length = most;
	if (p->words.family == TP_IPV6)
		sum = tp_fold(tp_pseudo(p, sizeof(icmp) + length, protocol));
	sum = bpf_csum_diff(NULL, 0, icmp, sizeof(icmp), sum);
	total = tp_sum_quoted(skb, p, length, tp_fold(sum));
	if (total < 0)
		return -1;
	icmp[0] |= bpf_htonl((__u16)~bpf_ntohs(tp_fold(total)));
	room = tp_ip_length(p) + sizeof(icmp);
	if (bpf_skb_change_tail(skb, p->link + length, 0))
		return -1;
	if (bpf_skb_adjust_room(skb, room, BPF_ADJ_ROOM_MAC, 0))
		return -1;
	if (tp_write_ip(skb, p, sizeof(icmp) + length, protocol, 0xc0))
		return -1;
	return bpf_skb_store_bytes(skb, p->link + tp_ip_length(p), icmp, sizeof(icmp), BPF_F_RECOMPUTE_CSUM);
}

/* Answers a packet and returns what becomes of it. */
__noinline int tp_reject(struct __sk_buff *skb, struct tp_packet *p)
{
	int tcp, ingress, failed;

	if (!p || !tp_is_answerable(skb, p))
		return TP_DROP;
	if (!tp_within(TP_LIMIT_REJECTS, tp_now(p), tp_rejects_rate, tp_rejects_burst)) {
		tp_count(TP_COUNTER_REJECTS_LIMITED, tp_length(p));
		return TP_DROP;
	}
	tcp = p->headers.protocol == IPPROTO_TCP;
	failed = tcp ? tp_reset(skb, p) : tp_prohibited(skb, p);
	if (failed || (p->link == TP_LINK_ETHER && tp_swap_ether(skb)))
		return TP_DROP;
	tp_count(TP_COUNTER_REJECTS, tp_length(p));
	skb->mark = tp_mark;
	/* What the interface received is answered through it, what it was to send as if it
	 * had received the answer. */
	ingress = (p->direction == TP_EGRESS) != tp_is_pod_scope();
	return bpf_redirect(skb->ifindex, ingress ? 0 : BPF_F_INGRESS);
}

#endif
