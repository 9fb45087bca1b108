// Package agent keeps one network namespace as its bundles want it: it puts new
// bundles in force, attaches pods that appear, and keeps what domain names mean.
//
// What it guarantees:
//
//   - What was in force last is in force again before anything else happens, and
//     stays when the agent ends, however it does.
//   - A bundle that is not wholly there, not for this node, older or broken changes
//     nothing. It is said once, and health shows it.
//   - What somebody else applies, rolls back or removes meanwhile stays, until there
//     is a bundle that the agent has not seen.
//   - After a restart no address of a name goes before the name was asked for.
//   - It listens only where it was told to, on a Unix socket or a loopback address.
package agent
