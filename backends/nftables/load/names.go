//go:build linux

package load

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	netfilter "github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/backends/nftables"
	"github.com/trafficpolicy/trafficpolicy/internal/conntrack"
	"github.com/trafficpolicy/trafficpolicy/internal/loader"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// The addresses that a node learns of domain names are written by netlink: nft would
// fetch every set of the table before it adds one element. What is written differs from
// what nft writes in nothing, and an apply writes the same by netfilter.

// nameSet matches the sets of domain names, of any generation.
var nameSet = regexp.MustCompile(`^tp_[0-9a-f]{12}_name[46]_[0-9a-f]{16}$`)

// learnedScript adds to the sets of names what they mean beside what the bundle says.
func learnedScript(prefix string, b *loader.Bundle, learnt loader.Known) string {
	beside := b.Beside(learnt)
	var s strings.Builder
	for _, n := range b.Manifest.Names {
		for f, addrs := range byFamily(beside[n.Name]) {
			set := nftables.NameSet(prefix, n.ID, model.Family(f))
			for chunk := range slices.Chunk(addrs, 256) {
				fmt.Fprintf(&s, "add element %s %s { ", nftables.Table, set)
				for i, a := range chunk {
					if i > 0 {
						s.WriteString(", ")
					}
					s.WriteString(a.String())
				}
				s.WriteString(" }\n")
			}
		}
	}
	return s.String()
}

// byFamily splits addresses by model.Family.
func byFamily(addrs []netip.Addr) (of [2][]netip.Addr) {
	for _, a := range addrs {
		of[model.FamilyOf(a)] = append(of[model.FamilyOf(a)], a)
	}
	return of
}

// nameDrift returns the names whose sets, of a listing, do not hold what they mean.
func nameDrift(objects []object, prefix string, b *loader.Bundle, beside loader.Known) []string {
	meaning := b.Meaning(beside)
	sets := map[string]*object{}
	for i := range objects {
		if objects[i].kind == "set" && nameSet.MatchString(objects[i].name) {
			sets[objects[i].name] = &objects[i]
		}
	}
	var drift []string
	for _, n := range b.Manifest.Names {
		for f, want := range byFamily(meaning[n.Name]) {
			set := sets[nftables.NameSet(prefix, n.ID, model.Family(f))]
			if set == nil {
				continue // said of the set
			}
			if have, ok := set.addrs(); !ok || !slices.Equal(have, want) {
				drift = append(drift, fmt.Sprintf("addresses of %s were changed", n.Name))
				break
			}
		}
	}
	return drift
}

// addrs returns the elements of a listed set of addresses, sorted; false where it
// has others.
func (o *object) addrs() ([]netip.Addr, bool) {
	_, elements := cutElements(strings.Join(o.body, "\n"))
	var list []netip.Addr
	for _, e := range elements {
		a, err := netip.ParseAddr(e)
		if err != nil {
			return nil, false
		}
		list = append(list, a)
	}
	slices.SortFunc(list, netip.Addr.Compare)
	return list, true
}

// Learn writes what differs of the sets of names: what is new of all names before
// anything goes, so that an address that passes from one name to another is never of
// none, though there be many transactions. Every packet is looked up in the sets, so live
// connections follow.
func (k *kernel) Learn(_ context.Context, a *loader.Applied, names []string) error {
	b, err := a.Bundle()
	if err != nil {
		return err
	}
	w, err := newSetWriter()
	if err != nil {
		return err
	}
	defer w.conn.CloseLasting()
	k.fresh = false
	meaning := b.Meaning(a.Learned)
	for _, n := range named(b, names) {
		for f, want := range byFamily(meaning[n.Name]) {
			if most := nftables.NameSetSize(len(byFamily(n.Addrs)[f])); len(want) > most {
				return fmt.Errorf("%s has %d addresses of a family, and its set holds %d", n.Name, len(want), most)
			}
			if err := w.change(nftables.NameSet(a.Record.Prefix, n.ID, model.Family(f)), model.Family(f), want); err != nil {
				return fmt.Errorf("addresses of %s: %w", n.Name, err)
			}
		}
		if err := w.flushFull(); err != nil {
			return err
		}
	}
	return w.finish()
}

// named returns the names of the bundle with those names, all for nil.
func named(b *loader.Bundle, names []string) []bundle.KnownName {
	if names == nil {
		return b.Manifest.Names
	}
	var list []bundle.KnownName
	for _, name := range names {
		i, ok := slices.BinarySearchFunc(b.Manifest.Names, name, func(n bundle.KnownName, name string) int { return strings.Compare(n.Name, name) })
		if ok {
			list = append(list, b.Manifest.Names[i])
		}
	}
	return list
}

// A transaction is committed when it has more than so many elements or messages, so that
// it fits into the buffer of a socket and the kernel's answer to each message into that of
// the other direction. setMessage is how many elements one message has, whose attributes
// are at most 64 KiB.
const (
	setElements = 2048
	setMessages = 256
	setMessage  = 512
)

// setWriter changes sets of addresses.
type setWriter struct {
	conn     *netfilter.Conn
	table    *netfilter.Table
	elements int // pending
	messages int
	late     []removal // what goes once everything new is there
}

// removal is elements that are to go from a set.
type removal struct {
	set      *netfilter.Set
	elements []netfilter.SetElement
}

func newSetWriter() (*setWriter, error) {
	room := func(c *netlink.Conn) error {
		// A name with very many addresses is one transaction too. Where the kernel does not
		// give so much, smaller ones still fit.
		for _, set := range []func(int) error{c.SetWriteBuffer, c.SetReadBuffer} {
			if set(4<<20) != nil {
				set(1 << 18)
			}
		}
		return nil
	}
	conn, err := netfilter.New(netfilter.AsLasting(), netfilter.WithSockOptions(room))
	if err != nil {
		return nil, fmt.Errorf("nf_tables: %w", err)
	}
	_, table, _ := strings.Cut(nftables.Table, " ")
	return &setWriter{conn: conn, table: &netfilter.Table{Family: netfilter.TableFamilyINet, Name: table}}, nil
}

// change has a set hold what is wanted, once the writer has finished.
func (w *setWriter) change(name string, f model.Family, want []netip.Addr) error {
	set := &netfilter.Set{Table: w.table, Name: name, KeyType: netfilter.TypeIPAddr, HasTimeout: true}
	if f == model.IPv6 {
		set.KeyType = netfilter.TypeIP6Addr
	}
	have, err := w.conn.GetSetElements(set)
	if errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("set %s is missing: %w", name, loader.ErrReload)
	}
	if err != nil {
		return fmt.Errorf("read set %s: %w", name, err)
	}
	gone := map[netip.Addr]bool{}
	for _, e := range have {
		if a, ok := netip.AddrFromSlice(e.Key); ok {
			gone[a] = true
		}
	}
	var fresh []netfilter.SetElement
	for _, a := range want {
		if gone[a] {
			delete(gone, a)
			continue
		}
		fresh = append(fresh, element(a))
	}
	for chunk := range slices.Chunk(fresh, setMessage) {
		if err := w.conn.SetAddElements(set, chunk); err != nil {
			return err
		}
		w.messages++
	}
	var old []netfilter.SetElement
	for _, a := range slices.SortedFunc(maps.Keys(gone), netip.Addr.Compare) {
		old = append(old, element(a))
	}
	if len(old) > 0 {
		w.late = append(w.late, removal{set, old})
	}
	w.elements += len(fresh)
	return nil
}

func element(a netip.Addr) netfilter.SetElement { return netfilter.SetElement{Key: a.AsSlice()} }

// finish commits what is pending, and removes what is to go; all of it in one transaction
// where that is not too much for one.
func (w *setWriter) finish() error {
	for _, r := range w.late {
		for chunk := range slices.Chunk(r.elements, setMessage) {
			if err := w.conn.SetDeleteElements(r.set, chunk); err != nil {
				return err
			}
			w.messages++
		}
		w.elements += len(r.elements)
		if err := w.flushFull(); err != nil {
			return err
		}
	}
	w.late = nil
	return w.flush()
}

// flushFull commits what is pending if it is enough for a transaction.
func (w *setWriter) flushFull() error {
	if w.elements > setElements || w.messages > setMessages {
		return w.flush()
	}
	return nil
}

// flush commits what is pending.
func (w *setWriter) flush() error {
	w.elements, w.messages = 0, 0
	if err := w.conn.Flush(); err != nil {
		return fmt.Errorf("write addresses of names: %w", err)
	}
	return nil
}

// Peers reads the kernel's table of connections: what pods opened, and to which address
// before translation, as rules see it.
func (k *kernel) Peers(_ context.Context, a *loader.Applied, visit func(netip.Addr)) error {
	b, err := a.Bundle()
	if err != nil {
		return err
	}
	pods := map[netip.Addr]bool{}
	for _, p := range b.Pods {
		for _, addr := range p.Addrs {
			pods[addr] = true
		}
	}
	return conntrack.Each(func(c *conntrack.Connection) {
		ended := c.Original.Proto == model.IPProtoTCP && c.State >= conntrack.TCPTimeWait
		if !ended && pods[c.Original.Src.Addr()] {
			visit(c.Original.Dst.Addr())
		}
	})
}

// NameTable describes the set that is fullest if each holds what it should.
func (k *kernel) NameTable(_ context.Context, a *loader.Applied) *loader.ConnTable {
	b, err := a.Bundle()
	if err != nil {
		return nil
	}
	meaning, fullest := b.Meaning(a.Learned), loader.NewConnTable(0, uint64(nftables.NameSetSize(0)))
	for _, n := range b.Manifest.Names {
		for f, addrs := range byFamily(meaning[n.Name]) {
			t := loader.NewConnTable(uint64(len(addrs)), uint64(nftables.NameSetSize(len(byFamily(n.Addrs)[f]))))
			if t.Count*fullest.Max > fullest.Count*t.Max {
				fullest = t
			}
		}
	}
	return fullest
}
