package verify

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/compiler/space"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// mismatch is a disagreement before it is written out.
type mismatch struct {
	kind       string
	pod, other string // other: whose the address is for the artifact
	local      netip.Addr
	last       netip.Addr // of a range of unknown pods
	direction  model.Direction
	packet     space.Packet
	block      *space.Difference
	want, have Judgement
	addresses  int
}

// disagreementOrder is that of kinds: what opens stands first.
var disagreementOrder = []string{
	DisagreeScope, DisagreeMissing, DisagreeAllowed, DisagreeUnknown, DisagreeNode, DisagreeName,
	DisagreeDenied, DisagreeSurplus, DisagreePod, DisagreeReject, DisagreeRule,
}

func (f *mismatch) compare(g *mismatch) int {
	return cmp.Or(
		cmp.Compare(slices.Index(disagreementOrder, f.kind), slices.Index(disagreementOrder, g.kind)),
		f.local.Compare(g.local), cmp.Compare(f.direction, g.direction),
		f.packet.Addr.Compare(g.packet.Addr), cmp.Compare(f.packet.L4, g.packet.L4),
	)
}

// finds keeps the first of all that is found.
type finds struct {
	most  int
	list  []*mismatch
	total int
}

func (f *finds) add(x *mismatch) {
	f.total++
	f.list = append(f.list, x)
	if len(f.list) >= 4*max(f.most, 16) {
		f.cut()
	}
}

// cut sorts and keeps the first.
func (f *finds) cut() {
	slices.SortStableFunc(f.list, (*mismatch).compare)
	if len(f.list) > f.most {
		clear(f.list[f.most:])
		f.list = f.list[:f.most]
	}
}

// result writes out what was found.
func (f *finds) result(sum EquivalenceSummary) *Equivalence {
	f.cut()
	sum.Differences = f.total
	e := &Equivalence{Equivalent: f.total == 0, Differences: []Disagreement{}, Omitted: f.total - len(f.list), Summary: sum}
	for _, x := range f.list {
		e.Differences = append(e.Differences, x.disagreement())
	}
	return e
}

func (f *mismatch) disagreement() Disagreement {
	d := Disagreement{Kind: f.kind, Message: f.message(), Want: f.want, Have: f.have, Addresses: f.addresses}
	if f.kind == DisagreeScope {
		return d
	}
	d.Witness = &ArtifactPacket{
		Direction: f.direction.String(), Pod: f.pod, Local: f.local, Peer: f.packet.Addr,
		Proto: f.packet.L4.Proto().String(), Port: f.packet.L4.Port(), Names: plainNames(f.packet.In),
	}
	if f.block != nil {
		d.Peers, d.Ports = f.block.Prefixes(), portNames(model.L4Set{f.block.L4})
	}
	return d
}

// message says in one sentence what is wrong.
func (f *mismatch) message() string {
	switch f.kind {
	case DisagreeScope:
		return "it is for one pod's namespace in place of a node's, or the other way round"
	case DisagreeMissing:
		return fmt.Sprintf("%s of pod %s is not governed", f.local, f.pod)
	case DisagreeSurplus:
		return fmt.Sprintf("%s%s is governed and is not to be", f.local, ofPod(f.pod))
	case DisagreePod:
		return fmt.Sprintf("%s is pod %s's, and is taken for pod %s's", f.local, f.pod, f.other)
	case DisagreeNode:
		if f.have.Reason == ReasonNodeLocal {
			return fmt.Sprintf("%s is taken for an address of the node", f.packet.Addr)
		}
		return fmt.Sprintf("%s is an address of the node, and is not known as one", f.packet.Addr)
	case DisagreeName:
		return fmt.Sprintf("%s is an address of other domain names", f.packet.Addr)
	case DisagreeUnknown:
		if f.have.Reason == ReasonUnknownPod {
			return fmt.Sprintf("unknown pods from %s to %s are closed and are not to be", f.local, f.last)
		}
		return fmt.Sprintf("unknown pods from %s to %s are to be closed and are open", f.local, f.last)
	}
	return fmt.Sprintf("%s of %s: %s", f.direction, f.pod, map[string]string{
		DisagreeAllowed: "passes and is to be denied",
		DisagreeDenied:  "is denied and is to pass",
		DisagreeReject:  "is denied in another way",
		DisagreeRule:    "is decided by another rule",
	}[f.kind])
}

func ofPod(pod string) string {
	if pod == "" {
		return ""
	}
	return " of pod " + pod
}
