// Package agree holds the tests in which independent readings of the same
// policies meet: the plain walk over the source rules (verify/simulate), the
// flattened rule lists (compiler/space), decoded artifacts (backends) and the text
// that all come from.
package agree
