//go:build linux

package loader

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/trafficpolicy/trafficpolicy/internal/learned"
)

// Known is what domain names mean: the addresses of each, unmapped. Beside them a
// name always means the addresses that its bundle has.
type Known = learned.Known

// ErrReload says that a generation cannot be told what names mean, but that it can if
// it is loaded anew: the kernel's tables are too small, or of another tploader.
var ErrReload = errors.New("it has to be loaded anew")

// Meaning returns the addresses of each name of the bundle, sorted and distinct: its
// own and, of what was learned, what Beside leaves.
func (b *Bundle) Meaning(learnt Known) Known {
	beside := b.Beside(learnt)
	all := make(Known, len(b.Manifest.Names))
	for _, n := range b.Manifest.Names {
		all[n.Name] = learned.Sorted(slices.Concat(n.Addrs, beside[n.Name]))
	}
	return all
}

// Beside returns what was learned of the bundle's names but for addresses of its pods
// and its node: what was learned under another bundle may be a pod's by now, and no agent
// need run that sees it.
func (b *Bundle) Beside(learnt Known) Known {
	if len(learnt) == 0 {
		return learnt
	}
	own := map[netip.Addr]bool{}
	for _, p := range b.Pods {
		for _, a := range p.Addrs {
			own[a] = true
		}
	}
	for _, a := range b.NodeAddrs() {
		own[a.Unmap()] = true
	}
	beside := make(Known, len(learnt))
	for _, n := range b.Manifest.Names {
		addrs := learnt[n.Name]
		if slices.ContainsFunc(addrs, func(a netip.Addr) bool { return own[a] }) {
			addrs = slices.DeleteFunc(slices.Clone(addrs), func(a netip.Addr) bool { return own[a] })
		}
		if len(addrs) > 0 {
			beside[n.Name] = addrs
		}
	}
	return beside
}

// Learn has the names of the bundle in force mean what is given, and what the bundle
// itself says. changed, if not nil, are the names that may mean something else than
// at the last Learn of this process; the kernel is not asked about others. It returns an error
// that wraps ErrNothing where nothing is in force.
//
// What is to be is written down first: whoever is stopped in between, the next apply
// or Learn carries it out.
func (l *Loader) Learn(ctx context.Context, known Known, changed []string) error {
	r := l.state().Current
	if r == nil {
		return ErrNothing
	}
	k, err := l.kernel(ctx, r.Backend)
	if err != nil {
		return err
	}
	if err := l.writeLearned(known); err != nil {
		return err
	}
	err = k.Learn(ctx, l.applied(r, r.Backend), changed)
	if errors.Is(err, ErrReload) {
		l.log("generation %.12s: %v", r.Generation, err)
		err = l.reload(ctx)
	}
	return err
}

// reload loads the generation in force anew, beside itself.
func (l *Loader) reload(ctx context.Context) error {
	b, r, err := l.last("")
	if err != nil {
		return err
	}
	_, err = l.put(ctx, b, ApplyOptions{Options: r.Options, Node: r.Name, force: true}, nil)
	return err
}

// writeLearned stores what was learned, without the addresses that the bundle in
// force has, if it differs from what is stored.
func (l *Loader) writeLearned(known Known) error {
	b, err := l.Current()
	if err != nil {
		return err
	}
	beside := Known{}
	for _, n := range b.Manifest.Names {
		own := slices.DeleteFunc(slices.Clone(known[n.Name]), func(a netip.Addr) bool { return slices.Contains(n.Addrs, a) })
		if len(own) > 0 {
			beside[n.Name] = learned.Sorted(own)
		}
	}
	if maps.EqualFunc(beside, l.known(), slices.Equal) {
		return nil
	}
	at := l.now()
	text, err := learned.Write(at, beside)
	if err == nil {
		err = l.folder.SetLearned(text)
	}
	if err == nil {
		l.learned, l.learnedAt = beside, at
	}
	return err
}

// known returns what was learned, empty where nothing was. What cannot be read is
// taken to be nothing: a name then means what its bundle says until it is resolved.
func (l *Loader) known() Known {
	if l.learned != nil {
		return l.learned
	}
	l.learned = Known{}
	if l.folder == nil {
		return l.learned
	}
	data, err := l.folder.Learned()
	if err == nil && data != nil {
		var file *learned.File
		if file, err = learned.Read(data); err == nil {
			l.learned, l.learnedAt = file.Names, file.Written
		}
	}
	if err != nil {
		l.log("warning: what was learned of domain names cannot be read: %v", err)
	}
	return l.learned
}

// Learned returns what names mean beside what the bundle in force says.
func (l *Loader) Learned() Known { return l.known() }

// LearnedAt returns when what Learned returns was stored, zero where nothing was.
func (l *Loader) LearnedAt() time.Time {
	l.known()
	return l.learnedAt
}

// Memory returns what was last remembered with SetMemory, nil if nothing.
func (l *Loader) Memory() ([]byte, error) {
	if l.folder == nil {
		return nil, nil
	}
	return l.folder.Memory()
}

// SetMemory stores what an agent wants to remember. It returns ErrNothing where
// nothing was ever applied.
func (l *Loader) SetMemory(data []byte) error {
	if l.folder == nil {
		return ErrNothing
	}
	return l.folder.SetMemory(data)
}

// adopt takes over what an earlier boot had learned of the target.
func (l *Loader) adopt(b *Bundle) error {
	if l.folder == nil || l.state().Current != nil {
		return nil
	}
	if data, err := l.folder.Learned(); data != nil || err != nil {
		return err
	}
	p, err := l.folder.Earlier(string(b.Manifest.Scope), b.Manifest.Name)
	if p == nil || err != nil {
		return err
	}
	l.learned = nil
	if p.Learned != nil {
		err = l.folder.SetLearned(p.Learned)
	}
	if err == nil && p.Memory != nil {
		err = l.folder.SetMemory(p.Memory)
	}
	return err
}

// InUse returns those of the addresses that connections of governed pods are with.
func (l *Loader) InUse(ctx context.Context, addrs []netip.Addr) ([]netip.Addr, error) {
	r := l.state().Current
	if r == nil || len(addrs) == 0 {
		return nil, nil
	}
	k, err := l.kernel(ctx, r.Backend)
	if err != nil {
		return nil, err
	}
	wanted := make(map[netip.Addr]bool, len(addrs))
	for _, a := range addrs {
		wanted[a] = false
	}
	err = k.Peers(ctx, l.applied(r, r.Backend), func(a netip.Addr) {
		if _, ok := wanted[a]; ok {
			wanted[a] = true
		}
	})
	maps.DeleteFunc(wanted, func(_ netip.Addr, used bool) bool { return !used })
	return slices.SortedFunc(maps.Keys(wanted), netip.Addr.Compare), err
}
