package ruleset

import (
	"fmt"
	"net/netip"

	"github.com/trafficpolicy/trafficpolicy/backends/nftables/command"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// devices checks the chains that a loader sends the packets of each pod's device
// to: what it sends must come from its addresses, and what it is sent is judged as
// what goes to them.
func (d *decoder) devices() error {
	if d.pod || d.key.Script {
		return nil
	}
	for _, name := range []string{"tp_if", "tp_oif"} {
		if err := sameSet(d.t.sets[name], &command.Set{Name: name, Types: []string{"ifname"}, Map: true}); err != nil {
			return err
		}
	}
	if s := d.t.sets["tp_if"]; len(s.elements) > 0 {
		return fmt.Errorf("map %q is the loader's and has elements", "tp_if")
	}
	for i := range d.key.Pods {
		if err := d.device(&d.key.Pods[i]); err != nil {
			return fmt.Errorf("device of %q: %w", d.key.Pods[i].Ref, err)
		}
	}
	return nil
}

func (d *decoder) device(p *Pod) error {
	var src, dst form
	for _, fam := range model.Families {
		own := ofFamily(p.Addrs, fam)
		if len(own) == 0 {
			continue
		}
		src.lines = append(src.lines, ownLine(fam, "saddr", own, "accept", ""))
		dst.lines = append(dst.lines, ownLine(fam, "daddr", own, "goto tp_to"+digit(fam), "tp_to"+digit(fam)))
	}
	src.lines = append(src.lines, line{does: "goto ~src_other", to: "~src_other"})
	dst.lines = append(dst.lines, line{does: "goto ~dst_other", to: "~dst_other"})
	if _, err := d.formed(p.Source, &src); err != nil {
		return err
	}
	bound, err := d.formed(p.Deliver, &dst)
	if err != nil {
		return err
	}
	for _, a := range p.Addrs {
		to := bound["tp_to"+digit(model.FamilyOf(a))]
		e, err := d.entry(kindTo, model.FamilyOf(a), to)
		if err != nil {
			return err
		}
		if *e != *d.judged[a] {
			return fmt.Errorf("chain %q leads to %q, which does not judge %s as others do", p.Deliver, to, a)
		}
	}
	return nil
}

// ownLine is the form of a rule about a pod's own addresses.
func ownLine(fam model.Family, field string, own []netip.Addr, does, to string) line {
	values := make([]string, len(own))
	for i, a := range own {
		values[i] = a.String()
	}
	ip := "ip "
	if fam == model.IPv6 {
		ip = "ip6 "
	}
	asks := &command.Match{Field: ip + field, Values: values}
	return line{conds: []string{condition(asks)}, asks: []*command.Match{asks}, does: does, to: to}
}
