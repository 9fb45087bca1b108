// Package wire compares kernels with the simulator by packets that are sent: real
// ones, between network namespaces, with every backend in turn. What they disagree
// about is shrunk and kept as package agree keeps it.
package wire
