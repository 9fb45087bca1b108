// Package ruleset reads what the nftables rules of an artifact decide, from the
// commands that make them or from what nft lists of a kernel.
//
// It knows the format (docs/artifact.md) and what nft commands mean, and shares no
// code with the emitter, so that the two readings of a policy can disagree.
//
// What it guarantees:
//
//   - A [Table] holds what the kernel would hold after the commands. What nft or the
//     kernel would refuse is an error.
//   - [Table.Decode] accepts rules only where it knows what they decide: those of the
//     policies are evaluated, those around them compared with the one form that the
//     format gives them. Everything else that a packet can reach is an error that
//     names chain and line.
//   - What decides nothing is ignored: comments, spaces, logs, counters but for
//     those of rules, the order of objects and elements, objects that no packet
//     reaches, rules behind a verdict that every packet meets.
//   - Time and memory are in proportion to the input, or it is refused.
package ruleset
