//go:build linux

package loader

import "github.com/trafficpolicy/trafficpolicy/backends/bundle"

// Effect says what rules do to a domain name.
type Effect uint8

const (
	Allows Effect = 1 << iota // some rule allows it, or that could not be told
	Denies                    // some rule denies or rejects it
)

// Effects returns what rules do to each of the bundle's domain names.
func (b *Bundle) Effects() map[string]Effect {
	p, ok := b.Payload.(interface{ NameRules() map[string][]string })
	rules := map[string][]string{} // ids of rules by id of a name
	if ok {
		rules = p.NameRules()
	}
	actions := make(map[string]string, len(b.Manifest.Rules))
	for _, r := range b.Manifest.Rules {
		actions[r.ID] = r.Action
	}
	effects := make(map[string]Effect, len(b.Manifest.Names))
	for _, n := range b.Manifest.Names {
		var e Effect
		for _, id := range rules[bundle.ID(n.Name)] {
			if a := actions[id]; a == "deny" || a == "reject" {
				e |= Denies
			} else {
				e |= Allows
			}
		}
		if e == 0 {
			e = Allows
		}
		effects[n.Name] = e
	}
	return effects
}
