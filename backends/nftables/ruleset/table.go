package ruleset

import (
	"errors"
	"fmt"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/backends/nftables/command"
)

// Table is the table of an artifact, as a kernel holds it.
type Table struct {
	chains   map[string]*chain
	bases    []string // names of the base chains
	sets     map[string]*set
	named    map[string]bool // counters and limits, "counter NAME"
	names    []string        // of the texts
	script   bool            // it may delete the table
	listed   bool            // it is what a kernel holds
	made     bool
	replaced bool // whatever was there before is gone
	elements int  // that commands have added
}

type chain struct {
	name     string
	hook     string // "" but for a base chain
	priority int
	rules    []rule
	// old is set while the chain may still have rules of an earlier table.
	old bool
}

type rule struct {
	at    pos
	terms []command.Term
}

type set struct {
	command.Set
	elements []element
	old      bool // may have elements of an earlier table
}

type element struct {
	command.Element
	at      pos
	learned bool // the kernel will forget it
}

func newTable() *Table {
	return &Table{chains: map[string]*chain{}, sets: map[string]*set{}, named: map[string]bool{}}
}

// Read returns the table after texts, each one transaction, in order. What the
// table held before is not known.
func Read(texts ...Text) (*Table, error) {
	t := newTable()
	for _, text := range texts {
		if err := t.read(text); err != nil {
			return nil, fmt.Errorf("%s: %w", text.Name, err)
		}
	}
	return t, nil
}

// ReadScript returns the table after a text that begins by deleting it.
func ReadScript(text Text) (*Table, error) {
	t := newTable()
	t.script = true
	return t, t.read(text)
}

func (t *Table) read(text Text) error {
	t.names = append(t.names, text.Name)
	at := pos{text: uint32(len(t.names) - 1)}
	return each(text.Data, func(line int, c command.Command) error {
		at.line = uint32(line)
		if text.May != nil {
			if err := text.May(c); err != nil {
				return err
			}
		}
		return t.do(c, at)
	})
}

// do runs a command as nft does: what it refers to must be there.
func (t *Table) do(c command.Command, at pos) error {
	if _, ok := c.(*command.Table); !ok && !t.made {
		return errors.New("the table is not made yet")
	}
	switch c := c.(type) {
	case *command.Table:
		t.made = true
		return nil
	case *deleteTable:
		if !t.script {
			return errors.New("it deletes the table")
		}
		*t = Table{script: true, replaced: true, names: t.names, chains: map[string]*chain{}, sets: map[string]*set{}, named: map[string]bool{}}
		return nil
	case *command.Chain:
		return t.makeChain(c)
	case *command.Set:
		return t.makeSet(c)
	case *command.Counter:
		t.named["counter "+c.Name] = true
		return nil
	case *command.Limit:
		t.named["limit "+c.Name] = true
		return nil
	case *command.Flush:
		return t.flush(c)
	case *command.Elements:
		return t.fill(c, at)
	case *command.Rule:
		return t.rule(c, at)
	}
	return fmt.Errorf("%T is no command", c)
}

func (t *Table) makeChain(c *command.Chain) error {
	if old := t.chains[c.Name]; old != nil {
		if c.Hook != "" && (c.Hook != old.hook || c.Priority != old.priority) {
			return fmt.Errorf("chain %q is made twice in different ways", c.Name)
		}
		return nil
	}
	if c.Hook != "" {
		t.bases = append(t.bases, c.Name)
	}
	t.chains[c.Name] = &chain{name: c.Name, hook: c.Hook, priority: c.Priority, old: c.Hook != "" && !t.replaced}
	return nil
}

func (t *Table) makeSet(c *command.Set) error {
	if old := t.sets[c.Name]; old != nil {
		if old.Map != c.Map || old.Interval != c.Interval || old.Dynamic != c.Dynamic || old.Timeout != c.Timeout || old.Size != c.Size || !slices.Equal(old.Types, c.Types) {
			return fmt.Errorf("set %q is made twice in different ways", c.Name)
		}
		return nil
	}
	t.sets[c.Name] = &set{Set: *c, old: !t.replaced}
	return nil
}

func (t *Table) flush(c *command.Flush) error {
	if c.Kind == "chain" {
		old := t.chains[c.Name]
		if old == nil {
			return fmt.Errorf("there is no chain %q", c.Name)
		}
		old.rules, old.old = nil, false
		return nil
	}
	s := t.sets[c.Name]
	if s == nil || s.Map != (c.Kind == "map") {
		return fmt.Errorf("there is no %s %q", c.Kind, c.Name)
	}
	s.elements, s.old = nil, false
	return nil
}

func (t *Table) fill(c *command.Elements, at pos) error {
	s := t.sets[c.Name]
	if s == nil {
		return fmt.Errorf("there is no set or map %q", c.Name)
	}
	t.elements += len(c.Elements)
	s.elements = slices.Grow(s.elements, len(c.Elements))
	for _, x := range c.Elements {
		if err := t.element(s, &x); err != nil {
			return err
		}
		s.elements = append(s.elements, element{Element: x, at: at})
	}
	return nil
}

// element checks that x is an element that s can hold.
func (t *Table) element(s *set, x *command.Element) error {
	if len(x.Key) != len(s.Types) || (x.Verdict != nil) != s.Map {
		return fmt.Errorf("element %q is not of the form of %q", x.Key, s.Name)
	}
	for i, k := range x.Key {
		if !command.IsKey(k, s.Types[i], s.Interval) {
			return fmt.Errorf("%q is no key of %q", k, s.Name)
		}
	}
	if x.Verdict == nil {
		return nil
	}
	if x.Verdict.Kind == "reject" {
		return fmt.Errorf("map %q holds a reject", s.Name)
	}
	return t.target(x.Verdict)
}

// target checks that a verdict leads to a chain that packets may be sent to.
func (t *Table) target(v *command.Verdict) error {
	if v.Kind != "goto" && v.Kind != "jump" {
		return nil
	}
	c := t.chains[v.Target]
	switch {
	case c == nil:
		return fmt.Errorf("there is no chain %q", v.Target)
	case c.hook != "":
		return fmt.Errorf("%s %q leads to a base chain", v.Kind, v.Target)
	}
	return nil
}

func (t *Table) rule(c *command.Rule, at pos) error {
	to := t.chains[c.Chain]
	if to == nil {
		return fmt.Errorf("there is no chain %q", c.Chain)
	}
	ended, put := false, false
	for _, term := range c.Terms {
		if _, ok := term.(*command.Comment); ended && !ok {
			return errors.New("something follows a verdict")
		}
		switch term.(type) {
		case *command.Update:
			put = true
		case *command.Match, *command.Lookup, *command.Rate:
			if put { // what packets fill would be filled whatever it asks for
				return errors.New("a condition follows an update")
			}
		}
		end, err := t.term(term)
		if err != nil {
			return err
		}
		ended = ended || end
	}
	to.rules = append(to.rules, rule{at, c.Terms})
	return nil
}

// term checks that what a term refers to is there, and reports whether it is a
// verdict.
func (t *Table) term(term command.Term) (bool, error) {
	switch x := term.(type) {
	case *command.Lookup:
		return x.Map, t.lookup(x)
	case *command.Count:
		return false, t.has("counter", x.Name)
	case *command.Rate:
		return false, t.has("limit", x.Name)
	case *command.Update:
		if s := t.sets[x.Name]; s == nil || !s.Dynamic || len(s.Types) != 1 || s.Types[0] != command.FieldType(x.Field) {
			return false, fmt.Errorf("%q is nothing to put %s into", x.Name, x.Field)
		}
	case *command.Verdict:
		return true, t.target(x)
	}
	return false, nil
}

func (t *Table) has(kind, name string) error {
	if !t.named[kind+" "+name] {
		return fmt.Errorf("there is no %s %q", kind, name)
	}
	return nil
}

func (t *Table) lookup(l *command.Lookup) error {
	s := t.sets[l.Name]
	if s == nil || s.Map != l.Map || len(s.Types) != len(l.Fields) {
		return fmt.Errorf("%q is nothing to look %d fields up in this way", l.Name, len(l.Fields))
	}
	for i, f := range l.Fields {
		if typ := command.FieldType(f); typ == "" || typ != s.Types[i] {
			return fmt.Errorf("%s is looked up in %q, whose keys are %s", f, l.Name, s.Types[i])
		}
	}
	return nil
}

// Elements returns how many elements commands have added.
func (t *Table) Elements() int { return t.elements }

// fail returns an error about a line of a chain.
func (t *Table) fail(c *chain, at pos, format string, args ...any) error {
	return fmt.Errorf("%s: chain %q: line %d: %s", t.names[at.text], c.name, at.line, fmt.Sprintf(format, args...))
}
