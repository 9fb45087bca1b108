package names

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"
)

// Defaults of [Config].
const (
	DefaultMinTTL         = 10 * time.Second
	DefaultMaxTTL         = 5 * time.Minute
	DefaultGrace          = 5 * time.Minute
	DefaultStale          = time.Hour
	DefaultInUseCheck     = 30 * time.Second
	DefaultTimeout        = 2 * time.Second
	DefaultConcurrency    = 64
	DefaultRate           = 1000
	DefaultMaxPerName     = 256
	DefaultMaxAddrs       = 65_536
	DefaultEnforcePause   = 100 * time.Millisecond
	DefaultEnforceTimeout = 30 * time.Second
)

// Config says whom a Learner asks and what it may learn. Resolvers and Enforce
// must be given; of the rest the zero value is the default.
type Config struct {
	// Resolvers are asked in this order: the first that does its work has every
	// question, the others those that it fails at. See [HostResolvers].
	Resolvers []netip.AddrPort
	// Enforce puts the addresses in force; see [Known] for what it gets. It is
	// called by Run, one call at a time, whenever what is to be enforced has changed,
	// and first when names have been set. If it fails it is called again, after 100 ms
	// at first and 30 s at most, with all that has changed since it last succeeded. Its
	// context ends with Run's, or after EnforceTimeout. It may call the Learner: to
	// store a Snapshot before it opens anything makes a restart lose nothing.
	Enforce func(ctx context.Context, k Known) error

	// InUse returns those of the addresses that live connections of governed
	// pods are with. It is asked before addresses go because of their age, and
	// those that it returns stay until it is asked again, InUseCheck later. What it
	// cannot tell (an error) stays too, up to Stale longer. nil is that none is.
	InUse func(ctx context.Context, addrs []netip.Addr) ([]netip.Addr, error)
	// Decides reports whether rules about the two names decide differently, for
	// the warning about an address that both have. nil is always. It is called with
	// the Learner locked: it must be quick and must not call it.
	Decides func(a, b string) bool
	// Dial opens the connections to resolvers, network "udp" or "tcp". The default
	// dials from the namespace of the calling thread.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Log, if not nil, gets warnings, one line each. What repeats is rate limited.
	Log func(format string, args ...any)
	// Rand returns numbers in [0,1) for the jitter of refreshes. The default is
	// math/rand/v2's. Ids of queries and ports do not come from here: they are
	// drawn by the kernel's generator always.
	Rand func() float64

	// MinTTL and MaxTTL bound the time for which an answer is taken to hold, whatever
	// its TTL says.
	MinTTL, MaxTTL time.Duration
	// Grace is for how long an address stays after the TTL of the last answer that
	// had it: pods may have got it just before it went, and names that rotate through
	// many addresses show a few at a time.
	Grace time.Duration
	// Stale is for how long addresses stay after the last answer while resolvers
	// fail, and after a restart until they answer.
	Stale time.Duration
	// InUseCheck is how long an address that is kept for its connections is kept
	// before InUse is asked again.
	InUseCheck time.Duration
	// Timeout of one try at one resolver.
	Timeout time.Duration
	// Concurrency is how many questions are asked at a time, Rate how many queries
	// are sent each second, tries at other resolvers and steps of chains included:
	// 10,000 names are 20,000 questions, 20 s at the default rate.
	Concurrency, Rate int
	// MaxPerName is how many addresses a name may have, MaxAddrs how many all of
	// them; those in force stay, of new ones the lowest are taken. Static addresses
	// count and are never left out.
	MaxPerName, MaxAddrs int
	// EnforcePause is the least time from the end of one call of Enforce to the next.
	// EnforceTimeout is how long one call of Enforce or InUse may take.
	EnforcePause, EnforceTimeout time.Duration
}

func checkResolvers(rs []netip.AddrPort) error {
	if len(rs) == 0 {
		return errors.New("no resolver to ask for the addresses of names")
	}
	for _, r := range rs {
		if !r.IsValid() || r.Port() == 0 {
			return fmt.Errorf("resolver %q is not an address and port", r)
		}
	}
	return nil
}

// complete returns the configuration with its defaults filled in.
func (c Config) complete() (Config, error) {
	if err := checkResolvers(c.Resolvers); err != nil {
		return c, err
	}
	if c.Enforce == nil {
		return c, errors.New("names need somebody to enforce them")
	}
	if c.Dial == nil {
		c.Dial = new(net.Dialer).DialContext
	}
	if c.Log == nil {
		c.Log = func(string, ...any) {}
	}
	if c.Rand == nil {
		c.Rand = rand.Float64
	}
	for _, d := range []struct {
		v *time.Duration
		d time.Duration
	}{
		{&c.MinTTL, DefaultMinTTL}, {&c.MaxTTL, DefaultMaxTTL}, {&c.Grace, DefaultGrace}, {&c.Stale, DefaultStale}, {&c.InUseCheck, DefaultInUseCheck}, {&c.Timeout, DefaultTimeout},
		{&c.EnforcePause, DefaultEnforcePause}, {&c.EnforceTimeout, DefaultEnforceTimeout},
	} {
		if *d.v <= 0 {
			*d.v = d.d
		}
	}
	for _, d := range []struct {
		v *int
		d int
	}{
		{&c.Concurrency, DefaultConcurrency}, {&c.Rate, DefaultRate},
		{&c.MaxPerName, DefaultMaxPerName}, {&c.MaxAddrs, DefaultMaxAddrs},
	} {
		if *d.v <= 0 {
			*d.v = d.d
		}
	}
	return c, nil
}
