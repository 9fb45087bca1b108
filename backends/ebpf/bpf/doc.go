// Package bpf holds the eBPF program that walks the graphs of package ebpf, and
// what a loader must know to run it: [Load], the maps with their keys and values,
// the counters, and the events.
//
// What the program guarantees:
//
//   - Every packet is judged wholly by one graph: the one that [Ctl] named when the
//     judgement began.
//   - What is not understood is dropped and counted: other link protocols than
//     IPv4, IPv6 and ARP, broken headers, a graph that ends nowhere.
//   - Nothing of it depends on the kernel's connection tracking, nor on kernel
//     types (CO-RE): it runs from Linux 5.15 on, on machines of little-endian byte
//     order. The graph is little-endian, and so no other are built.
//
// The C source is split by purpose: tp.bpf.c has the programs, program.h the way
// from the hook to the judgement, judge.h the judgement, and each of its parts is
// a header of its own. The objects beside it are generated (go generate, clang 14)
// and committed, so that building needs no clang. docs/artifact.md describes the
// program.
package bpf

//go:generate go tool bpf2go -no-global-types -tags linux -target bpfel -cflags "-O2 -g -Wall -Wextra -Wno-unused-parameter -Wno-parentheses -Werror -mcpu=v3 -isystem /usr/include/x86_64-linux-gnu -isystem /usr/include/aarch64-linux-gnu" tp tp.bpf.c
