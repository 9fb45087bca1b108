package verify

import (
	"context"
	"iter"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// meetings is where policies of two groups meet: the pods that could exist and have
// both. What they find is monotone: a pod with more policies has no more of it.
type meetings[T any] struct {
	a *Analysis
	// judge looks at one pod. It is called for several at a time.
	judge func(*subject) (T, error)
	// take is given what judge returns, in the order of the pods.
	take func(*subject, T)
	code model.Code // what is not checked where judge cannot, or too many pods matter

	tried map[string]bool // policies of pods that were judged
}

// all judges the pods of each pair, and each list of policies once.
func (m *meetings[T]) all(ctx context.Context, pairs iter.Seq[groupPair]) error {
	key := m.a.policyKeys()
	if m.tried == nil {
		m.tried = map[string]bool{}
	}
	for batch := range batches(pairs, pairsAtOnce) {
		found := make([][]subject, len(batch))
		err := inParallel(ctx, len(batch), func(i int) error {
			pods, err := batch[i].pods(m.a.space())
			if err != nil {
				m.a.unchecked([]model.Code{m.code}, err, slices.Concat(batch[i].a.policies, batch[i].b.policies)...)
			}
			for j := range pods {
				found[i] = append(found[i], m.a.hypothetical(&pods[j]))
			}
			return nil
		})
		if err != nil {
			return err
		}
		var subjects []subject
		for _, ss := range found {
			for _, s := range ss {
				if k := key(s.policies); !m.tried[k] {
					m.tried[k] = true
					subjects = append(subjects, s)
				}
			}
		}
		if err := m.at(ctx, subjects); err != nil {
			return err
		}
	}
	return nil
}

// podsAtOnce is how many pods are judged before what they show is taken.
const podsAtOnce = 32

// at judges the given pods.
func (m *meetings[T]) at(ctx context.Context, subjects []subject) error {
	for some := range slices.Chunk(subjects, podsAtOnce) {
		found, judged := make([]T, len(some)), make([]bool, len(some))
		err := inParallel(ctx, len(some), func(i int) error {
			var err error
			if found[i], err = m.judge(&some[i]); err != nil {
				m.a.unchecked([]model.Code{m.code}, err, some[i].policies...)
			}
			judged[i] = err == nil
			return nil
		})
		if err != nil {
			return err
		}
		for i := range some {
			if judged[i] {
				m.take(&some[i], found[i])
			}
		}
	}
	return nil
}

// selves returns each group as a pair with itself.
func selves(groups []*group) iter.Seq[groupPair] {
	return func(yield func(groupPair) bool) {
		for _, g := range groups {
			if !yield(groupPair{g, g}) {
				return
			}
		}
	}
}
