//go:build linux

package load

import (
	"context"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/backends/nftables"
	"github.com/trafficpolicy/trafficpolicy/internal/loader"
)

// feed receives the packets of the log of denied packets.
type feed struct {
	log   *logReader
	scope bundle.Scope
}

// Monitor binds the log of the calling thread's network namespace.
func (Backend) Monitor(_ context.Context, _ *loader.Space, b *loader.Bundle) (loader.Feed, error) {
	log, err := openLog(nftables.LogGroup)
	if err != nil {
		return nil, err
	}
	return &feed{log, b.Manifest.Scope}, nil
}

// Close gives the log up.
func (f *feed) Close() error { return f.log.close() }

// Next waits for packets.
func (f *feed) Next(ctx context.Context) ([]loader.Denied, uint64, error) {
	packets, lost, err := f.log.read(ctx)
	var denied []loader.Denied
	for i := range packets {
		denied = append(denied, f.denied(&packets[i]))
	}
	return denied, lost, err
}

// reasons names what is decided before any rule is asked, by the prefix of its
// packets in the log.
var reasons = map[string]string{
	nftables.CounterSpoofed: loader.Spoofed,
	nftables.CounterStray:   loader.Stray,
	nftables.CounterBroken:  loader.Broken,
	nftables.CounterUnknown: loader.Unknown,
}

func (f *feed) denied(p *logged) loader.Denied {
	prefix := strings.TrimSpace(p.prefix)
	d := loader.Denied{ID: reasons[prefix], Sent: f.sent(p.hook)}
	if d.ID == "" {
		d.ID = strings.TrimPrefix(strings.TrimPrefix(prefix, nftables.RulePrefix), nftables.DefaultPrefix)
	}
	d.Packet.Time = p.time.UTC()
	d.Packet.Fill(p.payload)
	return d
}

// hookIngress is NF_INET_INGRESS (include/uapi/linux/netfilter.h).
const hookIngress = 5

// sent reports whether the hook judges what pods send; the others judge what
// they are sent.
func (f *feed) sent(hook uint8) bool {
	if f.scope == bundle.ScopePod {
		return hook == unix.NF_INET_LOCAL_OUT
	}
	return hook == unix.NF_INET_PRE_ROUTING || hook == hookIngress
}
