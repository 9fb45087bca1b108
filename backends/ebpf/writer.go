package ebpf

import (
	"crypto/sha256"
	"encoding/binary"
)

const slotWords = SlotSize / 4

// writer lays out the nodes of a graph. Equal nodes with all that they lead to
// stand once.
type writer struct {
	limits limits
	words  []uint32 // of every slot so far; a whole number of lines
	spare  uint32   // the free half of the last line that was taken for one slot, 0 for none
	known  map[content]Ref
	err    error // the first; the graph is then of no use
}

// content tells nodes apart: kind and word as in a Ref, and the words of one slot
// or, of larger nodes, a digest.
type content struct {
	kind Ref
	data [slotWords]uint32
}

// contentOf returns the content of a node of these words. Nodes of one kind that
// have at most one slot of words have equally many, or unequal words where the
// shorter ends.
func contentOf(kind Ref, words []uint32) content {
	c := content{kind: kind}
	if len(words) <= slotWords {
		copy(c.data[:], words)
	} else {
		c.data = digest(words)
	}
	return c
}

func newWriter(most limits) *writer {
	return &writer{limits: most, words: make([]uint32, headerWords), known: make(map[content]Ref)}
}

// take returns the first of so many new slots, at the beginning of a line where
// they are more than one. They are zero. It fails, and returns the header's slot,
// where the graph is full.
func (w *writer) take(slots int) uint32 {
	if slots == 1 && w.spare != 0 {
		s := w.spare
		w.spare = 0
		return s
	}
	at := len(w.words) / slotWords
	end := at + slots + slots%2
	if end > w.limits.slots {
		w.fail(slotsError(w.limits.slots))
		return 0
	}
	w.words = append(w.words, make([]uint32, (end-at)*slotWords)...)
	if slots == 1 {
		w.spare = uint32(at) + 1
	}
	return uint32(at)
}

// fail remembers the first error.
func (w *writer) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}

// put returns the node of these words, which fill whole slots.
func (w *writer) put(kind, word int, words []uint32) Ref {
	c := contentOf(node(kind, word, 0), words)
	if r, ok := w.known[c]; ok {
		return r
	}
	slot := w.take(len(words) / slotWords)
	if w.err != nil {
		return NoRecord
	}
	copy(w.words[slot*slotWords:], words)
	r := node(kind, word, slot)
	w.known[c] = r
	return r
}

// digest returns SHA-256 of the words.
func digest(words []uint32) [slotWords]uint32 {
	h := sha256.New()
	var buf [4096]byte
	for len(words) > 0 {
		n := min(len(words), len(buf)/4)
		for i, x := range words[:n] {
			binary.LittleEndian.PutUint32(buf[4*i:], x)
		}
		h.Write(buf[:4*n])
		words = words[n:]
	}
	var out [slotWords]uint32
	for i, sum := 0, h.Sum(nil); i < slotWords; i++ {
		out[i] = binary.LittleEndian.Uint32(sum[4*i:])
	}
	return out
}

// bytes returns the graph.
func (w *writer) bytes() []byte {
	out := make([]byte, 4*len(w.words))
	for i, x := range w.words {
		binary.LittleEndian.PutUint32(out[4*i:], x)
	}
	return out
}

// chain returns the node of a chain, with what to go on with where the address is
// in none of its names.
func (w *writer) chain(number uint32, otherwise Ref) Ref {
	return w.put(KindChain, 0, []uint32{number, uint32(otherwise), 0, 0, 0, 0, 0, 0})
}

// sequence returns what goes on with second where first ends at NoMatch.
func (w *writer) sequence(first, second Ref) Ref {
	switch {
	case first == NoMatch:
		return second
	case first.Terminal():
		return first
	}
	return w.put(KindSequence, 0, []uint32{uint32(first), uint32(second), 0, 0, 0, 0, 0, 0})
}
