//go:build linux

package bpf_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/backends/ebpf"
	"github.com/trafficpolicy/trafficpolicy/backends/ebpf/bpf"
)

// TestNamesChange: what a name means is asked for a new connection at once, for one that
// was judged when the epoch is raised, whichever end sends.
func TestNamesChange(t *testing.T) {
	w := newWorld(t, bpf.Options{})
	a := w.compile(strings.Join([]string{policyOf("client", "egress: {rules: [{action: allow, to: [{fqdn: a.example}]}]}, ingress: {rules: []}")}, ""))
	w.install(a)
	tables, err := ebpf.ReadTables(a.Files[1].Data)
	w.must(err)
	epoch := uint32(0)
	raise := func() {
		var c bpf.Ctl
		w.must(w.Ctl.Lookup(uint32(0), &c))
		epoch++
		c.Epoch = epoch
		w.must(w.Ctl.Put(uint32(0), c))
	}
	t.Cleanup(func() { // others share the instance
		var c bpf.Ctl
		w.must(w.Ctl.Lookup(uint32(0), &c))
		c.Epoch = 0
		w.must(w.Ctl.Put(uint32(0), c))
		w.Forget()
	})
	for f := range goodIP {
		w.Forget()
		mean := func(known bool) {
			for n, links := range tables.Chains {
				key := bpf.NameKey{Generation: w.Generation, Chain: uint32(n), Address: bpf.AddressOf(goodIP[f])}
				if known { // decider i has counter i here
					w.must(w.Names.Put(key, uint32(links[0].Ref)))
				} else {
					w.must(w.Names.Delete(key))
				}
			}
		}
		p := udp(clientIP[f], goodIP[f], 80)
		there := func(what string, pass bool) {
			t.Helper()
			w.expect(fmt.Sprintf("%s, %s", goodIP[f], what), w.from(devClient, p.Bytes()), pass)
		}
		back := func(what string, pass bool) {
			t.Helper()
			w.expect(fmt.Sprintf("%s, answer, %s", goodIP[f], what), w.to(devClient, reply(p).Bytes()), pass)
		}
		there("of no name", false)
		mean(true)
		there("of a name", true)
		back("of a name", true)
		mean(false)
		raise()
		back("of no name any more", false)
		there("of no name any more", false)
		mean(true)
		raise()
		back("of a name again", true)
		there("of a name again", true)
	}
}
