/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Counters that every instance has; those of deciders follow. counters.go names
 * them, in the same order. */
#ifndef TP_COUNTERS_H
#define TP_COUNTERS_H

#include "maps.h"

enum tp_counter_number {
	TP_COUNTER_SPOOFED,         /* from a pod's interface, not from one of its addresses */
	TP_COUNTER_STRAY,           /* to a pod's interface, not to one of its addresses */
	TP_COUNTER_BROKEN,          /* bad header, or of no connection that could be */
	TP_COUNTER_UNKNOWN,         /* as in nftables; not counted: a graph closes no unknown pods */
	TP_COUNTER_ETHERTYPE,       /* neither IPv4 nor IPv6 nor ARP, or with a VLAN tag */
	TP_COUNTER_EVENTS,          /* drops written to tp_events */
	TP_COUNTER_EVENTS_LIMITED,  /* not written, over the rate */
	TP_COUNTER_EVENTS_LOST,     /* not written, tp_events was full */
	TP_COUNTER_REJECTS,         /* answers to rejected packets */
	TP_COUNTER_REJECTS_LIMITED, /* not answered, over the rate */
	TP_COUNTER_UNTRACKED,       /* let through, but the connection table took no entry */
	TP_COUNTER_FIXED = 16,
};

static __always_inline void tp_count(__u32 number, __u32 bytes)
{
	struct tp_counter *c = bpf_map_lookup_elem(&tp_counters, &number);

	if (c) {
		c->packets++;
		c->bytes += bytes;
	}
}

#endif
