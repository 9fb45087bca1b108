// Package oracle answers the verifier's questions by trying everything: each
// representative packet, at each pod that makes a difference, under each value
// of what is not known. It is slow and obvious, and is what the fast answers
// are compared with. It knows nothing of compiler/space and of the lint checks.
//
// # What is tried
//
// Packets: one address of every stretch between two places where some prefix
// begins or ends, with one point of the L4 axis of every stretch between two
// places where some port range begins or ends, with every subset of the atoms.
// "An unresolved peer is an atom: an unknown set of addresses, the same set
// wherever the same name stands; different atoms are independent": so for one
// packet an atom is one boolean, whatever its address, and since every finding
// speaks of one packet at a time ("no packet", "each packet", "a packet"),
// every value of an atom at one address is met in some subset. Only the
// families that are analysed have packets.
//
// Pods, where no inventory says which exist: each key that a selector mentions
// absent, with each value that a selector mentions, and with another value; in
// each namespace that a TrafficPolicy lives in and in one that none lives in.
// With an inventory: its pods, and its pod templates ("whose labels and
// annotations count as a pod's in lint"). Pods that the same policies select
// are looked at once.
//
// # What is found
//
// A rule's own packets are those that its peers and ports match. A rule takes a
// packet of a pod if it is the first match of it there, "in that order and top
// to bottom within a policy". Sentences in quotes are of SEMANTICS and of the
// table of codes.
//
//   - TP101, TP102: "no packet can reach the rule": for each pod that its
//     policy selects, each of its own packets is taken by a rule before it. Of
//     those that take them for the minimal pod "at least one [...] decides
//     otherwise" (TP101), or "all [...] decide the same" (TP102).
//   - TP103: the rule is live, the entry has packets of its own ("each packet
//     that it and the rule's ports match"; for a port entry, that it and the
//     rule's peers match), and for each pod that the policy selects each is
//     "taken by earlier rules or by an earlier peer of the rule", that is, an
//     earlier entry of the same list.
//   - TP104: the rule is live, and "without it every packet of every pod has
//     the same verdict". A verdict is allow or deny.
//   - TP201: two policies of one priority that select one pod, and a packet
//     "that no policy of smaller priority matches and that their first matches,
//     each taken alone, decide differently". Policies of smaller priority are
//     those that select the pod; both policies match the packet.
//   - TP202: two policies of one priority that select one pod, and no such
//     packet of any pod.
//   - TP203: some rule of the policy has packets of its own, and policies
//     before it leave no rule of either direction a packet. That is the same
//     as: no rule of it is live, because what its own earlier rules take is its
//     own.
//
// # Readings
//
// Where the pages leave room, the oracle reads them so:
//
//  1. Having no packet of its own. "A rule that has no packet of its own (its
//     peers resolve to nothing, its selector can match nothing) is never TP101,
//     TP102 or TP104: that is TP401 to TP403." The same is taken to hold for an
//     entry and TP103, and for a policy without any own packet and TP203:
//     nothing earlier is to blame. A prefix of a family that is not analysed
//     has no packets. A selector that contradicts itself, or in the inventory
//     sense one that selects no governed pod, gives none of the policy's rules
//     a packet.
//  2. The minimal pod of P is "the pod with exactly P's labels", in P's
//     namespace, "for a GTP: a pod in a namespace that has no TrafficPolicy".
//     matchExpressions have no such single pod; there the minimal pods are
//     those that P selects, and would not with any label taken away: In has one
//     for each of its values, Exists one for each value that any selector
//     mentions and one for another value, NotIn and DoesNotExist have the key
//     absent. The rule is TP101 if some rule that takes a packet of it for some
//     minimal pod, under some value of the atoms, decides otherwise. Whether it
//     is dead at all is asked of every pod, not of the minimal ones.
//  3. In the inventory sense there is no minimal pod: all governed pods of the
//     inventory that P selects tell TP101 from TP102. Where the inventory holds
//     neither pods nor templates, "a kind of which no inventory was given at
//     all" is unknown: every label assignment counts, and the minimal pods
//     tell.
//  4. "For every question of order or reachability, reject is a deny": also for
//     TP104 (a reject that falls to a plain deny without the rule has no
//     effect), TP102, TP201 and diff.
//  5. "The last cover-all deny of a policy, which the guide recommends, is
//     exempt" from TP104: of each section, and for each family analysed, the
//     last live deny or reject that matches every packet of that family
//     whatever the atoms are, on every protocol and port. (Of two equal ones
//     the second is TP102, and the first is the one in force.) So the guide's
//     deny of 0.0.0.0/0 is exempt also in a dual-stack analysis; of "deny
//     0.0.0.0/0, deny ::/0" both are; two halves in one rule are; halves in two
//     rules are not; one with ports is not, unless they are every point of the
//     axis, which entries cannot say. It need not be the section's last rule.
//  6. TP201 looks at each two policies alone: a third of the same priority that
//     takes the packet before either does not hide it.
//  7. TP201 and TP202 have no inventory sense of their own. A conflict at a pod
//     of the inventory is one at a pod that both can select, with atoms valued
//     as the inventory resolves them, so it holds always too; and whether a pod
//     is one "that both can select" does not depend on the inventory.
//  8. "One that holds always is not repeated": by subject. A rule that is TP101
//     or TP102 always has neither in the inventory sense, even where the
//     winners there would give the other code. A rule that is TP104 always and
//     dead in the inventory has both findings.
//  9. The always sense knows --resolve and the policies, and nothing of the
//     inventory: services, workloads and namespaces are atoms there even where
//     an inventory is given. Families are those of the whole input in both
//     senses.
//  10. A pod without an address yet, such as a pending one, and a pod template
//     count as pods. The exemptions of SEMANTICS 5 (a pod to itself, a node to
//     its pods) are no part of "one direction of one pod": a rule that only
//     they make useless is no finding.
//  11. diff compares verdicts, not rules: a packet that another rule decides
//     the same way is no difference. A pod that one set selects and the other
//     does not differs wherever the first denies.
//  12. An assertion speaks of every pod that its selector and namespace match,
//     also of one that no policy selects, that is not enrolled or has
//     hostNetwork: its traffic is allowed. Finished pods are no pods. One that
//     speaks of no packet is vacuous, which is neither proven nor refuted.
//  13. The caller says which families are analysed. For prove, an IPv6 address
//     in an assertion is one "anywhere" too: with auto, both families count.
package oracle
