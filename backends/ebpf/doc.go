// Package ebpf writes a program as a decision graph that an eBPF program walks,
// for Linux 5.15 and later, and reads such graphs back.
//
// What its output guarantees:
//
//   - For every packet of a governed pod, of either family, the walk ends in at
//     most [MaxSteps] steps at the rule that decides first, or at the default deny
//     of the pod's class and direction.
//   - What a packet costs follows the depth of the search trees, not the number of
//     rules, classes or pods.
//   - Equal parts stand once, so the size follows the distinct decisions.
//   - It is a function of the program, byte for byte, and can be written on every
//     operating system.
//
// The graph is data: the eBPF program in folder bpf knows no policy. docs/artifact.md
// describes both.
package ebpf
