package model

import (
	"slices"
	"strings"
)

// Label is one key with its value.
type Label struct{ Key, Value string }

// Labels is a label set, sorted by key, each key once. It has the methods of
// apimachinery's labels.Labels. Nil is the empty set.
type Labels []Label

// NewLabels returns the set of m.
func NewLabels(m map[string]string) Labels {
	ls := make(Labels, 0, len(m))
	for k, v := range m {
		ls = append(ls, Label{k, v})
	}
	slices.SortFunc(ls, func(a, b Label) int { return strings.Compare(a.Key, b.Key) })
	return ls
}

// Lookup returns the value of key and whether it is there.
func (ls Labels) Lookup(key string) (value string, exists bool) {
	i, ok := slices.BinarySearchFunc(ls, key, func(l Label, k string) int { return strings.Compare(l.Key, k) })
	if !ok {
		return "", false
	}
	return ls[i].Value, true
}

// Has reports whether key is in the set.
func (ls Labels) Has(key string) bool { _, ok := ls.Lookup(key); return ok }

// Get returns the value of key, or "" without one.
func (ls Labels) Get(key string) string { v, _ := ls.Lookup(key); return v }

// Contains reports whether every label of sub is in ls with the same value.
func (ls Labels) Contains(sub Labels) bool {
	for _, l := range sub {
		if v, ok := ls.Lookup(l.Key); !ok || v != l.Value {
			return false
		}
	}
	return true
}

// String returns k=v,k=v in key order.
func (ls Labels) String() string {
	var b strings.Builder
	for i, l := range ls {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(l.Key + "=" + l.Value)
	}
	return b.String()
}

// Selector is a metav1.LabelSelector, kept as data. The zero Selector selects
// every pod in scope.
type Selector struct {
	MatchLabels      Labels
	MatchExpressions []Requirement
}

// Empty reports whether s has no condition and so selects everything.
func (s *Selector) Empty() bool { return len(s.MatchLabels) == 0 && len(s.MatchExpressions) == 0 }

// Operator is an operator of matchExpressions, as it stands in YAML.
type Operator string

const (
	In           Operator = "In"
	NotIn        Operator = "NotIn" // a missing key matches
	Exists       Operator = "Exists"
	DoesNotExist Operator = "DoesNotExist"
)

// Requirement is one entry of matchExpressions. Values is sorted, and is empty
// exactly for Exists and DoesNotExist.
type Requirement struct {
	Key      string
	Operator Operator
	Values   []string
}
