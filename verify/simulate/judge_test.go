package simulate

import (
	"encoding/json"
	"net/netip"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/model"
)

func cidr(s string) model.Peer {
	return model.Peer{Kind: model.PeerCIDR, CIDR: netip.MustParsePrefix(s)}
}
func fqdn(s string) model.Peer { return model.Peer{Kind: model.PeerFQDN, FQDN: s} }

func allow(peers ...model.Peer) model.Rule { return model.Rule{Action: model.Allow, Peers: peers} }
func deny(peers ...model.Peer) model.Rule  { return model.Rule{Action: model.Deny, Peers: peers} }

// world is an input with one pod, default/a at 10.0.0.1, under one policy with
// the egress rules.
func world(egress ...model.Rule) *compiler.Input {
	return &compiler.Input{
		Policies: []*model.Policy{{
			Kind: model.TrafficPolicy, Namespace: "default", Name: "p", Priority: 100,
			Egress: &model.Section{Rules: egress},
		}},
		Inventory: &model.Inventory{Pods: []*model.Pod{{
			Namespace: "default", Name: "a", PodMeta: model.PodMeta{Enrolled: true},
			IPs: []netip.Addr{netip.MustParseAddr("10.0.0.1")},
		}}},
		InventoryGiven: true,
	}
}

// TestResultJSON holds the names and the order of the JSON fields.
func TestResultJSON(t *testing.T) {
	for _, tt := range []struct {
		name  string
		rules []model.Rule
		flow  Flow
		want  string
	}{
		{"rule", []model.Rule{deny(cidr("9.0.0.0/8")), allow(cidr("8.0.0.0/8"))},
			Flow{Src: "default/a", Dst: "8.8.8.8", Port: 443, HasPort: true},
			`{"src":{"input":"default/a","pod":"default/a","ip":"10.0.0.1"},"dst":{"input":"8.8.8.8","ip":"8.8.8.8"},"proto":"TCP","port":443,"verdict":"allow",` +
				`"egress":{"verdict":"allow","reason":"rule","rule":"TrafficPolicy/default/p#egress[1]","peer":0,"policies":["TrafficPolicy/default/p"]},` +
				`"ingress":{"verdict":"allow","reason":"external"}}`},
		{"default deny", []model.Rule{allow(cidr("8.0.0.0/8"))},
			Flow{Src: "10.0.0.1", Dst: "9.0.0.0", Proto: "icmp"},
			`{"src":{"input":"10.0.0.1","pod":"default/a","ip":"10.0.0.1"},"dst":{"input":"9.0.0.0","ip":"9.0.0.0"},"proto":"ICMP","verdict":"deny",` +
				`"egress":{"verdict":"deny","reason":"default-deny","policies":["TrafficPolicy/default/p"]},` +
				`"ingress":{"verdict":"allow","reason":"external"}}`},
		{"reject, every peer", []model.Rule{{Action: model.Reject}},
			Flow{Src: "default?x=y", Dst: "fd00::1", Proto: "47"},
			`{"src":{"input":"default?x=y","pod":"default?x=y"},"dst":{"input":"fd00::1","ip":"fd00::1"},"proto":"other","verdict":"deny","reject":true,` +
				`"egress":{"verdict":"deny","reject":true,"reason":"rule","rule":"TrafficPolicy/default/p#egress[0]","policies":["TrafficPolicy/default/p"]},` +
				`"ingress":{"verdict":"allow","reason":"external"}}`},
		{"mixed", []model.Rule{allow(fqdn("x.example"))},
			Flow{Src: "default/a", Dst: "8.8.8.8", Port: 0, HasPort: true},
			`{"src":{"input":"default/a","pod":"default/a","ip":"10.0.0.1"},"dst":{"input":"8.8.8.8","ip":"8.8.8.8"},"proto":"TCP","port":0,"verdict":"mixed","cases":[` +
				`{"src":{"input":"default/a","pod":"default/a","ip":"10.0.0.1"},"dst":{"input":"8.8.8.8","ip":"8.8.8.8"},"proto":"TCP","port":0,"verdict":"deny",` +
				`"egress":{"verdict":"deny","reason":"default-deny","policies":["TrafficPolicy/default/p"]},"ingress":{"verdict":"allow","reason":"external"},` +
				`"condition":"8.8.8.8 is no address of fqdn x.example"},` +
				`{"src":{"input":"default/a","pod":"default/a","ip":"10.0.0.1"},"dst":{"input":"8.8.8.8","ip":"8.8.8.8"},"proto":"TCP","port":0,"verdict":"allow",` +
				`"egress":{"verdict":"allow","reason":"rule","rule":"TrafficPolicy/default/p#egress[0]","peer":0,"policies":["TrafficPolicy/default/p"]},"ingress":{"verdict":"allow","reason":"external"},` +
				`"condition":"8.8.8.8 is an address of fqdn x.example"}]}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			res, err := New(world(tt.rules...), compiler.Options{}).Judge(tt.flow)
			if err != nil {
				t.Fatal(err)
			}
			got, err := json.Marshal(res)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}
