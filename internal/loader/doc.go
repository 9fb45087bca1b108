// Package loader is what putting a bundle in force has in common for every
// backend: which bundle may be applied here, what is remembered of it, and what
// becomes of a change that was killed half way. A [Backend] does the rest to the
// kernel.
//
// What it guarantees, given backends that keep their word:
//
//   - Whatever fails, and whenever it is stopped, the old bundle is in force or
//     the new one, and the next call knows which and removes what the other left.
//   - Nothing of a bundle reaches the kernel that its backend has not checked.
//   - One process at a time changes a network namespace.
//
// Functions work in the network namespace of the calling thread.
package loader
