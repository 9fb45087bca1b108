//go:build ignore

/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Judges what governed pods send and are sent, by the graph in tp_area. */

#include "linux.h"

#include "judge.h"
#include "program.h"

/* What the kernel is told: of the two licences above it knows this one. */
char LICENSE[] SEC("license") = "GPL";

/* So that the object describes these types, which no map has. */
const struct tp_event *const tp_described_event __attribute__((unused));
const enum tp_counter_number *const tp_described_counter __attribute__((unused));

SEC("tc")
int tp_from_ether(struct __sk_buff *skb)
{
	return tp_program(skb, TP_EGRESS, TP_LINK_ETHER);
}

SEC("tc")
int tp_to_ether(struct __sk_buff *skb)
{
	return tp_program(skb, TP_INGRESS, TP_LINK_ETHER);
}

SEC("tc")
int tp_from_ip(struct __sk_buff *skb)
{
	return tp_program(skb, TP_EGRESS, TP_LINK_IP);
}

SEC("tc")
int tp_to_ip(struct __sk_buff *skb)
{
	return tp_program(skb, TP_INGRESS, TP_LINK_IP);
}

/* What a loader attaches where instances come and go: the programs of the one in
 * force. Without one nothing passes. */
SEC("tc")
int tp_enter_from_ether(struct __sk_buff *skb)
{
	bpf_tail_call(skb, &tp_programs, TP_PROGRAM_FROM_ETHER);
	return TP_DROP;
}

SEC("tc")
int tp_enter_to_ether(struct __sk_buff *skb)
{
	bpf_tail_call(skb, &tp_programs, TP_PROGRAM_TO_ETHER);
	return TP_DROP;
}

SEC("tc")
int tp_enter_from_ip(struct __sk_buff *skb)
{
	bpf_tail_call(skb, &tp_programs, TP_PROGRAM_FROM_IP);
	return TP_DROP;
}

SEC("tc")
int tp_enter_to_ip(struct __sk_buff *skb)
{
	bpf_tail_call(skb, &tp_programs, TP_PROGRAM_TO_IP);
	return TP_DROP;
}
