package ebpf

// link writes a piece into the graph and returns where it begins. Nodes, deciders
// and chains that the graph has already are shared, so the order of pieces decides
// where what they have in common stands.
func (e *emitter) link(p *piece) Ref {
	l := &linker{emitter: e, deciders: make([]uint32, len(p.deciders)), chains: make([]uint32, len(p.chains)), nodes: make([]Ref, len(p.nodes))}
	for i := range p.deciders {
		l.deciders[i] = e.decider(&p.deciders[i])
	}
	for i, links := range p.chains {
		l.chains[i] = e.chainOf(l.links(links))
	}
	for i := range p.nodes {
		if e.err != nil {
			return NoRecord
		}
		l.nodes[i] = l.node(p, &p.nodes[i])
	}
	return l.ref(p.root)
}

// linker holds what a piece's references are in the graph.
type linker struct {
	*emitter
	deciders, chains []uint32
	nodes            []Ref
	scratch          []interval
}

// ref returns what a reference of the piece is in the graph.
func (l *linker) ref(r Ref) Ref {
	switch {
	case !r.Terminal():
		return l.nodes[r.slot()]
	case r.verdict() == VerdictOther:
		return r
	}
	return terminal(r.verdict(), l.deciders[r.index()])
}

func (l *linker) links(links []Link) []Link {
	out := make([]Link, len(links))
	for i, x := range links {
		out[i] = Link{x.Name, l.ref(x.Ref)} // a terminal: that of a rule
	}
	return out
}

func (l *linker) node(p *piece, n *recorded) Ref {
	switch n.kind {
	case KindChain:
		return l.chain(l.chains[n.a], l.ref(Ref(n.b)))
	case KindSequence:
		return l.sequence(l.ref(Ref(n.a)), l.ref(Ref(n.b)))
	}
	in := append(l.scratch[:0], p.intervals[n.first:n.last]...)
	for i := range in {
		in[i].ref = l.ref(in[i].ref)
	}
	l.scratch = in
	return l.search(n.word, in)
}
