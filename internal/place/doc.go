// Package place finds the interfaces of a node behind which its governed pods
// are: the one that a pod's address is routed to, or the bridge port behind that.
//
// What a backend's hooks see, and what they can be told, differs; [Hooks] says so.
// Functions work in the network namespace of the calling thread.
package place
