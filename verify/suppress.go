package verify

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// extent is the lines of a rule, or the first line of a policy, as far as can be
// told from where the next thing begins.
type extent struct {
	first, last  int // inclusive
	policy, rule string
}

// extents returns, by file and in order of lines, where policies and rules stand.
func extents(policies []*model.Policy) map[string][]extent {
	files := map[string][]extent{}
	for _, p := range policies {
		es := files[p.Pos.File]
		es = append(es, extent{first: p.Pos.Line, last: p.Pos.Line, policy: p.Ref()})
		for _, d := range model.Directions {
			if s := p.Section(d); s != nil {
				es = append(es, extent{first: s.Pos.Line, last: s.Pos.Line}) // ends the rule before it
			}
			for i, r := range p.Rules(d) {
				ref := model.RuleRef{Policy: p, Direction: d, Index: i}
				es = append(es, extent{first: r.Pos.Line, policy: p.Ref(), rule: ref.String()})
			}
		}
		files[p.Pos.File] = es
	}
	const toTheEnd = int(^uint(0) >> 1)
	for _, es := range files {
		slices.SortStableFunc(es, func(a, b extent) int { return cmp.Compare(a.first, b.first) })
		next := toTheEnd
		for i := len(es) - 1; i >= 0; i-- {
			if es[i].rule != "" {
				es[i].last = max(es[i].first, next-1)
			}
			if i > 0 && es[i-1].first < es[i].first {
				next = es[i].first
			}
		}
	}
	return files
}

// about is what a suppression covers.
type about struct {
	code model.Code
	name string // of a rule, or of a policy and all its rules
}

// suppress takes out the findings that a comment accepts, and returns those that
// stay, how many went, and the comments that accept none. A comment without a
// reason accepts nothing.
func suppress(found []model.Finding, comments []compiler.Suppression, policies []*model.Policy) (kept []model.Finding, n int, unused []compiler.Suppression) {
	if len(comments) == 0 {
		return found, 0, nil
	}
	files := extents(policies)
	covers := map[about][]int{} // to indices of comments
	used := make([]bool, len(comments))
	for i, c := range comments {
		if c.Reason == "" {
			continue
		}
		for _, e := range files[c.Pos.File] {
			if e.first <= c.Line && c.Line <= e.last && e.policy != "" {
				name := cmp.Or(e.rule, e.policy)
				covers[about{c.Code, name}] = append(covers[about{c.Code, name}], i)
			}
		}
	}
	kept = []model.Finding{}
	for _, f := range found {
		by := covers[about{f.Code, f.Policy}]
		if f.Rule != "" {
			by = append(slices.Clone(by), covers[about{f.Code, f.Rule}]...)
		}
		if len(by) == 0 {
			kept = append(kept, f)
			continue
		}
		n++
		for _, i := range by {
			used[i] = true
		}
	}
	for i, c := range comments {
		if !used[i] {
			unused = append(unused, c)
		}
	}
	return kept, n, unused
}

func unusedMessage(c *compiler.Suppression) string {
	switch {
	case c.Code == "":
		return `the comment names no code, write "# trafficpolicy:ignore CODE reason"`
	case c.Code.Info().Code == "":
		return fmt.Sprintf("the comment suppresses %q, which is no code of a finding", string(c.Code))
	case c.Reason == "":
		return fmt.Sprintf("the comment suppresses nothing without a reason, write \"# trafficpolicy:ignore %s reason\"", c.Code)
	}
	return fmt.Sprintf("the comment suppresses %s, but there is no such finding here", c.Code)
}
