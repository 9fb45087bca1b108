package verify

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/model"
)

func TestNamesDenied(t *testing.T) {
	const text = `
tp a/p 100 app=web
  egress deny 10.0.0.0/8,fqdn:x.example
  egress allow fqdn:y.example
  egress reject fqdn:y.example,fqdn:z.example tcp/443
gtp g 100
  egress deny any
`
	known := compiler.Options{Resolve: map[string][]netip.Addr{"x.example": addr("10.0.0.1")}}
	const why = "is no barrier: it stops the addresses that the name is known to have, and an address can be used without asking for the name"
	const mend = "; deny the addresses by cidr, or allow what the pods need and deny the rest"
	want := []string{
		"TP603 warning TrafficPolicy/a/p#egress[0]: the deny of fqdn x.example " + why + " at spec.egress.rules[0].to[1]" + mend,
		"TP603 warning TrafficPolicy/a/p#egress[2]: the reject of fqdn y.example " + why + " at spec.egress.rules[2].to[0]" + mend,
		"TP603 warning TrafficPolicy/a/p#egress[2]: the reject of fqdn z.example " + why + " at spec.egress.rules[2].to[1]" + mend,
	}
	if diff := cmp.Diff(want, lines(only(t, model.FQDNDeny, text, known))); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
