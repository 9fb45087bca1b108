// Package bundle is the container that carries a compiled artifact from the
// compiler to a node: a tar of a manifest and the backend's files.
//
// What it guarantees:
//
//   - [Write] is a function of its arguments: the same manifest and files give
//     the same bytes, with no clock, owner or map order in them.
//   - [Open] returns a bundle only if it is whole and canonical: every file that
//     the manifest lists is there, in order, with its size and digest, and
//     nothing else is. Each bit counts: no two inputs are one bundle. Reading
//     allocates in proportion to the bytes received, whatever sizes a header
//     claims, and stops at the first thing that is wrong.
//   - Digests find damage, not forgery. With a [Keyring], Open takes a bundle only
//     if one of its keys has signed the manifest, and with that every file.
//
// docs/artifact.md describes the layout for readers that are not Go programs.
package bundle
