//go:build linux

package dnslab_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/trafficpolicy/trafficpolicy/internal/dnslab"
	"github.com/trafficpolicy/trafficpolicy/internal/netlab"
)

var loopback = []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.IPv6Unspecified().Next()}

func newSpace(t *testing.T) *netlab.Namespace {
	t.Helper()
	dnslab.Require(t)
	lab := netlab.New()
	t.Cleanup(func() {
		if err := lab.Close(); err != nil {
			t.Error(err)
		}
	})
	ns, err := lab.Namespace("dns")
	if err != nil {
		t.Fatal(err)
	}
	return ns
}

// ask returns the response code and the records of an answer, sorted, as "NAME TYPE DATA".
func ask(t *testing.T, ns *netlab.Namespace, network string, server netip.Addr, name string, qtype uint16) (string, error) {
	t.Helper()
	var c net.Conn
	err := ns.Do(func() (err error) {
		c, err = net.Dial(network, netip.AddrPortFrom(server, dnslab.Port).String())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	m := new(dns.Msg)
	m.SetQuestion(name, qtype)
	conn := &dns.Conn{Conn: c}
	if err := errors.Join(c.SetDeadline(time.Now().Add(200*time.Millisecond)), conn.WriteMsg(m)); err != nil {
		t.Fatal(err)
	}
	r, err := conn.ReadMsg()
	if err != nil {
		return "", err
	}
	var out []string
	for _, rr := range r.Answer {
		h := rr.Header()
		out = append(out, fmt.Sprintf("%s %s %s", h.Name, dns.TypeToString[h.Rrtype], strings.TrimPrefix(rr.String(), h.String())))
	}
	slices.Sort(out)
	head := dns.RcodeToString[r.Rcode]
	if r.Truncated {
		head += " truncated"
	}
	return strings.Join(append([]string{head}, out...), "; "), nil
}

func TestAnswersChange(t *testing.T) {
	ns := newSpace(t)
	s := dnslab.New(t, ns, loopback, "away.test.")
	expect := func(name string, qtype uint16, want string) {
		t.Helper()
		for _, server := range loopback {
			got, err := ask(t, ns, "udp", server, name, qtype)
			if err != nil || got != want {
				t.Errorf("%s of %s: %q, %v, want %q", name, server, got, err, want)
			}
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	expect("db.example.", dns.TypeA, "NXDOMAIN")
	must(s.Set("db.example. 60 A 10.0.0.1", "a.away.test. 60 CNAME db.example."))
	expect("db.example.", dns.TypeA, "NOERROR; db.example. A 10.0.0.1")
	expect("db.example.", dns.TypeAAAA, "NOERROR")
	expect("a.away.test.", dns.TypeA, "NOERROR; a.away.test. CNAME db.example.") // it ends there
	must(s.Set("db.example. 60 A 10.0.0.2", "db.example. 60 AAAA fd00::2", "a.example. 60 CNAME db.example."))
	expect("db.example.", dns.TypeA, "NOERROR; db.example. A 10.0.0.2")
	expect("db.example.", dns.TypeAAAA, "NOERROR; db.example. AAAA fd00::2")
	expect("a.example.", dns.TypeA, "NOERROR; a.example. CNAME db.example.; db.example. A 10.0.0.2")
	expect("a.away.test.", dns.TypeA, "NXDOMAIN")

	must(s.Fail("db.example."))
	expect("db.example.", dns.TypeA, "SERVFAIL")
	expect("x.example.", dns.TypeA, "NXDOMAIN")
	must(s.Fail())
	expect("db.example.", dns.TypeA, "NOERROR; db.example. A 10.0.0.2")

	var many []string
	for i := range 64 {
		many = append(many, fmt.Sprintf("many.example. 60 A 10.0.1.%d", i))
	}
	must(s.Set(many...))
	expect("many.example.", dns.TypeA, "NOERROR truncated")
	if got, err := ask(t, ns, "tcp", loopback[0], "many.example.", dns.TypeA); err != nil || strings.Count(got, "10.0.1.") != 64 {
		t.Errorf("over TCP: %q, %v, want 64 addresses", got, err)
	}

	if err := s.Set("relative 60 A 10.0.0.1"); err == nil {
		t.Error("a record with a relative name was taken")
	}
}

func TestPause(t *testing.T) {
	ns := newSpace(t)
	s := dnslab.New(t, ns, loopback)
	if err := s.Pause(); err != nil {
		t.Fatal(err)
	}
	if got, err := ask(t, ns, "udp", loopback[0], "x.example.", dns.TypeA); err == nil {
		t.Errorf("a server that is paused said %q", got)
	}
	if err := s.Resume(); err != nil {
		t.Fatal(err)
	}
	if got, err := ask(t, ns, "udp", loopback[0], "x.example.", dns.TypeA); err != nil || got != "NXDOMAIN" {
		t.Errorf("a server that was paused said %q, %v", got, err)
	}
}

// TestEndsAndLeavesNothing: also one that is paused.
func TestEndsAndLeavesNothing(t *testing.T) {
	ns := newSpace(t)
	before := folders(t)
	s, err := dnslab.Start(ns, loopback)
	if err != nil {
		t.Fatal(err)
	}
	if len(folders(t)) != len(before)+1 {
		t.Errorf("folders: %q, before: %q", folders(t), before)
	}
	if err := errors.Join(s.Pause(), s.Close(), s.Close()); err != nil {
		t.Error(err)
	}
	if after := folders(t); len(after) != len(before) {
		t.Errorf("folders: %q, before: %q", after, before)
	}
	if got, err := ask(t, ns, "udp", loopback[0], "x.example.", dns.TypeA); err == nil {
		t.Errorf("a server that has ended said %q", got)
	}
}

func TestStartSaysWhatIsWrong(t *testing.T) {
	ns := newSpace(t)
	_, err := dnslab.Start(ns, []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("fd00::1")}) // the second is not there
	if err == nil || !strings.Contains(err.Error(), "knotd") {
		t.Errorf("error: %v", err)
	}
}

func folders(t *testing.T) []string {
	t.Helper()
	f, err := filepath.Glob(filepath.Join(os.TempDir(), "tp-dns-*"))
	if err != nil {
		t.Fatal(err)
	}
	return f
}
