package ebpf

// The graph (graph.bin) is an array of slots of 32 bytes, each eight 32-bit words
// in little-endian byte order. Slot 0 and 1 are the header. Everything else is
// reached from there by references, which count slots from the beginning of the
// graph, so a loader can place it anywhere that is aligned to a line.
//
// bpf/graph.h states the same for the eBPF program; a test compares the two.
const (
	SlotSize = 32 // bytes
	LineSize = 64 // bytes of a cache line: two slots, the first of an even number
	// MaxSlots bounds a graph: 23 bits of a reference number its slots (256 MiB).
	MaxSlots = 1 << 23
	// MaxSteps bounds the nodes that one walk visits: a tree of any depth, a chain
	// or a sequence is one step. The eBPF program stops there and drops.
	MaxSteps = 32
	// MaxDeciders bounds the rules and default denies of a graph; the loader's
	// counters have as many entries.
	MaxDeciders = 1 << 20
)

// Words of the header (slots 0 and 1). Those after HeaderChains are zero.
const (
	HeaderMagic      = 0 // Magic
	HeaderSize       = 1 // of the graph, in slots, even
	HeaderFlags      = 2 // FlagPodScope or 0
	HeaderGeneration = 3 // zero in the artifact, the loader's number of the generation when loaded
	HeaderLocal4     = 4 // Ref: local IPv4 address to its record
	HeaderLocal6     = 5 // Ref: local IPv6 address to its record
	HeaderRecords    = 6 // slot of the first record
	HeaderRecordsLen = 7 // number of records
	HeaderDeciders   = 8 // number of deciders: exclusive bound of the index in a terminal
	HeaderChains     = 9 // number of chains: exclusive bound of the number in a chain node
	headerWords      = 16
)

// Magic is "TPG1" in little-endian byte order: a graph of the first layout.
const Magic = 0x31475054

// FlagPodScope marks the graph of one pod's own network namespace, in which every
// interface but the loopback is the pod's.
const FlagPodScope = 1

// Words of a record, one slot for each address of a governed pod.
const (
	RecordInterface = 0 // zero in the artifact; when loaded the index of the pod's interface, zero where it has none
	RecordPod       = 1 // number of the pod, the same for all of its addresses
	RecordEgress    = 2 // Ref: what the pod may send from this address
	RecordIngress   = 3 // Ref: what it may be sent to this address
	recordWords     = 8 // the others are zero
)

// Ref is a 32-bit reference: a terminal, or a node to go on with.
//
//	terminal   1 vv iiiiiiiiiiiiiiiiiiiiiiiiiiiii       verdict, index
//	node       0 kkkk wwww sssssssssssssssssssssss      kind, word, slot
//
// A search node looks at one word of the packet and leads to another Ref; the
// words on a path never decrease. A chain and a sequence look at none.
type Ref uint32

// Terminals. Of Allow, Deny and Reject the index is that of a decider; VerdictOther
// is a record's number, [NoRecord] or [NoMatch].
const (
	refTerminal   = 1 << 31
	VerdictAllow  = 0
	VerdictDeny   = 1
	VerdictReject = 2
	VerdictOther  = 3
	verdictShift  = 29
	indexMask     = 1<<verdictShift - 1

	// NoRecord ends the search for an address that is no governed pod's.
	NoRecord Ref = 0xffffffff
	// NoMatch ends the first part of a sequence: the second decides.
	NoMatch Ref = 0xfffffffe
)

// Fields of a reference to a node.
const (
	kindShift = 27
	kindMask  = 0xf
	wordShift = 23
	wordMask  = 0xf
	slotMask  = 1<<wordShift - 1
)

// Kinds of node. The keys of a search node are the ends, inclusive, of adjoining
// intervals of the word, in ascending order; the last interval ends at 0xffffffff,
// and so does every unused key. A word x lies in the interval whose number is how
// many keys are less than x.
const (
	// KindSmall: one slot. Words 0-2 are keys, 3-6 the Refs of four intervals.
	KindSmall = 0
	// KindMedium: one line. Words 0-6 are keys, 7-14 the Refs of eight intervals.
	KindMedium = 1
	// KindLarge: two lines. The first holds sixteen keys, the second their Refs.
	KindLarge = 2
	// KindTree1 to KindTree5: a root with one to five levels below it, the last of
	// which is of leaves as in KindLarge. Words 0-10 of the root are the last keys
	// of its children but the last child, of which there are at most 12; words
	// 11-15 are the slots of the first node of levels one to five. An inner node is
	// one line, sixteen keys for seventeen children. Child k of node i of a level
	// is node 17*i+k of the next; of the root, node k of level one.
	KindTree1 = 3
	KindTree5 = 7
	// KindChain: one slot. Word 0 is the number of the chain, word 1 a Ref. Where
	// the loader knows that the peer address is in an atom of the chain, it says
	// which Ref to go on with; otherwise word 1 is.
	KindChain = 8
	// KindSequence: one slot. Word 0 is a Ref, word 1 another: where the first
	// ends at NoMatch the second goes on. The first has no sequence in it.
	KindSequence = 9
)

// Shape of search nodes.
const (
	smallKeys    = 3
	mediumKeys   = 7
	lineKeys     = 16 // of an inner node or a leaf
	rootKeys     = 11
	rootChildren = rootKeys + 1
	fanout       = lineKeys + 1
	maxDepth     = KindTree5 - KindTree1 + 1 // levels below a root
)

// Words of a packet, which search nodes name. Addresses are in host byte order,
// the most significant word of an IPv6 address first; an IPv4 address is the first
// word alone.
const (
	WordLocal = 0 // to 3: the governed pod's address
	WordPeer  = 4 // to 7: the remote address
	WordL4    = 8 // the point of the L4 axis, model.L4
	words     = 9
)
