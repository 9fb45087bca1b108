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

static __always_inline __u16 tp_fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

/* Adds the pseudo header of p's addresses to sum. */
static __always_inline __u32 tp_pseudo(const struct tp_packet *p, __u32 length, __u8 protocol)
{
	__be32 tail[2] = {bpf_htonl(length), bpf_htonl(protocol)};
	__u32 sum = bpf_csum_diff(NULL, 0, tail, sizeof(tail), 0);

	if (p->words.family == TP_IPV4) {
		__be32 address[2] = {p->key.local[3], p->key.peer[3]};

		return bpf_csum_diff(NULL, 0, address, sizeof(address), sum);
	}
	/* local and peer, which the sum does not tell apart */
	return bpf_csum_diff(NULL, 0, (__be32 *)&p->key, 32, sum);
}

/* Adds length bytes of the frame at offset to sum; length is at most TP_SCRATCH.
 * Returns a sum that fits 32 bits, negative where there are no such bytes. */
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
static __always_inline __u32 tp_pseudo_of(const struct tp_packet *p)
{
	if (p->words.family == TP_IPV4 && p->headers.protocol == IPPROTO_ICMP)
		return 0;
	return tp_pseudo(p, p->headers.end - p->headers.transport, p->headers.protocol);
}

/* Reports whether the checksums of a packet that this network stack received are
 * right, as far as they are looked at: not of fragments and of super-packets. What the
 * stack itself sends may lack them still. */
__noinline int tp_sums_are_right(struct __sk_buff *skb, struct tp_packet *p)
{
	__u32 length, at, pseudo;
	long sum;
	__u16 check;

	if (!p || skb->ingress_ifindex == 0 || p->headers.fragment || bpf_csum_level(skb, BPF_CSUM_LEVEL_QUERY) >= 0)
		return 1;
	if (p->words.family == TP_IPV4) {
		sum = tp_sum(skb, p->link, p->headers.transport - p->link, 0);
		if (sum >= 0 && tp_fold(sum) != 0xffff)
			return 0;
	}
	length = p->headers.end - p->headers.transport;
	if (p->headers.protocol == IPPROTO_SCTP)
		return tp_crc_is_right(skb, p->headers.transport, length);
	at = tp_check_offset(p);
	if (!at || bpf_skb_load_bytes(skb, p->headers.transport + at, &check, sizeof(check)))
		return 1;
	if (!check && p->headers.protocol == IPPROTO_UDP)
		return 1;
	pseudo = tp_pseudo_of(p);
	if (check == tp_fold(pseudo) && !tp_is_icmp(p))
		return 1;
	sum = tp_sum(skb, p->headers.transport, length, pseudo);
	return sum < 0 || tp_fold(sum) == 0xffff;
}

#endif
