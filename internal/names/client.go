package names

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// maxAsks is how many questions one question may become because answers end at a
// CNAME to a name that they say nothing of.
const maxAsks = 8

// A resolver that was silent downAfter times in a row is asked last: for downFirst
// at first, doubled each time that it is silent again up to downLast.
const (
	downAfter = 3
	downFirst = time.Second
	downLast  = 30 * time.Second
)

// resolver is one resolver and how it does; guarded by client.mu.
type resolver struct {
	addr   netip.AddrPort
	plain  bool // knows no EDNS
	silent int  // times in a row
	ResolverStatus
}

// client asks resolvers.
type client struct {
	dial    dialer
	timeout time.Duration
	pace    *pace

	mu        sync.Mutex
	resolvers []*resolver
}

func newClient(c *Config) *client {
	cl := &client{dial: c.Dial, timeout: c.Timeout, pace: newPace(c.Rate)}
	cl.set(c.Resolvers)
	return cl
}

// set replaces the resolvers, and keeps what is known of those that stay.
func (c *client) set(rs []netip.AddrPort) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var next []*resolver
	for _, r := range rs {
		if slices.ContainsFunc(next, func(o *resolver) bool { return o.addr == r }) {
			continue
		}
		if i := slices.IndexFunc(c.resolvers, func(o *resolver) bool { return o.addr == r }); i >= 0 {
			next = append(next, c.resolvers[i])
			continue
		}
		next = append(next, &resolver{addr: r, ResolverStatus: ResolverStatus{Resolver: r}})
	}
	c.resolvers = next
}

func (c *client) status() (out []ResolverStatus) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.resolvers {
		out = append(out, r.ResolverStatus)
	}
	return out
}

var qtypes = [...]uint16{inet4: dns.TypeA, inet6: dns.TypeAAAA}

// lookup finds the addresses of a name in one family.
func (c *client) lookup(ctx context.Context, name string, f family) (answer, error) {
	ch := newChain(dns.Fqdn(name))
	for range maxAsks {
		m, err := c.ask(ctx, ch.at, qtypes[f])
		if err != nil {
			return answer{}, err
		}
		if a, done, err := ch.follow(m, qtypes[f]); done {
			return a, err
		}
	}
	return answer{}, errLong
}

// ask puts one question to one resolver after another until one answers it: that
// the name has no address, or does not exist, is an answer. A sole resolver is
// asked twice, as packets get lost.
func (c *client) ask(ctx context.Context, fqdn string, qtype uint16) (*dns.Msg, error) {
	order := c.order(time.Now())
	if len(order) == 1 {
		order = append(order, order[0])
	}
	var errs []error
	for _, r := range order {
		m, err := c.try(ctx, r, fqdn, qtype)
		if err == nil {
			return m, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err = fmt.Errorf("%s: %w", r.addr, err); len(errs) == 0 || errs[len(errs)-1].Error() != err.Error() {
			errs = append(errs, err)
		}
	}
	return nil, joinErrors(errs)
}

// joinErrors is errors.Join on one line.
func joinErrors(errs []error) error {
	if len(errs) == 1 {
		return errs[0]
	}
	all := errs[0]
	for _, err := range errs[1:] {
		all = fmt.Errorf("%w; %w", all, err)
	}
	return all
}

// order returns the resolvers, those that are down last, the one that is down
// for the shortest first.
func (c *client) order(now time.Time) []*resolver {
	c.mu.Lock()
	defer c.mu.Unlock()
	down := map[*resolver]time.Time{}
	for _, r := range c.resolvers {
		if r.DownUntil.After(now) {
			down[r] = r.DownUntil
		}
	}
	order := slices.Clone(c.resolvers)
	slices.SortStableFunc(order, func(a, b *resolver) int { return down[a].Compare(down[b]) })
	return order
}

// try puts one question to one resolver: over UDP, over TCP where the answer over
// UDP will not do, and once more without EDNS where that is not understood.
func (c *client) try(ctx context.Context, r *resolver, fqdn string, qtype uint16) (*dns.Msg, error) {
	c.mu.Lock()
	plain := r.plain
	c.mu.Unlock()
	m, err := c.transact(ctx, r, newQuery(fqdn, qtype, plain))
	if err == nil && !plain && noEDNS(m) {
		if m, err = c.transact(ctx, r, newQuery(fqdn, qtype, true)); err == nil && m.Rcode != dns.RcodeFormatError {
			c.mu.Lock()
			r.plain = true
			c.mu.Unlock()
		}
	}
	if err != nil {
		return nil, err
	}
	if m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError {
		return nil, errors.New(rcodeText(m.Rcode))
	}
	return m, nil
}

// noEDNS reports whether an answer is that of a server that knows no EDNS (RFC 6891, 7).
func noEDNS(m *dns.Msg) bool {
	return (m.Rcode == dns.RcodeFormatError || m.Rcode == dns.RcodeNotImplemented) && m.IsEdns0() == nil
}

func rcodeText(rcode int) string {
	if s, ok := dns.RcodeToString[rcode]; ok {
		return s
	}
	return fmt.Sprintf("response code %d", rcode)
}

// transact has one query answered, over UDP or, if need be, TCP.
func (c *client) transact(ctx context.Context, r *resolver, q *query) (*dns.Msg, error) {
	for _, network := range []string{"udp", "tcp"} {
		if err := c.pace.wait(ctx); err != nil {
			return nil, err
		}
		limited, cancel := context.WithTimeout(ctx, c.timeout)
		got, err := q.exchange(limited, c.dial, network, r.addr)
		cancel()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		c.note(r, got.unusable, err, time.Now())
		if err != nil {
			return nil, fmt.Errorf("%w (%s)", err, network)
		}
		if got.msg != nil {
			return got.msg, nil
		}
	}
	return nil, errors.New("no answer that is whole") // exchange does not do that over TCP
}

// note keeps account of a resolver. One whose TCP is closed to us is not down for
// that: each query begins with an answer over UDP.
func (c *client) note(r *resolver, unusable int, err error, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r.Queries++
	r.Unusable += uint64(unusable)
	if !errors.Is(err, errSilent) {
		r.silent, r.DownUntil = 0, time.Time{}
		return
	}
	r.Silent++
	if r.silent++; r.silent >= downAfter {
		r.DownUntil = now.Add(min(downFirst<<min(r.silent-downAfter, 10), downLast))
	}
}

// pace spaces what it lets pass: at most rate a second, but for a tenth of that
// at once after a rest.
type pace struct {
	gap, burst time.Duration

	mu   sync.Mutex
	next time.Time // when the next may pass
}

func newPace(rate int) *pace {
	return &pace{gap: time.Second / time.Duration(rate), burst: time.Second / 10}
}

// wait returns when the caller may pass, or with the error of ctx when that ends.
func (p *pace) wait(ctx context.Context) error {
	p.mu.Lock()
	now := time.Now()
	p.next = later(p.next, now.Add(-p.burst))
	at := p.next
	p.next = p.next.Add(p.gap)
	p.mu.Unlock()
	if !at.After(now) {
		return ctx.Err()
	}
	timer := time.NewTimer(at.Sub(now))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
