package pods

import (
	"maps"
	"slices"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// Key spells which pods p selects: policies have the same key exactly when they
// select the same pods, however their selectors are written. It reports false where
// no pod can meet the selector. No part can hold a NUL byte.
func Key(p *model.Policy) (key string, ok bool) {
	conds, ok := merge(p)
	if !ok {
		return "", false
	}
	var b strings.Builder
	b.WriteString(p.Namespace)
	for _, k := range slices.Sorted(maps.Keys(conds)) {
		c := conds[k]
		op, values := "absent", c.notIn
		switch {
		case c.in != nil:
			op, values = "in", maps.Clone(c.in)
			maps.DeleteFunc(values, func(v string, _ bool) bool { return !c.allows(v) })
		case c.must:
			op = "exists not in"
		case c.absent:
			values = nil // whatever it must not be, it is not
		default:
			op = "not in"
		}
		b.WriteString("\x00\x01" + k + "\x00" + op)
		for _, v := range slices.Sorted(maps.Keys(values)) {
			b.WriteString("\x00" + v)
		}
	}
	return b.String(), true
}
