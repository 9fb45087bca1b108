/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Maps. Their names, keys and values are what a loader relies on: maps.go states
 * the same, and a test compares the two. A loader sets the sizes. Addresses in keys
 * are 16 bytes in network byte order, IPv4 as ::ffff:a.b.c.d; other numbers are of
 * the machine. */
#ifndef TP_MAPS_H
#define TP_MAPS_H

#include "graph.h"

/* A cache line of the graph. */
struct tp_line {
	__u32 word[TP_LINE_SIZE / 4];
};

/* Two graphs side by side, so that one can be written while the other is in force. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tp_line);
} tp_area SEC(".maps");

/* Which graph is in force. One aligned store of the first eight bytes switches every
 * interface; programs read them at once. */
struct tp_ctl {
	__u32 root;  /* line of tp_area where its header stands */
	__u32 epoch; /* raised whenever domain names come to mean something else */
	__u32 zero[14];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tp_ctl);
} tp_ctl SEC(".maps");

struct tp_counter {
	__u64 packets;
	__u64 bytes; /* from the IP header on */
};

/* TP_COUNTER_*, then those of deciders. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, struct tp_counter);
} tp_counters SEC(".maps");

/* A connection of one pod, as the pod sees it. */
struct tp_conn_key {
	__be32 local[4];   /* the pod's address */
	__be32 peer[4];
	__be16 local_port; /* zero where there are no ports; ICMP: see kind */
	__be16 peer_port;
	__u8 protocol;     /* of IP */
	__u8 kind;         /* TP_CONN_* */
	__u16 zero;
};

#define TP_CONN_PLAIN 0
/* Echo and the like: local_port is the identifier, peer_port the request's type. */
#define TP_CONN_QUERY 1 /* the pod asks */
#define TP_CONN_QUERIED 2 /* the pod is asked */
/* Pod scope: peer asked for the pod's link-layer address. */
#define TP_CONN_NEIGHBOUR 3

struct tp_conn {
	/* Both are written at once, as 64 bits. */
	__u32 stamp;      /* of what judged it last, zero: nothing yet */
	__u32 terminal;   /* what it said; zero: allowed by no rule, the node's own */
	__u64 seen;       /* last packet, CLOCK_MONOTONIC in nanoseconds */
	__u32 ifindex;    /* of the pod's interface */
	__u8 direction;   /* of the packet that opened it, TP_EGRESS or TP_INGRESS */
	__u8 flags;       /* TP_CONN_NODE, TP_CONN_REPLIED */
	__u8 tcp;         /* TP_TCP_* */
	__u8 zero;
};

#define TP_EGRESS 0
#define TP_INGRESS 1

#define TP_CONN_NODE 1    /* the node itself opened it */
#define TP_CONN_REPLIED 2 /* both ends have sent */

#define TP_TCP_OPEN 1       /* behind the handshake, or picked up */
#define TP_TCP_FIN_OPENER 2 /* who opened it has nothing more to send */
#define TP_TCP_FIN_OTHER 4
#define TP_TCP_RESET 8

/* Connections in which both ends have sent. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 262144);
	__type(key, struct tp_conn_key);
	__type(value, struct tp_conn);
} tp_conns SEC(".maps");

/* Connections that wait for the first answer: a flood of these pushes out none
 * of those above. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct tp_conn_key);
	__type(value, struct tp_conn);
} tp_opening SEC(".maps");

/* What later fragments of a packet lack. */
struct tp_frag_key {
	__be32 local[4];
	__be32 peer[4];
	__u32 id;       /* as it stands in the packet */
	__u8 protocol;  /* as it stands in the fragment header */
	__u8 direction;
	__u16 zero;
};

struct tp_frag {
	__u64 seen;         /* CLOCK_MONOTONIC in nanoseconds */
	__be16 local_port;  /* these four as in the key of its connection */
	__be16 peer_port;
	__u8 protocol;
	__u8 kind;
	__u8 about;         /* TP_ABOUT_* */
	__u8 zero;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct tp_frag_key);
	__type(value, struct tp_frag);
} tp_frags SEC(".maps");

/* What the first domain name of a chain that has the address leads to. */
struct tp_name_key {
	__u32 generation;
	__u32 chain;
	__be32 address[4];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 131072);
	__type(key, struct tp_name_key);
	__type(value, __u32); /* ref */
} tp_names SEC(".maps");

/* Addresses of the node. */
struct tp_node_key {
	__u32 generation;
	__be32 address[4];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 4096);
	__type(key, struct tp_node_key);
	__type(value, __u32); /* not looked at */
} tp_nodes SEC(".maps");

/* Interfaces that a graph judges. */
struct tp_interface_key {
	__u32 generation;
	__u32 ifindex;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 4096);
	__type(key, struct tp_interface_key);
	__type(value, __u32); /* not looked at */
} tp_interfaces SEC(".maps");

/* A packet that was dropped. */
struct tp_event {
	__u64 time;       /* CLOCK_MONOTONIC in nanoseconds */
	__u32 generation;
	__u32 counter;    /* number in tp_counters of what dropped it */
	__u32 ifindex;
	__u32 length;     /* from the IP header on */
	__u16 captured;   /* bytes in data */
	__u8 direction;
	__u8 verdict;     /* TP_VERDICT_DENY or TP_VERDICT_REJECT */
	__u32 zero;
	__u8 data[128];   /* from the IP header on */
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 262144); /* bytes */
} tp_events SEC(".maps");

/* A token bucket that fills with time. */
struct tp_bucket {
	__u64 filled; /* when last, CLOCK_MONOTONIC in nanoseconds */
	__u64 credit; /* in nanoseconds, as many for one as the rate says */
};

#define TP_LIMIT_EVENTS 0
#define TP_LIMIT_REJECTS 1
#define TP_LIMITS 2

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, TP_LIMITS);
	__type(key, __u32);
	__type(value, struct tp_bucket);
} tp_limits SEC(".maps");

/* Where tp_enter_* go on: the four programs of the instance in force. */
#define TP_PROGRAM_FROM_ETHER 0
#define TP_PROGRAM_TO_ETHER 1
#define TP_PROGRAM_FROM_IP 2
#define TP_PROGRAM_TO_IP 3
#define TP_PROGRAMS 4

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, TP_PROGRAMS);
	__type(key, __u32);
	__type(value, __u32);
} tp_programs SEC(".maps");

/* Set by the loader. */
const volatile __u32 tp_mark = 0x74700001;       /* of our own answers; random, not zero */
const volatile __u8 tp_listed = 0;               /* interfaces that tp_interfaces lacks are let be */
const volatile __u8 tp_pod_scope = 0;            /* in the pod's own network namespace */
const volatile __u32 tp_events_rate = 100;       /* a second and CPU */
const volatile __u32 tp_events_burst = 200;
const volatile __u32 tp_rejects_rate = 10000;
const volatile __u32 tp_rejects_burst = 10000;

#endif
