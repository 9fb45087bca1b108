package compiler

import (
	"go.yaml.in/yaml/v3"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// Fields of a rule, those of both directions, and the actions; sorted.
var (
	ruleFields  = []string{"action", "from", "ports", "to"}
	actions     = map[string]model.Action{"allow": model.Allow, "deny": model.Deny, "reject": model.Reject}
	actionNames = []string{"allow", "deny", "reject"}
)

// oneRule decodes one entry of rules.
func (d *decoder) oneRule(pol *model.Policy, n *yaml.Node, p *path) (r model.Rule) {
	r.Pos, r.LastLine = d.pos(n), d.lastLine(n)
	f, ok := d.ruleMapping(n, p)
	if !ok {
		return r
	}
	if action := f.get("action"); isNull(action) {
		d.missing(n, p, &f, "action", choices(actionNames))
	} else if s, ok := d.enum(action, p.field("action"), actionNames); ok {
		r.Action = actions[s]
		if r.Action == model.Reject {
			d.newer(newerReject, action, p.field("action"), "action "+quote(s))
		}
	}
	r.Peers = d.peers(pol, n, p, &f)
	r.Ports = d.ports(f.get("ports"), p.field("ports"))
	return r
}

// ruleMapping reads a rule's fields; the peer list of the other direction counts
// as known here, since it has a finding of its own.
func (d *decoder) ruleMapping(n *yaml.Node, p *path) (fields, bool) {
	own, other := d.dir.PeerList(), (1 - d.dir).PeerList()
	f, ok := d.strictHiding(n, p, ruleFields, other)
	if !ok {
		return f, false
	}
	if v := f.get(other); v != nil {
		d.report(model.WrongPeerList, v, p.field(other), "%q in %s, want %q", other, ruleOf[d.dir], own).Suggestion = suggest(own)
	}
	return f, true
}

var ruleOf = map[model.Direction]string{model.Egress: "an egress rule", model.Ingress: "an ingress rule"}

// peers decodes the peer lists of a rule: its own, and to find everything in one
// run also the other direction's.
func (d *decoder) peers(pol *model.Policy, n *yaml.Node, p *path, f *fields) []model.Peer {
	own, other := d.dir.PeerList(), (1 - d.dir).PeerList()
	var peers []model.Peer
	for _, name := range []string{own, other} {
		list := p.field(name)
		for i, item := range d.list(f.get(name), list) {
			peers = append(peers, d.peer(pol, item, list.item(i)))
			if d.full {
				return peers
			}
		}
	}
	v := f.get(own)
	if len(peers) > 0 || f.get(other) != nil || len(f.meant) > 0 || v != nil && kindOf(deref(v)) != kindNull && kindOf(deref(v)) != kindList {
		return peers
	}
	at, what := n, "has no"
	if v != nil {
		at = v
	}
	if !isNull(v) {
		what = "has an empty"
	}
	d.report(model.ImplicitDefault, at, p.field(own),
		"the rule %s %q and so matches every peer, want the peers (0.0.0.0/0 and ::/0 for every address), other readers skip such a rule", what, own)
	return nil
}
