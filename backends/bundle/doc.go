// Package bundle is the container that carries a compiled artifact from the
// compiler to a node: a tar of a manifest and the backend's files.
//
// What it guarantees:
//
//   - [Write] is a function of its arguments: the same manifest and files give
//     the same bytes, with no clock, owner or map order in them.
//   - [Read] returns a bundle only if it is whole and canonical: every file that
//     the manifest lists is there, in order, with its size and digest, and
//     nothing else is. Reading allocates in proportion to the bytes received,
//     whatever sizes a header claims.
//   - Digests find damage, not forgery: a bundle says nothing of who made it.
//
// docs/artifact.md describes the layout for readers that are not Go programs.
package bundle
