/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* The walk through the graph. */
#ifndef TP_WALK_H
#define TP_WALK_H

#include "packet.h"

/* Where a walk ends in a graph that was damaged: no verdict, so that the packet is
 * dropped, and no record. */
#define TP_UNSOUND TP_NO_RECORD

static __always_inline struct tp_line *tp_line(__u32 line)
{
	return bpf_map_lookup_elem(&tp_area, &line);
}

/* An address in the form that keys of maps have, from the form that words have. */
static __always_inline void tp_address(__be32 *to, const __u32 *word, __u32 family)
{
	if (family == TP_IPV4) {
		to[0] = to[1] = 0;
		to[2] = bpf_htonl(0xffff);
		to[3] = bpf_htonl(word[0]);
		return;
	}
	for (int i = 0; i < 4; i++)
		to[i] = bpf_htonl(word[i]);
}

/* How many of the first n keys, a constant up to sixteen, are less than x. There is
 * no branch to mispredict: the sign of the difference is what is added. The compiler
 * would make a branch of it, if it saw through. */
static __always_inline __u32 tp_rank(const __u32 *keys, const __u32 n, __u32 x)
{
	__u64 rank = 0, difference;

#define TP_LESS(i) \
	if (i < n) { \
		difference = (__u64)keys[i] - x; \
		TP_OPAQUE(difference); \
		TP_IN_ORDER(); \
		rank += difference >> 63; \
	}
	TP_LESS(0) TP_LESS(1) TP_LESS(2) TP_LESS(3)
	TP_LESS(4) TP_LESS(5) TP_LESS(6) TP_LESS(7)
	TP_LESS(8) TP_LESS(9) TP_LESS(10) TP_LESS(11)
	TP_LESS(12) TP_LESS(13) TP_LESS(14) TP_LESS(15)
#undef TP_LESS
	return rank;
}

/* What a search looks for, and what it learns on its way. */
struct tp_search {
	__u32 x;
	__u32 bounded; /* upto counts */
	__u32 upto;    /* lowered to the end of each interval that x is found in */
};

static __always_inline __u32 tp_interval(const __u32 *keys, const __u32 n, struct tp_search *s)
{
	__u32 rank = tp_rank(keys, n, s->x), at = rank;

	TP_OPAQUE(at); /* so that the verifier is shown the comparison */
	if (s->bounded && at < n && keys[at] < s->upto)
		s->upto = keys[at];
	return rank;
}

/* Searches a tree of depth levels below its root. */
static __always_inline __u32 tp_tree(__u32 base, __u32 slot, __u32 depth, struct tp_search *s)
{
	struct tp_line *root = tp_line(base + slot / 2), *keys, *refs;
	__u32 child, first;

	if (!root)
		return TP_UNSOUND;
	child = tp_interval(root->word, TP_ROOT_KEYS, s);
#pragma unroll
	for (__u32 level = 0; level < TP_MAX_DEPTH; level++) {
		first = base + root->word[TP_ROOT_KEYS + level] / 2;
		if (level + 1 == depth)
			break;
		keys = tp_line(first + child);
		if (!keys)
			return TP_UNSOUND;
		child = child * TP_FANOUT + tp_interval(keys->word, TP_LINE_KEYS, s);
	}
	keys = tp_line(first + 2 * child);
	refs = tp_line(first + 2 * child + 1);
	if (!keys || !refs)
		return TP_UNSOUND;
	return refs->word[tp_interval(keys->word, TP_LINE_KEYS, s) & 15];
}

/* What a chain of domain names leads to for the peer's address. */
static __always_inline __u32 tp_chain(const struct tp_words *w, const __u32 *node)
{
	struct tp_name_key key = {.generation = w->generation, .chain = node[0]};
	__u32 *found;

	tp_address(key.address, &w->word[TP_WORD_PEER], w->family);
	found = bpf_map_lookup_elem(&tp_names, &key);
	return found ? *found : node[1];
}

/* Visits the node that ref refers to and returns where it leads; *second is where a
 * sequence goes on that ends at TP_NO_MATCH. */
static __always_inline __u32 tp_step(const struct tp_words *w, __u32 ref, __u32 *second, struct tp_search *s)
{
	__u32 kind = ref >> TP_KIND_SHIFT & TP_KIND_MASK, slot = ref & TP_SLOT_MASK;
	__u32 half = (slot & 1) * (TP_SLOT_SIZE / 4);
	struct tp_line *line, *refs;

	s->x = w->word[ref >> TP_WORD_SHIFT & TP_WORD_MASK];
	if (kind >= TP_KIND_TREE1 && kind <= TP_KIND_TREE5)
		return tp_tree(w->base, slot, kind - TP_KIND_TREE1 + 1, s);
	line = tp_line(w->base + slot / 2);
	if (!line)
		return TP_UNSOUND;
	switch (kind) {
	case TP_KIND_SMALL:
		return line->word[(half + TP_SMALL_KEYS + tp_interval(&line->word[half], TP_SMALL_KEYS, s)) & 15];
	case TP_KIND_MEDIUM:
		return line->word[(TP_MEDIUM_KEYS + tp_interval(line->word, TP_MEDIUM_KEYS, s)) & 15];
	case TP_KIND_LARGE:
		refs = tp_line(w->base + slot / 2 + 1);
		return refs ? refs->word[tp_interval(line->word, TP_LINE_KEYS, s) & 15] : TP_UNSOUND;
	case TP_KIND_CHAIN:
		return tp_chain(w, &line->word[half]);
	case TP_KIND_SEQUENCE:
		*second = line->word[half + 1];
		return line->word[half];
	}
	return TP_UNSOUND;
}

/* Follows ref to its end, which is a terminal: TP_UNSOUND where the graph has none. A
 * global function, so that the verifier looks at it once. */
__noinline __u32 tp_walk(const struct tp_words *w, __u32 ref)
{
	struct tp_search s = {};
	__u32 second = TP_NO_MATCH;

	if (!w)
		return TP_UNSOUND;
	for (int step = 0; step <= TP_MAX_STEPS; step++) {
		if (ref == TP_NO_MATCH) {
			ref = second;
			second = TP_NO_MATCH;
		}
		if (ref & TP_REF_TERMINAL)
			return ref;
		if (step == TP_MAX_STEPS)
			break;
		ref = tp_step(w, ref, &second, &s);
	}
	return TP_UNSOUND;
}

/* What a walk leaves behind. */
struct tp_trail {
	__u32 second;
	__u32 upto;
};

/* One step of tp_walk_upto, which is not in a hurry: verified once, not at each. */
__noinline __u32 tp_step_upto(const struct tp_words *w, __u32 ref, struct tp_trail *trail)
{
	struct tp_search s = {};

	if (!w || !trail)
		return TP_UNSOUND;
	s.upto = trail->upto;
	s.bounded = (ref >> TP_WORD_SHIFT & TP_WORD_MASK) == TP_WORD_L4;
	ref = tp_step(w, ref, &trail->second, &s);
	trail->upto = s.upto;
	return ref;
}

/* The same as tp_walk; *upto is lowered to the last point of the L4 axis up to which
 * the same end is reached from the packet's on. */
__noinline __u32 tp_walk_upto(const struct tp_words *w, __u32 ref, __u32 *upto)
{
	struct tp_trail trail = {.second = TP_NO_MATCH};

	if (!w || !upto)
		return TP_UNSOUND;
	trail.upto = *upto;
	for (int step = 0; step <= TP_MAX_STEPS; step++) {
		if (ref == TP_NO_MATCH) {
			ref = trail.second;
			trail.second = TP_NO_MATCH;
		}
		if (ref & TP_REF_TERMINAL)
			break;
		if (step == TP_MAX_STEPS)
			return TP_UNSOUND;
		ref = tp_step_upto(w, ref, &trail);
	}
	*upto = trail.upto;
	return ref;
}

/* Reports whether a walk ended at what a rule or a default deny says. */
static __always_inline int tp_is_verdict(__u32 terminal)
{
	return terminal & TP_REF_TERMINAL && (terminal >> TP_VERDICT_SHIFT & 3) != TP_VERDICT_OTHER;
}

static __always_inline int tp_is_allow(__u32 terminal)
{
	return terminal >> TP_VERDICT_SHIFT == (TP_REF_TERMINAL >> TP_VERDICT_SHIFT | TP_VERDICT_ALLOW);
}

static __always_inline __u32 tp_counter_of(__u32 terminal)
{
	return TP_COUNTER_FIXED + (terminal & TP_INDEX_MASK);
}

/* What becomes of a packet: zero to let it pass uncounted, a verdict, TP_UNSOUND, or
 * one of these to drop it by one of the counters that are no decider's. */
#define TP_DROPPED(counter) ((TP_REF_TERMINAL >> TP_VERDICT_SHIFT | TP_VERDICT_OTHER) << TP_VERDICT_SHIFT | (counter))

/* No decision yet. */
#define TP_GO_ON 1

/* Broken, or of no connection, unless a pod sends it to itself: such connections have
 * no entry where rules deny them. */
#define TP_REFUSED TP_UNSOUND

#endif
