//go:build linux

package loader

import (
	"context"
	"net/netip"
	"strings"
	"time"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
)

// Event is one denied packet. Its JSON form is a contract.
type Event struct {
	Time time.Time `json:"time"` // when the kernel saw it, UTC
	// Pod is the pod whose policy denied it, empty where no pod of the bundle
	// has the address.
	Pod       string     `json:"pod,omitempty"`       // NAMESPACE/NAME
	Direction string     `json:"direction,omitempty"` // egress or ingress; of the connection, not of the packet
	Src       netip.Addr `json:"src"`
	Dst       netip.Addr `json:"dst"`
	Proto     string     `json:"proto"` // TCP, UDP, SCTP, ICMP or a number
	SrcPort   *uint16    `json:"srcPort,omitempty"`
	DstPort   *uint16    `json:"dstPort,omitempty"`
	Type      *uint8     `json:"icmpType,omitempty"`
	Code      *uint8     `json:"icmpCode,omitempty"`
	// Reason is rule, default-deny, spoofed, stray, broken, unknown or ethertype.
	Reason string `json:"reason"`
	Rule   string `json:"rule,omitempty"`
	// Policies of a default deny, in evaluation order.
	Policies []string `json:"policies,omitempty"`
}

// Feed receives denied packets from the kernel.
type Feed interface {
	// Next waits for denied packets. lost is how many were thrown away before
	// them because they came faster than they were read. It returns ctx.Err()
	// when ctx ends.
	Next(ctx context.Context) (packets []Denied, lost uint64, err error)
	Close() error
}

// Denied is one denied packet as a backend sees it.
type Denied struct {
	Packet Event // time, addresses, protocol, and what follows from that
	// ID is that of a rule or default deny in the manifest, or else one of the
	// reasons of an Event.
	ID string
	// Sent reports whether a pod sent the packet; otherwise it was sent to one.
	Sent bool
}

// Monitor turns denied packets into events.
type Monitor struct {
	feed   Feed
	load   func(ctx context.Context) (*Bundle, error)
	causes map[string]Event
	pods   map[netip.Addr]string
}

// NewMonitor receives what is denied in the calling thread's network namespace.
// load returns the bundle in force, and is called again when a packet was denied
// by what the last one does not have.
func (bs Backends) NewMonitor(ctx context.Context, load func(context.Context) (*Bundle, error)) (*Monitor, error) {
	m := &Monitor{load: load}
	b, err := m.reload(ctx)
	if err != nil {
		return nil, err
	}
	backend, err := bs.find(b.Manifest.Backend)
	if err != nil {
		return nil, err
	}
	space, err := newSpace(nil)
	if err != nil {
		return nil, err
	}
	m.feed, err = backend.Monitor(ctx, space, b)
	return m, err
}

// Close gives the feed up.
func (m *Monitor) Close() { m.feed.Close() }

func (m *Monitor) reload(ctx context.Context) (*Bundle, error) {
	b, err := m.load(ctx)
	if err != nil {
		return nil, err
	}
	m.causes, m.pods = causes(b.Manifest), map[netip.Addr]string{}
	for _, p := range b.Pods {
		for _, a := range p.Addrs {
			m.pods[a] = p.Ref
		}
	}
	return b, nil
}

// Next waits for events, as [Feed.Next].
func (m *Monitor) Next(ctx context.Context) (events []Event, lost uint64, err error) {
	packets, lost, err := m.feed.Next(ctx)
	if err != nil {
		return nil, lost, err
	}
	for _, p := range packets {
		if _, ok := m.causes[p.ID]; !ok {
			if _, err := m.reload(ctx); err != nil {
				return events, lost, err
			}
		}
		events = append(events, m.event(p))
	}
	return events, lost, nil
}

func (m *Monitor) event(p Denied) Event {
	e, c := p.Packet, m.causes[p.ID]
	e.Direction, e.Reason, e.Rule, e.Policies = c.Direction, c.Reason, c.Rule, c.Policies
	if e.Reason == "" {
		e.Reason = p.ID // of a generation that is gone
	}
	if e.Pod = m.pods[e.Dst]; p.Sent {
		e.Pod = m.pods[e.Src]
	}
	return e
}

// Reasons of what is decided before any rule is asked.
const (
	Spoofed = "spoofed"
	Stray   = "stray"
	Broken  = "broken"
	Unknown = "unknown"
	// Ethertype: neither IPv4 nor IPv6 nor ARP, or behind a VLAN tag.
	Ethertype = "ethertype"
)

// causes returns what each id stands for.
func causes(m *bundle.Manifest) map[string]Event {
	c := map[string]Event{}
	for _, reason := range []string{Spoofed, Stray, Broken, Unknown, Ethertype} {
		c[reason] = Event{Reason: reason}
	}
	for _, r := range m.Rules {
		direction := "egress"
		if strings.Contains(r.Name, "#ingress[") {
			direction = "ingress"
		}
		c[r.ID] = Event{Reason: "rule", Direction: direction, Rule: r.Name}
	}
	for _, d := range m.Defaults {
		c[d.ID] = Event{Reason: "default-deny", Direction: d.Direction, Policies: d.Policies}
	}
	return c
}
