// Package scale makes policy sets of the sizes that benchmarks need, as model
// values and as YAML: the shapes that large rule lists take, and many policies
// over many label sets.
//
// What is made depends on the arguments alone. Positions are not set.
package scale

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// Shape is one way in which a list comes to have many rules.
type Shape struct {
	Name  string
	Rules func(n int) []model.Rule // n egress rules, every peer a cidr
}

// Shapes lists what policies look like, then what they may be made to look like.
var Shapes = []Shape{
	{"dense", Dense},
	{"sparse", Sparse},
	{"one-prefix", OnePrefix},
	{"ports-first", PortsFirst},
	{"ports-last", PortsLast},
	{"chain", Chain},
}

// Dense has prefixes from hosts to /12 within 10.0.0.0/8, roughly the narrow ones
// first, half of them with ports. Planted unions: one in twenty is behind two
// halves that together take all its packets, and decide them differently.
func Dense(n int) []model.Rule {
	rng := rand.New(rand.NewPCG(7, uint64(n)))
	var rules []model.Rule
	for len(rules) < n {
		widest := 20 * len(rules) / n
		bits := 32 - rng.IntN(1+widest)
		p := cidr(10<<24|rng.Uint32N(1<<24), bits)
		action := []model.Action{model.Deny, model.Allow}[rng.IntN(2)]
		if rng.IntN(20) == 0 && bits < 32 {
			base := binary.BigEndian.Uint32(p.Addr().AsSlice())
			rules = append(rules, rule(model.Allow, cidr(base, bits+1)), rule(model.Deny, cidr(base|1<<(31-bits), bits+1)))
		}
		if rng.IntN(2) == 0 {
			port := uint16(1 + rng.IntN(2000))
			rules = append(rules, rule(action, p, tcp(port, port+uint16(rng.IntN(50)))))
			continue
		}
		rules = append(rules, rule(action, p))
	}
	return rules[:n]
}

// Sparse has hosts all over the space, each with one port, and a deny of
// everything at the end.
func Sparse(n int) []model.Rule {
	rng := rand.New(rand.NewPCG(8, uint64(n)))
	rules := make([]model.Rule, 0, n)
	for i := range n - 1 {
		port := []uint16{22, 80, 443, 3306, 6379}[i%5]
		rules = append(rules, rule(model.Allow, cidr(rng.Uint32(), 32), tcp(port, port)))
	}
	return append(rules, rule(model.Deny, model.IPv4.All()))
}

// OnePrefix is one prefix with port rules that overlap.
func OnePrefix(n int) []model.Rule {
	rng := rand.New(rand.NewPCG(9, uint64(n)))
	rules := make([]model.Rule, 0, n)
	for i := range n {
		first := uint16(1 + rng.IntN(65000))
		rules = append(rules, rule(model.Action(i%3), cidr(10<<24, 8), tcp(first, first+uint16(rng.IntN(40)))))
	}
	return rules
}

// PortsFirst has rules on 0.0.0.0/0, a twentieth of all and each with a port of
// its own, before rules for single hosts.
func PortsFirst(n int) []model.Rule {
	return append(ports(n/20), hosts(n-n/20)...)
}

// PortsLast has the same behind them.
func PortsLast(n int) []model.Rule {
	return append(hosts(n-n/20), ports(n/20)...)
}

func ports(n int) []model.Rule {
	rules := make([]model.Rule, 0, n)
	for i := range n {
		port := uint16(2*i + 1)
		rules = append(rules, rule(model.Action(i%3), model.IPv4.All(), tcp(port, port)))
	}
	return rules
}

func hosts(n int) []model.Rule {
	rules := make([]model.Rule, 0, n)
	for i := range n {
		rules = append(rules, rule(model.Action(i%3), cidr(10<<24|uint32(i), 32)))
	}
	return rules
}

// Chain nests /32 within /31 and so on up to /1, over and over.
func Chain(n int) []model.Rule {
	rng := rand.New(rand.NewPCG(10, uint64(n)))
	var rules []model.Rule
	for len(rules) < n {
		a := rng.Uint32()
		for bits := 32; bits >= 1; bits-- {
			last := uint16(1 + rng.IntN(65535))
			rules = append(rules, rule(model.Action(rng.IntN(3)), cidr(a, bits), tcp(1, last)))
		}
	}
	return rules[:n]
}

func rule(a model.Action, to netip.Prefix, ports ...model.Port) model.Rule {
	return model.Rule{Action: a, Peers: []model.Peer{{Kind: model.PeerCIDR, CIDR: to}}, Ports: ports}
}

func tcp(first, last uint16) model.Port {
	return model.Port{Proto: model.TCP, First: first, Last: last}
}

// cidr returns the prefix of that length around address a.
func cidr(a uint32, bits int) netip.Prefix {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], a)
	return netip.PrefixFrom(netip.AddrFrom4(b), bits).Masked()
}
