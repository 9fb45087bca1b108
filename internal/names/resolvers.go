package names

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/miekg/dns"
)

// HostResolvConf is where the host says which resolvers it uses.
const HostResolvConf = "/etc/resolv.conf"

// dnsPort is where resolvers answer (RFC 1035, 4.2).
const dnsPort = 53

// ParseResolver reads ADDRESS, ADDRESS:PORT or [ADDRESS]:PORT; the port is 53 if
// it is left out. Names are no resolvers: somebody would have to resolve them.
func ParseResolver(s string) (netip.AddrPort, error) {
	if a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")); err == nil {
		return netip.AddrPortFrom(a.Unmap(), dnsPort), nil
	}
	p, err := netip.ParseAddrPort(s)
	if err != nil || p.Port() == 0 {
		return netip.AddrPort{}, fmt.Errorf("resolver %q is not an IP address, with or without a port", s)
	}
	return netip.AddrPortFrom(p.Addr().Unmap(), p.Port()), nil
}

// HostResolvers returns the resolvers of a file such as HostResolvConf
// (resolv.conf(5)). Its search domains and options are not used.
func HostResolvers(path string) ([]netip.AddrPort, error) {
	c, err := dns.ClientConfigFromFile(path)
	if err != nil {
		return nil, fmt.Errorf("resolvers of the host: %w", err)
	}
	var out []netip.AddrPort
	for _, s := range c.Servers {
		r, err := ParseResolver(s)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		out = append(out, r)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s names no resolver", path)
	}
	return out, nil
}
