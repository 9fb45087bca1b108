// Package dnslab runs a real DNS server, Knot DNS's knotd, in a network namespace
// of netlab, and changes what it answers: what tests of names ask.
//
// What it guarantees:
//
//   - When a method that changes answers has returned, no older one is given.
//   - The server ends with the process that started it, however that ends, and
//     leaves nothing behind but, after a kill, its folder below the temporary one.
//
// Linux only, and it needs root and the package knot (see scripts/deps).
package dnslab
