package compiler

import (
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// maxFQDN is the length of the longest domain name in text (RFC 1035, 2.3.4).
const maxFQDN = 253

// NormalizeFQDN returns name in lower case without one trailing dot, and
// whether it is a domain name (RFC 1123 labels; underscores, as in SRV owners,
// are not host names). Wildcards and IP addresses are not.
func NormalizeFQDN(name string) (string, bool) {
	n := strings.ToLower(strings.TrimSuffix(name, "."))
	if len(n) > maxFQDN || len(validation.IsDNS1123Subdomain(n)) > 0 {
		return "", false
	}
	return n, true
}
