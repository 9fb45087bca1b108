// Package model holds the words that all other packages share: policies and
// their rules, the cluster objects that names resolve against, flows and
// verdicts, rule names, source positions and findings.
//
// It is plain data. It does no I/O, imports the standard library only, and a
// value of it, once built by package compiler, is never changed: packages share
// pointers and slices freely.
package model
