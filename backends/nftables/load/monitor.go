//go:build linux

package load

import (
	"context"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/backends/nftables"
)

// Event is one denied packet. Its JSON form is a contract.
type Event struct {
	Time time.Time `json:"time"` // when the kernel logged it, UTC
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
	// Reason is rule, default-deny, spoofed, stray, broken or unknown.
	Reason string `json:"reason"`
	Rule   string `json:"rule,omitempty"`
	// Policies of a default deny, in evaluation order.
	Policies []string `json:"policies,omitempty"`
}

// Monitor receives denied packets as they happen.
type Monitor struct {
	log    *logReader
	load   func(ctx context.Context) (*Bundle, error)
	causes map[string]cause
	pods   map[netip.Addr]string
	scope  bundle.Scope
}

// NewMonitor binds the log of the calling thread's network namespace. load
// returns the bundle in force, and is called again when a packet was denied by
// what the last one does not have.
func NewMonitor(ctx context.Context, load func(context.Context) (*Bundle, error)) (*Monitor, error) {
	m := &Monitor{load: load}
	if err := m.reload(ctx); err != nil {
		return nil, err
	}
	var err error
	m.log, err = openLog(nftables.LogGroup)
	return m, err
}

// Close gives the log up.
func (m *Monitor) Close() { m.log.close() }

func (m *Monitor) reload(ctx context.Context) error {
	b, err := m.load(ctx)
	if err != nil {
		return err
	}
	m.causes, m.scope, m.pods = causes(b.Manifest), b.Manifest.Scope, map[netip.Addr]string{}
	for _, p := range b.pods {
		for _, a := range p.Addrs {
			m.pods[a] = p.Ref
		}
	}
	return nil
}

// Next waits for denied packets. lost is how many were thrown away before them
// because they came faster than they were read. It returns ctx.Err() when ctx
// ends.
func (m *Monitor) Next(ctx context.Context) (events []Event, lost uint64, err error) {
	packets, lost, err := m.log.read(ctx)
	if err != nil {
		return nil, lost, err
	}
	for i := range packets {
		c, ok := m.causes[strings.TrimSpace(packets[i].prefix)]
		if !ok {
			if err := m.reload(ctx); err != nil {
				return events, lost, err
			}
			c = m.causes[strings.TrimSpace(packets[i].prefix)]
		}
		events = append(events, m.event(&packets[i], c))
	}
	return events, lost, nil
}

func (m *Monitor) event(p *logged, c cause) Event {
	e := Event{Time: p.time.UTC(), Direction: c.direction, Reason: c.reason, Rule: c.rule, Policies: c.policies}
	if e.Reason == "" {
		e.Reason = strings.TrimSpace(p.prefix) // of a generation that is gone
	}
	h, ok := parseHeader(p.payload)
	if !ok {
		return e
	}
	e.Src, e.Dst, e.Proto = h.src, h.dst, h.protocol()
	if h.ports {
		e.SrcPort, e.DstPort = &h.srcPort, &h.dstPort
	}
	if h.icmp {
		e.Type, e.Code = &h.typ, &h.code
	}
	if e.Pod = m.pods[h.dst]; m.sent(p.hook) {
		e.Pod = m.pods[h.src]
	}
	return e
}

// hookIngress is NF_INET_INGRESS (include/uapi/linux/netfilter.h).
const hookIngress = 5

// sent reports whether the hook judges what pods send; the others judge what
// they are sent.
func (m *Monitor) sent(hook uint8) bool {
	if m.scope == bundle.ScopePod {
		return hook == unix.NF_INET_LOCAL_OUT
	}
	return hook == unix.NF_INET_PRE_ROUTING || hook == hookIngress
}
