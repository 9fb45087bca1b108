package ruleset

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/backends/nftables/command"
	"github.com/trafficpolicy/trafficpolicy/compiler/space"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// use is where a list is used: its direction and family.
type use struct {
	dir model.Direction
	fam model.Family
}

// side is the letter of the direction in names.
func (u use) side() string {
	if u.dir == model.Ingress {
		return "i"
	}
	return "e"
}

type deciderKey struct {
	use
	chain string
}

// verdictID returns the kind ("r", "d") and id of a chain that ends packets for a
// rule or a default deny.
func (d *decoder) verdictID(chain string) (kind, id string, ok bool) {
	role := d.role(chain)
	if len(role) != len("~r_")+16 || role[0] != '~' || role[2] != '_' || role[1] != 'r' && role[1] != 'd' {
		return "", "", false
	}
	_, err := hex.DecodeString(role[3:])
	return role[1:2], role[3:], err == nil && strings.ToLower(role) == role
}

// decider returns the index of what a verdict chain ends packets for.
func (d *decoder) decider(name string, u use) (int32, error) {
	key := deciderKey{u, name}
	if i, ok := d.decided[key]; ok {
		return i, nil
	}
	c := d.t.chains[name]
	kind, id, _ := d.verdictID(name)
	action, err := d.action(c, u)
	if err != nil {
		return 0, err
	}
	if err := d.attributed(c, "tp_"+kind+"_"+id); err != nil {
		return 0, err
	}
	x := space.Decider{Action: action}
	if kind == "r" {
		x.Rule, err = d.ruleName(c, id)
	} else {
		x.Direction = u.dir
		x.Policies, err = d.defaultOf(c, id, action, u)
	}
	if err != nil {
		return 0, err
	}
	i := d.addDecider(id, x)
	d.decided[key] = i
	return i, nil
}

// addDecider returns the index of a decider, which is new if there is none with
// its id and action.
func (d *decoder) addDecider(id string, x space.Decider) int32 {
	key := id + " " + x.Action.String()
	i, ok := d.deciders[key]
	if !ok {
		i = int32(len(d.reading.Deciders))
		d.reading.Deciders = append(d.reading.Deciders, x)
		d.deciders[key] = i
	}
	return i
}

// action returns what a verdict chain does with packets of one family. Before a
// denial it must let a pod reach itself.
func (d *decoder) action(c *chain, u use) (model.Action, error) {
	if len(c.rules) > 0 && accepts(&c.rules[0]) {
		return model.Allow, nil
	}
	lines := d.inFamily(c, u.fam)
	if len(lines) == 1 && lines[0].text() == "accept" {
		return model.Allow, nil
	}
	self := "~self_" + u.side() + digit(u.fam)
	if len(lines) == 0 || lines[0].text() != "jump "+self {
		return 0, fmt.Errorf("chain %q does not begin with %q for family %s, as denials do", c.name, "jump "+self, u.fam)
	}
	if err := d.fixed(self); err != nil {
		return 0, err
	}
	var rest []string
	for i := range lines[1:] {
		rest = append(rest, lines[i+1].text())
	}
	switch {
	case slices.Equal(rest, []string{"drop"}):
		return model.Deny, nil
	case slices.Equal(rest, []string{"meta l4proto tcp reject tcp reset", "reject admin-prohibited"}):
		return model.Reject, nil
	}
	return 0, fmt.Errorf("chain %q neither accepts, drops nor rejects: it does %q", c.name, rest)
}

// accepts reports whether a rule accepts every packet.
func accepts(r *rule) bool {
	for _, t := range r.terms {
		switch t := t.(type) {
		case *command.Count, *command.Comment:
		case *command.Verdict:
			return t.Kind == "accept"
		default:
			return false
		}
	}
	return false
}

// inFamily returns what a chain does with packets of a family.
func (d *decoder) inFamily(c *chain, fam model.Family) []line {
	var out []line
	for _, l := range d.normal(c) {
		if i := slices.Index(l.conds, "meta nfproto ipv"+digit(fam)); i >= 0 {
			l.conds = slices.Delete(slices.Clone(l.conds), i, i+1)
		} else if slices.ContainsFunc(l.conds, func(s string) bool { return strings.HasPrefix(s, "meta nfproto ipv") }) {
			continue
		}
		out = append(out, l)
	}
	return out
}

// attributed checks that a verdict chain counts and logs under its own name.
func (d *decoder) attributed(c *chain, own string) error {
	for i := range c.rules {
		r := &c.rules[i]
		logs := slices.ContainsFunc(r.terms, func(t command.Term) bool { _, ok := t.(*command.Log); return ok })
		for _, t := range r.terms {
			switch t := t.(type) {
			case *command.Count:
				if t.Name != own && (!logs || t.Name != "tp_logged") {
					return d.t.fail(c, r.at, "it counts as %q, not as %q", t.Name, own)
				}
			case *command.Log:
				if t.Prefix != own+" " {
					return d.t.fail(c, r.at, "it logs as %q, not as %q", t.Prefix, own+" ")
				}
			}
		}
	}
	return nil
}

// idOf returns the id of a name.
func idOf(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:8])
}

// ruleName returns the name of the rule with that id.
func (d *decoder) ruleName(c *chain, id string) (string, error) {
	if name, ok := d.key.Rules[id]; ok {
		return name, nil
	}
	for i := range c.rules {
		for _, t := range c.rules[i].terms {
			if t, ok := t.(*command.Comment); ok && idOf(t.Text) == id {
				return t.Text, nil
			}
		}
	}
	return "", fmt.Errorf("chain %q is of a rule that is not known", c.name)
}

// defaultOf returns the policies of a default deny.
func (d *decoder) defaultOf(c *chain, id string, a model.Action, u use) ([]string, error) {
	def, ok := d.key.Defaults[id]
	switch {
	case !ok:
		return nil, fmt.Errorf("chain %q is of a default deny that is not known", c.name)
	case def.Direction != u.dir:
		return nil, fmt.Errorf("chain %q, the default deny of %s, is used in %s", c.name, def.Direction, u.dir)
	case a != model.Deny:
		return nil, fmt.Errorf("chain %q, a default deny, does %s", c.name, a)
	}
	return def.Policies, nil
}
