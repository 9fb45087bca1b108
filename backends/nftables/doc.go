// Package nftables writes a program as nftables commands for nft 1.0.6 and later
// on Linux 5.15 and later.
//
// What its output guarantees:
//
//   - Loaded and switched to, it decides every packet of a governed pod as
//     SEMANTICS section 5 says: once for each pod and direction, originals,
//     replies and ICMP errors alike by the tuple of their connection.
//   - A judgement begins with one lookup in a dispatch map and then stays in
//     chains of one generation, so it is wholly old or wholly new while a switch
//     goes on.
//   - Its size follows the distinct decisions of the rule lists, not pods times
//     rules: classes with equal policies share chains, equal maps are written once.
//   - It is a function of the program, byte for byte, and uses nothing but the
//     commands that package command reads back ([Check]).
//
// docs/artifact.md names every object.
package nftables
