package verify

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// metadataService is where the cloud's metadata service answers: that of Alibaba
// Cloud, and the address that other clouds and many client libraries use.
var metadataService = []netip.Prefix{
	netip.MustParsePrefix("100.100.100.200/32"),
	netip.MustParsePrefix("169.254.169.254/32"),
}

// metadataReachable reports rules by which pods reach the metadata service, on any
// protocol and port (TP501), each rule once.
func metadataReachable(ctx context.Context, a *Analysis) ([]model.Finding, error) {
	every := func(*model.Rule) bool { return true }
	return a.openingFindings(ctx, metadataService, every, func(s *sense, o *opening) model.Finding {
		names := o.names(metadataService)
		f := s.finding(model.MetadataReachable, o.rule.Rule().Pos, fmt.Sprintf(
			"the allow opens the metadata service, %s, to pods such as %s", names, o.first().at.name()))
		f.Suggestion = "deny " + names + " before it"
		return f
	})
}
