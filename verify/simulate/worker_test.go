package simulate

import (
	"math/rand/v2"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/compiler"
)

// TestWorkerForgets holds that a worker answers a flow as one that has judged nothing
// before, whatever it judged: flows with one answer, with cases, and with none.
func TestWorkerForgets(t *testing.T) {
	s := New(world(allow(cidr("8.8.8.0/24")), allow(fqdn("a.example")), allow(fqdn("b.example"))), compiler.Options{})
	flows := []Flow{
		{Src: "default/a", Dst: "8.8.8.8"},
		{Src: "default/a", Dst: "9.9.9.9"},
		{Src: "default/a", Dst: "a.example"},
		{Src: "default/a", Dst: "c.example"},
		{Src: "8.8.8.8", Dst: "default/a"},
		{Src: "8.8.8.8", Dst: "2001:db8::1"},
		{Src: "default/none", Dst: "8.8.8.8"},
	}
	answer := func(w *worker, f Flow) string {
		f.Port, f.HasPort = 80, true
		res, err := w.judge(f)
		if err != nil {
			return err.Error()
		}
		return string(res.appendJSON(nil))
	}
	rng := rand.New(rand.NewPCG(3, 3))
	kept, seen := &worker{Simulator: s}, map[string]bool{}
	for range 500 {
		f := flows[rng.IntN(len(flows))]
		want := answer(&worker{Simulator: s}, f)
		if got := answer(kept, f); got != want {
			t.Fatalf("%s to %s: got\n%s, want\n%s", f.Src, f.Dst, got, want)
		}
		seen[want] = true
	}
	if len(seen) != len(flows) {
		t.Errorf("%d answers to %d flows", len(seen), len(flows))
	}
}

// TestWorkerAllocates holds that a flow between a pod and an address costs no memory
// but the text of the two addresses, once its like has been judged.
func TestWorkerAllocates(t *testing.T) {
	w := &worker{Simulator: New(world(allow(cidr("8.8.8.0/24"))), compiler.Options{})}
	var out []byte
	n := testing.AllocsPerRun(100, func() {
		res, err := w.judge(Flow{Src: "default/a", Dst: "8.8.8.8", Proto: "tcp", Port: 80, HasPort: true})
		if err != nil {
			t.Fatal(err)
		}
		out = res.appendJSON(out[:0])
	})
	if n > 2 {
		t.Errorf("%v allocations a flow, want 2", n)
	}
}
