package ebpf

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"testing"
)

// kindsOf counts nodes by the kind of their search.
func kindOf(n int) string {
	return [...]string{"small", "medium", "large", "tree1", "tree2", "tree3", "tree4", "tree5"}[n]
}

// TestSearch builds a search of every number of intervals around every size at
// which another shape begins, checks it, and looks up both ends of each interval.
func TestSearch(t *testing.T) {
	sizes := map[int]bool{}
	for n := 1; n <= 600; n++ {
		sizes[n] = true
	}
	for _, n := range []int{
		12 * 16, 12 * 17 * 16, 12 * 17 * 17 * 16, // the most of trees of one to three levels
		17 * 16, 17 * 17 * 16, 17 * 17 * 17 * 16, 70000,
	} {
		for _, d := range []int{-17, -16, -1, 0, 1, 2, 15, 16, 17, 18} {
			sizes[n+d] = true
		}
	}
	kinds := map[int]bool{}
	for _, n := range slices.Sorted(func(yield func(int) bool) {
		for n := range sizes {
			if !yield(n) {
				return
			}
		}
	}) {
		if err := checkSearch(n, kinds, n/2000+1); err != nil {
			t.Fatalf("%d intervals: %v", n, err)
		}
	}
	for k := KindSmall; k <= KindTree5-1; k++ {
		if !kinds[k] {
			t.Errorf("no search is %s", kindOf(k))
		}
	}
}

// TestSearchDeepest holds the one shape that needs a million intervals, on both
// sides of where it begins.
func TestSearchDeepest(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a second")
	}
	for n, want := range map[int]int{12 * 17 * 17 * 17 * 16: KindTree5 - 1, 12*17*17*17*16 + 1: KindTree5, 1_100_000: KindTree5} {
		kinds := map[int]bool{}
		if err := checkSearch(n, kinds, 101); err != nil {
			t.Fatalf("%d intervals: %v", n, err)
		}
		if !kinds[want] {
			t.Errorf("%d intervals: kinds %v, want %s", n, kinds, kindOf(want))
		}
	}
}

// checkSearch builds a search of n intervals and looks up values around the ends
// of each step-th. Leads are numbers of records, and a lone one that of n+1.
func checkSearch(n int, kinds map[int]bool, step int) error {
	rng := rand.New(rand.NewPCG(uint64(n), 1))
	in := make([]interval, n)
	for i := range in {
		width := uint32(lastKey) / uint32(n)
		in[i] = interval{uint32(i)*width + rng.Uint32N(max(1, width)), terminal(VerdictOther, uint32(i))}
		if n == 1 || rng.IntN(4) == 0 && i > 0 { // intervals of one value
			in[i].last = uint32(i) * width
		}
	}
	in[n-1].last = lastKey
	for i := 1; i < n; i++ {
		if in[i].last <= in[i-1].last {
			in[i].last = in[i-1].last + 1
		}
	}
	w := newWriter(realLimits)
	root := w.search(WordPeer, in)
	if w.err != nil {
		return w.err
	}
	if n == 1 {
		if root != in[0].ref {
			return fmt.Errorf("it is %#x", root)
		}
		return nil
	}
	kinds[root.kind()] = true
	if again := w.search(WordPeer, in); again != root {
		return fmt.Errorf("the same once more is %#x, not %#x", again, root)
	}
	data := w.bytes()
	if err := checkAlone(data, root, n); err != nil {
		return err
	}
	walk := walker{Decoded: &Decoded{&Graph{data: data}}}
	for i := 0; i < n; i += step {
		for _, x := range []uint32{in[i].last - 1, in[i].last, in[i].last + 1} {
			want := in[sort.Search(n, func(i int) bool { return in[i].last >= x })].ref
			if got := walk.search(root, x); got != want {
				return fmt.Errorf("%#x leads to %#x, want %#x", x, got, want)
			}
		}
	}
	// What enumerates intervals sees the same.
	i, next := 0, uint32(0)
	var bad error
	(&tabler{Decoded: walk.Decoded}).intervals(root, func(first, last uint32, r Ref) {
		if i >= n || first != next || last != in[i].last || r != in[i].ref {
			bad = fmt.Errorf("interval %d is %#x to %#x, %#x", i, first, last, r)
		}
		i, next = i+1, last+1
	})
	if i != n && bad == nil {
		bad = fmt.Errorf("%d are enumerated", i)
	}
	return bad
}

// checkAlone checks a node without a graph around it.
func checkAlone(data []byte, root Ref, records int) error {
	n := len(data) / SlotSize
	c := &checker{
		data: data, tables: &Tables{}, records: make([]record, records),
		owners: make([]Ref, n), seen: make([]summary, n), marked: newBitmap(len(data) / 4),
	}
	s, err := c.ref(root, 0, 0)
	if err == nil && (s.steps != 1 || s.ends != endRecord || s.words != 1<<WordPeer) {
		err = fmt.Errorf("checked it is %+v", s)
	}
	return err
}
