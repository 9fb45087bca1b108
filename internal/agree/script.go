package agree

import (
	"fmt"
	"slices"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/backends/nftables"
	"github.com/trafficpolicy/trafficpolicy/internal/nftwalk"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// readScript walks packets through the rules of the nftables artifact one by one.
func readScript(s *Set) (Judge, error) {
	a, err := nftables.Emit(s.Program)
	if err != nil {
		return nil, err
	}
	rules, err := Scripts(a.Files)
	if err != nil {
		return nil, err
	}
	names := counterNames(&a.Manifest)
	return func(p Packet) (Verdict, error) {
		if s.Program.Target.Pod != "" && p.Direction == model.Ingress && slices.Contains(s.Program.NodeAddrs, p.Peer) {
			return s.mute(p) // the node's own, which in pod scope its address tells
		}
		end, err := rules.Run(Described(p), Hook(p.Direction, s.Program.Target.Pod != ""))
		if err != nil {
			return Verdict{}, err
		}
		return verdictOf(end, names)
	}, nil
}

// Scripts returns what the scripts of a bundle make, one after another.
func Scripts(files []bundle.File) (*nftwalk.Ruleset, error) {
	var texts [][]byte
	for _, f := range files {
		if strings.HasSuffix(f.Name, ".nft") {
			texts = append(texts, f.Data)
		}
	}
	return nftwalk.New(texts...)
}

// Hook is where the packets of a direction are judged.
func Hook(d model.Direction, podScope bool) string {
	switch {
	case podScope && d == model.Egress:
		return "output"
	case podScope:
		return "input"
	case d == model.Egress:
		return "prerouting"
	}
	return "forward"
}

// Described is the first packet of a connection.
func Described(p Packet) *nftwalk.Packet {
	q := nftwalk.Packet{Src: p.Local, Dst: p.Peer, SrcPort: 40000, DstPort: p.L4.Port(), HopLimit: 64, In: "pod", Out: "uplink"}
	if p.Direction == model.Ingress {
		q.Src, q.Dst, q.In, q.Out = p.Peer, p.Local, "uplink", "pod"
	}
	switch p.L4.Proto() {
	case model.TCP:
		q.Proto = "tcp"
	case model.UDP:
		q.Proto = "udp"
	case model.SCTP:
		q.Proto = "sctp"
	case model.ICMP:
		q.Proto, q.Type = "icmp", 8
		if p.Local.Is6() {
			q.Proto, q.Type = "ipv6-icmp", 128
		}
	default:
		q.Proto = "253"
	}
	q = q.First()
	return &q
}

// counterNames returns rules and default denies by the names of their counters.
func counterNames(m *bundle.Manifest) map[string]string {
	names := map[string]string{}
	for _, r := range m.Rules {
		names["tp_r_"+r.ID] = r.Name
	}
	for _, d := range m.Defaults {
		names["tp_d_"+d.ID] = defaultDeny
	}
	return names
}

func verdictOf(end nftwalk.End, names map[string]string) (Verdict, error) {
	v := Verdict{Decider: noPolicy}
	for _, c := range end.Counters {
		if name := names[c]; name != "" {
			v.Decider = name
		}
	}
	switch end.Kind {
	case "accept":
		v.Action = model.Allow
	case "drop":
		v.Action = model.Deny
	case "reject":
		v.Action = model.Reject
	default:
		return v, fmt.Errorf("the script ends with %q", end.Kind)
	}
	return v, nil
}
