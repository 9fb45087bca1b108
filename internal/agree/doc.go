// Package agree holds the tests in which independent readings of the same
// policies meet: the plain walk over the source rules (verify/simulate), the
// flattened rule lists (compiler/space) and the text that both come from.
package agree
