package names

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// fakeNet is a network in memory, whose connections work in simulated time.
type fakeNet struct {
	t *testing.T
	// serve returns the packets that come back to a query; none is silence.
	serve func(network, server string, q *dns.Msg) [][]byte
	// refuse has Dial fail.
	refuse func(network, server string) error

	mu      sync.Mutex
	queries []fakeQuery
}

type fakeQuery struct {
	network, server string
	msg             *dns.Msg
}

func (n *fakeNet) dial(_ context.Context, network, server string) (net.Conn, error) {
	if n.refuse != nil {
		if err := n.refuse(network, server); err != nil {
			return nil, err
		}
	}
	c := &fakeConn{net: n, network: network, server: server, in: make(chan []byte, 200), dead: make(chan struct{})}
	if network == "udp" {
		return fakePacketConn{c}, nil
	}
	return c, nil
}

// seen returns how many queries came over a network, to a server unless that is "".
func (n *fakeNet) seen(network, server string) (count int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, q := range n.queries {
		if q.network == network && (server == "" || q.server == server) {
			count++
		}
	}
	return count
}

// fakeConn is a connection of a fakeNet. TCP has two bytes of length before each
// message, and is read in pieces.
type fakeConn struct {
	net.Conn
	net             *fakeNet
	network, server string
	in              chan []byte
	rest            []byte
	out             []byte
	once            sync.Once
	dead            chan struct{}
}

func (c *fakeConn) Close() error                { return nil }
func (c *fakeConn) SetDeadline(time.Time) error { c.once.Do(func() { close(c.dead) }); return nil }

func (c *fakeConn) Write(p []byte) (int, error) {
	c.out = append(c.out, p...)
	if c.network == "tcp" {
		if len(c.out) < 2 || len(c.out) < 2+int(binary.BigEndian.Uint16(c.out)) {
			return len(p), nil
		}
		c.out = c.out[2:]
	}
	q := new(dns.Msg)
	if err := q.Unpack(c.out); err != nil {
		c.net.t.Errorf("a query that cannot be read: %v", err)
	}
	c.out = nil
	c.net.mu.Lock()
	c.net.queries = append(c.net.queries, fakeQuery{c.network, c.server, q})
	c.net.mu.Unlock()
	for _, b := range c.net.serve(c.network, c.server, q) {
		if c.network == "tcp" {
			b = append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...)
		}
		c.in <- b
	}
	return len(p), nil
}

func (c *fakeConn) Read(p []byte) (int, error) {
	if len(c.rest) == 0 {
		select {
		case b := <-c.in:
			if b == nil || len(b) == 2 && c.network == "tcp" {
				return 0, io.EOF
			}
			c.rest = b
		case <-c.dead:
			return 0, os.ErrDeadlineExceeded
		}
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	if c.network == "udp" {
		c.rest = nil // what does not fit is lost
	}
	return n, nil
}

// fakePacketConn is one that the library takes for UDP.
type fakePacketConn struct{ *fakeConn }

var errNotUsed = errors.New("not used")

func (c fakePacketConn) ReadFrom([]byte) (int, net.Addr, error) { return 0, nil, errNotUsed }
func (c fakePacketConn) WriteTo([]byte, net.Addr) (int, error)  { return 0, errNotUsed }
func (c fakePacketConn) LocalAddr() net.Addr                    { return &net.UDPAddr{} }

// packed returns a message's bytes.
func packed(m *dns.Msg) []byte {
	b, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return b
}

// rrs reads records in the words of a zone file.
func rrs(lines ...string) (out []dns.RR) {
	for _, l := range lines {
		rr, err := dns.NewRR(l)
		if err != nil {
			panic(err)
		}
		out = append(out, rr)
	}
	return out
}

// replyTo returns the answer to a query with these records.
func replyTo(q *dns.Msg, lines ...string) *dns.Msg {
	m := new(dns.Msg)
	m.SetReply(q)
	m.RecursionAvailable = true
	m.Answer = rrs(lines...)
	return m
}
