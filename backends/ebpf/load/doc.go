// Package load puts eBPF bundles into the kernel of a Linux node and says what the
// kernel holds: the loader's backend for them.
//
// What it guarantees:
//
//   - A policy is switched by one store of a word that every program of the
//     network namespace reads: the new graph is written beside the one in force,
//     which is not written to until no packet can be in it.
//   - Programs are attached before the switch and detached behind it. On an
//     interface that the graph in force does not list they let everything pass.
//   - Whenever it is stopped, the kernel enforces the old policy or the new one,
//     and the next call knows which and removes what the other left.
//   - No graph is written that ebpf.Check has not taken.
//   - It touches its own folder of a BPF file system, and on interfaces its own
//     links or filters.
//
// Functions work in the network namespace of the calling thread.
package load
