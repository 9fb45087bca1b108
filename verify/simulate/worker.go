package simulate

import (
	"fmt"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// worker judges flows one after another, each in the memory of the one before: a
// stream of flows would else be mostly the work of the garbage collector. What it
// returns is valid until it judges the next flow. It is for one goroutine.
type worker struct {
	*Simulator

	// What is being judged. Where one of these grows, pointers into its old memory
	// stay good, since nothing that is pointed to changes any more.
	from, to []alternative
	packets  []packet
	hearings []hearing
	outcomes []outcome
	sides    []Side
	results  []Result
}

// hearing is a packet with everything that each direction of it may come to.
type hearing struct {
	*packet
	egress, ingress ruling
}

// ruling is what one direction of a packet may come to.
type ruling struct {
	exempt   Reason    // why no policy applies; "" where the walk decides
	walk     *Walk     // nil for an exemption
	peer     remote    // what the walk was asked
	point    point     // as well
	outcomes []outcome // of the walk, at least one
}

// judge is [Simulator.Judge].
func (w *worker) judge(f Flow) (*Result, error) {
	src, err := w.end(f.Src, false)
	if err != nil {
		return nil, fmt.Errorf("src: %w", err)
	}
	dst, err := w.end(f.Dst, true)
	if err != nil {
		return nil, fmt.Errorf("dst: %w", err)
	}
	if f.Proto == "" {
		f.Proto = "tcp"
	}
	if _, ok := model.ParseProto(f.Proto, model.IPv4); !ok {
		return nil, fmt.Errorf("protocol %q is not tcp, udp, sctp, icmp, other or a number from 0 to 255", f.Proto)
	}
	packets, err := w.read(f, &src, &dst)
	if err != nil {
		return nil, err
	}
	if err := w.hear(f, packets); err != nil {
		return nil, err
	}
	res := w.answer(f)
	res.Notes = w.notes(src, dst)
	return res, nil
}

// hear judges both directions of the packets of f.
func (w *worker) hear(f Flow, packets []packet) error {
	w.hearings, w.outcomes = w.hearings[:0], w.outcomes[:0]
	for i := range packets {
		p := &packets[i]
		egress, err := w.rule(model.Egress, p.src.pod, p.to, p.dst.pod, p.egress)
		if err != nil {
			return fmt.Errorf("egress of %s: %w", f.Src, err)
		}
		ingress, err := w.rule(model.Ingress, p.dst.pod, remote{addr: p.src.addr}, p.src.pod, p.ingress)
		if err != nil {
			return fmt.Errorf("ingress of %s: %w", f.Dst, err)
		}
		w.hearings = append(w.hearings, hearing{p, egress, ingress})
	}
	return nil
}

// rule judges one direction at pod, whose other end is r, and other where that is
// a pod.
func (w *worker) rule(d model.Direction, pod *subject, r remote, other *subject, x point) (ruling, error) {
	if d == model.Egress && r.addr.IsValid() && other != nil && !other.stands(r.addr) {
		other = nil // a clusterIP: the pod behind it is not what egress sees
	}
	if why := pod.exemptFrom(d, r.addr, other); why != "" {
		return ruling{exempt: why}, nil
	}
	out, start := ruling{walk: w.walksAt(pod)[d], peer: r, point: x}, len(w.outcomes)
	all, err := out.walk.outcomes(w.outcomes, r, x)
	w.outcomes, out.outcomes = all, all[start:]
	return out, err
}

// answer makes one answer of all cases of all packets: the first where they have
// one verdict, and then no other is written out, else the list.
func (w *worker) answer(f Flow) *Result {
	w.sides, w.results = w.sides[:0], w.results[:0]
	if w.unanimous() {
		h := &w.hearings[0]
		w.results = append(w.results, h.result(f, w.side(&h.egress, 0), w.side(&h.ingress, 0)))
		return &w.results[0]
	}
	for i := range w.hearings {
		h := &w.hearings[i]
		for e := range h.egress.cases() {
			egress := w.side(&h.egress, e)
			for i := range h.ingress.cases() {
				w.results = append(w.results, h.result(f, egress, w.side(&h.ingress, i)))
				w.results[len(w.results)-1].Condition = h.condition(e, i)
			}
		}
	}
	first := &w.results[0]
	return &Result{Src: first.Src, Dst: first.Dst, Proto: first.Proto, Port: first.Port, Verdict: Mixed, Cases: w.results}
}

// unanimous reports whether every case of every packet has the same verdict.
func (w *worker) unanimous() bool {
	var allow, deny bool
	for i := range w.hearings {
		egress, ingress := &w.hearings[i].egress, &w.hearings[i].ingress
		allow = allow || egress.may(true) && ingress.may(true)
		deny = deny || egress.may(false) || ingress.may(false)
	}
	return !allow || !deny
}

// may reports whether one of the cases allows, or one denies.
func (r *ruling) may(allow bool) bool {
	if r.walk == nil {
		return allow
	}
	for i := range r.outcomes {
		if r.outcomes[i].decision.Action.Allows() == allow {
			return true
		}
	}
	return false
}

// cases returns how many cases there are.
func (r *ruling) cases() int { return max(1, len(r.outcomes)) }

// side writes one case out.
func (w *worker) side(r *ruling, i int) *Side {
	w.sides = append(w.sides, Side{Verdict: Allow, Reason: r.exempt})
	s := &w.sides[len(w.sides)-1]
	if r.walk == nil {
		return s
	}
	o := &r.outcomes[i]
	s.at = judged{walk: r.walk, peer: r.peer, point: r.point, outcome: o}
	s.Verdict, s.Reject, s.Reason = verdictOf(o.decision.Action), o.decision.Action == model.Reject, o.decision.Reason
	if o.rule != nil {
		s.Rule = o.rule.name
	}
	if o.decision.Peer != noPeer {
		s.Peer = &o.decision.Peer
	}
	if s.Reason != NotSelected {
		s.Policies = r.walk.names
	}
	return s
}
