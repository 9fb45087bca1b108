package ebpf

import "github.com/trafficpolicy/trafficpolicy/model"

// terminal returns the reference that ends a walk.
func terminal(verdict, index uint32) Ref { return Ref(refTerminal | verdict<<verdictShift | index) }

// node returns the reference to a node.
func node(kind, word int, slot uint32) Ref {
	return Ref(uint32(kind)<<kindShift | uint32(word)<<wordShift | slot)
}

// Terminal reports whether r ends a walk.
func (r Ref) Terminal() bool { return r&refTerminal != 0 }

// Decider returns the verdict and the index of the decider where r ends a walk at
// one; ok is false for nodes and for the other terminals.
func (r Ref) Decider() (verdict model.Action, index uint32, ok bool) {
	v := r.verdict()
	if !r.Terminal() || v == VerdictOther {
		return 0, 0, false
	}
	return [...]model.Action{VerdictAllow: model.Allow, VerdictDeny: model.Deny, VerdictReject: model.Reject}[v], r.index(), true
}

// Fields of a terminal.
func (r Ref) verdict() uint32 { return uint32(r) >> verdictShift & 3 }
func (r Ref) index() uint32   { return uint32(r) & indexMask }

// Fields of a reference to a node.
func (r Ref) kind() int    { return int(r >> kindShift & kindMask) }
func (r Ref) word() int    { return int(r >> wordShift & wordMask) }
func (r Ref) slot() uint32 { return uint32(r) & slotMask }
