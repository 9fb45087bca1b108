package ebpf

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/compiler/space"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// DecodeBundle returns what a bundle decides, of one that [Read] takes.
func DecodeBundle(b *bundle.Bundle) (*space.Reading, error) {
	g, err := Read(b)
	if err != nil {
		return nil, err
	}
	return (&Decoded{g}).Reading(&b.Manifest)
}

// Reading returns what the graph decides for every governed address. Names of
// rules, default denies and addresses of domain names are those of the manifest. It
// returns an error where the manifest lacks one of them, and those of [Decoded.Table].
func (d *Decoded) Reading(m *bundle.Manifest) (*space.Reading, error) {
	r := &reader{Decoded: d, numbers: map[Ref]int32{}, tables: map[rooted]*space.Table{}, left: 1<<16 + writtenPerWord*len(d.data)/4}
	r.name(m)
	r.out.PodScope = Ref(d.at(0, HeaderFlags))&FlagPodScope != 0
	r.out.Nodes = slices.Clone(d.Tables.NodeAddrs)
	r.out.Names = map[string][]netip.Addr{}
	for _, n := range m.Names {
		r.out.Names[n.Name] = n.Addrs
	}
	for _, chain := range d.Tables.Chains {
		for _, l := range chain {
			if _, ok := r.out.Names[l.Name]; !ok {
				return nil, fmt.Errorf("%s: domain name %q is not in the manifest", TablesFile, l.Name)
			}
		}
	}
	if err := r.subjects(); err != nil {
		return nil, err
	}
	return &r.out, nil
}

// reader writes a Reading.
type reader struct {
	*Decoded
	named   []space.Decider // by decider, without the action
	unnamed []bool          // by decider: the manifest lacks it
	numbers map[Ref]int32   // of terminals: a decider with two verdicts is two
	tables  map[rooted]*space.Table
	left    int // ranges and cells that may still be written
	out     space.Reading
	err     error // the first
}

// writtenPerWord bounds the ranges and cells of all tables of a graph by its size: a
// compiler's come to about one a word, and what a hostile graph's few nodes say again
// and again would fill memory.
const writtenPerWord = 16

// rooted is a table: what begins there, by addresses of a family.
type rooted struct {
	Ref
	model.Family
}

// name looks the deciders up in a manifest.
func (r *reader) name(m *bundle.Manifest) {
	known := map[string]space.Decider{notSelected: {}}
	for _, rule := range m.Rules {
		known[rule.ID] = space.Decider{Rule: rule.Name}
	}
	for _, d := range m.Defaults {
		dir := model.Egress
		if d.Direction == model.Ingress.String() {
			dir = model.Ingress
		}
		known[d.ID] = space.Decider{Direction: dir, Policies: d.Policies}
	}
	for _, id := range r.Tables.Deciders {
		named, ok := known[id]
		r.named, r.unnamed = append(r.named, named), append(r.unnamed, !ok)
	}
}

// number returns the number of the decider with the verdict of a terminal.
func (r *reader) number(t Ref) int32 {
	if n, ok := r.numbers[t]; ok {
		return n
	}
	action, i, _ := t.Decider()
	if r.unnamed[i] && r.err == nil {
		r.err = fmt.Errorf("%s: decider %q is not in the manifest", TablesFile, r.Tables.Deciders[i])
	}
	named := r.named[i]
	named.Action = action
	n := int32(len(r.out.Deciders))
	r.out.Deciders = append(r.out.Deciders, named)
	r.numbers[t] = n
	return n
}

func (r *reader) subjects() error {
	for _, p := range r.Tables.Pods {
		for _, a := range p.Addrs {
			s := space.Subject{Pod: p.Ref, Addr: a.Addr}
			var err error
			if s.Egress, err = r.table(model.Egress, a.Addr); err == nil {
				s.Ingress, err = r.table(model.Ingress, a.Addr)
			}
			if err != nil {
				return fmt.Errorf("%s: pod %s, %s: %w", GraphFile, p.Ref, a.Addr, err)
			}
			r.out.Subjects = append(r.out.Subjects, s)
		}
	}
	slices.SortFunc(r.out.Subjects, func(a, b space.Subject) int { return a.Addr.Compare(b.Addr) })
	return r.err
}

// table returns what a local address is judged by; the tables of one root are one.
func (r *reader) table(dir model.Direction, local netip.Addr) (*space.Table, error) {
	root, ok := r.Root(dir, local)
	if !ok {
		return nil, errors.New("it has no record")
	}
	key := rooted{root, model.FamilyOf(local)}
	if t := r.tables[key]; t != nil {
		return t, nil
	}
	t, err := r.Decoded.table(root, key.Family, &r.left, r.number)
	if err != nil {
		return nil, err
	}
	r.tables[key] = t
	return t, nil
}
