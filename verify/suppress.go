package verify

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// extent is the lines of a rule, or the first line of a policy.
type extent struct {
	first, last  int // inclusive
	policy, rule string
}

// holds reports whether c is about e: directly above its first line, or at the end
// of one of its lines.
func (e *extent) holds(c *compiler.Suppression) bool {
	if c.Above {
		return c.Line == e.first
	}
	return e.first <= c.Line && c.Line <= e.last
}

// extents returns, by file, where policies and rules stand.
func extents(policies []*model.Policy) map[string][]extent {
	files := map[string][]extent{}
	for _, p := range policies {
		es := append(files[p.Pos.File], extent{first: p.Pos.Line, last: p.Pos.Line, policy: p.Ref()})
		for _, d := range model.Directions {
			for i, r := range p.Rules(d) {
				ref := model.RuleRef{Policy: p, Direction: d, Index: i}
				es = append(es, extent{r.Pos.Line, max(r.Pos.Line, r.LastLine), p.Ref(), ref.String()})
			}
		}
		files[p.Pos.File] = es
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
			if e.holds(&c) {
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
