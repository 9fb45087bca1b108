package nftables

import (
	"net/netip"
	"slices"
)

// unknown writes the chains for pods that the program does not know, where they
// are to be closed. What the node sends them passes, and so do their answers to
// it and neighbour discovery.
func (e *emitter) unknown() {
	if e.p.UnknownDeny == nil {
		return
	}
	for _, f := range fams {
		from, to, out := gen("unknown_from%s", f.n), gen("unknown_to%s", f.n), gen("unknown_out%s", f.n)
		e.out.chain(from)
		e.out.chain(to)
		e.out.chain(out)
		e.out.rule(from, "jump %s", gen("check_from%s", f.n))
		e.out.rule(from, "goto %s", gen("unknown"))
		e.out.rule(to, "goto %s", gen("unknown"))
		e.out.rule(out, "fib saddr type local accept")
		e.out.rule(out, "goto %s", gen("unknown"))
	}
}

// turn adds what makes the generation the one in force: every dispatch map is
// emptied and filled.
func (e *emitter) turn(s *sections) {
	for _, h := range e.hooks() {
		for _, d := range h.dispatch {
			if d.name != MapDeliver {
				s.flush("map", d.name)
			}
		}
	}
	for _, f := range fams {
		s.flush("set", "tp_pods"+f.n)
	}
	e.fill(s)
}

// fill adds the elements of the dispatch maps.
func (e *emitter) fill(s *sections) {
	for _, f := range fams {
		var own []string
		for _, p := range e.p.Pods {
			own = append(own, ofFamily(p.Addrs, f)...)
		}
		s.add("tp_pods"+f.n, own)
	}
	if e.pod {
		e.turnPod(s)
		return
	}
	for _, f := range fams {
		for _, kind := range []string{"from", "to", "out"} {
			s.add("tp_"+kind+f.n, e.governed(kind, f))
			if e.p.UnknownDeny != nil {
				s.add("tp_range_"+kind+f.n, append(e.governed(kind, f), e.closed(kind, f)...))
			}
		}
	}
}

// turnPod sends every packet of the namespace to the generation, unless the pod
// is not governed.
func (e *emitter) turnPod(s *sections) {
	if len(e.p.Pods) == 0 {
		return
	}
	for _, kind := range []string{"send", "recv", "through"} {
		var elements []string
		for _, f := range fams {
			elements = append(elements, f.nfproto+" : goto "+gen("%s%s", kind, f.n))
		}
		s.add("tp_"+kind, elements)
	}
}

// governed returns the elements that send each pod's addresses to its class.
func (e *emitter) governed(kind string, f fam) []string {
	var elements []string
	for _, p := range e.p.Pods {
		for _, a := range ofFamily(p.Addrs, f) {
			elements = append(elements, a+" : goto "+gen("%s%s_%d", kind, f.n, p.Class))
		}
	}
	return elements
}

// closed returns the elements for the node's pod addresses that belong to no
// pod that the program knows, and not to the node.
func (e *emitter) closed(kind string, f fam) []string {
	holes := slices.Concat(e.p.UnknownDeny.Known, e.p.NodeAddrs)
	for _, p := range e.p.Pods {
		holes = append(holes, p.Addrs...)
	}
	slices.SortFunc(holes, netip.Addr.Compare)
	holes = slices.Compact(holes)
	var elements []string
	for _, r := range minus(e.p.UnknownDeny.PodCIDRs, holes) {
		if r.first.Is4() == (f.n == "4") {
			elements = append(elements, rangeText(r.first, r.last)+" : goto "+gen("unknown_%s%s", kind, f.n))
		}
	}
	return elements
}
