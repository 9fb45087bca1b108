package nftables

import (
	"fmt"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/compiler"
)

// Script writes p as one file for nft -f, for use without a loader: whatever the
// table held before is replaced in one transaction. It knows no devices; what
// that costs stands in docs/artifact.md.
func Script(p *compiler.Program) ([]byte, error) {
	e, err := build(p)
	if err != nil {
		return nil, err
	}
	e.bare = true
	var all sections
	e.skeleton(&all)
	all.chains.Write(e.out.chains.Bytes())
	all.objects.Write(e.out.objects.Bytes())
	all.elements.Write(e.out.elements.Bytes())
	all.rules.Write(e.out.rules.Bytes())
	e.fill(&all)
	head := fmt.Sprintf("add table %[1]s\ndelete table %[1]s\nadd table %[1]s\n", Table)
	files := []bundle.File{{Name: "script", Data: append([]byte(head), all.bytes()...)}}
	tagFiles(files)
	return files[0].Data, nil
}

// reversePath adds the source check of a script, in front of the dispatch by
// source: a packet must come from where the answer to it would go. Neighbour
// discovery, MLD and what a DHCPv6 server sends have no such route.
func (e *emitter) reversePath(s *sections) {
	name := gen("source")
	s.chain(name)
	s.rule(name, "icmpv6 type { 133, 134, 135, 136 } icmpv6 code 0 ip6 hoplimit 255 return")
	s.rule(name, "%s return", listener)
	s.rule(name, "ip6 saddr fe80::/10 udp sport 547 udp dport 546 return")
	s.rule(name, "ip6 saddr { ::, fe80::/10 } goto %s", gen("spoofed"))
	s.rule(name, "fib saddr . iif oif missing goto %s", gen("spoofed"))
	s.rule("tp_prerouting", `iifname != "lo" jump %s`, name)
}
