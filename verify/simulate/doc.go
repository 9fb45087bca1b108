// Package simulate answers what happens to one flow by the plain reading of the
// policies: it walks the source rules of the policies that select a pod, in
// order, peer by peer and port by port, and stops at the first that matches.
//
// It is the reference that everything faster is compared with, and shares no
// code with the flattening of rules: it takes from package compiler only which
// addresses a name means, whose an address is and how a selector matches labels.
//
// It guarantees that
//
//   - nothing unknown is guessed: a verdict that depends on the addresses of an
//     unresolved name comes out as its cases, each with its condition;
//   - an answer always names the rule, the default deny or the exemption that
//     decided;
//   - the same inputs give the same bytes.
//
// [Simulator.Judge] takes flows as users write them. [Simulator.Decide] and
// [Walk.Decide] are the cheap calls below it, for one direction of one packet.
package simulate
