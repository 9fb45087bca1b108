package nftables

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/backends/nftables/command"
)

// Check reports whether files are a payload that may be given to nft as root:
// every line is a command of package command; the skeleton makes nothing but
// dispatch maps, counters and base chains that look into them; everything else
// carries the tag of pods.json in its name; nothing goes to, looks into or fills
// what the payload does not make; and elements are of their set's type. It does
// not tell whether the payload means what policies say.
func Check(files []bundle.File) error {
	_, _, err := check(files)
	return err
}

// check is Check, and returns what it has seen.
func check(files []bundle.File) (*checker, *Pods, error) {
	want := []string{SkeletonFile, ObjectsFile, SwitchFile, PodsFile}
	if len(files) != len(want) {
		return nil, nil, fmt.Errorf("the payload has %d files, not %d", len(files), len(want))
	}
	for i, f := range files {
		if f.Name != want[i] {
			return nil, nil, fmt.Errorf("file %q stands where %s should", f.Name, want[i])
		}
	}
	pods, err := ReadPods(files[3].Data)
	if err != nil {
		return nil, nil, err
	}
	if b, err := hex.DecodeString(pods.Tag); err != nil || len(b) != 6 || pods.Tag != strings.ToLower(pods.Tag) {
		return nil, nil, fmt.Errorf("%s: tag %q is not twelve hex digits", PodsFile, pods.Tag)
	}
	c := &checker{
		tag: "tp_" + pods.Tag + "_", sets: map[string]*command.Set{}, made: map[string]bool{},
		counters: map[string]bool{}, ends: map[string]string{},
	}
	for i, check := range []func(command.Command) error{c.skeleton, c.objects, c.turn} {
		err := command.Parse(files[i].Data, func(_ int, cmd command.Command) error { return check(cmd) })
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", files[i].Name, err)
		}
	}
	return c, pods, c.pods(pods)
}

// checker knows what was made so far. Names of chains, counters and limits are
// in made behind their kind.
type checker struct {
	tag   string
	fresh bool // the table was made
	sets  map[string]*command.Set
	made  map[string]bool
	// counters are those of rules and default denies.
	counters map[string]bool
	// ends has, by chain, what its last rule with a verdict does.
	ends         map[string]string
	elementCount int
}

// make notes a new object.
func (c *checker) make(kind, name string) error {
	key := kind + " " + name
	if c.made[key] {
		return fmt.Errorf("%s is made twice", key)
	}
	c.made[key] = true
	return nil
}

func (c *checker) makeSet(s *command.Set) error {
	c.sets[s.Name] = s
	return c.make("set", s.Name)
}

// ours fails for a name of another generation, or of the skeleton.
func (c *checker) ours(name string) error {
	if !strings.HasPrefix(name, c.tag) {
		return fmt.Errorf("%q does not begin with %s", name, c.tag)
	}
	return nil
}

func (c *checker) has(kind, name string) error {
	if !c.made[kind+" "+name] {
		return fmt.Errorf("there is no %s %q", kind, name)
	}
	return nil
}

func isCounter(name string) bool {
	for _, prefix := range []string{RulePrefix, DefaultPrefix} {
		if id, ok := strings.CutPrefix(name, prefix); ok {
			b, err := hex.DecodeString(id)
			return err == nil && len(b) == 8
		}
	}
	return false
}

// skeleton takes the first file.
func (c *checker) skeleton(cmd command.Command) error {
	if _, ok := cmd.(*command.Table); ok != !c.fresh {
		return fmt.Errorf("the table is made first, and once")
	}
	switch x := cmd.(type) {
	case *command.Table:
		c.fresh = true
		return nil
	case *command.Chain:
		if x.Hook == "" || strings.HasPrefix(x.Name, c.tag) {
			return fmt.Errorf("chain %q is no base chain", x.Name)
		}
		return c.make("chain", x.Name)
	case *command.Set:
		if x.Dynamic || x.Timeout || strings.HasPrefix(x.Name, c.tag) {
			return fmt.Errorf("%q is no set of the skeleton", x.Name)
		}
		return c.makeSet(x)
	case *command.Counter:
		return c.make("counter", x.Name)
	case *command.Limit:
		return c.make("limit", x.Name)
	case *command.Flush:
		if x.Kind != "chain" {
			return fmt.Errorf("%s %q is emptied", x.Kind, x.Name)
		}
		return c.has("chain", x.Name)
	case *command.Rule:
		return c.dispatch(x)
	}
	return fmt.Errorf("it adds elements")
}

// dispatch takes a rule of a base chain: loopback passes, or one lookup in a map.
func (c *checker) dispatch(r *command.Rule) error {
	if err := c.has("chain", r.Chain); err != nil {
		return err
	}
	switch t := r.Terms[0].(type) {
	case *command.Lookup:
		if len(r.Terms) == 1 && t.Map {
			return c.lookup(t)
		}
	case *command.Match:
		v, ok := r.Terms[len(r.Terms)-1].(*command.Verdict)
		device := t.Field == "iifname" || t.Field == "oifname"
		if len(r.Terms) == 2 && ok && v.Kind == "accept" && device && t.Op == "" && slices.Equal(t.Values, []string{`"lo`}) {
			return nil
		}
	}
	return fmt.Errorf("a rule of %q does more than to look into a map", r.Chain)
}

// objects takes the second file.
func (c *checker) objects(cmd command.Command) error {
	switch x := cmd.(type) {
	case *command.Chain:
		if x.Hook != "" {
			return fmt.Errorf("%q is a base chain", x.Name)
		}
		if err := c.ours(x.Name); err != nil {
			return err
		}
		return c.make("chain", x.Name)
	case *command.Set:
		if err := c.ours(x.Name); err != nil {
			return err
		}
		return c.makeSet(x)
	case *command.Counter:
		if !isCounter(x.Name) {
			return fmt.Errorf("%q is no counter of a rule or default deny", x.Name)
		}
		c.counters[x.Name] = true
		return c.make("counter", x.Name)
	case *command.Elements:
		if err := c.ours(x.Name); err != nil {
			return err
		}
		return c.elements(x)
	case *command.Rule:
		if err := c.ours(x.Chain); err != nil {
			return err
		}
		return c.rule(x)
	}
	return fmt.Errorf("it makes or empties what belongs to the skeleton")
}

// turn takes the third file.
func (c *checker) turn(cmd command.Command) error {
	name := ""
	switch x := cmd.(type) {
	case *command.Flush:
		if name = x.Name; x.Kind == "chain" {
			return fmt.Errorf("chain %q is emptied", name)
		}
	case *command.Elements:
		name = x.Name
	default:
		return fmt.Errorf("it does more than to empty and fill maps")
	}
	if strings.HasPrefix(name, c.tag) {
		return fmt.Errorf("%q is not of the skeleton", name)
	}
	if err := c.has("set", name); err != nil {
		return err
	}
	if x, ok := cmd.(*command.Elements); ok {
		return c.elements(x)
	}
	return nil
}

func (c *checker) elements(e *command.Elements) error {
	s := c.sets[e.Name]
	if s == nil {
		return fmt.Errorf("there is no set or map %q", e.Name)
	}
	c.elementCount += len(e.Elements)
	for i := range e.Elements {
		x := &e.Elements[i]
		if len(x.Key) != len(s.Types) || (x.Verdict != nil) != s.Map {
			return fmt.Errorf("element %q is not of the form of %q", x.Key, e.Name)
		}
		for j, k := range x.Key {
			if !command.IsKey(k, s.Types[j], s.Interval) {
				return fmt.Errorf("%q is no key of %q", k, e.Name)
			}
		}
		if x.Verdict != nil {
			if err := c.verdict(x.Verdict, true); err != nil {
				return err
			}
		}
	}
	return nil
}

// verdict takes a verdict of a rule or, with fewer choices, of a map.
func (c *checker) verdict(v *command.Verdict, inMap bool) error {
	switch v.Kind {
	case "goto", "jump":
		if err := c.ours(v.Target); err != nil {
			return err
		}
		return c.has("chain", v.Target)
	case "return":
		return nil
	}
	if inMap {
		return fmt.Errorf("a map holds %s", v.Kind)
	}
	return nil
}

func (c *checker) lookup(l *command.Lookup) error {
	s := c.sets[l.Name]
	if s == nil || s.Map != l.Map {
		return fmt.Errorf("%q is nothing to look into this way", l.Name)
	}
	if len(l.Fields) != len(s.Types) {
		return fmt.Errorf("%q has keys of %d parts, not %d", l.Name, len(s.Types), len(l.Fields))
	}
	for i, f := range l.Fields {
		if command.FieldType(f) != s.Types[i] {
			return fmt.Errorf("%s is looked up in %q, whose keys are %s", f, l.Name, s.Types[i])
		}
	}
	return nil
}

// rule takes a rule of a generation's chain: what it refers to is there, and
// nothing but a comment follows its verdict.
func (c *checker) rule(r *command.Rule) error {
	if err := c.has("chain", r.Chain); err != nil {
		return err
	}
	ended := false
	for _, t := range r.Terms {
		var err error
		if _, ok := t.(*command.Comment); ended && !ok {
			return fmt.Errorf("something follows a verdict")
		}
		switch t := t.(type) {
		case *command.Lookup:
			err, ended = c.lookup(t), ended || t.Map
		case *command.Count:
			err = c.has("counter", t.Name)
		case *command.Rate:
			err = c.has("limit", t.Name)
		case *command.Update:
			if s := c.sets[t.Name]; s == nil || !s.Dynamic || len(s.Types) != 1 || s.Types[0] != command.FieldType(t.Field) {
				err = fmt.Errorf("%q is nothing to put %s into", t.Name, t.Field)
			}
		case *command.Verdict:
			err, ended = c.verdict(t, false), true
			c.ends[r.Chain] = t.Kind
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// pods checks that pods.json names what there is.
func (c *checker) pods(p *Pods) error {
	if p.Scope != "node" && p.Scope != "pod" {
		return fmt.Errorf("%s: scope %q is not one of node, pod", PodsFile, p.Scope)
	}
	for i, name := range p.NodeSets {
		s := c.sets[name]
		if s == nil || s.Map || c.ours(name) != nil || !slices.Equal(s.Types, []string{fams[i].addrType}) {
			return fmt.Errorf("%s: %q is no set of addresses", PodsFile, name)
		}
	}
	for _, pod := range p.Pods {
		for _, name := range []string{pod.Source, pod.Deliver} {
			if p.Scope == "pod" && name == "" {
				continue
			}
			if err := c.ours(name); err != nil {
				return fmt.Errorf("%s: pod %q: %w", PodsFile, pod.Ref, err)
			}
			if err := c.has("chain", name); err != nil {
				return fmt.Errorf("%s: pod %q: %w", PodsFile, pod.Ref, err)
			}
		}
	}
	return nil
}
