package synth

import (
	"net/netip"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// forms chooses among ways to write the same.
type forms struct{ *generator }

func (f forms) policy(p *model.Policy) object {
	o := header(model.GroupVersion, p.Kind.String(), p.Namespace, p.Name, nil)
	if p.Namespace == "default" && f.often(50) {
		delete(o["metadata"].(object), "namespace")
	}
	spec := object{"priority": p.Priority, "selector": f.selector(&p.Selector)}
	if p.Priority == model.DefaultPriority && f.often(50) {
		delete(spec, "priority")
	}
	for _, d := range model.Directions {
		switch s := p.Section(d); {
		case s != nil:
			spec[d.String()] = f.section(p, s, d)
		case f.often(30):
			spec[d.String()] = nil
		}
	}
	o["spec"] = spec
	return o
}

func (f forms) selector(s *model.Selector) object {
	o := object{}
	switch {
	case len(s.MatchLabels) > 0:
		o["matchLabels"] = labelMap(s.MatchLabels)
	case f.often(50):
		o["matchLabels"] = one(f.generator, []any{nil, object{}})
	}
	var exprs []object
	for _, r := range s.MatchExpressions {
		e := object{"key": r.Key, "operator": string(r.Operator)}
		if len(r.Values) > 0 {
			e["values"] = r.Values
		}
		exprs = append(exprs, e)
	}
	if exprs != nil {
		o["matchExpressions"] = exprs
	}
	return o
}

func (f forms) section(p *model.Policy, s *model.Section, d model.Direction) object {
	if len(s.Rules) == 0 {
		return one(f.generator, []object{{}, {"rules": nil}, {"rules": []object{}}})
	}
	var rules []object
	for i := range s.Rules {
		rules = append(rules, f.rule(p, &s.Rules[i], d))
	}
	return object{"rules": rules}
}

func (f forms) rule(p *model.Policy, r *model.Rule, d model.Direction) object {
	o := object{"action": r.Action.String()}
	var peers, ports []object
	for i := range r.Peers {
		peers = append(peers, f.peer(p, &r.Peers[i]))
	}
	for _, port := range r.Ports {
		ports = append(ports, f.port(port))
	}
	if peers != nil || f.often(50) {
		o[d.PeerList()] = append([]object{}, peers...)
	}
	if ports != nil || f.often(50) {
		o["ports"] = append([]object{}, ports...)
	}
	return o
}

func (f forms) port(p model.Port) object {
	o := object{}
	if p.Proto != model.TCP || f.often(50) {
		o["protocol"] = p.Proto.String()
	}
	if p.Proto == model.ICMP || p.First == 0 {
		return o
	}
	o["port"] = p.First
	if p.Last > p.First || f.often(30) {
		o["endPort"] = p.Last
	}
	return o
}

func (f forms) peer(p *model.Policy, peer *model.Peer) object {
	// own leaves out the namespace where it is the policy's own.
	own := func(o object, namespace string) object {
		if p.Kind == model.GlobalTrafficPolicy || namespace != p.Namespace || f.often(50) {
			o["namespace"] = namespace
		}
		return o
	}
	switch peer.Kind {
	case model.PeerService:
		return object{"service": own(object{"name": peer.Service.Name}, peer.Service.Namespace)}
	case model.PeerWorkload:
		return object{"workload": own(object{"selector": labelMap(peer.Workload.Labels)}, peer.Workload.Namespace)}
	case model.PeerNamespace:
		return object{"namespace": peer.Namespace}
	case model.PeerFQDN:
		return object{"fqdn": one(f.generator, []string{peer.FQDN, peer.FQDN + ".", strings.ToUpper(peer.FQDN)})}
	}
	return object{"cidr": f.cidr(peer.CIDR)}
}

func (f forms) cidr(p netip.Prefix) string {
	switch {
	case p.IsSingleIP() && f.often(30):
		return p.Addr().String()
	case !p.IsSingleIP() && f.often(20):
		return netip.PrefixFrom(p.Addr().Next(), p.Bits()).String() // host bits set
	}
	return p.String()
}
