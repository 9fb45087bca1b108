package command

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// fieldSpec is what a rule can look at.
type fieldSpec struct {
	name string
	// typ is the type of the keys of sets that it can be looked up in, "" for none.
	typ string
	// value reports whether s is a value to compare with.
	value func(s string) bool
}

// fields lists everything that a rule can look at. Names that end in an operator
// are complete comparisons but for the value.
var fields = func() []fieldSpec {
	list := []fieldSpec{
		{"meta l4proto", "", word("tcp", "udp", "sctp", "icmp", "ipv6-icmp")},
		{"meta nfproto", "nf_proto", word("ipv4", "ipv6")},
		{"ct protocol", "", word("tcp", "udp", "sctp", "icmp", "ipv6-icmp")},
		{"ct state", "", word("new", "established", "related", "invalid", "untracked")},
		{"ct direction", "", word("original", "reply")},
		{"ct status & snat ==", "", word("0")},
		{"ct original proto-dst", "inet_service", ports},
		{"ct reply proto-src", "inet_service", ports},
		{"th dport", "inet_service", ports},
		{"udp sport", "inet_service", ports},
		{"udp dport", "inet_service", ports},
		{"tcp flags & rst ==", "", word("rst")},
		{"icmp type", "", octet},
		{"icmpv6 type", "", octet},
		{"icmpv6 code", "", octet},
		{"ip6 hoplimit", "", octet},
		{"rt seg-left", "", octet},
		{"fib saddr type", "", word("local")},
		{"fib daddr type", "", word("local")},
		{"fib saddr . iif oif", "", word("missing")},
		{"iifname", "ifname", device},
		{"oifname", "ifname", device},
	}
	for _, f := range []struct{ ip, typ string }{{"ip", "ipv4_addr"}, {"ip6", "ipv6_addr"}} {
		for _, name := range []string{"ct original IP saddr", "ct original IP daddr", "ct reply IP saddr", "IP saddr", "IP daddr"} {
			list = append(list, fieldSpec{strings.Replace(name, "IP", f.ip, 1), f.typ, address(f.typ)})
		}
	}
	// The longest first, since one can begin like another.
	slices.SortStableFunc(list, func(a, b fieldSpec) int {
		return cmp.Compare(len(strings.Fields(b.name)), len(strings.Fields(a.name)))
	})
	return list
}()

// FieldType returns the type of the keys of sets in which the field can be
// looked up, "" for a field that has none.
func FieldType(name string) string {
	for i := range fields {
		if fields[i].name == name {
			return fields[i].typ
		}
	}
	return ""
}

// IsKey reports whether s can be a key of the type; of one with intervals also a
// range.
func IsKey(s, typ string, interval bool) bool {
	switch typ {
	case "ipv4_addr", "ipv6_addr":
		return address(typ)(s) && !strings.Contains(s, "/") && (interval || !strings.Contains(s, "-"))
	case "inet_service":
		return ports(s) && (interval || !strings.Contains(s, "-"))
	case "nf_proto":
		return s == "ipv4" || s == "ipv6"
	case "ifname":
		return device(s)
	}
	return false
}

func word(choices ...string) func(string) bool {
	return func(s string) bool { return slices.Contains(choices, s) }
}

// address: an address, a prefix or a range of the type's family.
func address(typ string) func(string) bool {
	return func(s string) bool {
		first, _, ok := parseAddrs(s)
		return ok && first.Is4() == (typ == "ipv4_addr")
	}
}

func octet(s string) bool { return decimal(s, 255) }

// ports: a port or a range of them.
func ports(s string) bool {
	a, b, isRange := strings.Cut(s, "-")
	if !isRange {
		return decimal(a, 65535)
	}
	first, _ := strconv.Atoi(a)
	last, _ := strconv.Atoi(b)
	return decimal(a, 65535) && decimal(b, 65535) && first < last
}

func decimal(s string, most int) bool {
	n, err := strconv.Atoi(s)
	return err == nil && n >= 0 && n <= most && strconv.Itoa(n) == s
}

// device: the quoted name of a network device (IFNAMSIZ is 16 with the final NUL).
func device(s string) bool {
	name, ok := strings.CutPrefix(s, `"`)
	return ok && name != "" && len(name) <= 15 && !strings.ContainsAny(name, `/ "*`)
}

// field takes the name of a field.
func field(w *words) fieldSpec {
	for i := range fields {
		if w.skip(fields[i].name) {
			return fields[i]
		}
	}
	w.fail("%q begins no statement of ours", w.peek())
	return fieldSpec{value: word()}
}

// comparison reads a match or a lookup.
func comparison(w *words) Term {
	f := field(w)
	names := []string{f.name}
	if w.skip(".") {
		names = append(names, field(w).name)
	}
	if isMap := w.skip("vmap"); isMap || strings.HasPrefix(w.peek(), "@") {
		return &Lookup{names, w.ref(), isMap}
	}
	if len(names) > 1 {
		w.fail("a concatenation is compared with a set alone")
	}
	m := &Match{Field: f.name}
	if w.skip("!=") {
		m.Op = "!="
	} else if w.skip(">") {
		m.Op = ">"
	}
	m.Values = values(w, f)
	return m
}

func values(w *words, f fieldSpec) []string {
	var list []string
	one := func() {
		v := w.next()
		if w.err == nil && !f.value(v) {
			w.fail("%q is no value of %s", v, f.name)
		}
		list = append(list, v)
	}
	if !w.skip("{") {
		one()
		return list
	}
	for one(); w.err == nil && w.skip(","); {
		one()
	}
	w.want("}")
	return list
}
