package ruleset

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/backends/nftables/command"
	"github.com/trafficpolicy/trafficpolicy/compiler/space"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// Key is what a reader must know beside the rules.
type Key struct {
	// Prefix begins the names of the generation in force, "tp_TAG_"; "" if it is
	// to be found out.
	Prefix string
	// Script is set for a bare script, which knows no devices.
	Script bool
	// Rules, Defaults and Domains say what ids stand for: the name of a rule, the
	// policies of a default deny, a domain name. A rule that is not in Rules is
	// called by its comment, if the id is that of the comment.
	Rules    map[string]string
	Defaults map[string]Default
	Domains  map[string]string
	// Pods are the governed pods.
	Pods []Pod
}

// Default is a default deny.
type Default struct {
	Direction model.Direction
	Policies  []string
}

// Pod is a governed pod. Source and Deliver are the chains of its device, ""
// where there are none.
type Pod struct {
	Ref             string
	Addrs           []netip.Addr
	Source, Deliver string
}

// decoder reads one table.
type decoder struct {
	t        *Table
	key      *Key
	prefix   string
	pod      bool
	lines    map[string][]line
	ended    map[string]bool
	nested   int // chains that are looked at for ended, each led to by the one before
	forms    map[string]*form
	checked  map[string]error         // fixed chains, by role
	owner    map[netip.Addr]*Pod      // of each governed address
	entries  map[entryKey]*entry      // entry chains
	judged   map[netip.Addr]*entry    // the kindTo entry of each governed address
	lists    map[listKey]*space.Table // by chain
	decided  map[deciderKey]int32     // verdict chains
	deciders map[string]int32
	reading  space.Reading
}

// Decode returns what the table decides.
func (t *Table) Decode(key *Key) (*space.Reading, error) {
	d := &decoder{
		t: t, key: key, prefix: key.Prefix,
		lines: map[string][]line{}, ended: map[string]bool{}, checked: map[string]error{},
		owner: map[netip.Addr]*Pod{}, entries: map[entryKey]*entry{}, judged: map[netip.Addr]*entry{}, lists: map[listKey]*space.Table{}, decided: map[deciderKey]int32{}, deciders: map[string]int32{},
	}
	for _, step := range []func() error{
		d.scope,    // which hooks there are, and the generation
		d.bases,    // where packets come in, and which maps they are looked up in
		d.pods,     // whose addresses are governed
		d.nodes,    // the node's own addresses
		d.domains,  // the addresses of domain names
		d.subjects, // what each governed address may send and be sent
		d.devices,  // what the devices of pods may send and be sent
	} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return &d.reading, nil
}

// scope finds out whose namespace the table is for and which generation is in
// force.
func (d *decoder) scope() error {
	d.pod = d.t.chains["tp_input"] != nil
	d.reading.PodScope = d.pod
	if d.prefix == "" {
		for name := range d.t.chains {
			p := generation(name)
			if p != "" && d.prefix != "" && p != d.prefix {
				return fmt.Errorf("it has chains of two generations, %s and %s", min(p, d.prefix), max(p, d.prefix))
			}
			d.prefix = max(d.prefix, p)
		}
	}
	if generation(d.prefix+"x") != d.prefix {
		return fmt.Errorf("%q begins the names of no generation", d.prefix)
	}
	d.readForms(d.key.Script)
	return nil
}

// generation returns the prefix of the names of a name's generation, "" for a
// name without one.
func generation(name string) string {
	tag, ok := strings.CutPrefix(name, "tp_")
	if !ok || len(tag) < 13 || tag[12] != '_' || strings.Trim(tag[:12], "0123456789abcdef") != "" {
		return ""
	}
	return name[:16]
}

// bases checks the base chains: they are those of the format, and what they look
// into was emptied before it was filled.
func (d *decoder) bases() error {
	want := map[string]bool{}
	for role, f := range d.forms {
		if f.hook != "" {
			want[role] = true
		}
	}
	for _, name := range d.t.bases {
		if !want[name] {
			return fmt.Errorf("chain %q is at hook %q, where the format has none", name, d.t.chains[name].hook)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if err := d.fixed(name); err != nil {
			return err
		}
		c := d.t.chains[name]
		if c.old {
			return fmt.Errorf("chain %q is not emptied first", name)
		}
		for i := range c.rules {
			if err := d.lookedInto(c, &c.rules[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// pods notes whose addresses are governed.
func (d *decoder) pods() error {
	for i := range d.key.Pods {
		p := &d.key.Pods[i]
		for _, a := range p.Addrs {
			if o := d.owner[a]; o != nil {
				return fmt.Errorf("address %s belongs to %q and to %q", a, o.Ref, p.Ref)
			}
			d.owner[a] = p
		}
	}
	return d.selves()
}

// nodes reads the addresses of the node.
func (d *decoder) nodes() error {
	for _, role := range []string{"~node4", "~node6"} {
		addrs, _, err := d.addresses(role)
		if err != nil {
			return err
		}
		d.reading.Nodes = append(d.reading.Nodes, addrs...)
	}
	return nil
}

// addresses returns the single addresses that a fixed set holds, sorted, and
// those that the kernel will forget.
func (d *decoder) addresses(role string) (addrs, learned []netip.Addr, err error) {
	if err := d.fixedSet(role); err != nil {
		return nil, nil, err
	}
	return setAddrs(d.t.sets[d.name(role)])
}

func setAddrs(s *set) (addrs, learned []netip.Addr, err error) {
	for i := range s.elements {
		e := &s.elements[i]
		a, err := netip.ParseAddr(e.Key[0])
		if err != nil || a.Zone() != "" {
			return nil, nil, fmt.Errorf("set %q: %q is no address", s.Name, e.Key[0])
		}
		if e.learned {
			learned = append(learned, a)
		} else {
			addrs = append(addrs, a)
		}
	}
	return sorted(addrs), sorted(learned), nil
}

func sorted(addrs []netip.Addr) []netip.Addr {
	slices.SortFunc(addrs, netip.Addr.Compare)
	return slices.Compact(addrs)
}

// selves checks that the sets of pairs hold every pair of addresses of one pod
// and family, and no other.
func (d *decoder) selves() error {
	for _, fam := range model.Families {
		role := "~self" + digit(fam)
		if err := d.fixedSet(role); err != nil {
			return err
		}
		have := map[[2]netip.Addr]bool{}
		name := d.name(role)
		for _, e := range d.t.sets[name].elements {
			a, errA := netip.ParseAddr(e.Key[0])
			b, errB := netip.ParseAddr(e.Key[1])
			if errA != nil || errB != nil {
				return fmt.Errorf("set %q: %q is no pair of addresses", name, e.Key)
			}
			if p := d.owner[a]; p == nil || d.owner[b] != p {
				return fmt.Errorf("set %q: %s and %s are not of one governed pod", name, a, b)
			}
			have[[2]netip.Addr{a, b}] = true
		}
		want := 0
		for _, p := range d.key.Pods {
			n := len(ofFamily(p.Addrs, fam))
			want += n * n
		}
		if len(have) != want {
			return fmt.Errorf("set %q has %d pairs of addresses, not all %d of the governed pods", name, len(have), want)
		}
	}
	return nil
}

func digit(f model.Family) string {
	if f == model.IPv6 {
		return "6"
	}
	return "4"
}

func ofFamily(addrs []netip.Addr, f model.Family) []netip.Addr {
	var out []netip.Addr
	for _, a := range addrs {
		if model.FamilyOf(a) == f {
			out = append(out, a)
		}
	}
	return out
}

// domains reads the addresses of every domain name that the key has.
func (d *decoder) domains() error {
	d.reading.Names = map[string][]netip.Addr{}
	for id, domain := range d.key.Domains {
		d.reading.Names[domain] = nil
		for _, fam := range model.Families {
			name := d.name("~name" + digit(fam) + "_" + id)
			s := d.t.sets[name]
			if err := sameSet(s, nameSet(name, fam, s)); err != nil {
				return fmt.Errorf("domain name %q: %w", domain, err)
			}
			addrs, learned, err := setAddrs(s)
			if err != nil {
				return err
			}
			d.reading.Names[domain] = append(d.reading.Names[domain], addrs...)
			if len(learned) > 0 {
				if d.reading.Learned == nil {
					d.reading.Learned = map[string][]netip.Addr{}
				}
				d.reading.Learned[domain] = append(d.reading.Learned[domain], learned...)
			}
		}
	}
	return nil
}

// minNameSet is the least size of the set of a domain name's addresses.
const minNameSet = 1024

// nameSet is how the set of a domain name's addresses is made. Its size is room for
// what a node may learn: at least that of the format, and of what it holds.
func nameSet(name string, fam model.Family, have *set) *command.Set {
	want := &command.Set{Name: name, Types: []string{"ipv" + digit(fam) + "_addr"}, Size: minNameSet, Timeout: true}
	if have != nil {
		want.Size = max(minNameSet, len(have.elements), have.Size)
	}
	return want
}
