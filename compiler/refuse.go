package compiler

import (
	"fmt"
	"slices"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// rulePeer is one peer of the program's rules.
type rulePeer struct {
	ref   model.RuleRef
	index int // in the rule's peer list
}

func (p rulePeer) peer() *model.Peer { return &p.ref.Rule().Peers[p.index] }

// String returns the peer's name, such as TrafficPolicy/default/agent#egress[1].to[0].
func (p rulePeer) String() string { return p.ref.Peer(p.index) }

// policies returns those that the program enforces, each once, in evaluation order.
func (b *build) policies() []*model.Policy {
	var policies []*model.Policy
	seen := map[*model.Policy]bool{}
	for _, c := range b.program.Classes {
		for _, p := range c.Policies {
			if !seen[p] {
				seen[p] = true
				policies = append(policies, p)
			}
		}
	}
	slices.SortFunc(policies, model.ComparePolicies)
	return policies
}

// checkPolicies refuses to compile nothing, which would open what is closed now.
func (b *build) checkPolicies() {
	if len(b.input.Policies) > 0 {
		return
	}
	if b.options.AllowEmpty {
		b.warn("no policies: the program enforces nothing")
		return
	}
	b.refuse("no policies: the program would open everything (--allow-empty compiles it all the same)")
}

// checkPeers refuses deny and reject rules of which a peer would let pass what
// it was written to stop, and warns of allow rules, which fail closed.
func (b *build) checkPeers() {
	for _, p := range b.policies() {
		m := b.shared.policy(p)
		b.program.Warnings = append(b.program.Warnings, m.warnings...)
		b.reasons = append(b.reasons, m.refusals...)
	}
}

// checkBroken refuses an inventory with objects that could not be read: a pod
// among them would be unprotected, an address among them missing from its rules.
func (b *build) checkBroken() {
	say, form := b.refuse, "cannot be read (with --skip-broken %s)"
	if b.options.SkipBroken {
		say, form = b.warn, "cannot be read: %s"
	}
	for i := range b.input.Inventory.Broken {
		o := &b.input.Inventory.Broken[i]
		text := fmt.Sprintf(form, withoutBroken(o))
		if o.Why != "" {
			text += "; " + o.Why
		}
		say("%s: %s %s", o.Pos, strings.TrimSuffix(o.Ref, "/"), text) // its name may be what is wrong
	}
}

// withoutBroken says what becomes of a program that is compiled without o.
func withoutBroken(o *model.BrokenObject) string {
	switch kind, _, _ := strings.Cut(o.Ref, "/"); kind {
	case "Pod":
		return "it is unprotected, and rules that name it lack its addresses"
	case "Service", "Endpoints", "EndpointSlice":
		return "rules that name the Service lack its addresses"
	case "Node":
		return "its addresses are not known, so its probes are judged as any peer's"
	}
	return "nothing that is enforced depends on it"
}

// checkConflicts refuses an address of one of the target's pods that another pod
// claims with equal right, unless the same policies govern both.
func (b *build) checkConflicts() {
	for _, c := range b.resolver.Addresses().conflicts(b.pods) {
		first := b.index.Governing(c.Pods[0], b.options.Options)
		for _, p := range c.Pods[1:] {
			if !slices.Equal(first, b.index.Governing(p, b.options.Options)) {
				b.refuse("address %s is claimed by pods that different policies govern: %s", c.Addr, listPods(c.Pods))
				break
			}
		}
	}
}
