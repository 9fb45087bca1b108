package pods

import (
	"math/rand/v2"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// TestKey holds that two policies have one key exactly where every pod of a small
// universe is selected by both or by neither.
func TestKey(t *testing.T) {
	const seed = 11
	rnd := rand.New(rand.NewPCG(seed, seed))
	keys, values := []string{"a", "b"}, []string{"1", "2"}
	same := 0
	for range 20_000 {
		p, q := randomPolicy(rnd, "p", keys, values), randomPolicy(rnd, "q", keys, values)
		q.Kind, q.Namespace = p.Kind, p.Namespace
		x, y := compiler.NewSelector(&p.Selector), compiler.NewSelector(&q.Selector)
		want, some := true, false
		everyPod(keys, append(values, "other"), func(ls model.Labels) {
			want = want && x.Matches(ls) == y.Matches(ls)
			some = some || x.Matches(ls)
		})
		kp, ok := Key(p)
		if ok != some {
			t.Fatalf("%+v: selects a pod %t, want %t", p.Selector, ok, some)
		}
		kq, okq := Key(q)
		if !ok || !okq {
			continue
		}
		if want {
			same++
		}
		if (kp == kq) != want {
			t.Fatalf("%+v and %+v: keys %q and %q, want equal=%t", p.Selector, q.Selector, kp, kq, want)
		}
	}
	if same < 100 {
		t.Errorf("%d pairs select the same pods, too few to tell", same)
	}
}

func TestKeyTellsNamespacesApart(t *testing.T) {
	a, _ := Key(tp("a", "p", nil))
	b, _ := Key(tp("b", "p", nil))
	if a == b {
		t.Errorf("two namespaces have the key %q", a)
	}
}
