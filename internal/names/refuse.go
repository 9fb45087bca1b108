package names

import (
	"net/netip"

	"go4.org/netipx"
)

// Refusal is a set of addresses that no answer may open, beside those that are
// always refused: addresses of nodes, pods and Services, as inventory, bundle or
// flags say.
type Refusal struct {
	What string // in the log: "a pod's address"
	Set  *netipx.IPSet
}

// always are prefixes that no answer may open, wherever the Learner runs.
// Metadata services come first: some are in the wider prefixes below.
var always = []struct {
	prefix netip.Prefix
	what   string
}{
	{netip.MustParsePrefix("100.100.100.200/32"), metadata},     // Alibaba Cloud
	{netip.MustParsePrefix("169.254.169.254/32"), metadata},     // most clouds
	{netip.MustParsePrefix("fd00:ec2::254/128"), metadata},      // AWS
	{netip.MustParsePrefix("fd20:ce::254/128"), metadata},       // Google Cloud
	{netip.MustParsePrefix("fd00:c1::a9fe:a9fe/128"), metadata}, // Oracle Cloud
	{netip.MustParsePrefix("0.0.0.0/8"), "unspecified"},         // RFC 1122, 3.2.1.3: "this network"
	{netip.MustParsePrefix("127.0.0.0/8"), "loopback"},
	{netip.MustParsePrefix("169.254.0.0/16"), "link-local"},
	{netip.MustParsePrefix("224.0.0.0/4"), "multicast"},
	{netip.MustParsePrefix("255.255.255.255/32"), "broadcast"},
	{netip.MustParsePrefix("240.0.0.0/4"), "reserved"}, // RFC 1112, 4
	{netip.MustParsePrefix("::/128"), "unspecified"},
	{netip.MustParsePrefix("::1/128"), "loopback"},
	{netip.MustParsePrefix("fe80::/10"), "link-local"},
	{netip.MustParsePrefix("fec0::/10"), "site-local"}, // deprecated by RFC 3879
	{netip.MustParsePrefix("ff00::/8"), "multicast"},
}

const metadata = "the metadata service"

// embeds are prefixes of IPv6 addresses that lead to an IPv4 address: bytes at
// and after from are that. A packet to one ends at the other, so that it is refused
// with it.
var embeds = []struct {
	prefix netip.Prefix
	from   int
	how    string
}{
	{netip.MustParsePrefix("64:ff9b::/96"), 12, "NAT64"},    // RFC 6052, 2.1
	{netip.MustParsePrefix("64:ff9b:1::/48"), 12, "NAT64"},  // RFC 8215; its /96s
	{netip.MustParsePrefix("2002::/16"), 2, "6to4"},         // RFC 3056, 2
	{netip.MustParsePrefix("::/96"), 12, "IPv4-compatible"}, // RFC 4291, 2.5.5.1
	{netip.MustParsePrefix("::ffff:0:0:0/96"), 12, "SIIT"},  // RFC 2765, 2.1: IPv4-translated
}

// refusals decides which addresses are refused.
type refusals []Refusal

// why returns what the unmapped address is that makes it refused, "" if it is not.
func (r refusals) why(a netip.Addr) string {
	if !a.IsValid() {
		return "no address"
	}
	for i := range always {
		if always[i].prefix.Contains(a) {
			return always[i].what
		}
	}
	for i := range r {
		if r[i].Set != nil && r[i].Set.Contains(a) {
			return r[i].What
		}
	}
	for _, e := range embeds {
		if e.prefix.Contains(a) {
			b := a.As16()
			if what := r.why(netip.AddrFrom4([4]byte(b[e.from : e.from+4]))); what != "" {
				return what + ", by " + e.how
			}
		}
	}
	return ""
}
