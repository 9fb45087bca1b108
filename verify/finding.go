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
	f.Policy, f.Rule, f.Entry = r.Policy.Ref(), r.String(), r.Peer(j)
	f.Field = fmt.Sprintf("spec.%s.rules[%d].%s[%d]", r.Direction, r.Index, r.Direction.PeerList(), j)
	return f
}

// finding returns a finding of the sense of o.
func (o *order) finding(c model.Code, pos model.Pos, format string, args ...any) model.Finding {
	f := model.NewFinding(c, pos, fmt.Sprintf(format, args...))
	f.Scope = o.scope
	return f
}

// remove returns the suggestion to do what, which may be wrong in another cluster
// than the inventory's.
func (o *order) remove(what string) string {
	if o.scope == model.InInventory {
		return what + ", if it is so in every cluster that the policies are for"
	}
	return what
}

// aboutRule returns f as a finding about the rule r.
func aboutRule(f model.Finding, r model.RuleRef) model.Finding {
	f.Policy, f.Rule = r.Policy.Ref(), r.String()
	f.Field = fmt.Sprintf("spec.%s.rules[%d]", r.Direction, r.Index)
	return f
}

// aboutPort returns f as a finding about port entry j of the rule r.
func aboutPort(f model.Finding, r model.RuleRef, j int) model.Finding {
	f = aboutRule(f, r)
	f.Entry = r.Port(j)
	f.Field += fmt.Sprintf(".ports[%d]", j)
	return f
}

// relatedRule returns the rule r as another place that a finding is about.
func relatedRule(r model.RuleRef, message string) model.Related {
	pos := r.Rule().Pos
	return model.Related{Policy: r.Policy.Ref(), Rule: r.String(), File: pos.File, Line: pos.Line, Column: pos.Column, Message: message}
}

// relatedPolicy returns p as another place that a finding is about.
func relatedPolicy(p *model.Policy, message string) model.Related {
	return model.Related{Policy: p.Ref(), File: p.Pos.File, Line: p.Pos.Line, Column: p.Pos.Column, Message: message}
}
