package synth

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/trafficpolicy/trafficpolicy/model"
)

func TestSmallIsDeterministic(t *testing.T) {
	for seed := range uint64(50) {
		a, b := Small(seed), Small(seed)
		if diff := cmp.Diff(a, b, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}), cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("seed %d: %s", seed, diff)
		}
		if a.PolicyYAML() != b.PolicyYAML() || a.InventoryYAML() != b.InventoryYAML() {
			t.Fatalf("seed %d: texts differ", seed)
		}
	}
}

// What a thousand seeds draw has everything that a policy can say.
func TestSmallDrawsEveryForm(t *testing.T) {
	var text strings.Builder
	kinds := make(map[model.PeerKind]bool)
	for seed := range uint64(1000) {
		c := Small(seed)
		if !slices.IsSortedFunc(c.Policies, model.ComparePolicies) {
			t.Fatalf("seed %d: policies are not in order", seed)
		}
		for _, p := range c.Policies {
			for _, d := range model.Directions {
				for _, r := range p.Rules(d) {
					for _, peer := range r.Peers {
						kinds[peer.Kind] = true
					}
				}
			}
		}
		text.WriteString(c.PolicyYAML() + c.InventoryYAML())
	}
	if len(kinds) != 5 {
		t.Errorf("peer kinds %v, want all five", kinds)
	}
	for _, want := range []string{
		"action: reject", "to: []", "ports: []", "egress: null", "egress: {}", "rules: null", "rules: []", "matchLabels: null",
		"operator: NotIn", "operator: DoesNotExist", "name: '*'", "protocol: SCTP", "protocol: ICMP", "endPort: 65535", "namespace: missing",
		"kind: EndpointSlice", "kind: Endpoints\n", "type: ExternalName", "clusterIP: None", "hostNetwork: true", "phase: Succeeded",
		"fd00::", "cidr: 0.0.0.0/0", "cidr: ::/0", "X.EXAMPLE", "x.example.",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no text has %q", want)
		}
	}
}

func TestShrink(t *testing.T) {
	isReject := func(c *Cluster) bool { return strings.Contains(c.PolicyYAML(), "action: reject") }
	for seed := uint64(0); ; seed++ {
		if c := Small(seed); isReject(c) {
			s := Shrink(c, isReject)
			if len(s.Policies) != 1 || len(s.Inventory.Pods) > 0 || len(s.Resolve) > 0 {
				t.Errorf("shrunk to\n%s%s", s.PolicyYAML(), s.InventoryYAML())
			}
			if !isReject(c) || len(c.Inventory.Pods) == 0 {
				t.Error("the cluster given was changed")
			}
			return
		}
	}
}
