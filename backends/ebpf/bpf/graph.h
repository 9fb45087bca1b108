/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* The decision graph, as ../layout.go defines it; layout_test.go compares the two. */
#ifndef TP_GRAPH_H
#define TP_GRAPH_H

#define TP_SLOT_SIZE 32
#define TP_LINE_SIZE 64
#define TP_MAX_SLOTS (1 << 23)
#define TP_MAX_STEPS 32

#define TP_MAGIC 0x31475054
#define TP_FLAG_POD_SCOPE 1

/* Slots 0 and 1 of a graph. */
struct tp_header {
	__u32 magic;
	__u32 size;       /* slots */
	__u32 flags;
	__u32 generation; /* filled in by the loader */
	__u32 local4;     /* ref */
	__u32 local6;     /* ref */
	__u32 records;    /* slot */
	__u32 records_len;
	__u32 deciders;
	__u32 chains;
	__u32 zero[6];
};

/* One address of a governed pod. */
struct tp_record {
	__u32 ifindex;    /* filled in by the loader */
	__u32 pod;
	__u32 egress;     /* ref */
	__u32 ingress;    /* ref */
	__u32 zero[4];
};

#define TP_REF_TERMINAL 0x80000000u
#define TP_VERDICT_ALLOW 0
#define TP_VERDICT_DENY 1
#define TP_VERDICT_REJECT 2
#define TP_VERDICT_OTHER 3
#define TP_VERDICT_SHIFT 29
#define TP_INDEX_MASK ((1u << TP_VERDICT_SHIFT) - 1)
#define TP_NO_RECORD 0xffffffffu
#define TP_NO_MATCH 0xfffffffeu

#define TP_KIND_SHIFT 27
#define TP_KIND_MASK 0xf
#define TP_WORD_SHIFT 23
#define TP_WORD_MASK 0xf
#define TP_SLOT_MASK ((1u << TP_WORD_SHIFT) - 1)

#define TP_KIND_SMALL 0
#define TP_KIND_MEDIUM 1
#define TP_KIND_LARGE 2
#define TP_KIND_TREE1 3
#define TP_KIND_TREE5 7
#define TP_KIND_CHAIN 8
#define TP_KIND_SEQUENCE 9

#define TP_SMALL_KEYS 3
#define TP_MEDIUM_KEYS 7
#define TP_LINE_KEYS 16
#define TP_ROOT_KEYS 11
#define TP_FANOUT 17
#define TP_MAX_DEPTH 5

#define TP_WORD_LOCAL 0
#define TP_WORD_PEER 4
#define TP_WORD_L4 8
#define TP_WORDS 9

/* Points of the L4 axis: port 0 of three protocols, ICMP, every other protocol. */
#define TP_L4_TCP 0
#define TP_L4_UDP (1 << 16)
#define TP_L4_SCTP (2 << 16)
#define TP_L4_ICMP (3 << 16)
#define TP_L4_OTHER (TP_L4_ICMP + 1)

#endif
