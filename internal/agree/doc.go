// Package agree is where independent readings of the same policies meet: the plain
// walk over the source rules (verify/simulate), the flattened rule lists
// (compiler/space), the decoded artifacts of both backends, and the eBPF programs
// in the kernel. They are asked about the same packets, and must say the same.
//
// A [Case] that they disagree about is shrunk and kept as a file in testdata/agree,
// where it is judged again by every later run. Package wire does the same with
// packets that are sent.
package agree
