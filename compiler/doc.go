// Package compiler turns policy YAML and cluster objects into ordered rule
// lists: it decodes and validates with positions, resolves names to addresses,
// groups pods into classes and lays out each class's rules in evaluation order.
//
// The passes, each of which ends in plain values of package model:
//
//   - [Load] reads files and streams. What the user wrote wrong is a finding
//     with a position; what could not be read is an error.
//   - [NewResolver] answers which addresses a peer means.
//   - [Group] puts pods that the same policies select into one class.
//   - [Resolver.RuleList] is the ordered rule list of one class and direction.
//   - [Compile] joins them into the [Program] of a node or pod, which is all
//     that a backend needs.
package compiler
