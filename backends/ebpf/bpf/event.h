/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* What is told of packets that are dropped. */
#ifndef TP_EVENT_H
#define TP_EVENT_H

#include "counters.h"
#include "packet.h"

/* Reports whether one more is within the rate, a second and CPU. */
static __always_inline int tp_within(__u32 limit, __u64 now, __u32 rate, __u32 burst)
{
	struct tp_bucket *bucket = bpf_map_lookup_elem(&tp_limits, &limit);
	__u64 one, most;

	if (!bucket || !rate)
		return 0;
	one = 1000000000ULL / rate;
	most = one * burst;
	bucket->credit += now - bucket->filled;
	bucket->filled = now;
	if (bucket->credit > most)
		bucket->credit = most;
	if (bucket->credit < one)
		return 0;
	bucket->credit -= one;
	return 1;
}

static __always_inline void tp_tell(struct __sk_buff *skb, struct tp_packet *p, __u32 counter, __u32 verdict)
{
	__u32 length = tp_length(p), captured = length;
	struct tp_event *e;

	if (!tp_within(TP_LIMIT_EVENTS, tp_now(p), tp_events_rate, tp_events_burst)) {
		tp_count(TP_COUNTER_EVENTS_LIMITED, length);
		return;
	}
	e = bpf_ringbuf_reserve(&tp_events, sizeof(*e), 0);
	if (!e) {
		tp_count(TP_COUNTER_EVENTS_LOST, length);
		return;
	}
	__builtin_memset(e, 0, sizeof(*e));
	e->time = tp_now(p);
	e->generation = p->words.generation;
	e->counter = counter;
	e->ifindex = skb->ifindex;
	e->length = length;
	e->direction = p->direction;
	e->verdict = verdict;
	if (captured > sizeof(e->data))
		captured = sizeof(e->data);
	/* Verifiers before 6.0 lose the lower bound otherwise. */
	TP_OPAQUE(captured);
	if (captured > 0 && captured <= sizeof(e->data) && !bpf_skb_load_bytes(skb, p->link, e->data, captured))
		e->captured = captured;
	bpf_ringbuf_submit(e, 0);
	tp_count(TP_COUNTER_EVENTS, length);
}

#endif
