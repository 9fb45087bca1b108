package ruleset

import (
	"slices"
	"strconv"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/backends/nftables/command"
)

// inOrder returns the rules of a chain in the one order among those that do the
// same with every packet: again and again the least rule, by its text, that no
// rule before it must precede.
func inOrder(lines []line) []line {
	if len(lines) > maxRepeats {
		return lines
	}
	rest, out := slices.Clone(lines), make([]line, 0, len(lines))
	for len(rest) > 0 {
		least := 0
		for i := 1; i < len(rest); i++ {
			if less(&rest[i], &rest[least]) && !slices.ContainsFunc(rest[:i], func(b line) bool { return !swap(&b, &rest[i]) }) {
				least = i
			}
		}
		out = append(out, rest[least])
		rest = slices.Delete(rest, least, least+1)
	}
	return out
}

// less compares rules but for the chains that they lead to.
func less(a, b *line) bool {
	if c := slices.Compare(a.conds, b.conds); c != 0 {
		return c < 0
	}
	x, _, _ := strings.Cut(a.does, " ")
	y, _, _ := strings.Cut(b.does, " ")
	return x < y
}

// swap reports whether two rules may change places: they do the same, or no
// packet meets both.
func swap(a, b *line) bool {
	if a.does == b.does && !slices.ContainsFunc(slices.Concat(a.conds, b.conds), isLimit) {
		return true
	}
	for _, x := range a.asks {
		for _, y := range b.asks {
			if apart(x, y) {
				return true
			}
		}
	}
	return false
}

// apart reports whether no packet meets both comparisons.
func apart(x, y *command.Match) bool {
	if f, g := familyAsked(x.Field), familyAsked(y.Field); f != "" && g != "" && f != g {
		return true
	}
	if x.Field != y.Field || x.Op != "" || y.Op != "" {
		return false
	}
	for _, v := range x.Values {
		for _, w := range y.Values {
			if meet(v, w) {
				return false
			}
		}
	}
	return len(x.Values) > 0 && len(y.Values) > 0
}

// familyAsked returns the header that a field is in, "" for one of both families.
func familyAsked(field string) string {
	for _, ip := range []string{"ip", "ip6"} {
		if strings.HasPrefix(field, ip+" ") || strings.Contains(field, " "+ip+" ") {
			return ip
		}
	}
	return ""
}

// meet reports whether two values of one field, words, numbers, addresses or
// ranges of these, have something in common.
func meet(v, w string) bool {
	if a, b, ok := command.Addrs(v); ok {
		c, d, ok := command.Addrs(w)
		return !ok || a.BitLen() == c.BitLen() && !b.Less(c) && !d.Less(a)
	}
	a, b, ok := numbers(v)
	c, d, also := numbers(w)
	if ok && also {
		return a <= d && c <= b
	}
	return v == w
}

func numbers(v string) (first, last int, ok bool) {
	a, b, isRange := strings.Cut(v, "-")
	first, err := strconv.Atoi(a)
	if !isRange || err != nil {
		return first, first, err == nil
	}
	last, err = strconv.Atoi(b)
	return first, last, err == nil
}
