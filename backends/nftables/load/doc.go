// Package load puts nftables bundles into the kernel of a Linux node and says
// what the kernel holds: the loader's backend for them.
//
// What it guarantees:
//
//   - A policy is switched in one transaction of which every packet sees nothing
//     or all: objects of the new generation are created beside those in force
//     and unreferenced, then the dispatch maps are refilled, then the old objects
//     are deleted.
//   - Whenever it is stopped, the kernel enforces the old policy or the new one,
//     and the next call knows which and removes what the other left.
//   - Nothing reaches nft that nftables.Check has not taken: nft runs as root.
//   - It touches the table inet trafficpolicy and nothing else.
//
// It runs the nft command instead of speaking netlink: the bare script that the
// compiler prints has to load with nft anyway, and with one text form, what is
// loaded, listed and verified is one thing.
//
// Functions work in the network namespace of the calling thread.
package load
