package nftables

import (
	"fmt"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
)

// Read returns the pods of a bundle whose payload [Check] takes, and whose manifest
// says of it what is so: scope, pods, classes, elements, rules with their actions,
// default denies and domain names.
func Read(b *bundle.Bundle) (*Pods, error) {
	if b.Manifest.Backend != bundle.NFTables {
		return nil, fmt.Errorf("the bundle is for backend %s, not %s", b.Manifest.Backend, bundle.NFTables)
	}
	c, pods, err := check(b.Files)
	if err != nil {
		return nil, err
	}
	if err := c.agree(&b.Manifest, pods); err != nil {
		return nil, fmt.Errorf("%s: %w", bundle.ManifestName, err)
	}
	return pods, nil
}

// agree compares the manifest with the payload.
func (c *checker) agree(m *bundle.Manifest, pods *Pods) error {
	switch {
	case pods.Scope != string(m.Scope):
		return fmt.Errorf("scope %q is not that of %s, %q", m.Scope, PodsFile, pods.Scope)
	case m.Counts.Pods != len(pods.Pods):
		return fmt.Errorf("it counts %d pods and %s has %d", m.Counts.Pods, PodsFile, len(pods.Pods))
	case m.Counts.Elements != c.elementCount:
		return fmt.Errorf("it counts %d elements and the payload has %d", m.Counts.Elements, c.elementCount)
	}
	for _, p := range pods.Pods {
		if p.Class < 0 || p.Class >= m.Counts.Classes {
			return fmt.Errorf("pod %q is of class %d, which it does not have", p.Ref, p.Class)
		}
	}
	if err := c.agreeRules(m); err != nil {
		return err
	}
	for _, n := range m.Names {
		for _, f := range fams {
			if s := c.sets[c.tag+"name"+f.n+"_"+n.ID]; s == nil || !s.Timeout {
				return fmt.Errorf("domain name %q has no set in the payload", n.Name)
			}
		}
	}
	return nil
}

// actionOf is the action of a rule, by what its chain ends with.
var actionOf = map[string]string{"accept": "allow", "drop": "deny", "reject": "reject"}

// agreeRules compares the rules and default denies with the counters, of which each
// has one, and with the chains that count in them.
func (c *checker) agreeRules(m *bundle.Manifest) error {
	listed := map[string]bool{}
	for _, r := range m.Rules {
		name := RulePrefix + r.ID
		listed[name] = true
		if !c.made["counter "+name] {
			return fmt.Errorf("rule %q is not in the payload", r.Name)
		}
		if a := actionOf[c.ends[c.tag+"r_"+r.ID]]; a != r.Action {
			return fmt.Errorf("rule %q does %q, and in the payload %q", r.Name, r.Action, a)
		}
	}
	for _, d := range m.Defaults {
		listed[DefaultPrefix+d.ID] = true
	}
	for name := range c.counters {
		if !listed[name] {
			return fmt.Errorf("counter %q of the payload is of no rule or default deny", name)
		}
	}
	return nil
}
