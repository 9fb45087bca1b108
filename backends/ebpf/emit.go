package ebpf

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// Emit writes p as a bundle whose manifest lacks Tool, Sequence and what follows from
// the files. It returns a [*LimitError] where p does
// not fit in a graph, and a *space.LimitError where a rule list has too many
// decisions.
func Emit(p *compiler.Program) (*bundle.Bundle, error) {
	e, err := build(p)
	if err != nil {
		return nil, err
	}
	tables, err := e.tables.encode()
	if err != nil {
		return nil, err
	}
	graph := e.bytes()
	g, err := Check(graph, &e.tables) // what a loader would refuse is not written
	if err != nil {
		return nil, fmt.Errorf("the compiler wrote what no loader takes: %w", err)
	}
	return &bundle.Bundle{
		Manifest: bundle.Describe(p, bundle.EBPF, e.rules, g.intervals),
		Files:    []bundle.File{{Name: GraphFile, Data: graph}, {Name: TablesFile, Data: tables}},
	}, nil
}

// emitter holds a graph while it is written.
type emitter struct {
	*writer
	p      *compiler.Program
	pod    bool // pod scope
	tables Tables
	rules  map[string]bundle.Rule // that can decide, by name
	// deciders and chains by what they are.
	deciders map[string]uint32
	chains   map[string]uint32
	links    int // of all chains
	// nameAddrs are the addresses of the names of all chains, addrsOf those of each.
	nameAddrs int
	addrsOf   map[string]int
	// roots of the lists by the id of their default deny and family.
	roots    map[listKey]Ref
	defaults []bundle.Default // by class and direction
}

// build writes the graph and its tables.
func build(p *compiler.Program) (*emitter, error) { return buildWithin(p, realLimits) }

func buildWithin(p *compiler.Program, most limits) (*emitter, error) {
	switch {
	case p.Target.Pod != "" && len(p.Pods) > 1:
		return nil, fmt.Errorf("a program of pod %q has %d pods", p.Target.Pod, len(p.Pods))
	case p.UnknownDeny != nil:
		return nil, errors.New("a graph cannot close unknown pods: its programs are attached to the interfaces of the pods it knows")
	}
	e := newEmitter(p, most)
	if err := e.lists(); err != nil { // what each class decides
		return nil, err
	}
	e.records() // what each address is judged by
	e.header()
	return e, e.err
}

// newEmitter returns a graph with room for the records, and the tables but
// deciders and chains.
func newEmitter(p *compiler.Program, most limits) *emitter {
	e := &emitter{
		writer: newWriter(most), p: p, pod: p.Target.Pod != "",
		rules: map[string]bundle.Rule{}, deciders: map[string]uint32{}, chains: map[string]uint32{},
		roots: map[listKey]Ref{}, defaults: bundle.Defaults(p), addrsOf: map[string]int{},
	}
	for _, n := range p.Names {
		e.addrsOf[n.Name] = len(n.Addrs)
	}
	e.pods()
	return e
}

// pods fills in the tables and numbers the records, which stand behind the header.
func (e *emitter) pods() {
	t := &e.tables
	*t = Tables{Schema: tablesSchema, Scope: string(bundle.ScopeOf(e.p)), NodeAddrs: []netip.Addr{}, Pods: []Pod{}, Deciders: []string{}, Chains: [][]Link{}}
	t.NodeAddrs = append(t.NodeAddrs, e.p.NodeAddrs...)
	n := uint32(0)
	for _, p := range e.p.Pods {
		pod := Pod{Ref: p.Ref, Class: p.Class}
		for _, a := range p.Addrs {
			pod.Addrs = append(pod.Addrs, PodAddr{a, n})
			n++
		}
		t.Pods = append(t.Pods, pod)
	}
	slot := e.take(max(2, int(n))) // a line, so that no node is put among them
	if e.err == nil {
		e.words[HeaderRecords], e.words[HeaderRecordsLen] = slot, n
	}
}

// records writes the record of each address.
func (e *emitter) records() {
	for i, p := range e.tables.Pods {
		for _, a := range p.Addrs {
			r := e.words[(e.words[HeaderRecords]+a.Record)*slotWords:][:recordWords]
			f := model.FamilyOf(a.Addr)
			r[RecordPod] = uint32(i)
			r[RecordEgress] = uint32(e.roots[e.listKey(p.Class, model.Egress, f)])
			r[RecordIngress] = uint32(e.roots[e.listKey(p.Class, model.Ingress, f)])
		}
	}
}

// header writes what the header does not hold yet, and the search for records.
func (e *emitter) header() {
	local4, local6 := e.local(model.IPv4), e.local(model.IPv6)
	if e.err != nil {
		return
	}
	h := e.words[:headerWords]
	h[HeaderMagic] = Magic
	if e.pod {
		h[HeaderFlags] = FlagPodScope
	}
	h[HeaderLocal4], h[HeaderLocal6] = uint32(local4), uint32(local6)
	h[HeaderDeciders], h[HeaderChains] = uint32(len(e.tables.Deciders)), uint32(len(e.tables.Chains))
	h[HeaderSize] = uint32(len(e.words) / slotWords)
}

// local returns the search for the record of an address of family f.
func (e *emitter) local(f model.Family) Ref {
	var own []PodAddr
	for _, p := range e.tables.Pods {
		for _, a := range p.Addrs {
			if model.FamilyOf(a.Addr) == f {
				own = append(own, a)
			}
		}
	}
	slices.SortFunc(own, func(a, b PodAddr) int { return a.Addr.Compare(b.Addr) })
	var in []stretch
	next := f.All().Addr()
	for _, a := range own {
		if next != a.Addr {
			in = append(in, stretch{wordsOf(next), wordsOf(a.Addr.Prev()), NoRecord})
		}
		in = append(in, stretch{wordsOf(a.Addr), wordsOf(a.Addr), terminal(VerdictOther, a.Record)})
		next = a.Addr.Next()
	}
	if next.IsValid() {
		in = append(in, stretch{wordsOf(next), lastWords, NoRecord})
	}
	return newAddresses(e, WordLocal, f).search(in, 0)
}
