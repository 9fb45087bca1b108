// Package mutate changes artifacts and policies in one place at a time, to find out
// whether anything could be wrong without the verifier's noticing.
//
// What is changed stays well-formed as far as digests go: they are those of the
// changed content. Whether a change means anything is for others to say: package
// nftwalk of a script, the eBPF program of a graph, the walk over the source rules
// of policies. Some changes mean nothing by the way they are made; those are [Same].
package mutate
