package names

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/miekg/dns"
)

// maxLinks is how many CNAMEs a name may lead through, in all answers together.
// Resolvers themselves give up at about as many (BIND and Unbound: 11 to 16).
const maxLinks = 16

// Errors of answers that lead nowhere.
var (
	errLoop  = errors.New("its CNAMEs lead in a circle")
	errLong  = fmt.Errorf("it leads through more than %d CNAMEs", maxLinks)
	errEmpty = errors.New("its address records hold no address")
	errLame  = errors.New("a referral: it does not resolve names for us")
)

// chain is a walk along CNAMEs, over one answer or several.
type chain struct {
	at     string // where it is, in dns.CanonicalName's form
	ttl    uint32 // least of the records passed
	passed map[string]bool
}

func newChain(fqdn string) *chain {
	return &chain{at: dns.CanonicalName(fqdn), ttl: 1<<32 - 1, passed: map[string]bool{}}
}

// follow goes on along the answer section of a checked message to addresses of
// the record type. done is false where the answer ends at a CNAME to a name
// that it says nothing of: that is to be asked for. Records of other names, classes
// and types do not count, whatever they say.
func (c *chain) follow(m *dns.Msg, qtype uint16) (a answer, done bool, err error) {
	links := map[string]*dns.CNAME{}
	addrs := map[string][]dns.RR{}
	for _, rr := range m.Answer {
		h := rr.Header()
		if h.Class != dns.ClassINET {
			continue
		}
		owner := dns.CanonicalName(h.Name)
		switch rr := rr.(type) {
		case *dns.CNAME:
			if links[owner] == nil {
				links[owner] = rr
			}
		case *dns.A, *dns.AAAA:
			if h.Rrtype == qtype {
				addrs[owner] = append(addrs[owner], rr)
			}
		}
	}
	from := c.at
	for len(addrs[c.at]) == 0 && links[c.at] != nil {
		if err := c.step(links[c.at]); err != nil {
			return answer{}, true, err
		}
	}
	if rrs := addrs[c.at]; len(rrs) > 0 {
		a, err := c.addresses(rrs)
		return a, true, err
	}
	ttl, soa := negativeTTL(m)
	switch {
	case m.Rcode == dns.RcodeNameError, soa:
		return answer{negative: true, ttl: seconds(min(ttl, c.ttl))}, true, nil
	case c.at != from:
		return answer{}, false, nil
	case !m.Authoritative && hasNS(m):
		return answer{}, true, errLame
	}
	return answer{negative: true}, true, nil // RFC 2308, 5: not to be cached without SOA
}

// step passes one CNAME.
func (c *chain) step(l *dns.CNAME) error {
	c.passed[c.at] = true
	c.at = dns.CanonicalName(l.Target)
	c.ttl = min(c.ttl, ttlOf(l))
	if c.passed[c.at] {
		return errLoop
	}
	if len(c.passed) > maxLinks {
		return errLong
	}
	return nil
}

// addresses returns what the records at the end of the chain say. Records without
// data, which updates have (RFC 2136, 2.5.2) and answers must not, are no addresses.
func (c *chain) addresses(rrs []dns.RR) (answer, error) {
	a := answer{addrs: make([]netip.Addr, 0, len(rrs))}
	ttl := c.ttl
	for _, rr := range rrs {
		var addr netip.Addr
		var ok bool
		switch rr := rr.(type) {
		case *dns.A:
			addr, ok = netip.AddrFromSlice(rr.A.To4())
		case *dns.AAAA:
			addr, ok = netip.AddrFromSlice(rr.AAAA)
		}
		if ok {
			a.addrs = append(a.addrs, addr)
			ttl = min(ttl, ttlOf(rr))
		}
	}
	if len(a.addrs) == 0 {
		return answer{}, errEmpty
	}
	a.ttl = seconds(ttl)
	return a, nil
}

// ttlOf returns a record's TTL: one with the highest bit set is 0 (RFC 2181, 8).
func ttlOf(rr dns.RR) uint32 {
	if t := rr.Header().Ttl; t < 1<<31 {
		return t
	}
	return 0
}

func seconds(ttl uint32) time.Duration { return time.Duration(ttl) * time.Second }

// negativeTTL returns for how long a negative answer holds, from the SOA in its
// authority section (RFC 2308, 5), and whether it has one.
func negativeTTL(m *dns.Msg) (ttl uint32, soa bool) {
	for _, rr := range m.Ns {
		if s, ok := rr.(*dns.SOA); ok {
			return min(ttlOf(s), s.Minttl), true
		}
	}
	return 0, false
}

func hasNS(m *dns.Msg) bool {
	for _, rr := range m.Ns {
		if _, ok := rr.(*dns.NS); ok {
			return true
		}
	}
	return false
}
