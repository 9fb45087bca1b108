package verify

import (
	"fmt"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// inInventory returns a finding that holds for the inventory given.
func inInventory(c model.Code, pos model.Pos, format string, args ...any) model.Finding {
	f := model.NewFinding(c, pos, fmt.Sprintf(format, args...))
	f.Scope = model.InInventory
	return f
}

// aboutPolicy returns f as a finding about p.
func aboutPolicy(f model.Finding, p *model.Policy) model.Finding {
	f.Policy = p.Ref()
	return f
}

// aboutPeer returns f as a finding about peer entry j of the rule r.
func aboutPeer(f model.Finding, r model.RuleRef, j int) model.Finding {
	f.Policy, f.Rule = r.Policy.Ref(), r.String()
	f.Field = fmt.Sprintf("spec.%s.rules[%d].%s[%d]", r.Direction, r.Index, r.Direction.PeerList(), j)
	return f
}
