package ruleset

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/backends/nftables/command"
)

// line is a rule in the form in which rules are compared: two rules of one form
// do the same with every packet.
type line struct {
	at    pos
	conds []string // sorted
	does  string   // a verdict, a lookup in a map, an update; "" where it only counts or logs
	// to is the chain of does, without the prefix of the generation; "" for none.
	to   string
	rule *rule
	// asks are the comparisons of conds, and one without values for each field that
	// is looked up.
	asks []*command.Match
}

// text is the whole rule. Names of the generation begin with ~.
func (l *line) text() string { return strings.Join(append(slices.Clip(l.conds), l.does), " ") }

// repeats reports whether a packet that gets to l has met the same rule already.
func (l *line) repeats(before []line) bool {
	return slices.ContainsFunc(before, func(b line) bool {
		return b.does == l.does && slices.Equal(b.conds, l.conds) && !slices.ContainsFunc(b.conds, isLimit)
	})
}

func isLimit(cond string) bool { return strings.HasPrefix(cond, "limit ") }

// maxRepeats is how many rules of a chain are compared with one another. No chain
// of the format but lists is longer.
const maxRepeats = 64

// normal returns what a chain does with packets: without rules that do nothing,
// that repeat one before them, or that no packet gets to.
func (d *decoder) normal(c *chain) []line {
	if lines, ok := d.lines[c.name]; ok {
		return lines
	}
	var out []line
	for i := range c.rules {
		l := d.line(&c.rules[i])
		if l.does == "" || len(out) < maxRepeats && l.repeats(out) {
			continue
		}
		out = append(out, l)
		if len(l.conds) == 0 && d.final(&l) {
			break
		}
	}
	for n := len(out); n > 0 && out[n-1].does == "return"; n-- {
		out = out[:n-1] // as the end of the chain does
	}
	d.lines[c.name] = out
	return out
}

// final reports whether what the line does ends the chain.
func (d *decoder) final(l *line) bool {
	switch l.does {
	case "accept", "drop", "return", "reject admin-prohibited":
		return true
	}
	return strings.HasPrefix(l.does, "goto ")
}

// line returns the form of a rule.
func (d *decoder) line(r *rule) line {
	l := line{at: r.at, rule: r}
	does := ""
	do := func(what string) {
		if does != "" {
			does += " "
		}
		does += what
	}
	for _, t := range r.terms {
		switch t := t.(type) {
		case *command.Match:
			l.conds, l.asks = append(l.conds, condition(t)), append(l.asks, t)
		case *command.Lookup:
			for _, f := range t.Fields {
				l.asks = append(l.asks, &command.Match{Field: f})
			}
			fields := strings.Join(t.Fields, " . ")
			if t.Map {
				do(fields + " vmap @" + d.role(t.Name))
			} else {
				l.conds = append(l.conds, fields+" @"+d.role(t.Name))
			}
		case *command.Rate:
			l.conds = append(l.conds, "limit "+t.Name)
		case *command.Update:
			do("update @" + d.role(t.Name) + " { " + t.Field + " }")
		case *command.Verdict:
			l.to = ""
			v := t.Kind
			if t.Target != "" {
				v += " " + t.Target
			}
			if t.Kind == "goto" || t.Kind == "jump" {
				l.to = d.role(t.Target)
				v = t.Kind + " " + l.to
				if t.Kind == "jump" && d.ends(t.Target) {
					v = "goto " + l.to
				}
			}
			do(v)
		}
	}
	if len(l.conds) > 1 {
		slices.Sort(l.conds)
		l.conds = slices.Compact(l.conds)
	}
	l.does = does
	return l
}

// ends reports whether a chain certainly ends every packet, so that it is all one
// whether it is jumped to or gone to. Of one that leads on further than a kernel follows
// that is not certain.
func (d *decoder) ends(name string) bool {
	if known, ok := d.ended[name]; ok {
		return known
	}
	if d.nested == maxNested {
		return false
	}
	d.nested++
	defer func() { d.nested-- }()
	d.ended[name] = false // while it is looked at: no chain leads back to itself
	c := d.t.chains[name]
	if c == nil {
		return false // a form's, of a chain that is missing
	}
	lines := d.normal(c)
	ends := len(lines) > 0
	for i := range lines {
		l := &lines[i]
		switch {
		case l.does == "return", strings.Contains(l.does, " vmap "):
			ends = false
		case strings.HasPrefix(l.does, "goto "):
			ends = ends && d.ends(d.name(l.to))
		}
	}
	if ends {
		last := &lines[len(lines)-1]
		ends = len(last.conds) == 0 && d.final(last)
	}
	d.ended[name] = ends
	return ends
}

// role returns what a name is without the tag of its generation.
func (d *decoder) role(name string) string {
	if rest, ok := strings.CutPrefix(name, d.prefix); ok {
		return "~" + rest
	}
	return name
}

// name returns the name of a role.
func (d *decoder) name(role string) string {
	if rest, ok := strings.CutPrefix(role, "~"); ok {
		return d.prefix + rest
	}
	return role
}

// condition writes a comparison so that equal ones are written alike.
func condition(m *command.Match) string {
	if len(m.Values) == 1 && m.Op == "" && !strings.Contains(m.Field, "addr") {
		return m.Field + " " + m.Values[0]
	}
	values := slices.Clone(m.Values)
	switch typ := command.FieldType(m.Field); {
	case m.Op == ">":
	case typ == "ipv4_addr" || typ == "ipv6_addr":
		values = mergeAddrs(values)
	case len(values) > 0 && isNumeric(values[0]):
		values = mergeNumbers(values)
	default:
		slices.Sort(values)
		values = slices.Compact(values)
	}
	text := m.Field
	if m.Op != "" {
		text += " " + m.Op
	}
	if len(values) == 1 {
		return text + " " + values[0]
	}
	return text + " { " + strings.Join(values, ", ") + " }"
}

func isNumeric(s string) bool { return s != "" && s[0] >= '0' && s[0] <= '9' }

// mergeNumbers returns numbers and ranges of numbers as the fewest sorted ranges.
func mergeNumbers(values []string) []string {
	type span struct{ first, last int }
	spans := make([]span, len(values))
	for i, v := range values {
		a, b, isRange := strings.Cut(v, "-")
		first, _ := strconv.Atoi(a)
		last := first
		if isRange {
			last, _ = strconv.Atoi(b)
		}
		spans[i] = span{first, last}
	}
	slices.SortFunc(spans, func(x, y span) int { return x.first - y.first })
	merged := spans[:1]
	for _, s := range spans[1:] {
		if end := &merged[len(merged)-1]; s.first <= end.last+1 {
			end.last = max(end.last, s.last)
		} else {
			merged = append(merged, s)
		}
	}
	out := make([]string, len(merged))
	for i, s := range merged {
		out[i] = strconv.Itoa(s.first)
		if s.first != s.last {
			out[i] = fmt.Sprintf("%d-%d", s.first, s.last)
		}
	}
	return out
}

// span is a stretch of addresses of one family, both ends inclusive.
type span struct{ first, last netip.Addr }

func (s span) String() string {
	if s.first == s.last {
		return s.first.String()
	}
	return s.first.String() + "-" + s.last.String()
}

// merge sorts spans and joins those that meet.
func merge(spans []span) []span {
	slices.SortFunc(spans, func(x, y span) int { return x.first.Compare(y.first) })
	out := spans[:0]
	for _, s := range spans {
		if n := len(out); n > 0 && (!out[n-1].last.Less(s.first) || out[n-1].last.Next() == s.first) {
			if out[n-1].last.Less(s.last) {
				out[n-1].last = s.last
			}
			continue
		}
		out = append(out, s)
	}
	return out
}

// mergeAddrs returns addresses, prefixes and ranges as the fewest sorted ranges.
func mergeAddrs(values []string) []string {
	spans := make([]span, len(values))
	for i, v := range values {
		spans[i].first, spans[i].last, _ = command.Addrs(v)
	}
	spans = merge(spans)
	out := make([]string, len(spans))
	for i, s := range spans {
		out[i] = s.String()
	}
	return out
}
