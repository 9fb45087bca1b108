package ruleset

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/backends/nftables/command"
)

// Object is one object of a table, as nft lists it with -nn.
type Object struct {
	Kind, Name string
	Body       []string // its lines, without indentation
}

// FromListing returns the table that a kernel holds. Objects may stand in any
// order.
func FromListing(objects []Object) (*Table, error) {
	t := newTable()
	t.made, t.replaced, t.listed = true, true, true
	t.names = []string{"nft list"}
	for _, step := range []func(*Object) error{t.listChain, t.listNamed, t.listSet, t.listElements, t.listRules} {
		for i := range objects {
			if err := step(&objects[i]); err != nil {
				return nil, fmt.Errorf("nft list: %s %q: %w", objects[i].Kind, objects[i].Name, err)
			}
		}
	}
	return t, nil
}

// listChain makes a chain.
func (t *Table) listChain(o *Object) error {
	if o.Kind != "chain" {
		return nil
	}
	text := "add chain inet trafficpolicy " + o.Name
	if o.base() {
		typ, policy, _ := strings.Cut(o.Body[0], ";")
		head, priority, _ := strings.Cut(typ, " priority ")
		text += " { " + head + " priority " + priorityOf(priority) + ";" + policy + " }"
	}
	return t.command(text)
}

// base reports whether a chain has a hook.
func (o *Object) base() bool { return len(o.Body) > 0 && strings.HasPrefix(o.Body[0], "type ") }

// priorityOf returns a priority as a number (libnftables, std_prios).
func priorityOf(s string) string {
	name, rest, _ := strings.Cut(s, " ")
	base, ok := map[string]int{"raw": -300, "mangle": -150, "dstnat": -100, "filter": 0, "security": 50, "srcnat": 100}[name]
	if !ok {
		return s
	}
	n, _ := strconv.Atoi(strings.ReplaceAll(rest, " ", ""))
	return strconv.Itoa(base + n)
}

// command runs a command that stands for a line of a listing.
func (t *Table) command(text string) error {
	c, err := command.ParseLine(text)
	if err != nil {
		return err
	}
	return t.do(c, pos{})
}

// listNamed makes counters and limits, and refuses what has no place in a table.
func (t *Table) listNamed(o *Object) error {
	switch o.Kind {
	case "chain", "map", "set":
	case "counter", "limit":
		t.named[o.Kind+" "+o.Name] = true
	case "table":
		if !strings.HasPrefix(o.Name, "comment ") {
			return errors.New("the table is not an ordinary one")
		}
	default:
		return errors.New("no artifact has one")
	}
	return nil
}

// listSet makes a set or map.
func (t *Table) listSet(o *Object) error {
	if o.Kind != "set" && o.Kind != "map" {
		return nil
	}
	var typ, size, flags, timeout string
	for _, l := range o.Body {
		word, _, _ := strings.Cut(l, " ")
		if word == "elements" {
			break
		}
		if word == "size" { // from nft 1.1.2 on: size 65535	# count 4
			l, _, _ = strings.Cut(l, "#")
			l = strings.TrimSpace(l)
		}
		switch to := map[string]*string{"type": &typ, "size": &size, "flags": &flags, "timeout": &timeout}[word]; {
		case to != nil:
			*to = l + "; "
		case word != "comment":
			return fmt.Errorf("it has %q", l)
		}
	}
	return t.command("add " + o.Kind + " inet trafficpolicy " + o.Name + " { " + typ + size + flags + timeout + "}")
}

// listElements fills a set or map.
func (t *Table) listElements(o *Object) error {
	if o.Kind != "set" && o.Kind != "map" {
		return nil
	}
	text := ""
	for i, l := range o.Body {
		if rest, ok := strings.CutPrefix(l, "elements = {"); ok {
			text = rest + " " + strings.Join(o.Body[i+1:], " ")
			break
		}
	}
	text = strings.TrimSuffix(strings.TrimSpace(text), "}")
	s := t.sets[o.Name]
	for text != "" {
		one, rest := cutElement(text)
		text = rest
		if one == "" {
			continue
		}
		e, err := listElement(s, one)
		if err == nil {
			err = t.element(s, &e.Element)
		}
		if err != nil {
			return err
		}
		s.elements = append(s.elements, e)
	}
	return nil
}

// cutElement cuts the first element off a list. Commas within quotes are text.
func cutElement(text string) (one, rest string) {
	quoted := false
	for i := range len(text) {
		switch {
		case text[i] == '"':
			quoted = !quoted
		case text[i] == ',' && !quoted:
			return strings.TrimSpace(text[:i]), text[i+1:]
		}
	}
	return strings.TrimSpace(text), ""
}

// listElement reads one element.
func listElement(s *set, text string) (element, error) {
	var e element
	key, verdict, isMap := strings.Cut(text, " : ")
	fields := strings.Fields(key)
	for i, w := range fields {
		if w == "timeout" || w == "expires" {
			e.learned, fields = true, fields[:i]
			break
		}
	}
	for i, w := range fields {
		if i%2 == 1 {
			if w != "." {
				return e, fmt.Errorf("element %q is none of ours", text)
			}
			continue
		}
		e.Key = append(e.Key, keyOf(w, s.Types[0]))
	}
	if !isMap {
		return e, nil
	}
	words := strings.Fields(verdict)
	e.Verdict = &command.Verdict{Kind: words[0]}
	switch {
	case len(words) == 2:
		e.Verdict.Target = words[1]
	case len(words) > 2:
		return e, fmt.Errorf("element %q is none of ours", text)
	}
	return e, nil
}

// keyOf returns a key as commands write it: prefixes as ranges, families by name.
func keyOf(w, typ string) string {
	if typ == "nf_proto" {
		return cmp.Or(listedWords["meta nfproto"][w], w)
	}
	if strings.Contains(w, "/") {
		if first, last, ok := command.Addrs(w); ok {
			return span{first, last}.String()
		}
	}
	return strings.TrimSuffix(w, `"`)
}

// listRules fills a chain.
func (t *Table) listRules(o *Object) error {
	if o.Kind != "chain" {
		return nil
	}
	body := o.Body
	if o.base() {
		body = body[1:]
	}
	for i, l := range body {
		if strings.HasPrefix(l, "comment ") {
			continue
		}
		c, err := command.ParseLine("add rule inet trafficpolicy " + o.Name + " " + listedRule(l))
		if err == nil {
			err = t.do(c, pos{line: uint32(i + 1)})
		}
		if err != nil {
			return fmt.Errorf("rule %q: %w", l, err)
		}
	}
	return nil
}

// listed words that nft writes in other ways than commands do.
var (
	listedProtos = map[string]string{"1": "icmp", "6": "tcp", "17": "udp", "58": "ipv6-icmp", "132": "sctp"}
	listedWords  = map[string]map[string]string{
		"ct state":       {"0x1": "invalid", "0x2": "established", "0x4": "related", "0x8": "new", "0x40": "untracked"},
		"ct direction":   {"0": "original", "1": "reply"},
		"ct protocol":    listedProtos,
		"meta l4proto":   listedProtos,
		"meta nfproto":   {"2": "ipv4", "10": "ipv6"},
		"fib saddr type": {"2": "local"},
		"fib daddr type": {"2": "local"},
		"iif oif":        {"0": "missing"},
	}
	// listedForms are whole phrases.
	listedForms = strings.NewReplacer(
		"ct status ! 0x10", "ct status & snat == 0",
		"ct status ! snat", "ct status & snat == 0",
		"ct status & 0x10 == 0x0", "ct status & snat == 0",
		"tcp flags & 0x4 == 0x4", "tcp flags & rst == rst",
		"tcp flags 0x4 / 0x4", "tcp flags & rst == rst",
		"tcp flags rst / rst", "tcp flags & rst == rst",
		"reject with icmpx 3", "reject with icmpx type admin-prohibited",
		"reject with icmpx admin-prohibited", "reject with icmpx type admin-prohibited",
		"tcp dport vmap", "meta l4proto tcp th dport vmap",
		"udp dport vmap", "meta l4proto udp th dport vmap",
		"sctp dport vmap", "meta l4proto sctp th dport vmap",
	)
)

// listedRule returns a rule as commands write it.
func listedRule(text string) string {
	words := strings.Split(listedForms.Replace(text), " ")
	for i := range words {
		for n := 2; n <= 3 && i+n < len(words); n++ {
			if to := listedWords[strings.Join(words[i:i+n], " ")]; to != nil {
				listedValues(words[i+n:], to)
			}
		}
	}
	return strings.Join(words, " ")
}

// listedValues changes, in place, the values that words begin with.
func listedValues(words []string, to map[string]string) {
	set := false
	for i, w := range words {
		word, comma := strings.CutSuffix(w, ",")
		switch {
		case w == "!=":
		case w == "{":
			set = true
		case to[word] == "":
			return
		default:
			words[i] = to[word]
			if comma {
				words[i] += ","
			}
			if !set {
				return
			}
		}
	}
}
