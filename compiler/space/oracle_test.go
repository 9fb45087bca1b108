package space

import (
	"net/netip"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// firstMatch is first match as SEMANTICS says it, for one packet: the rule that
// decides, and the rules before it that would where the address is in their atom.
func firstMatch(list *model.RuleList, a netip.Addr, x model.L4) (rule int32, conds []Conditional) {
	seen := make(map[model.Atom]bool)
	for i := range list.Rules {
		if !list.Isolated || !list.Rules[i].L4.Contains(x) {
			continue
		}
		var mine []Conditional
		for _, p := range list.Rules[i].Peers {
			switch {
			case p.Atom != "" && !seen[p.Atom]:
				seen[p.Atom] = true
				mine = append(mine, Conditional{p.Atom, int32(i)})
			case p.Atom == "":
				for _, prefix := range p.Prefixes {
					if prefix.Contains(a) {
						return int32(i), conds
					}
				}
			}
		}
		conds = append(conds, mine...)
	}
	return NoRule, conds
}
