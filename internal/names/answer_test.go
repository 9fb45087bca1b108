package names

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// message returns an answer for db.example with these records; those after "--"
// are in the authority section.
func message(rcode int, lines ...string) *dns.Msg {
	m := new(dns.Msg)
	m.SetQuestion("db.example.", dns.TypeA)
	m.Response, m.Rcode = true, rcode
	if i := slices.Index(lines, "--"); i >= 0 {
		m.Ns = rrs(lines[i+1:]...)
		lines = lines[:i]
	}
	m.Answer = rrs(lines...)
	return m
}

// links returns a chain of n CNAMEs from db.example to end.example.
func links(n int) (lines []string) {
	at := "db.example."
	for i := range n {
		next := fmt.Sprintf("n%d.example.", i)
		if i == n-1 {
			next = "end.example."
		}
		lines = append(lines, at+" 60 CNAME "+next)
		at = next
	}
	return lines
}

func TestFollow(t *testing.T) {
	const soa = "example. 100 SOA ns. host. 1 2 3 4 50"
	for _, test := range []struct {
		what  string
		m     *dns.Msg
		addrs []string
		ttl   time.Duration
		next  string // to be asked for, "" if the answer is whole
		err   error
	}{
		{"one", message(0, "db.example. 60 A 10.0.0.1"), []string{"10.0.0.1"}, 60, "", nil},
		{"in their order, with the least TTL", message(0, "db.example. 60 A 10.0.0.2", "db.example. 7 A 10.0.0.1"), []string{"10.0.0.2", "10.0.0.1"}, 7, "", nil},
		{"letters do not matter", message(0, "DB.exAMPLE. 60 A 10.0.0.1"), []string{"10.0.0.1"}, 60, "", nil},
		{"of another name", message(0, "dbx.example. 60 A 192.0.2.1", "example. 60 A 192.0.2.2", "x.db.example. 60 A 192.0.2.3"), nil, 0, "", nil},
		{"of another type", message(0, "db.example. 60 AAAA fd00::1", "db.example. 60 TXT a"), nil, 0, "", nil},
		{"of another class", message(0, "db.example. 60 CH A 192.0.2.1"), nil, 0, "", nil},
		{"TTL with the highest bit", message(0, "db.example. 2147483648 A 10.0.0.1"), []string{"10.0.0.1"}, 0, "", nil},
		{"longest TTL", message(0, "db.example. 2147483647 A 10.0.0.1"), []string{"10.0.0.1"}, 2147483647, "", nil},

		{"chain, in any order", message(0, "z.example. 60 A 10.0.0.1", "y.example. 5 CNAME Z.example.", "db.example. 30 CNAME y.EXAMPLE."), []string{"10.0.0.1"}, 5, "", nil},
		{"beside the chain", message(0, "db.example. 60 CNAME y.example.", "y.example. 60 A 10.0.0.1", "z.example. 60 A 192.0.2.1"), []string{"10.0.0.1"}, 60, "", nil},
		{"two CNAMEs, the first counts", message(0, "db.example. 60 CNAME y.example.", "db.example. 60 CNAME z.example.", "z.example. 60 A 192.0.2.1", "y.example. 60 A 10.0.0.1"), []string{"10.0.0.1"}, 60, "", nil},
		{"an address beside a CNAME", message(0, "db.example. 60 CNAME y.example.", "db.example. 60 A 10.0.0.1", "y.example. 60 A 192.0.2.1"), []string{"10.0.0.1"}, 60, "", nil},
		{"chain that leaves", message(0, "db.example. 60 CNAME y.example.", "y.example. 60 CNAME z.example."), nil, 0, "z.example.", nil},
		{"chain that leaves, with a referral", message(0, "db.example. 60 CNAME z.test.", "--", "test. 60 NS ns.test."), nil, 0, "z.test.", nil},
		{"circle of one", message(0, "db.example. 60 CNAME db.example."), nil, 0, "", errLoop},
		{"circle of two", message(0, "db.example. 60 CNAME y.example.", "y.example. 60 CNAME DB.example."), nil, 0, "", errLoop},
		{"circle behind the first", message(0, "db.example. 60 CNAME y.example.", "y.example. 60 CNAME z.example.", "z.example. 60 CNAME y.example."), nil, 0, "", errLoop},
		{"longest chain", message(0, append(links(maxLinks), "end.example. 60 A 10.0.0.1")...), []string{"10.0.0.1"}, 60, "", nil},
		{"longer chain", message(0, append(links(maxLinks+1), "end.example. 60 A 192.0.2.1")...), nil, 0, "", errLong},

		{"does not exist", message(dns.RcodeNameError, "--", soa), nil, 50, "", nil},
		{"does not exist, no SOA", message(dns.RcodeNameError), nil, 0, "", nil},
		{"SOA's own TTL is less", message(dns.RcodeNameError, "--", "example. 20 SOA ns. host. 1 2 3 4 50"), nil, 20, "", nil},
		{"no address", message(0, "--", soa), nil, 50, "", nil},
		{"no address, no SOA", message(0), nil, 0, "", nil},
		{"the chain's end does not exist", message(dns.RcodeNameError, "db.example. 30 CNAME y.example.", "--", soa), nil, 30, "", nil},
		{"the chain's end has no address", message(0, "db.example. 60 CNAME y.example.", "--", soa), nil, 50, "", nil},
		{"referral", message(0, "--", "example. 60 NS ns.example."), nil, 0, "", errLame},
	} {
		c := newChain("DB.example.")
		a, done, err := c.follow(test.m, dns.TypeA)
		if !errors.Is(err, test.err) || done != (test.next == "") {
			t.Errorf("%s: done %v, error %v", test.what, done, err)
			continue
		}
		if !done && c.at != test.next {
			t.Errorf("%s: next is %s, want %s", test.what, c.at, test.next)
		}
		if done && err == nil && (!slices.Equal(a.addrs, addrs(test.addrs...)) || a.ttl != test.ttl*time.Second || a.negative != (len(test.addrs) == 0)) {
			t.Errorf("%s: %+v, want %s for %d s", test.what, a, test.addrs, test.ttl)
		}
	}
}

// TestAuthoritativeNoAddress: with authority and name servers, but no SOA, it is
// no referral.
func TestAuthoritativeNoAddress(t *testing.T) {
	m := message(0, "--", "example. 60 NS ns.example.")
	m.Authoritative = true
	if a, done, err := newChain("db.example.").follow(m, dns.TypeA); err != nil || !done || !a.negative {
		t.Errorf("%+v, %v, %v", a, done, err)
	}
}

func TestFollowAAAA(t *testing.T) {
	m := message(0, "db.example. 60 CNAME y.example.", "y.example. 60 A 10.0.0.1", "y.example. 50 AAAA ::ffff:10.0.0.2", "y.example. 60 AAAA fd00::1")
	a, _, err := newChain("db.example.").follow(m, dns.TypeAAAA)
	if err != nil || !slices.Equal(a.addrs, addrs("::ffff:10.0.0.2", "fd00::1")) || a.ttl != 50*time.Second {
		t.Errorf("%+v, %v", a, err)
	}
}

func TestRefused(t *testing.T) {
	r := refusals{{"a pod's address", set("10.20.0.0/16", "fd00:20::/32")}}
	for _, test := range []struct{ addr, want string }{
		{"0.0.0.0", "unspecified"}, {"0.255.255.255", "unspecified"}, {"1.0.0.0", ""},
		{"126.255.255.255", ""}, {"127.0.0.1", "loopback"}, {"127.255.255.255", "loopback"}, {"128.0.0.0", ""},
		{"169.253.255.255", ""}, {"169.254.0.0", "link-local"}, {"169.254.169.254", metadata}, {"169.254.255.255", "link-local"}, {"169.255.0.0", ""},
		{"100.100.100.199", ""}, {"100.100.100.200", metadata}, {"100.100.100.201", ""}, {"100.100.2.136", ""},
		{"223.255.255.255", ""}, {"224.0.0.0", "multicast"}, {"239.255.255.255", "multicast"},
		{"240.0.0.0", "reserved"}, {"255.255.255.254", "reserved"}, {"255.255.255.255", "broadcast"},
		{"10.19.255.255", ""}, {"10.20.0.0", "a pod's address"}, {"10.20.255.255", "a pod's address"}, {"10.21.0.0", ""},
		{"192.168.0.1", ""}, {"172.16.0.1", ""}, {"8.8.8.8", ""},
		{"::", "unspecified"}, {"::1", "loopback"}, {"::2", "unspecified, by IPv4-compatible"},
		{"fe7f:ffff::", ""}, {"fe80::1", "link-local"}, {"febf:ffff::", "link-local"}, {"fec0::", "site-local"}, {"feff::", "site-local"}, {"ff00::", "multicast"}, {"ff02::1", "multicast"},
		{"fd00:ec2::253", ""}, {"fd00:ec2::254", metadata}, {"fd20:ce::254", metadata}, {"fd00:c1::a9fe:a9fe", metadata},
		{"fd00:1f:ffff::", ""}, {"fd00:20::1", "a pod's address"}, {"2001:db8::1", ""},
		{"64:ff9b::8.8.8.8", ""}, {"64:ff9b::100.100.100.200", metadata + ", by NAT64"}, {"64:ff9b::10.20.0.1", "a pod's address, by NAT64"},
		{"64:ff9b:0:0:0:1:6464:64c8", ""}, // not in the /96
		{"64:ff9b:1::169.254.169.254", metadata + ", by NAT64"}, {"64:ff9b:1:fffe::8.8.8.8", ""}, {"64:ff9b:2::169.254.169.254", ""},
		{"::ffff:0:169.254.169.254", metadata + ", by SIIT"}, {"::ffff:0:8.8.8.8", ""}, {"::fffe:0:169.254.169.254", ""},
		{"2002:7f00:1::", "loopback, by 6to4"}, {"2002:808:808::1", ""}, {"::127.0.0.1", "loopback, by IPv4-compatible"}, {"::8.8.8.8", ""},
	} {
		if got := r.why(netip.MustParseAddr(test.addr)); got != test.want {
			t.Errorf("%s: %q, want %q", test.addr, got, test.want)
		}
	}
	if r.why(netip.Addr{}) == "" {
		t.Error("no address is not refused")
	}
}
