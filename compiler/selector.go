package compiler

import (
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"

	"github.com/trafficpolicy/trafficpolicy/model"
)

var operators = map[model.Operator]selection.Operator{
	model.In:           selection.In,
	model.NotIn:        selection.NotIn,
	model.Exists:       selection.Exists,
	model.DoesNotExist: selection.DoesNotExist,
}

// NewSelector returns s as apimachinery matches it, so that In, NotIn, Exists
// and DoesNotExist mean what they mean in Kubernetes. A selector that the
// decoder would not have let through selects nothing.
func NewSelector(s *model.Selector) labels.Selector {
	reqs := make(labels.Requirements, 0, len(s.MatchLabels)+len(s.MatchExpressions))
	for _, l := range s.MatchLabels {
		r, err := labels.NewRequirement(l.Key, selection.Equals, []string{l.Value})
		if err != nil {
			return labels.Nothing()
		}
		reqs = append(reqs, *r)
	}
	for _, e := range s.MatchExpressions {
		r, err := labels.NewRequirement(e.Key, operators[e.Operator], e.Values)
		if err != nil {
			return labels.Nothing()
		}
		reqs = append(reqs, *r)
	}
	return labels.NewSelector().Add(reqs...)
}
