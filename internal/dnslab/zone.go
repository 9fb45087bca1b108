//go:build linux

package dnslab

import (
	"fmt"
	"os"
	"strings"

	"github.com/miekg/dns"
)

// negativeTTL is for how long negative answers say that they hold, in seconds.
const negativeTTL = 10

// configure writes the server's configuration.
func (s *Server) configure() error {
	var b strings.Builder
	fmt.Fprintf(&b, "server:\n    rundir: %q\n    udp-workers: 1\n    tcp-workers: 1\n    background-workers: 1\n", s.dir)
	b.WriteString("    answer-rotation: on\n    identity: \"\"\n    version: \"\"\n    listen: [")
	for i, a := range s.listen {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, `"%s@%d"`, a, Port)
	}
	fmt.Fprintf(&b, "]\nlog:\n  - target: stderr\n    any: error\ncontrol:\n    listen: %q\ndatabase:\n    storage: %q\n", s.file("sock"), s.dir)
	fmt.Fprintf(&b, "template:\n  - id: default\n    storage: %q\n    journal-content: none\n    zonefile-load: whole\n    zonefile-sync: -1\n    semantic-checks: off\n", s.dir)
	b.WriteString("zone:\n")
	for _, z := range s.zones {
		fmt.Fprintf(&b, "  - domain: %q\n    file: %q\n", z, zoneFile(z))
	}
	for _, name := range s.failed { // a zone without its file is SERVFAIL
		fmt.Fprintf(&b, "  - domain: %q\n    file: \"none\"\n", dns.CanonicalName(name))
	}
	return os.WriteFile(s.file("knot.conf"), []byte(b.String()), 0o600)
}

func zoneFile(zone string) string { return "zone-" + zone + "txt" }

// writeZones writes the files of zones whose records are others than they were,
// and returns those zones.
func (s *Server) writeZones(records []string) (changed []string, err error) {
	text := map[string]*strings.Builder{}
	for _, z := range s.zones {
		text[z] = new(strings.Builder)
	}
	for _, r := range records {
		owner, _, ok := strings.Cut(r, " ")
		if !ok || !dns.IsFqdn(owner) {
			return nil, fmt.Errorf("%q is not a record with an absolute name", r)
		}
		fmt.Fprintln(text[s.zoneOf(owner)], r)
	}
	s.serial++
	for _, z := range s.zones {
		t := text[z].String()
		if before, ok := s.text[z]; ok && before == t {
			continue
		}
		head := fmt.Sprintf("%s %d SOA ns. host. %d 3600 60 3600 %d\n%s 3600 NS ns.\n", z, negativeTTL, s.serial, negativeTTL, z)
		if err := os.WriteFile(s.file(zoneFile(z)), []byte(head+t), 0o600); err != nil {
			return nil, err
		}
		s.text[z] = t
		changed = append(changed, z)
	}
	return changed, nil
}

// zoneOf returns the deepest zone that the name is in.
func (s *Server) zoneOf(owner string) string {
	for _, z := range s.zones {
		if dns.IsSubDomain(z, owner) {
			return z
		}
	}
	panic("the root has every name")
}
