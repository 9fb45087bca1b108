package names

import (
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// udpSize is the size of answers over UDP that is offered: what passes any path
// without fragments (RFC 9715, 3.2; DNS flag day 2020).
const udpSize = 1232

// maxUnusable is how many packets of one UDP exchange may be none of ours.
const maxUnusable = 64

// errSilent says that nothing came back that could be an answer.
var errSilent = errors.New("no answer")

// query is one question, and how it is put.
type query struct {
	msg   *dns.Msg
	plain bool // without EDNS, for servers that know none
}

// newQuery asks for records of fqdn. Its id and the case of its letters are
// random, 0x20 of draft-vixie-dnsext-dns0x20: together with the port, which the
// kernel draws for each socket, that is what somebody off the path must guess.
func newQuery(fqdn string, qtype uint16, plain bool) *query {
	m := new(dns.Msg)
	m.SetQuestion(mixCase(fqdn), qtype) // draws the id from crypto/rand
	if !plain {
		m.SetEdns0(udpSize, false)
	}
	return &query{m, plain}
}

// mixCase gives each letter a case at random.
func mixCase(s string) string {
	b, bits := []byte(s), make([]byte, len(s))
	crand.Read(bits) // never fails
	for i, c := range b {
		if lower := c | 0x20; lower >= 'a' && lower <= 'z' && bits[i]&1 == 1 {
			b[i] = c ^ 0x20
		}
	}
	return string(b)
}

// match is how far a message is the answer to a query.
type match uint8

const (
	matchNot  match = iota
	matchFold       // but for the case of the question's letters
	matchFull
)

// match compares id, direction, kind and question. Servers that fail may leave
// the question out.
func (q *query) match(m *dns.Msg) match {
	if m == nil || m.Id != q.msg.Id || !m.Response || m.Opcode != dns.OpcodeQuery {
		return matchNot
	}
	if len(m.Question) == 0 && m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError {
		return matchFull
	}
	if len(m.Question) != 1 {
		return matchNot
	}
	asked, got := q.msg.Question[0], m.Question[0]
	switch {
	case got.Qtype != asked.Qtype || got.Qclass != asked.Qclass || !strings.EqualFold(got.Name, asked.Name):
		return matchNot
	case got.Name != asked.Name:
		return matchFold
	}
	return matchFull
}

// dialer opens connections to resolvers.
type dialer func(ctx context.Context, network, address string) (net.Conn, error)

// reply is what came back to a query.
type reply struct {
	// msg is the answer, nil where it must be asked for over TCP: what came over UDP
	// was cut off, or cannot be read, or has a question of other letters' case.
	msg      *dns.Msg
	unusable int // packets that were no answer to the query
}

// exchange sends the query over one network and waits for the answer until ctx
// ends. Returns an error wrapping [errSilent] if nothing came that is one.
func (q *query) exchange(ctx context.Context, dial dialer, network string, to netip.AddrPort) (r reply, err error) {
	packet, err := q.msg.Pack()
	if err != nil {
		return r, fmt.Errorf("%q cannot be asked for: %w", q.msg.Question[0].Name, err)
	}
	c, err := dial(ctx, network, to.String())
	if err != nil {
		return r, fmt.Errorf("%w: %w", errSilent, err)
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })()
	conn := &dns.Conn{Conn: c, UDPSize: udpSize}
	if _, err := conn.Write(packet); err != nil {
		return r, fmt.Errorf("%w: %w", errSilent, err)
	}
	udp := network == "udp"
	for {
		m, err := conn.ReadMsg()
		if m == nil && !errors.Is(err, dns.ErrShortRead) {
			if ctx.Err() != nil {
				err = errors.New("none in time")
			}
			return r, fmt.Errorf("%w: %w", errSilent, err)
		}
		kind := q.match(m)
		switch {
		case kind == matchNot:
			if r.unusable++; !udp || r.unusable >= maxUnusable {
				return r, fmt.Errorf("%w: what came is none", errSilent)
			}
		case udp && (m.Truncated || kind == matchFold || err != nil):
			return r, nil
		case err != nil:
			return r, fmt.Errorf("its answer cannot be read: %w", err)
		default:
			r.msg = m
			return r, nil
		}
	}
}
