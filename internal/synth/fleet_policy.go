package synth

import (
	"fmt"
	"iter"
	"net/netip"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// The layers of an application's policies, by the guide's bands of priorities:
// infrastructure 1-49, business 50-499, of which applications have 50-200,
// fallback 500-1000. A layer has as many rules as its weight says.
var layers = []struct {
	name        string
	first, last int // priorities
	weight      int
}{
	{"infra", 11, 49, 1},
	{"business", 50, 199, 4},
	{"fallback", 500, 899, 1},
}

// Policies returns the policies: the baseline of the cluster, those of teams, and
// the layers of one application after another.
func (f *Fleet) Policies() iter.Seq[map[string]any] {
	return func(yield func(object) bool) {
		fixed := f.fixedPolicies()
		fixed = fixed[:min(len(fixed), f.sizes.Policies)]
		rules := f.sizes.Rules
		for _, o := range fixed {
			if !yield(o.object) {
				return
			}
			rules -= o.rules
		}
		d := policyDrawer{Fleet: f}
		d.list()
		globals := f.sizes.Policies / 40
		total := f.sizes.Policies - len(fixed)
		if total == 0 {
			return
		}
		weight := func(i int) int { return i/3*6 + []int{0, 1, 5}[i%3] } // of all before i
		for i := range total {
			d.number = i
			d.rules = max(0, rules)*weight(i+1)/weight(total) - max(0, rules)*weight(i)/weight(total)
			var o object
			if i%40 == 39 && globals > 0 || len(d.apps) == 0 {
				o = d.team()
			} else {
				o = d.layer(i)
			}
			if !yield(o) {
				return
			}
		}
	}
}

// countedPolicy is a policy with how many rules it has.
type countedPolicy struct {
	object
	rules int
}

// fixedPolicies are GlobalTrafficPolicies for every pod.
func (f *Fleet) fixedPolicies() []countedPolicy {
	everyone := []object{cidrPeer("0.0.0.0/0")}
	if f.sizes.DualStack > 0 {
		everyone = append(everyone, cidrPeer("::/0"))
	}
	policy := func(name string, priority int, sections object) countedPolicy {
		n := 0
		for _, s := range sections {
			n += len(s.(object)["rules"].([]object))
		}
		return countedPolicy{f.policyObject(model.GlobalTrafficPolicy, nil, name, priority, object{}, sections), n}
	}
	return []countedPolicy{
		policy("deny-metadata", 5, object{"egress": section(ruleObject("deny", "to", []object{cidrPeer("100.100.100.200/32"), cidrPeer("169.254.169.254/32")}, nil))}),
		policy("infra-dns", 10, object{"egress": section(ruleObject("allow", "to", []object{namedService("kube-system", "kube-dns")}, nil))}),
		policy("global-security-baseline", 1000, object{
			"ingress": section(ruleObject("deny", "from", []object{cidrPeer("198.18.0.0/15")}, nil), ruleObject("allow", "from", everyone, nil)),
			"egress":  section(ruleObject("allow", "to", everyone, nil)),
		}),
	}
}

func (f *Fleet) policyObject(kind model.PolicyKind, ns *fleetNamespace, name string, priority int, selector, sections object) object {
	o := header(model.GroupVersion, kind.String(), "", name, nil)
	if ns != nil {
		o["metadata"].(object)["namespace"] = ns.name
	}
	spec := object{"priority": priority, "selector": selector}
	for direction, s := range sections {
		spec[direction] = s
	}
	o["spec"] = spec
	return o
}

func section(rules ...object) object { return object{"rules": rules} }

func ruleObject(action, list string, peers, ports []object) object {
	o := object{"action": action, list: peers}
	if len(ports) > 0 {
		o["ports"] = ports
	}
	return o
}

func cidrPeer(cidr string) object { return object{"cidr": cidr} }

func namedService(ns, name string) object {
	return object{"service": object{"namespace": ns, "name": name}}
}

// policyDrawer draws one policy after another.
type policyDrawer struct {
	*Fleet
	apps    []*workload // enrolled, which policies are for
	lasting []*workload // whose pods do not end, which rules may name
	named   []*fleetService
	number  int // of the policy
	rules   int // it is to have
	written int // rules of all policies before
}

// list lists what policies are for and what rules may name.
func (d *policyDrawer) list() {
	for _, ns := range d.namespaces {
		for _, w := range ns.apps {
			if w.enrolled {
				d.apps = append(d.apps, w)
			}
			if w.lasts() {
				d.lasting = append(d.lasting, w)
			}
		}
	}
	for _, s := range d.services {
		if s.form != externalName {
			d.named = append(d.named, s)
		}
	}
}

// layer draws one layer of one application; when all have theirs it begins again.
func (d *policyDrawer) layer(i int) object {
	w, round := d.apps[i/len(layers)%len(d.apps)], i/len(layers)/len(d.apps)
	l := layers[i%len(layers)]
	g := d.draw("policy", i)
	name := w.name + "-" + l.name
	if round > 0 {
		name = fmt.Sprintf("%s-%d", name, round)
	}
	selector := map[string]string{"app": w.app, "environment": w.namespace.environment}
	if g.often(50) {
		selector["team"] = w.namespace.team
	}
	var rules [2][]object
	for j := range d.rules {
		dir := model.Egress
		if j%5 >= 3 { // two of five
			dir = model.Ingress
		}
		rules[dir] = append(rules[dir], d.rule(dir, w.namespace, j))
	}
	if l.name == "fallback" {
		d.fallback(g, &rules)
	}
	return d.policyObject(model.TrafficPolicy, w.namespace, name, l.first+g.IntN(l.last-l.first+1),
		object{"matchLabels": labelMap(model.NewLabels(selector))}, sections(rules))
}

// team draws a GlobalTrafficPolicy for the pods of a team in one environment.
func (d *policyDrawer) team() object {
	g := d.draw("team policy", d.number)
	team, environment := one(g, fleetTeams), one(g, fleetEnvironments)
	ns := &d.namespaces[g.IntN(len(d.namespaces))]
	var rules [2][]object
	for j := range d.rules {
		dir := model.Direction(j % 2)
		rules[dir] = append(rules[dir], d.rule(dir, ns, j))
	}
	return d.policyObject(model.GlobalTrafficPolicy, nil, fmt.Sprintf("team-%s-%s-%d", team, environment, d.number), 900+g.IntN(99),
		object{"matchLabels": object{"environment": environment, "team": team}}, sections(rules))
}

func sections(rules [2][]object) object {
	o := object{}
	for _, dir := range model.Directions {
		if len(rules[dir]) > 0 {
			o[dir.String()] = section(rules[dir]...)
		}
	}
	return o
}

// fallback ends each direction as the guide recommends, in place of its last
// rules: no other source, and no other destination or the public network alone.
func (d *policyDrawer) fallback(g *generator, rules *[2][]object) {
	last := []object{ruleObject("deny", "to", []object{cidrPeer("0.0.0.0/0")}, nil)}
	if g.often(40) {
		last = []object{
			ruleObject("deny", "to", []object{cidrPeer("10.0.0.0/8"), cidrPeer("172.16.0.0/12"), cidrPeer("192.168.0.0/16")}, nil),
			ruleObject("allow", "to", []object{cidrPeer("0.0.0.0/0")}, nil),
		}
	}
	if out := rules[model.Egress]; len(out) >= len(last) {
		copy(out[len(out)-len(last):], last)
	}
	if in := rules[model.Ingress]; len(in) > 0 && g.often(80) {
		in[len(in)-1] = ruleObject("deny", "from", []object{cidrPeer("0.0.0.0/0")}, nil)
	}
}

// rule draws rule j of a policy in ns. Peers of one policy differ from one
// another, so that hardly a rule takes the packets of another.
func (d *policyDrawer) rule(dir model.Direction, ns *fleetNamespace, j int) object {
	n := d.written
	d.written++
	g := d.draw("rule", n)
	action, list := "allow", dir.PeerList()
	var ports []object
	if g.often(60) {
		ports = d.portEntries(g)
	}
	if n%10_000 == 100 {
		return ruleObject(action, list, cidrList(n, d.sizes.LongestList), nil)
	}
	if d.faulty(g) {
		return d.wrongRule(g, list, n)
	}
	var peer object
	switch kind := g.IntN(100); {
	case kind < 30 && len(d.named) > 0:
		s := d.named[(d.number*31+j)%len(d.named)]
		peer = namedService(s.namespace.name, s.name)
	case kind < 38 && dir == model.Egress:
		peer = object{"fqdn": fmt.Sprintf("%s-%d.example.com", one(g, appFirst), n)}
	case kind < 38:
		peer = object{"namespace": one(g, d.namespaces).name}
	case kind < 46 && len(d.lasting) > 0:
		w := d.lasting[(d.number*17+j)%len(d.lasting)]
		peer = object{"workload": object{"namespace": w.namespace.name, "selector": object{"app": w.app}}}
	default:
		if g.often(15) {
			action = one(g, []string{"deny", "reject"})
		}
		return ruleObject(action, list, cidrList(n, d.listLength(g)), ports)
	}
	return ruleObject(action, list, []object{peer}, ports)
}

// listLength draws how many CIDRs a rule lists: mostly one, seldom hundreds.
func (d *policyDrawer) listLength(g *generator) int {
	n := 1
	switch k := g.IntN(1000); {
	case k < 2:
		n = 100 + g.IntN(900)
	case k < 150:
		n = 2 + g.IntN(8)
	}
	return max(1, min(n, d.sizes.LongestList))
}

// cidrList returns count CIDRs that no other rule number n has, of hosts and of
// small networks: within 20.0.0.0/6 one, elsewhere in public space many.
func cidrList(n, count int) []object {
	if count == 1 {
		return []object{cidrPeer(netip.PrefixFrom(ipv4(20<<24+uint32(n%(1<<18))<<8), 24).String())}
	}
	out := make([]object, 0, count)
	base := uint32(32)<<24 + uint32(n)*0x9e37<<8%(160<<24)
	for i := range count {
		p := netip.PrefixFrom(ipv4(base+8*uint32(i)), 32-3*(i%2))
		out = append(out, cidrPeer(p.Masked().String()))
	}
	return out
}

func (d *policyDrawer) portEntries(g *generator) []object {
	out := []object{{"protocol": "TCP", "port": one(g, appPorts)}}
	switch g.IntN(10) {
	case 0:
		out = append(out, object{"protocol": "UDP", "port": 53})
	case 1:
		first := 10_000 + g.IntN(20_000)
		out[0] = object{"protocol": "TCP", "port": first, "endPort": first + 1 + g.IntN(1000)}
	case 2:
		out = append(out, object{"protocol": "ICMP"})
	}
	return out
}

// wrongRule draws a rule that lint finds something about.
func (d *policyDrawer) wrongRule(g *generator, list string, n int) object {
	switch g.IntN(3) {
	case 0:
		return ruleObject("allow", list, []object{namedService("gone", fmt.Sprintf("gone-%d", n))}, nil)
	case 1: // an earlier denial takes all that a later one allows
		return ruleObject("allow", list, []object{cidrPeer("203.0.113.0/24"), cidrPeer("203.0.113.128/25")}, nil)
	}
	return ruleObject("allow", list, []object{cidrPeer(fmt.Sprintf("203.0.%d.7/24", n%100))}, nil)
}
