package simulate

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// Suggestion is the smallest rule that would turn a denied direction of a flow
// into an allowed one, and where it must stand to be the first that matches.
type Suggestion struct {
	Policy    *model.Policy
	Direction model.Direction
	Index     int // in the policy's rules: the new rule comes before the one that has it now
	Rule      model.Rule
}

// Suggest returns a rule for each denied direction of r, egress first; none
// where the flow is not denied. The entries of Cases are asked one by one.
//
// The rule goes where it touches the fewest pods and comes early enough: before
// the rule that denies if that is in a TrafficPolicy; at the end of the last
// TrafficPolicy that is tried before the deny; and only where there is none into
// the GlobalTrafficPolicy. It names the Service or domain name if the flow does,
// else the one address, and the flow's protocol and port.
func (r *Result) Suggest() []Suggestion {
	var out []Suggestion
	for _, d := range model.Directions {
		side := r.Egress
		if d == model.Ingress {
			side = r.Ingress
		}
		if side == nil || side.Verdict != Deny {
			continue
		}
		at := &side.at
		policy, index := at.place(d)
		out = append(out, Suggestion{policy, d, index, model.Rule{
			Action: model.Allow,
			Peers:  []model.Peer{r.suggestedPeer(d, at)},
			Ports:  at.point.entries(),
		}})
	}
	return out
}

// place returns where a new rule is the first to match what at's decision denies.
func (at *judged) place(d model.Direction) (*model.Policy, int) {
	denies, index := at.outcome.decision.Rule.Policy, at.outcome.decision.Rule.Index
	if denies != nil && denies.Kind == model.TrafficPolicy {
		return denies, index
	}
	var last *model.Policy // tried before the deny
	for _, p := range at.walk.Policies {
		if p == denies {
			break
		}
		if last == nil || last.Kind == model.GlobalTrafficPolicy || p.Kind == model.TrafficPolicy {
			last = p
		}
	}
	if denies != nil && (last == nil || last.Kind == model.GlobalTrafficPolicy) {
		return denies, index
	}
	return last, len(last.Rules(d))
}

func (r *Result) suggestedPeer(d model.Direction, at *judged) model.Peer {
	if at.peer.name != "" {
		return model.Peer{Kind: model.PeerFQDN, FQDN: at.peer.name}
	}
	if ref, ok := strings.CutPrefix(r.Dst.Input, servicePrefix); ok && d == model.Egress {
		ns, name, _ := strings.Cut(ref, "/")
		return model.Peer{Kind: model.PeerService, Service: model.ServicePeer{Namespace: ns, Name: name}}
	}
	a := at.peer.addr
	return model.Peer{Kind: model.PeerCIDR, CIDR: netip.PrefixFrom(a, a.BitLen())}
}

// entries returns the port entries that match x and as little else as they can;
// none for a protocol that entries cannot name.
func (x point) entries() []model.Port {
	switch {
	case x.proto == model.Other:
		return nil
	case !x.proto.HasPorts():
		return []model.Port{{Proto: x.proto}}
	case !x.known || x.port == 0: // entries cannot name port 0
		return []model.Port{{Proto: x.proto, First: 0, Last: 65535}}
	}
	return []model.Port{{Proto: x.proto, First: x.port, Last: x.port}}
}

// Where says in words where the rule goes.
func (s *Suggestion) Where() string {
	rules := s.Policy.Rules(s.Direction)
	switch {
	case s.Index < len(rules):
		return fmt.Sprintf("before %s", model.RuleRef{Policy: s.Policy, Direction: s.Direction, Index: s.Index})
	case len(rules) == 0:
		return fmt.Sprintf("as the first %s rule of %s", s.Direction, s.Policy.Ref())
	}
	return fmt.Sprintf("at the end of the %s rules of %s", s.Direction, s.Policy.Ref())
}

// YAML returns the rule as an entry of the policy's rules.
func (s *Suggestion) YAML() string {
	var b strings.Builder
	fmt.Fprintf(&b, "- action: %s\n  %s:\n", s.Rule.Action, s.Direction.PeerList())
	switch p := &s.Rule.Peers[0]; p.Kind {
	case model.PeerService:
		fmt.Fprintf(&b, "  - service:\n      namespace: %s\n      name: %s\n", p.Service.Namespace, p.Service.Name)
	case model.PeerFQDN:
		fmt.Fprintf(&b, "  - fqdn: %s\n", p.FQDN)
	default:
		fmt.Fprintf(&b, "  - cidr: %q\n", p.CIDR)
	}
	for i, p := range s.Rule.Ports {
		if i == 0 {
			b.WriteString("  ports:\n")
		}
		fmt.Fprintf(&b, "  - protocol: %s\n", p.Proto)
		if p.First == p.Last && p.Proto.HasPorts() {
			fmt.Fprintf(&b, "    port: %d\n", p.First)
		}
	}
	return b.String()
}
