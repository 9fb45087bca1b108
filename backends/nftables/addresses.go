package nftables

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// addresses writes the sets of the generation.
func (e *emitter) addresses() {
	for _, f := range fams {
		name := gen("node%s", f.n)
		e.out.set("set", name, "type "+f.addrType+";")
		e.out.add(name, ofFamily(e.p.NodeAddrs, f))
		e.selfSet(f)
		for _, n := range e.p.Names {
			e.nameSet(n.Name, n.Addrs, f)
		}
	}
	if e.pod {
		e.out.set("set", gen("asked6"), "type ipv6_addr; size 1024; flags dynamic,timeout; timeout 10s;")
	}
}

// selfSet writes every ordered pair of addresses of one pod.
func (e *emitter) selfSet(f fam) {
	name := gen("self%s", f.n)
	e.out.set("set", name, "type "+f.addrType+" . "+f.addrType+";")
	var pairs []string
	for _, p := range e.p.Pods {
		own := ofFamily(p.Addrs, f)
		for _, a := range own {
			for _, b := range own {
				pairs = append(pairs, a+" . "+b)
			}
		}
	}
	e.out.add(name, pairs)
}

// nameSet writes the addresses of a domain name. Those known now have no
// timeout; what a node learns later may.
func (e *emitter) nameSet(domain string, addrs []netip.Addr, f fam) {
	name, own := nameSetName(domain, f), ofFamily(addrs, f)
	if len(own) > e.limits.nameAddrs {
		e.fail(&LimitError{
			What: fmt.Sprintf("%s addresses of domain name %s", f.Family, domain), Have: len(own), Max: e.limits.nameAddrs,
			Hint: "give fewer with --resolve, or write their CIDRs in place of the name",
		})
	}
	e.out.set("set", name, fmt.Sprintf("type %s; size %d; flags timeout;", f.addrType, NameSetSize(len(own))))
	e.out.add(name, own)
}

// minNameSet is the least number of addresses of a family that a domain name can have.
const minNameSet = 1024

// NameSetSize returns how many addresses of a family a domain name can have that has so
// many when it is compiled. The kernel takes memory for all of them at once
// (net/netfilter/nft_set_hash.c, nft_rhash_init): 8 KiB for 1,024.
func NameSetSize(compiled int) int { return max(minNameSet, 2*compiled) }

func nameSetName(domain string, f fam) string { return NameSet(genPrefix, bundle.ID(domain), f.Family) }

// NameSet returns the name of the set that holds the addresses of the domain name with
// that id, in the generation whose objects' names begin with prefix.
func NameSet(prefix, id string, f model.Family) string {
	return prefix + "name" + fams[f].n + "_" + id
}

// domainOf returns the domain name that an atom stands for.
func domainOf(a model.Atom) (string, bool) { return strings.CutPrefix(string(a), "fqdn ") }

// ofFamily returns the addresses of one family, as nft reads them.
func ofFamily(addrs []netip.Addr, f fam) []string {
	var own []string
	for _, a := range addrs {
		if model.FamilyOf(a) == f.Family {
			own = append(own, a.String())
		}
	}
	return own
}
