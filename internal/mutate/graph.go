package mutate

import (
	"encoding/binary"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/backends/ebpf"
)

// Graph yields mutations of the graph of an eBPF bundle: of every word, a bit, one
// more, one less, another word of the graph, and none.
func Graph(b *bundle.Bundle, r *rand.Rand) iter.Seq[*Mutation] {
	return func(yield func(*Mutation) bool) {
		data := b.File(ebpf.GraphFile)
		word := func(i int) uint32 { return binary.LittleEndian.Uint32(data[4*i:]) }
		n := len(data) / 4
		for i := range n {
			was := word(i)
			class := classOf(i, was, word(ebpf.HeaderRecords), word(ebpf.HeaderRecords+1))
			for _, now := range []uint32{was ^ 1<<r.IntN(32), was + 1, was - 1, word(r.IntN(n)), 0} {
				if now == was {
					continue
				}
				changed := slices.Clone(data)
				binary.LittleEndian.PutUint32(changed[4*i:], now)
				m := &Mutation{Class: class, What: fmt.Sprintf("word %d: %#x for %#x", i, now, was), Bundle: withFile(b, ebpf.GraphFile, changed)}
				if !yield(m) {
					return
				}
			}
		}
		for _, size := range []int{len(data) - ebpf.SlotSize, len(data) - 1, len(data) + ebpf.LineSize} {
			changed := append(slices.Clone(data), make([]byte, ebpf.LineSize)...)[:max(size, 0)]
			if !yield(&Mutation{Class: "graph size", What: fmt.Sprintf("%d bytes for %d", size, len(data)), Bundle: withFile(b, ebpf.GraphFile, changed)}) {
				return
			}
		}
	}
}

// classOf says what a word of a graph is (docs/artifact.md).
func classOf(i int, word, records, count uint32) string {
	slot := uint32(i * 4 / ebpf.SlotSize)
	switch {
	case slot < 2:
		return fmt.Sprintf("graph header word %d", i)
	case records <= slot && slot < records+count:
		return fmt.Sprintf("graph record word %d", i%(ebpf.SlotSize/4))
	case word == 0:
		return "graph node, zero"
	case ebpf.Ref(word).Terminal():
		return "graph node, terminal or key"
	}
	return "graph node, reference or key"
}
