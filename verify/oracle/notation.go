package oracle

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// Parse reads policies in the short notation of the hand-made cases. A line at
// the margin begins a policy, an indented one adds a rule or declares an empty
// section:
//
//	tp NAMESPACE/NAME PRIORITY SELECTOR...
//	gtp NAME PRIORITY SELECTOR...
//	  egress|ingress ACTION PEER,PEER... [PORT,PORT...]
//	  egress|ingress
//
// A selector is any number of k=v, k:in(v|v), k:notin(v|v), k:exists, k:absent,
// all of which must hold; none selects every pod. A peer is a CIDR,
// service:NS/NAME, namespace:NS, workload:NS?k=v&k=v or fqdn:NAME; "any" is an
// empty peer list. A port is tcp, udp/53, sctp/1-9 or icmp.
func Parse(text string) ([]*model.Policy, error) {
	var out []*model.Policy
	for n, line := range strings.Split(text, "\n") {
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		var err error
		if line[0] != ' ' && line[0] != '\t' {
			var p *model.Policy
			if p, err = parsePolicy(fields); err == nil {
				out = append(out, p)
			}
		} else if len(out) == 0 {
			err = fmt.Errorf("rule before the first policy")
		} else {
			err = parseRule(out[len(out)-1], fields)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n+1, err)
		}
	}
	return out, nil
}

func parsePolicy(fields []string) (*model.Policy, error) {
	if len(fields) < 3 || fields[0] != "tp" && fields[0] != "gtp" {
		return nil, fmt.Errorf("%q is not tp|gtp NAME PRIORITY SELECTOR", strings.Join(fields, " "))
	}
	p := &model.Policy{Name: fields[1]}
	if fields[0] == "tp" {
		p.Kind = model.TrafficPolicy
		p.Namespace, p.Name, _ = strings.Cut(fields[1], "/")
	}
	var err error
	if p.Priority, err = strconv.Atoi(fields[2]); err != nil {
		return nil, err
	}
	labels := map[string]string{}
	for _, f := range fields[3:] {
		if k, v, ok := strings.Cut(f, "="); ok {
			labels[k] = v
			continue
		}
		key, op, _ := strings.Cut(f, ":")
		op, values, _ := strings.Cut(strings.TrimSuffix(op, ")"), "(")
		r := model.Requirement{Key: key}
		switch op {
		case "in":
			r.Operator, r.Values = model.In, strings.Split(values, "|")
		case "notin":
			r.Operator, r.Values = model.NotIn, strings.Split(values, "|")
		case "exists":
			r.Operator = model.Exists
		case "absent":
			r.Operator = model.DoesNotExist
		default:
			return nil, fmt.Errorf("%q is no selector", f)
		}
		p.Selector.MatchExpressions = append(p.Selector.MatchExpressions, r)
	}
	p.Selector.MatchLabels = model.NewLabels(labels)
	return p, nil
}

func parseRule(p *model.Policy, fields []string) error {
	section := &p.Egress
	if fields[0] == "ingress" {
		section = &p.Ingress
	} else if fields[0] != "egress" {
		return fmt.Errorf("%q is neither egress nor ingress", fields[0])
	}
	if *section == nil {
		*section = new(model.Section)
	}
	if len(fields) == 1 {
		return nil
	}
	if len(fields) < 3 {
		return fmt.Errorf("%q has no peers", strings.Join(fields, " "))
	}
	action, ok := map[string]model.Action{"allow": model.Allow, "deny": model.Deny, "reject": model.Reject}[fields[1]]
	if !ok {
		return fmt.Errorf("%q is no action", fields[1])
	}
	r := model.Rule{Action: action}
	if fields[2] != "any" {
		for _, s := range strings.Split(fields[2], ",") {
			peer, err := parsePeer(s)
			if err != nil {
				return err
			}
			r.Peers = append(r.Peers, peer)
		}
	}
	if len(fields) > 3 {
		for _, s := range strings.Split(fields[3], ",") {
			port, err := parsePort(s)
			if err != nil {
				return err
			}
			r.Ports = append(r.Ports, port)
		}
	}
	(*section).Rules = append((*section).Rules, r)
	return nil
}

func parsePeer(s string) (model.Peer, error) {
	kind, name, _ := strings.Cut(s, ":")
	switch kind {
	case "service":
		ns, svc, _ := strings.Cut(name, "/")
		return model.Peer{Kind: model.PeerService, Service: model.ServicePeer{Namespace: ns, Name: svc}}, nil
	case "namespace":
		return model.Peer{Kind: model.PeerNamespace, Namespace: name}, nil
	case "workload":
		ns, selector, _ := strings.Cut(name, "?")
		labels := map[string]string{}
		for _, kv := range strings.FieldsFunc(selector, func(r rune) bool { return r == '&' }) {
			k, v, _ := strings.Cut(kv, "=")
			labels[k] = v
		}
		return model.Peer{Kind: model.PeerWorkload, Workload: model.WorkloadPeer{Namespace: ns, Labels: model.NewLabels(labels)}}, nil
	case "fqdn":
		return model.Peer{Kind: model.PeerFQDN, FQDN: name}, nil
	}
	p, err := netip.ParsePrefix(s)
	return model.Peer{Kind: model.PeerCIDR, CIDR: p.Masked()}, err
}

func parsePort(s string) (model.Port, error) {
	name, ports, given := strings.Cut(s, "/")
	proto, ok := model.ParseProto(name, model.IPv4)
	if !ok || proto == model.Other {
		return model.Port{}, fmt.Errorf("%q is no protocol", name)
	}
	if !given {
		p := model.Port{Proto: proto, Last: 65535}
		if proto == model.ICMP {
			p.Last = 0
		}
		return p, nil
	}
	first, last, isRange := strings.Cut(ports, "-")
	if !isRange {
		last = first
	}
	lo, err := strconv.ParseUint(first, 10, 16)
	if err != nil {
		return model.Port{}, err
	}
	hi, err := strconv.ParseUint(last, 10, 16)
	return model.Port{Proto: proto, First: uint16(lo), Last: uint16(hi)}, err
}
