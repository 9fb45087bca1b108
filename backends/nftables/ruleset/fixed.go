package ruleset

import (
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/backends/nftables/command"
)

//go:embed fixed.txt
var fixedText string

// form is what the format says of one chain.
type form struct {
	fam      string // 4, 6 or ""
	hook     string // of a base chain
	priority int
	lines    []line
}

// readForms returns the forms of an artifact by role. Roles of chains of a class
// end in "_C". Only what this module embeds is read, so an error is a bug.
func (d *decoder) readForms(script bool) {
	d.forms = map[string]*form{}
	scope, made := "node", "bundle"
	if d.pod {
		scope = "pod"
	}
	if script {
		made = "script"
	}
	var open []*form
	for text := range strings.Lines(fixedText) {
		body := strings.TrimSpace(text)
		switch {
		case body == "" || body[0] == '#':
		case text[0] == '\t':
			for _, f := range open {
				d.formLine(f, body, scope, made)
			}
		default:
			open = d.formHead(body, scope, made)
		}
	}
}

// formHead makes the forms that a line names, one for each family where it has an N.
func (d *decoder) formHead(text, scope, made string) (open []*form) {
	text, found, _ := cutFound(text, scope, made)
	names, base, _ := strings.Cut(text, " hook ")
	hook, number, _ := strings.Cut(base, " priority ")
	priority, _ := strconv.Atoi(number) // 0 without one
	for _, name := range strings.Fields(names) {
		fams := []string{"4", "6"}
		if !strings.Contains(name, "N") {
			fams = []string{""}
		}
		for _, fam := range fams {
			f := &form{fam: fam, hook: hook, priority: priority}
			open = append(open, f)
			if found {
				d.forms[strings.Replace(name, "N", fam, 1)] = f
			}
		}
	}
	return open
}

// formLine adds a rule to a form.
func (d *decoder) formLine(f *form, text, scope, made string) {
	text, found, only := cutFound(text, scope, made)
	if !found || only != "" && only != f.fam {
		return
	}
	ip, icmp := "ip", "icmp"
	if f.fam == "6" {
		ip, icmp = "ip6", "ipv6-icmp"
	}
	words := strings.Fields(strings.ReplaceAll(text, "~", d.prefix))
	for i, w := range words {
		switch w {
		case "IP":
			words[i] = ip
		case "ICMP":
			words[i] = icmp
		default:
			words[i] = strings.Replace(w, "N", f.fam, 1)
		}
	}
	c, err := command.ParseLine("add rule inet trafficpolicy tp_form " + strings.Join(words, " "))
	if err != nil {
		panic(fmt.Sprintf("fixed.txt: %q: %v", text, err))
	}
	f.lines = append(f.lines, d.line(&rule{terms: c.(*command.Rule).Terms}))
}

// familyOf returns the digit of the family in a role.
func familyOf(role string) string {
	role = strings.TrimSuffix(role, "_C")
	if n := len(role) - 1; role[n] == '4' || role[n] == '6' {
		return role[n:]
	}
	return ""
}

// cutFound takes what stands between brackets off a text, and reports whether it
// is found in such an artifact, and in which family.
func cutFound(text, scope, made string) (rest string, found bool, fam string) {
	inner, ok := strings.CutPrefix(text, "[")
	if !ok {
		return text, true, ""
	}
	where, rest, _ := strings.Cut(inner, "] ")
	for _, w := range strings.Fields(where) {
		switch w {
		case "4", "6":
			fam = w
		case scope, made:
		default:
			return rest, false, fam
		}
	}
	return rest, true, fam
}

// fixed checks that the chain of a role is there, in its form, and so is
// everything that it leads to.
func (d *decoder) fixed(role string) error {
	if err, ok := d.checked[role]; ok {
		return err
	}
	d.checked[role] = nil // while it is looked at
	f := d.forms[role]
	if f == nil {
		return fmt.Errorf("the format has no chain %q", role)
	}
	_, err := d.formed(d.name(role), f)
	d.checked[role] = err
	return err
}

// formed checks that a chain has the form f, and so has what it leads to. It
// returns the chains that stand for tp_own and the like.
func (d *decoder) formed(name string, f *form) (map[string]string, error) {
	c := d.t.chains[name]
	if c == nil {
		return nil, fmt.Errorf("there is no chain %q", name)
	}
	if c.hook != f.hook || c.priority != f.priority {
		return nil, fmt.Errorf("chain %q is at hook %q, priority %d, not at %q, %d", name, c.hook, c.priority, f.hook, f.priority)
	}
	lines := d.normal(c)
	bound, err := d.bind(c, lines, f.lines)
	if err != nil {
		// Rules that no packet meets both of may stand in any order.
		var swapped error
		if bound, swapped = d.bind(c, inOrder(lines), inOrder(f.lines)); swapped != nil {
			return nil, err
		}
	}
	for i := range lines {
		if err := d.leads(c, &lines[i], bound); err != nil {
			return nil, err
		}
	}
	return bound, nil
}

// bind compares the rules of a chain with those of a form, and returns what
// stands for tp_own and the like.
func (d *decoder) bind(c *chain, lines, form []line) (map[string]string, error) {
	bound := map[string]string{}
	for i := range lines {
		l := &lines[i]
		if i == len(form) {
			return nil, d.t.fail(c, l.at, "%q stands behind the chain's last rule", l.text())
		}
		want := &form[i]
		stands := strings.HasPrefix(want.to, "tp_")
		if stands && (!slices.Equal(l.conds, want.conds) || l.to == "" || l.does != "goto "+l.to && l.does != "jump "+l.to) ||
			!stands && l.text() != want.text() {
			return nil, d.t.fail(c, l.at, "%q stands where %q should", l.text(), want.text())
		}
		if !stands {
			continue
		}
		to := d.name(l.to)
		if old, ok := bound[want.to]; ok && old != to {
			return nil, d.t.fail(c, l.at, "it leads to %q and to %q", old, to)
		}
		bound[want.to] = to
	}
	if len(lines) < len(form) {
		return nil, fmt.Errorf("chain %q ends where %q should stand", c.name, form[len(lines)].text())
	}
	return bound, nil
}

// leads checks what a rule of a fixed chain leads to, but for what is bound, and
// looks into.
func (d *decoder) leads(c *chain, l *line, bound map[string]string) error {
	stands := slices.Contains(slices.Collect(maps.Values(bound)), d.name(l.to))
	if l.to != "" && !stands {
		if err := d.fixed(l.to); err != nil {
			return err
		}
	}
	for _, t := range l.rule.terms {
		name := ""
		switch t := t.(type) {
		case *command.Lookup:
			name = t.Name
		case *command.Update:
			name = t.Name
		}
		if name == "" || !strings.HasPrefix(name, d.prefix) {
			continue
		}
		if err := d.fixedSet(d.role(name)); err != nil {
			return d.t.fail(c, l.at, "%v", err)
		}
	}
	return nil
}

// fixedSet checks that the set of a role is made as the format says.
func (d *decoder) fixedSet(role string) error {
	s := d.t.sets[d.name(role)]
	want := command.Set{Name: d.name(role)}
	switch role {
	case "~node4", "~node6":
		want.Types = []string{addrType(role)}
	case "~self4", "~self6":
		want.Types = []string{addrType(role), addrType(role)}
	case "~asked6":
		want.Types, want.Size, want.Dynamic, want.Timeout = []string{addrType(role)}, 1024, true, true
	default:
		return fmt.Errorf("the format has no set %q", role)
	}
	if err := sameSet(s, &want); err != nil {
		return err
	}
	if s.Dynamic && len(s.elements) > 0 && !d.t.listed {
		return fmt.Errorf("set %q, which packets fill, has elements", s.Name)
	}
	return nil
}

// sameSet checks how a set is made.
func sameSet(s *set, want *command.Set) error {
	if s == nil {
		return fmt.Errorf("there is no set %q", want.Name)
	}
	if !slices.Equal(s.Types, want.Types) || s.Map != want.Map || s.Dynamic != want.Dynamic || s.Timeout != want.Timeout || s.Size != want.Size {
		return fmt.Errorf("set %q is not made as the format says", want.Name)
	}
	return nil
}

func addrType(role string) string { return "ipv" + familyOf(role) + "_addr" }
