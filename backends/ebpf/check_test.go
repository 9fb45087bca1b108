package ebpf

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// bench of hand-made graphs: a header, one record of 10.0.0.10, found by the small
// node in slot 4, two deciders and a chain. Slots from 6 on are free.
type handmade struct {
	words  []uint32
	tables *Tables
}

func newHandmade(slots int) *handmade {
	h := &handmade{
		words: make([]uint32, slots*slotWords),
		tables: &Tables{
			Schema: 1, Scope: "node",
			Pods:     []Pod{{Ref: "default/a", Addrs: []PodAddr{{netip.MustParseAddr("10.0.0.10"), 0}}}},
			Deciders: []string{"0000000000000001", "0000000000000002", ""},
			Chains:   [][]Link{{{"x.example", terminal(VerdictAllow, 0)}}},
		},
	}
	copy(h.words, []uint32{
		Magic, uint32(slots), 0, 0, uint32(node(KindSmall, WordLocal, 4)), uint32(NoRecord), 2, 1, 3, 1,
	})
	h.at(2, 0, 0, allow, allow)
	h.at(4, 10<<24|9, 10<<24|10, lastKey, uint32(NoRecord), uint32(terminal(VerdictOther, 0)), uint32(NoRecord))
	return h
}

const (
	allow = refTerminal | VerdictAllow<<verdictShift
	deny  = refTerminal | VerdictDeny<<verdictShift | 1
)

// at writes words from the beginning of a slot.
func (h *handmade) at(slot int, words ...uint32) *handmade {
	copy(h.words[slot*slotWords:], words)
	return h
}

// egress has the record's egress begin at r.
func (h *handmade) egress(r Ref) *handmade {
	h.words[2*slotWords+RecordEgress] = uint32(r)
	return h
}

func (h *handmade) bytes() []byte {
	w := writer{words: h.words}
	return w.bytes()
}

// keys returns n ascending keys, the last of which is 0xffffffff where so told.
func keys(n int, end bool) []uint32 {
	out := make([]uint32, n)
	for i := range out {
		out[i] = uint32(i+1) * 1000
	}
	if end {
		out[n-1] = lastKey
	}
	return out
}

func repeat(n int, x uint32) []uint32 { return slices.Repeat([]uint32{x}, n) }

// tree2 writes a tree of 12*16+1 intervals at slot 8: a root of one child, that
// has thirteen leaves. The last leaf has one interval.
func (h *handmade) tree2() *handmade {
	h.egress(node(KindTree1+1, WordPeer, 8))
	const leaves = 13
	h.at(8, append(repeat(rootKeys, lastKey), 10, 12, 0, 0, 0)...)
	inner := repeat(lineKeys, lastKey)
	for i := range leaves {
		last := uint32(16 * (i + 1) * 10)
		if i < leaves-1 {
			inner[i] = last
		}
		leaf := append(repeat(lineKeys, lastKey), repeat(lineKeys, 0)...)
		for j := range lineKeys {
			if i == leaves-1 {
				leaf[lineKeys] = deny
				break
			}
			leaf[j], leaf[lineKeys+j] = uint32((16*i+j+1)*10), []uint32{allow, deny}[j%2]
		}
		h.at(12+4*i, leaf...)
	}
	return h.at(10, inner...)
}

func TestCheckTakes(t *testing.T) {
	for name, h := range map[string]*handmade{
		"the least":         newHandmade(6),
		"small of four":     newHandmade(8).egress(node(KindSmall, WordPeer, 6)).at(6, 1, 2, 3, allow, deny, allow, deny),
		"medium of eight":   newHandmade(8).egress(node(KindMedium, WordPeer, 6)).at(6, append(keys(7, false), repeat(8, deny)...)...),
		"large of sixteen":  newHandmade(10).egress(node(KindLarge, WordL4, 6)).at(6, append(keys(16, true), repeat(16, deny)...)...),
		"tree":              newHandmade(64).tree2(),
		"chain":             newHandmade(8).egress(node(KindChain, 0, 6)).at(6, 0, deny),
		"sequence":          newHandmade(10).egress(node(KindSequence, 0, 6)).at(6, uint32(node(KindSmall, WordL4, 8)), deny).at(8, 80, lastKey, lastKey, allow, uint32(NoMatch)),
		"points in a row":   pointsInARow(MaxSteps),
		"detour":            detour(MaxSteps - 20),
		"sequence of two":   detourInSequence(MaxSteps - 20 - 1),
		"a node twice":      newHandmade(8).egress(node(KindSmall, WordPeer, 6)).at(6, 1, lastKey, lastKey, uint32(node(KindSmall, WordL4, 7)), uint32(node(KindSmall, WordL4, 7))).at(7, 1, lastKey, lastKey, allow, deny),
		"what is not used":  newHandmade(16),
		"addresses by word": newHandmade(8).egress(node(KindSmall, WordPeer, 6)).at(6, 1, lastKey, lastKey, uint32(node(KindSmall, WordL4, 7)), deny).at(7, 1, lastKey, lastKey, allow, deny),
	} {
		if _, err := Check(h.bytes(), h.tables); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// pointsInARow has n searches of the L4 point, one behind the other.
func pointsInARow(n int) *handmade {
	h := newHandmade(6 + n + n%2).egress(node(KindSmall, WordL4, 6))
	for i := range n {
		next := uint32(deny)
		if i < n-1 {
			next = uint32(node(KindSmall, WordL4, uint32(7+i)))
		}
		h.at(6+i, uint32(i), lastKey, lastKey, allow, next)
	}
	return h
}

// detour has a row of 20 nodes for egress, and for ingress one of n that leads
// there: the row was visited when it is met again, and what it takes still counts.
func detour(n int) *handmade {
	h := pointsInARow(20)
	at := len(h.words) / slotWords
	h.grow(n)
	h.words[2*slotWords+RecordIngress] = uint32(node(KindSmall, WordL4, uint32(at)))
	for i := range n {
		next := node(KindSmall, WordL4, uint32(at+i+1))
		if i == n-1 {
			next = node(KindSmall, WordL4, 6)
		}
		h.at(at+i, uint32(i), lastKey, lastKey, allow, uint32(next))
	}
	return h
}

// detourInSequence is the same with a sequence, its first part of n nodes.
func detourInSequence(n int) *handmade {
	h := pointsInARow(20)
	at := len(h.words) / slotWords
	h.grow(n + 1)
	h.words[2*slotWords+RecordIngress] = uint32(node(KindSequence, 0, uint32(at)))
	h.at(at, uint32(node(KindSmall, WordL4, uint32(at+1))), uint32(node(KindSmall, WordL4, 6)))
	for i := range n {
		next := node(KindSmall, WordL4, uint32(at+i+2))
		if i == n-1 {
			next = NoMatch
		}
		h.at(at+1+i, uint32(i), lastKey, lastKey, allow, uint32(next))
	}
	return h
}

// grow adds slots.
func (h *handmade) grow(slots int) {
	h.words = append(h.words, make([]uint32, (slots+slots%2)*slotWords)...)
	h.words[HeaderSize] = uint32(len(h.words) / slotWords)
}

func TestCheckRefuses(t *testing.T) {
	small := func(words ...uint32) *handmade {
		return newHandmade(8).egress(node(KindSmall, WordPeer, 6)).at(6, words...)
	}
	header := func(word int, x uint32) *handmade {
		h := newHandmade(6)
		h.words[word] = x
		return h
	}
	tree := func(word int, x uint32) *handmade {
		h := newHandmade(64).tree2()
		h.words[word] = x
		return h
	}
	tables := func(change func(*Tables)) *handmade {
		h := newHandmade(6)
		change(h.tables)
		return h
	}
	ref := func(kind, word int, slot uint32) uint32 { return uint32(node(kind, word, slot)) }
	for _, tt := range []struct {
		name string
		h    *handmade
		want string
	}{
		{"empty", &handmade{nil, newHandmade(6).tables}, "size of 0 bytes"},
		{"half a line", &handmade{newHandmade(6).words[:40], newHandmade(6).tables}, "size of 160 bytes"},
		{"magic", header(HeaderMagic, Magic+1), "word 0 of the header"},
		{"size", header(HeaderSize, 8), "word 1 of the header"},
		{"flags", header(HeaderFlags, FlagPodScope), "word 2 of the header"},
		{"generation", header(HeaderGeneration, 1), "word 3 of the header"},
		{"records far out", header(HeaderRecords, 0xffffffff), "outside of the graph"},
		{"records at the end", header(HeaderRecords, 6), "outside of the graph"},
		{"records in the header", header(HeaderRecords, 1), "slot 1 is in two nodes"},
		{"number of records", header(HeaderRecordsLen, 2), "word 7 of the header"},
		{"number of deciders", header(HeaderDeciders, 4), "word 8 of the header"},
		{"number of chains", header(HeaderChains, 2), "word 9 of the header"},
		{"unused header", header(HeaderChains+1, 1), "word 10 of the header"},
		{"unused header, last", header(headerWords-1, 1), "word 15 of the header"},

		{"no search", header(HeaderLocal4, uint32(NoRecord)), "record 0 of 10.0.0.10 is not found"},
		{"every address", header(HeaderLocal4, uint32(terminal(VerdictOther, 0))), "more than one address"},
		{"search of another word", header(HeaderLocal4, ref(KindSmall, WordPeer, 4)), "no search of word 0"},
		{"search by chain", header(HeaderLocal4, ref(KindChain, 0, 4)), "no search of word 0"},
		{"record by IPv6", header(HeaderLocal6, ref(KindSmall, WordLocal, 4)), "slot 4 is in two nodes"},
		{"decider for a record", newHandmade(6).at(4, 10<<24|9, 10<<24|10, lastKey, uint32(NoRecord), allow, uint32(NoRecord)), "is no record"},
		{"neighbour's record", newHandmade(6).at(4, 10<<24|10, 10<<24|11, lastKey, uint32(NoRecord), uint32(terminal(VerdictOther, 0)), uint32(NoRecord)), "another address than 10.0.0.10"},
		{"record of a range", newHandmade(6).at(4, 10<<24|8, 10<<24|10, lastKey, uint32(NoRecord), uint32(terminal(VerdictOther, 0)), uint32(NoRecord)), "lead to one record"},
		{"record twice", newHandmade(6).at(4, 10<<24|9, 10<<24|10, 10<<24|11, uint32(NoRecord), uint32(terminal(VerdictOther, 0)), uint32(terminal(VerdictOther, 0)), uint32(NoRecord)), "found twice"},
		{"record out of range", newHandmade(6).at(4, 10<<24|9, 10<<24|10, lastKey, uint32(NoRecord), uint32(terminal(VerdictOther, 1)), uint32(NoRecord)), "is no record"},
		{"NoMatch for a record", newHandmade(6).at(4, 10<<24|9, 10<<24|10, lastKey, uint32(NoMatch), uint32(terminal(VerdictOther, 0)), uint32(NoRecord)), "lead to one record"},

		{"interface", newHandmade(6).at(2, 7), "record 0: it names interface 7"},
		{"pod", newHandmade(6).at(2, 0, 1), "record 0: it is of pod 1"},
		{"unused record", newHandmade(6).at(2, 0, 0, allow, allow, 1), "word 4 is not zero"},
		{"unused record, last", newHandmade(6).at(2, 0, 0, allow, allow, 0, 0, 0, 1), "word 7 is not zero"},
		{"walk to a record", newHandmade(6).egress(terminal(VerdictOther, 0)), "can end at a record"},
		{"walk to no record", newHandmade(6).egress(NoRecord), "can end at no record"},
		{"walk to no match", newHandmade(6).egress(NoMatch), "can end at no match"},
		{"decider out of range", newHandmade(6).egress(terminal(VerdictDeny, 3)), "decider 3 is not one of 3"},
		{"two verdicts", newHandmade(6).egress(terminal(VerdictDeny, 0)), "decider 0 has two verdicts"},

		{"slot of the header", newHandmade(6).egress(node(KindSmall, WordPeer, 0)), "outside of the graph"},
		{"second slot of the header", newHandmade(6).egress(node(KindSmall, WordPeer, 1)), "slot 1 is in two nodes"},
		{"slot of a record", newHandmade(6).egress(node(KindSmall, WordPeer, 2)), "slot 2 is in two nodes"},
		{"slot behind the end", newHandmade(6).egress(node(KindSmall, WordPeer, 6)), "outside of the graph"},
		{"node over the end", newHandmade(8).egress(node(KindLarge, WordPeer, 6)), "outside of the graph"},
		{"local word", newHandmade(6).egress(node(KindSmall, WordLocal, 4)), "looks at words 0"},
		{"node of two words", newHandmade(6).egress(node(KindSmall, WordPeer, 4)), "slot 4 is in two nodes"},
		{"word of IPv6", newHandmade(8).egress(node(KindSmall, WordPeer+1, 6)).at(6, lastKey, lastKey, lastKey, allow), "looks at words 5"},
		{"no word", newHandmade(8).egress(node(KindSmall, words, 6)).at(6, lastKey, lastKey, lastKey, allow), "a word that no packet has"},
		{"no kind", newHandmade(8).egress(node(KindSequence+1, 0, 6)), "a kind that no node has"},
		{"medium off a line", newHandmade(10).egress(node(KindMedium, WordPeer, 7)), "does not begin a line"},
		{"large off a line", newHandmade(12).egress(node(KindLarge, WordPeer, 7)), "does not begin a line"},
		{"tree off a line", newHandmade(12).egress(node(KindTree1, WordPeer, 7)), "does not begin a line"},

		{"equal keys", small(5, 5, lastKey, allow, deny, allow), "do not ascend"},
		{"falling keys", small(5, 4, lastKey, allow, deny, allow), "do not ascend"},
		{"key behind the last", small(5, lastKey, 7, allow, deny), "do not ascend"},
		{"interval too many", small(5, lastKey, lastKey, allow, deny, allow), "behind its last interval"},
		{"word too many", small(5, 6, 7, allow, deny, allow, deny, 1), "behind its last interval"},
		{"medium without an end", newHandmade(8).egress(node(KindMedium, WordPeer, 6)).at(6, append(keys(7, false), append(repeat(8, deny), 1)...)...), "behind its last interval"},
		{"large without an end", newHandmade(10).egress(node(KindLarge, WordPeer, 6)).at(6, append(keys(16, false), repeat(16, deny)...)...), "last key is not 0xffffffff"},
		{"equal keys of large", newHandmade(10).egress(node(KindLarge, WordPeer, 6)).at(6, append(append(keys(14, false), 14000, lastKey), repeat(16, deny)...)...), "do not ascend"},

		{"word backwards", newHandmade(8).egress(node(KindSmall, WordL4, 6)).at(6, 1, lastKey, lastKey, ref(KindSmall, WordPeer, 7), deny).at(7, 1, lastKey, lastKey, allow, deny), "words 4 are looked at behind word 8"},
		{"address word twice", newHandmade(8).egress(node(KindSmall, WordPeer, 6)).at(6, 1, lastKey, lastKey, ref(KindSmall, WordPeer, 7), deny).at(7, 1, lastKey, lastKey, allow, deny), "words 4 are looked at behind word 4"},
		{"cycle of one", newHandmade(8).egress(node(KindSmall, WordL4, 6)).at(6, 1, lastKey, lastKey, ref(KindSmall, WordL4, 6), deny), "comes back"},
		{"cycle of two", newHandmade(8).egress(node(KindSmall, WordL4, 6)).at(6, 1, lastKey, lastKey, ref(KindSmall, WordL4, 7), deny).at(7, 1, lastKey, lastKey, ref(KindSmall, WordL4, 6), deny), "comes back"},
		{"a step too many", pointsInARow(MaxSteps + 1), "more than 32 nodes"},
		{"a step too many behind a detour", detour(MaxSteps - 20 + 1), "more than 32 nodes"},
		{"a step too many in a sequence", detourInSequence(MaxSteps - 20), "more than 32 nodes"},

		{"chain out of range", newHandmade(8).egress(node(KindChain, 0, 6)).at(6, 1, deny), "chain 1 is not one of 1"},
		{"chain with more", newHandmade(8).egress(node(KindChain, 0, 6)).at(6, 0, deny, 1), "word 2 is not zero"},
		{"chain of a word", newHandmade(8).egress(node(KindChain, 1, 6)).at(6, 0, deny), "names a word"},
		{"chain to no match", newHandmade(8).egress(node(KindChain, 0, 6)).at(6, 0, uint32(NoMatch)), "can end at no match"},
		{"address behind a chain", newHandmade(8).egress(node(KindChain, 0, 6)).at(6, 0, ref(KindSmall, WordPeer, 7)).at(7, 1, lastKey, lastKey, allow, deny), "behind a chain"},
		{"sequence in a first part", newHandmade(8).egress(node(KindSequence, 0, 6)).at(6, ref(KindSequence, 0, 7), deny).at(7, uint32(NoMatch), allow), "ends at a sequence"},
		{"first part to a record", newHandmade(8).egress(node(KindSequence, 0, 6)).at(6, uint32(NoRecord), deny), "ends at no record"},
		{"second part to no match", newHandmade(8).egress(node(KindSequence, 0, 6)).at(6, uint32(NoMatch), uint32(NoMatch)), "can end at no match"},
		{"sequence with more", newHandmade(8).egress(node(KindSequence, 0, 6)).at(6, uint32(NoMatch), deny, 0, 0, 0, 0, 0, 1), "word 7 is not zero"},
		{"address in a sequence", newHandmade(8).egress(node(KindSequence, 0, 6)).at(6, uint32(NoMatch), ref(KindSmall, WordPeer, 7)).at(7, 1, lastKey, lastKey, allow, deny), "behind a chain"},

		{"root's key", tree(8*slotWords, 5), "a node that is not its last is not full"},
		{"level unnamed", tree(8*slotWords+rootKeys+1, 0), "slot 0 is in two nodes"},
		{"level off a line", tree(8*slotWords+rootKeys, 11), "does not begin a line"},
		{"level far out", tree(8*slotWords+rootKeys, 0xfffffffe), "does not begin a line of the graph"},
		{"level too many", tree(8*slotWords+rootKeys+2, 1), "names a level 3"},
		{"level over the root", tree(8*slotWords+rootKeys, 8), "slot 8 is in two nodes"},
		{"inner key", tree(10*slotWords, 161), "a key is not where node 0 ends"},
		{"inner keys", tree(10*slotWords+1, 160), "do not ascend"},
		{"a child fewer", tree(10*slotWords+11, lastKey), "last key is not 0xffffffff"},
		{"a child more", tree(10*slotWords+12, 2000), "slots 12 to 67 are outside"},
		{"key in a leaf", tree(12*slotWords+3, 30), "a leaf that is not its last"},
		{"first key of a leaf", tree(16*slotWords, 160), "do not ascend"},
		{"behind the last interval", tree(60*slotWords+lineKeys+1, deny), "behind its last interval"},
		{"an interval more", tree(60*slotWords, 5000), "reference 0x0 is outside"},

		{"schema", tables(func(t *Tables) { t.Schema = 2 }), "schema 2"},
		{"scope", tables(func(t *Tables) { t.Scope = "cluster" }), `scope "cluster"`},
		{"scope of a pod", tables(func(t *Tables) { t.Scope = "pod" }), "word 2 of the header"},
		{"pods of a pod", tables(func(t *Tables) { t.Scope, t.Pods = "pod", append(t.Pods, t.Pods...) }), "2 pods for one"},
		{"pods out of order", tables(func(t *Tables) { t.Pods = append(t.Pods, t.Pods...) }), "out of order"},
		{"pod without addresses", tables(func(t *Tables) { t.Pods[0].Addrs = nil }), "has no address"},
		{"record of two", tables(func(t *Tables) { t.Pods[0].Addrs = append(t.Pods[0].Addrs, PodAddr{netip.MustParseAddr("::1"), 0}) }), "have one record"},
		{"record far out", tables(func(t *Tables) { t.Pods[0].Addrs[0].Record = 1 }), "record 1 of 10.0.0.10"},
		{"mapped address", tables(func(t *Tables) { t.Pods[0].Addrs[0].Addr = netip.MustParseAddr("::ffff:10.0.0.10") }), "no plain address"},
		{"zone", tables(func(t *Tables) { t.Pods[0].Addrs[0].Addr = netip.MustParseAddr("fe80::1%eth0") }), "no plain address"},
		{"another address", tables(func(t *Tables) { t.Pods[0].Addrs[0].Addr = netip.MustParseAddr("10.0.0.11") }), "another address than 10.0.0.11"},
		{"another family", tables(func(t *Tables) { t.Pods[0].Addrs[0].Addr = netip.MustParseAddr("a00:a::") }), "another address than a00:a::"},
		{"node addresses", tables(func(t *Tables) {
			t.NodeAddrs = []netip.Addr{netip.MustParseAddr("::1"), netip.MustParseAddr("1.2.3.4")}
		}), "node address"},
		{"decider twice", tables(func(t *Tables) { t.Deciders[1] = t.Deciders[0] }), "stands twice"},
		{"decider's id", tables(func(t *Tables) { t.Deciders[1] = "00000000000000A2" }), "is no id"},
		{"two without an id", tables(func(t *Tables) { t.Deciders[1] = "" }), "stands twice"},
		{"letter of an id", tables(func(t *Tables) { t.Deciders[1] = "000000000000000g" }), "is no id"},
		{"short id", tables(func(t *Tables) { t.Deciders[1] = "0002" }), "is no id"},
		{"empty chain", tables(func(t *Tables) { t.Chains[0] = nil }), "chain 0 is empty"},
		{"name twice", tables(func(t *Tables) { t.Chains[0] = append(t.Chains[0], t.Chains[0][0]) }), "a name twice"},
		{"empty name", tables(func(t *Tables) { t.Chains[0][0].Name = "" }), "an empty one"},
		{"link out of range", tables(func(t *Tables) { t.Chains[0][0].Ref = terminal(VerdictAllow, 3) }), "chain 0: decider 3 is not one of 3"},
		{"link to nowhere", tables(func(t *Tables) { t.Chains[0][0].Ref = node(KindSmall, WordL4, 6) }), "outside of the graph"},
	} {
		g, err := Check(tt.h.bytes(), tt.h.tables)
		if err == nil || g != nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

// A chain that leads back to itself is a cycle.
func TestCheckRefusesChainCycle(t *testing.T) {
	h := newHandmade(8).egress(node(KindChain, 0, 6)).at(6, 0, deny)
	h.tables.Chains[0][0].Ref = node(KindChain, 0, 6)
	if _, err := Check(h.bytes(), h.tables); err == nil || !strings.Contains(err.Error(), "comes back") {
		t.Error(err)
	}
}

// A graph in which each of many nodes leads to the next twice has more walks than
// can be counted; checking it takes a visit of each node.
func TestCheckVisitsOnce(t *testing.T) {
	h := newHandmade(6 + MaxSteps)
	h.egress(node(KindSmall, WordL4, 6))
	for i := range MaxSteps {
		next := uint32(node(KindSmall, WordL4, uint32(7+i)))
		if i == MaxSteps-1 {
			next = allow
		}
		h.at(6+i, 1, 2, 3, next, next, next, next)
	}
	if _, err := Check(h.bytes(), h.tables); err != nil {
		t.Error(err)
	}
}

// TestMutations changes bytes of artifacts: what Check then takes has the same
// shape as a graph, and can be walked, written down, placed and restored.
func TestMutations(t *testing.T) {
	programs := []*bundle.Bundle{emit(t, sample()), emit(t, samplePod()), emit(t, one(class("a", hosts(300), nil)))}
	rng := rand.New(rand.NewPCG(1, 2))
	taken := 0
	for i := range 10_000 {
		a := programs[i%len(programs)]
		data := bytes.Clone(a.Files[0].Data)
		for range 1 + rng.IntN(2) {
			switch at := rng.IntN(len(data)); rng.IntN(3) {
			case 0:
				data[at] ^= 1 << rng.IntN(8)
			case 1:
				binary.LittleEndian.PutUint32(data[at&^3:], rng.Uint32())
			default: // a word from elsewhere
				from := rng.IntN(len(data))
				copy(data[at&^3:][:4], data[from&^3:][:4])
			}
		}
		tables, err := ReadTables(a.Files[1].Data)
		if err != nil {
			t.Fatal(err)
		}
		ok, err := exercise(data, tables)
		if err != nil {
			t.Fatalf("%d: %v", i, err)
		}
		if ok {
			taken++
		}
	}
	if taken < 100 {
		t.Errorf("%d of the changed graphs were taken, want more", taken)
	}
}

// exercise does everything with a graph that Check takes, which ok tells.
func exercise(data []byte, tables *Tables) (ok bool, err error) {
	g, err := Check(data, tables)
	if err != nil {
		return false, nil
	}
	d := &Decoded{g}
	for _, p := range tables.Pods {
		for _, a := range p.Addrs {
			for _, dir := range model.Directions {
				root, ok := d.Root(dir, a.Addr)
				if !ok {
					return true, fmt.Errorf("%s is not known", a.Addr)
				}
				for _, x := range []model.L4{0, 80, model.L4ICMP, model.L4Other} {
					d.Judge(&Packet{Direction: dir, Local: a.Addr, Peer: a.Addr.Next(), L4: x, In: func(string) bool { return x == 80 }})
				}
				left := 2000
				_, _ = d.table(root, model.FamilyOf(a.Addr), &left, indexOf)
			}
		}
	}
	if r, err := d.Reading(manifestOf(tables)); err == nil && len(r.Subjects) != len(g.records()) {
		return true, fmt.Errorf("%d subjects are read of %d records", len(r.Subjects), len(g.records()))
	}
	p := placement(g)
	placed, err := g.Place(p)
	if err != nil {
		return true, err
	}
	again, q, err := Restore(placed, tables, p.Counters)
	if err != nil {
		return true, err
	}
	if !bytes.Equal(again, data) || q.Generation != p.Generation || !slices.Equal(q.Interfaces, p.Interfaces) {
		return true, fmt.Errorf("restored it is another")
	}
	return true, nil
}

// manifestOf is a manifest that names all that tables do.
func manifestOf(t *Tables) *bundle.Manifest {
	m := &bundle.Manifest{}
	for _, id := range t.Deciders {
		m.Rules = append(m.Rules, bundle.Rule{ID: id, Name: "rule " + id})
	}
	for _, chain := range t.Chains {
		for _, l := range chain {
			m.Names = append(m.Names, bundle.KnownName{Name: l.Name})
		}
	}
	return m
}

// placement draws what a loader would fill in.
func placement(g *Graph) *Placement {
	p := &Placement{Generation: 7}
	for i := range g.records() {
		p.Interfaces = append(p.Interfaces, uint32(100+i))
	}
	for i := range g.Tables.Deciders {
		p.Counters = append(p.Counters, uint32(3*len(g.Tables.Deciders)-2*i))
	}
	return p
}

// hosts are rules for n single addresses with a port each.
func hosts(n int) []model.ListRule {
	rules := make([]model.ListRule, n)
	for i := range rules {
		a := netip.AddrFrom4([4]byte{10, byte(i >> 15), byte(i >> 7), byte(i << 1)})
		rules[i] = rule(model.Action(i%3), []model.ListPeer{{Prefixes: []netip.Prefix{netip.PrefixFrom(a, 32)}}}, tcp(uint16(i%7), 443))
	}
	return rules
}

func TestReadRefuses(t *testing.T) {
	for name, change := range map[string]func(b *bundle.Bundle){
		"backend":           func(b *bundle.Bundle) { b.Manifest.Backend = bundle.NFTables },
		"file missing":      func(b *bundle.Bundle) { b.Files = b.Files[:1] },
		"files in order":    func(b *bundle.Bundle) { b.Files = []bundle.File{b.Files[1], b.Files[0]} },
		"scope":             func(b *bundle.Bundle) { b.Manifest.Scope = bundle.ScopePod },
		"a rule less":       func(b *bundle.Bundle) { b.Manifest.Rules = b.Manifest.Rules[1:] },
		"action":            func(b *bundle.Bundle) { b.Manifest.Rules[0].Action = "allow" },
		"a default less":    func(b *bundle.Bundle) { b.Manifest.Defaults = b.Manifest.Defaults[2:] },
		"a name less":       func(b *bundle.Bundle) { b.Manifest.Names = b.Manifest.Names[1:] },
		"tables with space": func(b *bundle.Bundle) { b.Files[1].Data = append(bytes.Clone(b.Files[1].Data), '\n') },
		"no tables":         func(b *bundle.Bundle) { b.Files[1].Data = nil },
		"tables of another schema": func(b *bundle.Bundle) {
			b.Files[1].Data = bytes.Replace(b.Files[1].Data, []byte(`"schema": 1`), []byte(`"schema": 2`), 1)
		},
		"class": func(b *bundle.Bundle) {
			b.Files[1].Data = bytes.Replace(b.Files[1].Data, []byte(`"class": 1`), []byte(`"class": 2`), 1)
		},
		"graph":     func(b *bundle.Bundle) { b.Files[0].Data = b.Files[0].Data[:64] },
		"more pods": func(b *bundle.Bundle) { b.Manifest.Counts.Pods++ },
		"less pods": func(b *bundle.Bundle) { b.Manifest.Counts.Pods-- },
		"elements":  func(b *bundle.Bundle) { b.Manifest.Counts.Elements++ },
		"less elements": func(b *bundle.Bundle) {
			b.Manifest.Counts.Elements--
		},
		"a rule more": func(b *bundle.Bundle) {
			name := "TrafficPolicy/z/z#egress[0]"
			b.Manifest.Rules = append(slices.Clone(b.Manifest.Rules), bundle.Rule{ID: bundle.ID(name), Name: name, Action: "allow"})
		},
		"tables of brackets": func(b *bundle.Bundle) { b.Files[1].Data = bytes.Repeat([]byte("["), 1<<20) },
	} {
		b := sealed(t, emit(t, sample()))
		if _, err := Read(b); err != nil {
			t.Fatal(err)
		}
		b.Files = slices.Clone(b.Files)
		change(b)
		if g, err := Read(b); err == nil || g != nil {
			t.Errorf("%s: read", name)
		}
	}
}

func FuzzCheck(f *testing.F) {
	h := newHandmade(10).egress(node(KindSequence, 0, 6)).at(6, uint32(node(KindSmall, WordL4, 8)), deny).at(8, 80, lastKey, lastKey, allow, uint32(NoMatch))
	f.Add(h.bytes())
	f.Add(newHandmade(64).tree2().bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := exercise(data, h.tables); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzDecode(f *testing.F) {
	for _, a := range []*bundle.Bundle{emit(f, one(class("a", nil, nil))), emit(f, samplePod())} {
		f.Add(a.Files[0].Data, a.Files[1].Data)
	}
	f.Fuzz(func(t *testing.T, graph, text []byte) {
		d, err := Decode([]bundle.File{{Name: GraphFile, Data: graph}, {Name: TablesFile, Data: text}})
		if (err == nil) != (d != nil) {
			t.Fatalf("Decode = %v, %v", d, err)
		}
		if err != nil {
			return
		}
		if again, err := d.Tables.encode(); err != nil || !bytes.Equal(again, text) {
			t.Fatalf("the tables are written otherwise than they were read: %v", err)
		}
		if _, err := exercise(graph, d.Tables); err != nil {
			t.Fatal(err)
		}
	})
}
