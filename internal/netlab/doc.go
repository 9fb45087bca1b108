// Package netlab builds small networks out of Linux network namespaces and
// sends packets through them: pods, the node that runs them and the world
// outside. Tests and the demo ask it what a real kernel does with a packet.
//
// What it guarantees:
//
//   - Every namespace is called tp-PID-N-HOST, below /run/netns, and belongs to a
//     [Lab], whose Close deletes all of them. [Sweep] deletes what a killed
//     process left behind.
//   - No namespace has a link to one that the Lab did not make, so no packet can
//     leave it, whatever its addresses are.
//   - The caller's threads stay in their own namespace: what must run inside
//     one runs on a thread that ends with it.
//
// Linux only, and it needs root (CAP_SYS_ADMIN, CAP_NET_ADMIN, CAP_NET_RAW).
package netlab
