package nftwalk

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/backends/nftables/command"
)

// Ruleset is what the kernel would hold.
type Ruleset struct {
	chains map[string]*chain
	sets   map[string]*set
}

type chain struct {
	name     string
	hook     string
	priority int
	rules    [][]command.Term
}

type set struct {
	command.Set
	elements []command.Element
}

// New returns what texts make, one transaction after another. What the kernel would
// refuse is an error, as far as that depends on names: an object that is not there,
// or is there already in another form.
func New(texts ...[]byte) (*Ruleset, error) {
	r := &Ruleset{chains: map[string]*chain{}, sets: map[string]*set{}}
	for i, text := range texts {
		if err := command.Parse(text, func(_ int, c command.Command) error { return r.do(c) }); err != nil {
			return nil, fmt.Errorf("text %d: %w", i, err)
		}
	}
	return r, r.check()
}

func (r *Ruleset) do(c command.Command) error {
	switch c := c.(type) {
	case *command.Chain:
		if old := r.chains[c.Name]; old == nil {
			r.chains[c.Name] = &chain{name: c.Name, hook: c.Hook, priority: c.Priority}
		} else if c.Hook != "" && (old.hook != c.Hook || old.priority != c.Priority) {
			return fmt.Errorf("chain %s is there with another hook", c.Name)
		}
	case *command.Set:
		if old := r.sets[c.Name]; old == nil {
			r.sets[c.Name] = &set{Set: *c}
		} else if old.Map != c.Map || old.Interval != c.Interval || !slices.Equal(old.Types, c.Types) {
			return fmt.Errorf("set %s is there in another form", c.Name)
		}
	case *command.Flush:
		return r.flush(c)
	case *command.Elements:
		s := r.sets[c.Name]
		if s == nil {
			return fmt.Errorf("there is no set %s", c.Name)
		}
		return s.add(c.Elements)
	case *command.Rule:
		ch := r.chains[c.Chain]
		if ch == nil {
			return fmt.Errorf("there is no chain %s", c.Chain)
		}
		ch.rules = append(ch.rules, c.Terms)
	}
	return nil
}

func (r *Ruleset) flush(c *command.Flush) error {
	if c.Kind == "chain" {
		ch := r.chains[c.Name]
		if ch == nil {
			return fmt.Errorf("there is no chain %s", c.Name)
		}
		ch.rules = nil
		return nil
	}
	s := r.sets[c.Name]
	if s == nil || s.Map != (c.Kind == "map") {
		return fmt.Errorf("there is no %s %s", c.Kind, c.Name)
	}
	s.elements = nil
	return nil
}

// add adds elements. One that overlaps another is refused, unless both are the same.
func (s *set) add(elements []command.Element) error {
	for _, e := range elements {
		if (e.Verdict != nil) != s.Map || len(e.Key) != len(s.Types) {
			return fmt.Errorf("an element of another form in %s", s.Name)
		}
		for i, k := range e.Key {
			if !command.IsKey(k, s.Types[i], s.Interval) {
				return fmt.Errorf("%q is no key of %s", k, s.Name)
			}
		}
		s.elements = append(s.elements, e)
	}
	if !s.Interval || len(s.Types) != 1 {
		return nil
	}
	return s.sortIntervals()
}

// sortIntervals orders addresses and refuses overlaps, but for an element that is
// there already.
func (s *set) sortIntervals() error {
	if s.Types[0] != "ipv4_addr" && s.Types[0] != "ipv6_addr" {
		return nil
	}
	slices.SortStableFunc(s.elements, func(a, b command.Element) int {
		x, _, _ := command.Addrs(a.Key[0])
		y, _, _ := command.Addrs(b.Key[0])
		return x.Compare(y)
	})
	s.elements = slices.CompactFunc(s.elements, func(a, b command.Element) bool {
		return a.Key[0] == b.Key[0] && *a.Verdict == *b.Verdict
	})
	for i := 1; i < len(s.elements); i++ {
		_, last, _ := command.Addrs(s.elements[i-1].Key[0])
		first, _, _ := command.Addrs(s.elements[i].Key[0])
		if first.Compare(last) <= 0 {
			return fmt.Errorf("elements of %s overlap at %s", s.Name, first)
		}
	}
	return nil
}

// check refuses references to what is not there.
func (r *Ruleset) check() error {
	target := func(v *command.Verdict) error {
		if v != nil && (v.Kind == "goto" || v.Kind == "jump") && r.chains[v.Target] == nil {
			return fmt.Errorf("there is no chain %s", v.Target)
		}
		return nil
	}
	for _, s := range r.sets {
		for _, e := range s.elements {
			if err := target(e.Verdict); err != nil {
				return err
			}
		}
	}
	for _, c := range r.chains {
		for _, rule := range c.rules {
			for _, t := range rule {
				switch t := t.(type) {
				case *command.Verdict:
					if err := target(t); err != nil {
						return err
					}
				case *command.Lookup:
					if s := r.sets[t.Name]; s == nil || s.Map != t.Map || len(s.Types) != len(t.Fields) {
						return fmt.Errorf("chain %s looks in %s, which is not there in that form", c.name, t.Name)
					}
				case *command.Update:
					if r.sets[t.Name] == nil {
						return fmt.Errorf("there is no set %s", t.Name)
					}
				}
			}
		}
	}
	return nil
}

// Put adds an element to a set or map, as a loader does. verdict is nil in a set.
func (r *Ruleset) Put(name, key string, verdict *command.Verdict) error {
	s := r.sets[name]
	if s == nil {
		return fmt.Errorf("there is no set %s", name)
	}
	if err := s.add([]command.Element{{Key: []string{key}, Verdict: verdict}}); err != nil {
		return err
	}
	return r.check()
}

// base returns the base chains of a hook in the order in which they are asked.
func (r *Ruleset) base(hook string) []*chain {
	var out []*chain
	for _, c := range r.chains {
		if c.hook == hook {
			out = append(out, c)
		}
	}
	slices.SortFunc(out, func(a, b *chain) int {
		return cmp.Or(cmp.Compare(a.priority, b.priority), cmp.Compare(a.name, b.name))
	})
	return out
}
