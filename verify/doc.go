// Package verify answers questions about policies: what is wrong with them
// ([Lint]), and in its subpackages what happens to a packet, what a change
// changes, and what can be proven.
//
// A finding of [Lint] is either true for every cluster (scope always) or for the
// inventory given (scope inventory), never a guess. The same input gives the
// same findings in the same order.
package verify
