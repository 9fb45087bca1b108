package verify

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/trafficpolicy/trafficpolicy/model"
	"github.com/trafficpolicy/trafficpolicy/verify/pods"
)

// Unchecked is what could not be judged: that there is no finding of these codes
// about these policies proves nothing. Its JSON form is a contract.
type Unchecked struct {
	Codes    []model.Code `json:"codes"`    // sorted
	Policies []string     `json:"policies"` // as in every output, in evaluation order
	Message  string       `json:"message"`  // why
}

// String says it in a line, such as "TP101 and TP102 not checked for
// TrafficPolicy/a/b: more label assignments matter ...".
func (u *Unchecked) String() string {
	codes := make([]string, len(u.Codes))
	for i, c := range u.Codes {
		codes[i] = string(c)
	}
	return fmt.Sprintf("%s not checked for %s: %s", joinAnd(codes), firstNames(u.Policies), u.Message)
}

// firstNames returns the names as a [nameList] does.
func firstNames(names []string) string {
	l := nameList{n: len(names), first: names[:min(fewNames, len(names))]}
	return l.String()
}

// gaps collects what could not be checked, by codes and cause. The zero value is
// ready to use, and safe for concurrent use.
type gaps struct {
	mu  sync.Mutex
	all map[string]*gap
}

type gap struct {
	codes    []model.Code
	why      string
	policies map[*model.Policy]bool
	keys     map[string]bool // of labels, that are to blame
}

// unchecked notes that findings of the given codes, sorted, about ps may be missing.
// What is told with one cause again and again is told once for all policies.
func (a *Analysis) unchecked(codes []model.Code, cause error, ps ...*model.Policy) {
	why, keys := cause.Error(), []string(nil)
	var many *pods.TooManyError
	if errors.As(cause, &many) {
		why, keys = many.Reason(), many.Keys
	}
	a.gaps.mu.Lock()
	defer a.gaps.mu.Unlock()
	id := fmt.Sprint(codes, why)
	g := a.gaps.all[id]
	if g == nil {
		g = &gap{codes, why, map[*model.Policy]bool{}, map[string]bool{}}
		if a.gaps.all == nil {
			a.gaps.all = map[string]*gap{}
		}
		a.gaps.all[id] = g
	}
	for _, p := range ps {
		g.policies[p] = true
	}
	for _, k := range keys {
		g.keys[k] = true
	}
}

// uncheckedFor returns what was noted of wanted codes, sorted.
func (a *Analysis) uncheckedFor(wanted func(model.Code) bool) []Unchecked {
	a.gaps.mu.Lock()
	defer a.gaps.mu.Unlock()
	var out []Unchecked
	for _, id := range slices.Sorted(maps.Keys(a.gaps.all)) {
		g := a.gaps.all[id]
		codes := slices.DeleteFunc(slices.Clone(g.codes), func(c model.Code) bool { return !wanted(c) })
		if len(codes) == 0 {
			continue
		}
		u := Unchecked{Codes: codes, Message: g.why}
		for _, p := range slices.SortedFunc(maps.Keys(g.policies), model.ComparePolicies) {
			u.Policies = append(u.Policies, p.Ref())
		}
		if len(g.keys) > 0 {
			u.Message += fmt.Sprintf(" (%s %s)", plural(len(g.keys), "key", "keys"), firstNames(slices.Sorted(maps.Keys(g.keys))))
		}
		out = append(out, u)
	}
	return out
}

// about reports whether u leaves open whether there is a finding of code c.
func (u *Unchecked) about(c model.Code) bool { return slices.Contains(u.Codes, c) }
