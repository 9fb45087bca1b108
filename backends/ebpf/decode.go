package ebpf

import (
	"encoding/binary"
	"net/netip"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// Decoded is an artifact as a reader understands it that knows docs/artifact.md
// and nothing of how it was written.
type Decoded struct {
	*Graph
}

// Decode reads the files of a bundle. What [Check] refuses is an error.
func Decode(files []bundle.File) (*Decoded, error) {
	graph, tables, err := readFiles(files)
	if err != nil {
		return nil, err
	}
	g, err := Check(graph, tables)
	if err != nil {
		return nil, err
	}
	return &Decoded{g}, nil
}

// Packet is what one direction of one pod is judged by.
type Packet struct {
	Direction model.Direction
	Local     netip.Addr // of the pod
	Peer      netip.Addr // of the same family
	L4        model.L4
	// In reports whether a domain name has the peer's address. Nil: none has.
	In func(name string) bool
}

// Judgement is what the graph says of a packet.
type Judgement struct {
	Action  model.Action
	Decider string // id of a rule or a default deny, "" where no policy speaks
}

// Judge walks the graph as the eBPF program does. ok is false where the local
// address is no governed pod's.
func (d *Decoded) Judge(p *Packet) (j Judgement, ok bool) {
	root, ok := d.Root(p.Direction, p.Local)
	if !ok {
		return Judgement{}, false
	}
	w := walker{Decoded: d, packet: p}
	w.load(p.Local, WordLocal)
	w.load(p.Peer, WordPeer)
	w.words[WordL4] = uint32(p.L4)
	end := w.walk(root)
	a, i, _ := end.Decider()
	return Judgement{a, d.Tables.Deciders[i]}, true
}

// Root returns where judgements of a local address begin. Addresses of one family
// with the same root are judged alike. ok is false where the address is no governed
// pod's.
func (d *Decoded) Root(dir model.Direction, local netip.Addr) (root Ref, ok bool) {
	w := walker{Decoded: d}
	w.load(local, WordLocal)
	header := HeaderLocal4
	if local.Is6() {
		header = HeaderLocal6
	}
	end := w.walk(Ref(d.at(0, header)))
	if end == NoRecord {
		return 0, false
	}
	word := RecordEgress
	if dir == model.Ingress {
		word = RecordIngress
	}
	return Ref(d.at(d.at(0, HeaderRecords)+end.index(), word)), true
}

// at returns a word, counted from the beginning of a slot.
func (d *Decoded) at(slot uint32, word int) uint32 {
	return binary.LittleEndian.Uint32(d.data[int(slot)*SlotSize+4*word:])
}

// walker is on its way through the graph with one packet.
type walker struct {
	*Decoded
	packet *Packet
	words  [words]uint32
}

// load puts an address where searches look for it.
func (w *walker) load(a netip.Addr, word int) {
	b := a.AsSlice()
	for i := 0; i < len(b); i += 4 {
		w.words[word+i/4] = binary.BigEndian.Uint32(b[i:])
	}
}

// walk returns the terminal at which the packet's walk from r ends.
func (w *walker) walk(r Ref) Ref {
	second := NoMatch // of the sequence that the walk is in
	for {
		switch {
		case r == NoMatch:
			r, second = second, NoMatch
		case r.Terminal():
			return r
		case r.kind() == KindChain:
			r = w.chain(r)
		case r.kind() == KindSequence:
			r, second = Ref(w.at(r.slot(), 0)), Ref(w.at(r.slot(), 1))
		default:
			r = w.search(r, w.words[r.word()])
		}
	}
}

func (w *walker) chain(r Ref) Ref {
	for _, l := range w.Tables.Chains[w.at(r.slot(), 0)] {
		if w.packet.In != nil && w.packet.In(l.Name) {
			return l.Ref
		}
	}
	return Ref(w.at(r.slot(), 1))
}

// search looks a value up, going down a tree by the keys of its inner nodes.
func (w *walker) search(r Ref, x uint32) Ref {
	slot, keys := r.slot(), 0
	switch k := r.kind(); k {
	case KindSmall:
		keys = smallKeys
	case KindMedium:
		keys = mediumKeys
	default:
		keys = lineKeys
		if k == KindLarge {
			break
		}
		n := w.less(slot, rootKeys, x)
		for depth := k - KindTree1 + 1; depth > 1; depth-- {
			level := w.at(r.slot(), rootKeys+k-KindTree1+1-depth)
			n = fanout*n + w.less(level+uint32(2*n), lineKeys, x)
		}
		slot = w.at(r.slot(), rootKeys+k-KindTree1) + uint32(4*n)
	}
	return Ref(w.at(slot, keys+w.less(slot, keys, x)))
}

// less counts the keys of a node that are less than x.
func (w *walker) less(slot uint32, keys int, x uint32) int {
	n := 0
	for i := range keys {
		if w.at(slot, i) < x {
			n++
		}
	}
	return n
}
