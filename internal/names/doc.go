// Package names learns the addresses of the domain names that a bundle's rules
// are about, by asking the operator's resolvers, and keeps a backend told of them.
//
// What it guarantees:
//
//   - Only the resolvers of [Config] are asked. Nothing that a pod sends, or
//     that answers a pod, is ever looked at.
//   - An address is enforced for a name only after a checked answer to a question
//     for that name gave it, or because the operator gave it (Name.Static), and
//     never if it is one that no answer may open (see [Refusal]).
//   - Every address goes at a bounded time after the last answer that held it,
//     but for those in use by live connections and the operator's own.
//   - Queries in flight, queries a second, addresses and memory are bounded
//     whatever resolvers answer; where a bound bites, that is said.
//
// docs/names.md states the rules and bounds for users.
package names
