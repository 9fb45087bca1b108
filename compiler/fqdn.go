package compiler

import (
	"net/netip"
	"strings"
	"unicode"

	"k8s.io/apimachinery/pkg/util/validation"
)

// maxFQDN is the length of the longest domain name in text (RFC 1035, 2.3.4).
const maxFQDN = 253

// NormalizeFQDN returns name in lower case without one trailing dot, and
// whether it is a domain name (RFC 1123 labels; underscores, as in SRV owners,
// are not host names). Wildcards and IP addresses are not.
func NormalizeFQDN(name string) (string, bool) {
	if len(name) > maxFQDN+1 || strings.IndexFunc(name, func(r rune) bool { return r > unicode.MaxASCII }) >= 0 {
		return "", false // some letters outside of ASCII have a lower case inside
	}
	n := strings.ToLower(strings.TrimSuffix(name, "."))
	if len(n) > maxFQDN || looksLikeAddr(n) || len(validation.IsDNS1123Subdomain(n)) > 0 {
		return "", false
	}
	for label := range strings.SplitSeq(n, ".") {
		if len(label) > validation.DNS1123LabelMaxLength {
			return "", false
		}
	}
	return n, true
}

// looksLikeAddr reports whether s is an IP address or prefix, or would be taken
// for an IPv4 address by a resolver: a last label of digits alone is no top-level
// domain (RFC 3696, section 2; WHATWG URL, "ends in a number").
func looksLikeAddr(s string) bool {
	s = strings.TrimSuffix(s, ".")
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	if _, err := netip.ParsePrefix(s); err == nil {
		return true
	}
	last := s[strings.LastIndexByte(s, '.')+1:]
	return last != "" && strings.Trim(last, "0123456789") == ""
}
