package names

import (
	"net/netip"
	"slices"
)

// Bounds of what is looked at and remembered of addresses that several names have.
const (
	shareLook     = 16     // names of an address that a new one is compared with
	shareRemember = 16_384 // pairs that were said
)

// sharing is which pairs of names were said to share an address.
type sharing struct {
	said   map[[2]string]bool
	shared int // addresses that more than one name has
}

// own notes that the name has the address.
func (l *Learner) own(n *name, a netip.Addr) {
	others := l.owners[a]
	if len(others) == 1 {
		l.shared.shared++
	}
	for _, o := range others[:min(len(others), shareLook)] {
		l.saySharing(o.key, n.key, a)
	}
	l.owners[a] = append(others, n)
	l.total++
}

// sayAllSharing looks at all addresses that several names have: rules may have
// changed.
func (l *Learner) sayAllSharing() {
	if l.shared.shared == 0 {
		return
	}
	for a, names := range l.owners {
		for i := range names[:min(len(names), shareLook)] {
			for _, o := range names[:i] {
				l.saySharing(o.key, names[i].key, a)
			}
		}
	}
}

// disown undoes own.
func (l *Learner) disown(n *name, a netip.Addr) {
	owners := l.owners[a]
	i := slices.Index(owners, n)
	if i < 0 {
		return
	}
	l.total--
	switch len(owners) {
	case 1:
		delete(l.owners, a)
		return
	case 2:
		l.shared.shared--
	}
	l.owners[a] = slices.Delete(owners, i, i+1)
}

// saySharing says once that two names with different decisions have an address
// in common: the rule that comes first decides for both.
func (l *Learner) saySharing(x, y string, a netip.Addr) {
	if y < x {
		x, y = y, x
	}
	pair := [2]string{x, y}
	if l.shared.said[pair] || l.cfg.Decides != nil && !l.cfg.Decides(x, y) {
		return
	}
	if l.shared.said == nil || len(l.shared.said) >= shareRemember {
		l.shared.said = map[[2]string]bool{}
	}
	l.shared.said[pair] = true
	l.said.say("shared", "%s and %s both have the address %s: the first rule that matches decides for it, whichever name was meant", x, y, a)
}
