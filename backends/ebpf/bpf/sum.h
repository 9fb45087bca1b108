/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Checksums: RFC 1071, and CRC32c of SCTP (RFC 9260, appendix A). */
#ifndef TP_SUM_H
#define TP_SUM_H

#include "packet.h"

/* As much of a packet as is summed up. */
#define TP_SCRATCH 1536

struct tp_scratch {
	__u8 byte[TP_SCRATCH + 8];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tp_scratch);
} tp_scratch SEC(".maps");

/* The sum of 16-bit words that a sum of 32-bit words is. */
static __always_inline __u16 tp_fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

/* The sum of 32-bit words of the pseudo header of p's addresses. */
static __always_inline __u64 tp_pseudo(const struct tp_packet *p, __u32 length, __u8 protocol)
{
	__u64 sum = (__u64)bpf_htonl(length) + bpf_htonl(protocol);

	if (p->words.family == TP_IPV4)
		return sum + p->key.local[3] + p->key.peer[3];
#pragma unroll
	for (int i = 0; i < 4; i++)
		sum += (__u64)p->key.local[i] + p->key.peer[i];
	return sum;
}

/* Adds length bytes of the frame at offset to sum; length is at most TP_SCRATCH.
 * Returns a sum of 32 bits, negative where there are no such bytes. */
__noinline long tp_sum(struct __sk_buff *skb, __u32 offset, __u32 length, __u32 sum)
{
	__u32 zero = 0, whole;
	struct tp_scratch *s = bpf_map_lookup_elem(&tp_scratch, &zero);

	if (!s || length == 0 || length > TP_SCRATCH)
		return -1;
	if (bpf_skb_load_bytes(skb, offset, s->byte, length))
		return -1;
	whole = (length + 3) & ~3U;
	if (length < whole) {
		s->byte[length] = 0;
		s->byte[length + 1] = 0;
		s->byte[length + 2] = 0;
	}
	/* The helper takes up to 512 bytes at once. */
#define TP_PIECE(at) \
	if (whole > at) \
		sum = bpf_csum_diff(NULL, 0, (__be32 *)&s->byte[at], whole - at > 512 ? 512 : whole - at, sum);
	TP_PIECE(0)
	TP_PIECE(512)
	TP_PIECE(1024)
#undef TP_PIECE
	return sum;
}

/* CRC32c of four bits. */
static const __u32 tp_crc_table[16] = {
	0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
	0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
};

/* Longest SCTP packet whose checksum is verified. */
#define TP_MAX_CRC 256

/* Reports whether the checksum of length bytes of SCTP at offset is right. */
__noinline int tp_crc_is_right(struct __sk_buff *skb, __u32 offset, __u32 length)
{
	__u32 zero = 0, crc = ~0U, want;
	struct tp_scratch *s = bpf_map_lookup_elem(&tp_scratch, &zero);

	if (!s || length < 12 || length > TP_MAX_CRC || bpf_skb_load_bytes(skb, offset, s->byte, length))
		return 1;
	want = *(__u32 *)&s->byte[8];
	*(__u32 *)&s->byte[8] = 0;
	for (__u32 i = 0; i < TP_MAX_CRC; i++) {
		if (i >= length)
			break;
		crc ^= s->byte[i];
		crc = crc >> 4 ^ tp_crc_table[crc & 15];
		crc = crc >> 4 ^ tp_crc_table[crc & 15];
	}
	return want == 0 || want == ~crc; /* zero: the device will fill it in */
}

/* Offset of the Internet checksum in the transport header, zero where there is none. */
static __always_inline __u32 tp_check_offset(const struct tp_packet *p)
{
	switch (p->headers.protocol) {
	case IPPROTO_TCP:
		return 16;
	case IPPROTO_UDP:
		return 6;
	}
	return tp_is_icmp(p) ? 2 : 0;
}

/* The sum of the pseudo header of p, which a sender that leaves the rest to the device
 * writes in place of the checksum. ICMP over IPv4 has none. */
static __always_inline __u16 tp_pseudo_of(const struct tp_packet *p)
{
	if (p->words.family == TP_IPV4 && p->headers.protocol == IPPROTO_ICMP)
		return 0;
	return tp_fold(tp_pseudo(p, p->headers.end - p->headers.transport, p->headers.protocol));
}

/* Reports whether a packet's checksums are looked at: not of fragments, and not of
 * what this network stack itself sends, which may lack them still. */
static __always_inline int tp_has_sums(struct __sk_buff *skb, const struct tp_packet *p)
{
	return skb->ingress_ifindex != 0 && !p->headers.fragment;
}

/* Reports whether the checksum of the IPv4 header is right, which has one. */
static __always_inline int tp_header_sum_is_right(struct __sk_buff *skb, const struct tp_packet *p)
{
	__u32 length = p->headers.transport - p->link;
	__be32 *word = tp_direct(skb, p->link, sizeof(struct iphdr));
	long sum;

	if (!word)
		return 0;
	if (length == sizeof(struct iphdr))
		return tp_fold((__u64)word[0] + word[1] + word[2] + word[3] + word[4]) == 0xffff;
	sum = tp_sum(skb, p->link, length, 0);
	return sum < 0 || tp_fold(sum) == 0xffff;
}

/* Reports whether the checksums of a packet are right, as far as can be told. */
__noinline int tp_sums_are_right(struct __sk_buff *skb, struct tp_packet *p)
{
	__u32 length, at;
	__u16 *check, pseudo = 0;
	long sum;

	if (!p)
		return 1;
	at = tp_check_offset(p);
	if (at) {
		check = tp_direct(skb, p->headers.transport + at, sizeof(*check));
		if (!check)
			return 0;
		pseudo = tp_pseudo_of(p);
		if (!tp_is_icmp(p) && (*check == pseudo || (!*check && p->headers.protocol == IPPROTO_UDP)))
			return 1; /* left to the device, or none */
	}
	if (bpf_csum_level(skb, BPF_CSUM_LEVEL_QUERY) >= 0)
		return 1; /* the device has looked */
	if (p->words.family == TP_IPV4 && !tp_header_sum_is_right(skb, p))
		return 0;
	length = p->headers.end - p->headers.transport;
	if (p->headers.protocol == IPPROTO_SCTP)
		return tp_crc_is_right(skb, p->headers.transport, length);
	if (!at)
		return 1;
	sum = tp_sum(skb, p->headers.transport, length, pseudo);
	return sum < 0 || tp_fold(sum) == 0xffff;
}

#endif
