//go:build linux

package bpf_test

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/backends/ebpf"
	"github.com/trafficpolicy/trafficpolicy/backends/ebpf/bpf"
)

// drawing is a graph made by hand, slot by slot as layout.go describes it, for what
// an emitter writes seldom or never.
type drawing struct {
	words []uint32
}

// Shape of nodes, as layout.go has it.
const (
	lineWords = ebpf.LineSize / 4
	noMatch   = uint32(ebpf.NoMatch)
	last      = ^uint32(0)
)

func newDrawing(generation uint32) *drawing {
	d := &drawing{make([]uint32, 2*lineWords)} // header, and client's record
	d.words[ebpf.HeaderMagic] = ebpf.Magic
	d.words[ebpf.HeaderGeneration] = generation
	d.words[ebpf.HeaderRecords], d.words[ebpf.HeaderRecordsLen] = 2, 1
	for f, word := range []uint32{ebpf.WordLocal, ebpf.WordLocal + 3} {
		b := clientIP[f].AsSlice()
		own := binary.BigEndian.Uint32(b[len(b)-4:])
		d.words[ebpf.HeaderLocal4+f] = d.small(word, false, interval{own - 1, last}, interval{own, ebpf.VerdictOther<<29 | 1<<31}, interval{last, last})
	}
	return d
}

// lines adds n empty lines and returns the slot of the first.
func (d *drawing) lines(n int) (slot uint32) {
	slot = uint32(len(d.words) / lineWords * 2)
	d.words = append(d.words, make([]uint32, n*lineWords)...)
	return slot
}

// at returns the words of a slot, and what follows it.
func (d *drawing) at(slot uint32) []uint32 { return d.words[slot*ebpf.SlotSize/4:] }

func nodeRef(kind, word, slot uint32) uint32 { return kind<<27 | word<<23 | slot }

func allow(i uint32) uint32 { return 1<<31 | ebpf.VerdictAllow<<29 | i }

// fill writes keys, and last behind them.
func fill(to, keys []uint32) {
	for i := range to {
		to[i] = last
	}
	copy(to, keys)
}

// interval is a stretch of a word up to end, and where it leads.
type interval struct{ end, ref uint32 }

func lookup(in []interval, x uint32) uint32 {
	for _, i := range in {
		if x <= i.end {
			return i.ref
		}
	}
	return 0
}

// small adds a node of up to four intervals, in the first or the second slot of a line.
func (d *drawing) small(word uint32, second bool, in ...interval) uint32 {
	slot := d.lines(1)
	if second {
		slot++
	}
	w := d.at(slot)[:8]
	d.put(w[:3], w[3:7], in)
	return nodeRef(ebpf.KindSmall, word, slot)
}

func (d *drawing) put(keys, refs []uint32, in []interval) {
	var ends []uint32
	for i, x := range in {
		if refs[i] = x.ref; i < len(keys) {
			ends = append(ends, x.end)
		}
	}
	fill(keys, ends)
}

// pair adds a chain or a sequence.
func (d *drawing) pair(kind, a, b uint32) uint32 {
	slot := d.lines(1)
	copy(d.at(slot), []uint32{a, b})
	return nodeRef(kind, 0, slot)
}

// tree adds a tree of depth levels below its root; each node has two children, or at
// the last level a leaf of up to sixteen intervals. It returns all intervals too.
func (d *drawing) tree(r *rand.Rand, word, depth uint32) (ref uint32, all []interval) {
	levels := make([]uint32, depth)
	for i, n := uint32(0), 2; i < depth; i, n = i+1, 17*(n-1)+2 {
		if i+1 == depth {
			n *= 2 // a leaf has two lines
		}
		levels[i] = d.lines(n)
	}
	root := d.lines(1)
	copy(d.at(root)[11:16], levels)
	var grow func(level, n, first, end uint32)
	grow = func(level, n, first, end uint32) {
		if level == depth-1 {
			var in []interval
			for x := first; len(in) < 15 && end-x > 1<<6 && r.IntN(8) > 0; {
				e := x + r.Uint32N((end-x)/2)
				in = append(in, interval{e, allow(uint32(len(all) + len(in)))})
				x = e + 1
			}
			in = append(in, interval{end, allow(uint32(len(all) + len(in)))})
			leaf := d.at(levels[level] + 4*n)
			d.put(leaf[:16], leaf[16:32], in)
			all = append(all, in...)
			return
		}
		middle := first + (end-first)/2
		fill(d.at(levels[level] + 2*n)[:16], []uint32{middle})
		grow(level+1, 17*n, first, middle)
		grow(level+1, 17*n+1, middle+1, end)
	}
	fill(d.at(root)[:11], []uint32{last / 3})
	grow(0, 0, 0, last/3)
	grow(0, 1, last/3+1, last)
	return nodeRef(ebpf.KindTree1+depth-1, word, root), all
}

// install puts the graph in force, with egress of every address at ref.
func (w *world) draw(d *drawing, ref uint32) {
	w.Helper()
	record := d.at(2)
	record[ebpf.RecordInterface] = w.Devices[devClient].Index
	record[ebpf.RecordEgress], record[ebpf.RecordIngress] = ref, allow(0)
	b := make([]byte, 4*len(d.words))
	for i, x := range d.words {
		binary.LittleEndian.PutUint32(b[4*i:], x)
	}
	w.must(w.Write(b))
}

// decided sends a packet and returns the terminal that its entry has, zero where it
// was dropped.
func (w *world) decided(src, dst netip.Addr, port uint16) uint32 {
	w.Helper()
	w.Forget()
	if w.from(devClient, udp(src, dst, port).Bytes()).End == dropped {
		return 0
	}
	for _, c := range w.connections() {
		return c.Terminal
	}
	w.Fatal("a packet passed and left no entry")
	return 0
}

// begin makes a drawing for the next generation.
func (w *world) begin() *drawing {
	w.Generation++
	return newDrawing(w.Generation)
}

// TestWalkTrees: trees of every depth, on both sides of every boundary.
func TestWalkTrees(t *testing.T) {
	w := newWorld(t, bpf.Options{Lines: 1 << 19, Deciders: 4096})
	r := rand.New(rand.NewPCG(3, 3))
	for depth := range uint32(ebpf.KindTree5 - ebpf.KindTree1 + 1) {
		d := w.begin()
		ref, all := d.tree(r, ebpf.WordPeer, depth+1)
		w.draw(d, ref)
		for range 300 {
			i := r.IntN(len(all))
			for _, x := range []uint32{all[i].end, all[i].end + 1, r.Uint32()} {
				want := lookup(all, x)
				if got := w.decided(clientIP[0], numbered(x), 53); got != want {
					t.Fatalf("depth %d, %#x: %#x, want %#x", depth+1, x, got, want)
				}
			}
		}
	}
}

// TestWalkNodes: the other kinds of node, on both sides of every boundary of every word.
func TestWalkNodes(t *testing.T) {
	w := newWorld(t, bpf.Options{})
	in := func(n uint32) (out []interval) {
		for i := range n {
			out = append(out, interval{0x0fffffff * (i + 1), allow(i)})
		}
		out[n-1].end = last
		return out
	}
	for word := range uint32(4) {
		for _, c := range []struct {
			name string
			in   []interval
			add  func(d *drawing, in []interval) uint32
		}{
			{"small, first slot", in(4), func(d *drawing, in []interval) uint32 { return d.small(ebpf.WordPeer+word, false, in...) }},
			{"small, second slot", in(4), func(d *drawing, in []interval) uint32 { return d.small(ebpf.WordPeer+word, true, in...) }},
			{"small with one", in(1), func(d *drawing, in []interval) uint32 { return d.small(ebpf.WordPeer+word, false, in...) }},
			{"medium", in(8), func(d *drawing, in []interval) uint32 {
				slot := d.lines(1)
				d.put(d.at(slot)[:7], d.at(slot)[7:15], in)
				return nodeRef(ebpf.KindMedium, ebpf.WordPeer+word, slot)
			}},
			{"large", in(16), func(d *drawing, in []interval) uint32 {
				slot := d.lines(2)
				d.put(d.at(slot)[:16], d.at(slot)[16:32], in)
				return nodeRef(ebpf.KindLarge, ebpf.WordPeer+word, slot)
			}},
		} {
			d := w.begin()
			w.draw(d, c.add(d, c.in))
			for _, i := range c.in {
				for _, x := range []uint32{i.end - 1, i.end, i.end + 1} {
					peer := goodIP[1].As16()
					binary.BigEndian.PutUint32(peer[4*word:], x)
					dst := netip.AddrFrom16(peer)
					if dst.Is4In6() || dst.IsMulticast() || dst.IsUnspecified() {
						continue
					}
					want := lookup(c.in, x)
					if got := w.decided(clientIP[1], dst, 53); got != want {
						t.Errorf("%s, word %d, %#x: %#x, want %#x", c.name, word, x, got, want)
					}
				}
			}
		}
	}
}

// TestWalkSequences: where the first part has no match the second decides, also of a
// sequence in the second.
func TestWalkSequences(t *testing.T) {
	w := newWorld(t, bpf.Options{})
	const udp53 = 1<<16 + 53
	d := w.begin()
	only := func(port, ref uint32) uint32 {
		return d.small(ebpf.WordL4, port%2 == 0, interval{1<<16 + port - 1, noMatch}, interval{1<<16 + port, ref}, interval{last, noMatch})
	}
	rest := d.small(ebpf.WordL4, false, interval{udp53, allow(7)}, interval{last, allow(8)})
	ref := d.pair(ebpf.KindSequence, only(10, allow(1)),
		d.pair(ebpf.KindSequence, d.pair(ebpf.KindChain, 0, only(20, allow(2))),
			d.pair(ebpf.KindSequence, only(10, allow(3)), rest)))
	w.draw(d, d.small(ebpf.WordPeer, false, interval{last, ref}))
	for port, want := range map[uint16]uint32{9: 7, 10: 1, 11: 7, 19: 7, 20: 2, 21: 7, 53: 7, 54: 8, 65535: 8, 0: 7} {
		if got := w.decided(clientIP[0], goodIP[0], port); got != allow(want) {
			t.Errorf("port %d: %#x, want %#x", port, got, allow(want))
		}
	}
	// All ports are allowed, so a later fragment passes without its first.
	w.unchecked = true
	w.Forget()
	w.expect("a later fragment", w.from(devClient, fragments(udp(clientIP[0], goodIP[0], 53), 3)[1]), true)
}

// TestWalkChains: the name that the loader wrote for an address leads on.
func TestWalkChains(t *testing.T) {
	w := newWorld(t, bpf.Options{})
	d := w.begin()
	other := d.small(ebpf.WordL4, true, interval{last, allow(2)})
	w.draw(d, d.pair(ebpf.KindChain, 5, allow(1)))
	for f := range goodIP {
		w.must(w.Names.Put(bpf.NameKey{Generation: w.Generation, Chain: 5, Address: bpf.AddressOf(goodIP[f])}, other))
		w.must(w.Names.Put(bpf.NameKey{Generation: w.Generation, Chain: 6, Address: bpf.AddressOf(badIP[f])}, other))
		w.must(w.Names.Put(bpf.NameKey{Generation: w.Generation + 1, Chain: 5, Address: bpf.AddressOf(openIP[f])}, other))
		for dst, want := range map[netip.Addr]uint32{goodIP[f]: 2, badIP[f]: 1, openIP[f]: 1} {
			if got := w.decided(clientIP[f], dst, 53); got != allow(want) {
				t.Errorf("%s: %#x, want %#x", dst, got, allow(want))
			}
		}
	}
}

// TestWalkBounds: a walk of 32 nodes ends, one of more does not; a graph that is not
// sound lets nothing pass.
func TestWalkBounds(t *testing.T) {
	w := newWorld(t, bpf.Options{})
	for _, n := range []int{1, 31, 32, 33, 40} {
		d := w.begin()
		ref := allow(1)
		for range n {
			ref = d.small(ebpf.WordPeer, false, interval{last, ref})
		}
		w.draw(d, ref)
		if got := w.decided(clientIP[0], goodIP[0], 53); (got == allow(1)) != (n <= 32) {
			t.Errorf("%d nodes: %#x", n, got)
		}
	}
	for name, make := range map[string]func(d *drawing) uint32{
		"a loop": func(d *drawing) uint32 {
			ref := d.small(ebpf.WordPeer, false, interval{last, 0})
			copy(d.at(ref & (1<<23 - 1))[3:], []uint32{ref})
			return ref
		},
		"a sequence in itself": func(d *drawing) uint32 {
			ref := d.pair(ebpf.KindSequence, noMatch, 0)
			copy(d.at(ref&(1<<23-1)), []uint32{noMatch, ref})
			return ref
		},
		"no match of nothing":      func(*drawing) uint32 { return noMatch },
		"no match twice":           func(d *drawing) uint32 { return d.pair(ebpf.KindSequence, noMatch, noMatch) },
		"a record":                 func(*drawing) uint32 { return 1<<31 | ebpf.VerdictOther<<29 },
		"no record":                func(*drawing) uint32 { return last },
		"a kind that there is not": func(d *drawing) uint32 { return nodeRef(10, ebpf.WordPeer, d.lines(2)) },
		"the last kind":            func(d *drawing) uint32 { return nodeRef(15, ebpf.WordPeer, d.lines(2)) },
		"a node behind the area":   func(*drawing) uint32 { return nodeRef(ebpf.KindLarge, ebpf.WordPeer, 1<<23-1) },
		"a tree behind the area":   func(*drawing) uint32 { return nodeRef(ebpf.KindTree5, ebpf.WordPeer, 1<<23-2) },
		"levels behind the area": func(d *drawing) uint32 {
			s := d.lines(1)
			fill(d.at(s)[:16], nil)
			return nodeRef(ebpf.KindTree5, ebpf.WordPeer, s)
		},
		"a chain that leads to itself": func(d *drawing) uint32 { r := d.pair(ebpf.KindChain, 0, 0); d.at(r & (1<<23 - 1))[1] = r; return r },
	} {
		d := w.begin()
		w.draw(d, make(d))
		if got := w.decided(clientIP[0], goodIP[0], 53); got != 0 {
			t.Errorf("%s: %#x", name, got)
		}
	}
}
