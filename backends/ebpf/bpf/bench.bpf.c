//go:build ignore

/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Parts of the program, for benchmarks: each is compiled from the same headers. */

#include "linux.h"

#include "judge.h"
#include "program.h"

char LICENSE[] SEC("license") = "GPL";

struct bench_pair {
	__be32 local[4];
	__be32 peer[4];
};

/* Addresses in the order in which they are drawn. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 65536);
	__type(key, __u32);
	__type(value, struct bench_pair);
} bench_pairs SEC(".maps");

const volatile __u8 bench_random = 0; /* addresses are drawn, not those of the packet */
__u32 bench_next = 0;

/* Gives the packet the next addresses, wherever they stand. */
static __always_inline void bench_draw(struct tp_packet *p)
{
	__u32 i = bench_next++ & 0xffff;
	struct bench_pair *pair = bpf_map_lookup_elem(&bench_pairs, &i);

	if (!pair)
		return;
	if (p->words.family == TP_IPV4)
		tp_set_ip4(p, 1, pair->local[3], pair->peer[3]);
	else
		tp_set_ip6(p, 1, pair->local, pair->peer);
}

/* Everything up to a packet with its words. Returns nonzero for what is not measured. */
static __always_inline int bench_begin(struct __sk_buff *skb, struct tp_packet *p)
{
	int ethertype = tp_ethertype(skb, TP_LINK_ETHER);

	p->link = TP_LINK_ETHER;
	if (tp_is_answer(skb) || ethertype < TP_IPV4 || tp_parse(skb, p, 1, ethertype))
		return -1;
	if (bench_random)
		bench_draw(p);
	return 0;
}

SEC("tc")
int bench_empty(struct __sk_buff *skb)
{
	return TP_PASS;
}

/* The packet is made to be looked at, or the compiler would leave parts out. */
SEC("tc")
int bench_parse(struct __sk_buff *skb)
{
	struct tp_packet p = {};

	if (bench_begin(skb, &p))
		return TP_DROP;
	asm volatile("" : : "r"(&p) : "memory");
	return TP_PASS;
}

/* Local address, peer, ports: the walk and nothing else. */
SEC("tc")
int bench_walk(struct __sk_buff *skb)
{
	struct tp_packet p = {};

	if (bench_begin(skb, &p) || tp_begin(&p) || !tp_own(skb, &p))
		return TP_DROP;
	return tp_is_allow(tp_walk(&p.words, p.egress)) ? TP_PASS : TP_DROP;
}

__noinline __u32 bench_new(struct __sk_buff *skb, struct tp_packet *p)
{
	__u8 flags = 0;

	return p ? tp_decide(skb, p, &flags) : TP_REFUSED;
}

/* The whole way of a packet of no known connection, but that it leaves no entry. */
SEC("tc")
int bench_miss(struct __sk_buff *skb)
{
	struct tp_packet p = {};
	__u32 decision;

	if (bench_begin(skb, &p) || tp_begin(&p))
		return TP_DROP;
	decision = tp_decided(skb, &p);
	return tp_settle(skb, &p, decision == TP_GO_ON ? bench_new(skb, &p) : decision);
}

/* The whole way, as the program goes it. */
SEC("tc")
int bench_whole(struct __sk_buff *skb)
{
	struct tp_packet p = {};

	if (bench_begin(skb, &p) || tp_begin(&p))
		return TP_DROP;
	return tp_settle(skb, &p, tp_judge(skb, &p));
}

/* The whole way of a packet that opens a connection: its port is another each time. */
SEC("tc")
int bench_create(struct __sk_buff *skb)
{
	struct tp_packet p = {};
	__u32 i = bench_next++;

	if (bench_begin(skb, &p) || tp_begin(&p))
		return TP_DROP;
	p.key.local_port = i;
	p.key.zero = i >> 16;
	return tp_settle(skb, &p, tp_judge(skb, &p));
}
