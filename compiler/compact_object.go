package compiler

import (
	"cmp"
	"net/netip"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// compactShape is what the pods of a workload share, in memory too.
type compactShape struct {
	meta  model.PodMeta
	ports map[model.NamedPort]uint16
}

// compactSlabs hands out parts of large pieces of memory.
type compactSlabs struct {
	objects slab[object]
	pods    slab[model.Pod]
	addrs   slab[netip.Addr]
}

type slab[T any] []T

// take returns n values, of which nobody else has any.
func (s *slab[T]) take(n int) []T {
	const least = 256
	if n == 0 {
		return nil
	}
	if len(*s) < n {
		*s = make([]T, max(n, least))
	}
	out := (*s)[:n:n]
	*s = (*s)[n:]
	return out
}

// compactKinds are the kinds of a compactObject, with how what was read of one is
// read.
var compactKinds = map[string]func(*compactLoader, *object, uint64) any{
	"Namespace":     (*compactLoader).namespaceValue,
	"Node":          (*compactLoader).nodeValue,
	"Pod":           (*compactLoader).podValue,
	"Service":       (*compactLoader).serviceValue,
	"Endpoints":     (*compactLoader).endpointsValue,
	"EndpointSlice": (*compactLoader).endpointsValue,
	"Deployment":    (*compactLoader).templateValue,
	"StatefulSet":   (*compactLoader).templateValue,
	"DaemonSet":     (*compactLoader).templateValue,
	"ReplicaSet":    (*compactLoader).templateValue,
	"Job":           (*compactLoader).templateValue,
	"CronJob":       (*compactLoader).templateValue,
}

// object reads an object of the inventory. It must hold what the decoders of texts
// hold, since whatever works on it relies on that.
func (c *compactLoader) object() {
	o := &c.slabs.objects.take(1)[0]
	o.kind, o.inventory = c.word(), c.inventory
	read := compactKinds[o.kind]
	if read == nil {
		c.fail("kind %s is none of an inventory", quote(o.kind))
		return
	}
	flags := c.below(compactFlags+1, "flags")
	if o.defaulted = flags&compactDefaultNamespace != 0; o.defaulted {
		o.namespace = c.namespace
	} else {
		o.namespace = c.word()
	}
	o.name, o.pos = c.text(), c.place()
	invalid := false
	if flags&compactFindings != 0 {
		o.findings = make([]model.Finding, 0, min(c.entries(6), maxObjectFindings+1))
		for range cap(o.findings) {
			f := c.finding()
			invalid = invalid || f.Severity == model.Error
			o.findings = append(o.findings, f)
		}
	}
	broken := flags&compactBroken != 0
	c.checkKey(o, broken)
	if broken != invalid {
		c.fail("%s has findings that it cannot have", quote(o.objectKey.String()))
	}
	if broken {
		o.spec = c.text()
	} else {
		o.value = read(c, o, flags)
	}
	if c.failed == "" {
		c.objects = append(c.objects, o)
	}
}

// checkKey checks names as metaName does: what cannot be is only of what is
// broken.
func (c *compactLoader) checkKey(o *object, broken bool) {
	scoped := clusterScoped[o.kind]
	switch {
	case o.name == "" && broken:
	case !isSubdomain(o.name):
		c.fail("name %s is not valid", quote(o.name))
	case o.kind == "Namespace" && !c.valid(labelNames, o.name) && !broken:
		c.fail("namespace %s is not valid", quote(o.name))
	}
	switch {
	case scoped && (o.namespace != "" || o.defaulted), !scoped && o.namespace == "" && !broken:
		c.fail("%s has namespace %s", quote(o.kind), quote(o.namespace))
	case o.namespace != "" && !c.valid(labelNames, o.namespace):
		c.fail("namespace %s is not valid", quote(o.namespace))
	}
}

// isSubdomain is validation.IsDNS1123Subdomain, which takes most of the time of
// reading a compact inventory.
func isSubdomain(s string) bool {
	const longest = 253
	if s == "" || len(s) > longest {
		return false
	}
	edge := true // s[i] begins a part, or the part before it ended with a hyphen
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
			edge = false
		case c == '-' && (i == 0 || s[i-1] == '.'):
			return false
		case c == '-':
			edge = true
		case c == '.' && !edge:
			edge = true
		default:
			return false
		}
	}
	return !edge
}

func (c *compactLoader) namespaceValue(o *object, _ uint64) any {
	return &model.Namespace{Name: o.name, Labels: c.labels(), Pos: o.pos}
}

func (c *compactLoader) nodeValue(o *object, _ uint64) any {
	n := &model.Node{Name: o.name, Addresses: c.addrs(), Pos: o.pos}
	if count := c.entries(6); count > 0 {
		n.PodCIDRs = make([]netip.Prefix, count)
		for i := range n.PodCIDRs {
			n.PodCIDRs[i] = c.prefix()
		}
	}
	n.KubeletVersion = c.word()
	return n
}

func (c *compactLoader) podValue(o *object, flags uint64) any {
	p := &c.slabs.pods.take(1)[0]
	p.Namespace, p.Name, p.Pos = o.namespace, o.name, o.pos
	shape := c.shape()
	p.PodMeta, p.NamedPorts = shape.meta, shape.ports
	p.Deleting = flags&compactDeleting != 0
	p.NodeName, p.Phase, p.IPs = c.word(), model.PodPhase(c.word()), c.addrs()
	return p
}

func (c *compactLoader) templateValue(o *object, _ uint64) any {
	return &model.PodTemplate{Kind: o.kind, Namespace: o.namespace, Name: o.name, PodMeta: c.shape().meta, Pos: o.pos}
}

func (c *compactLoader) serviceValue(o *object, flags uint64) any {
	s := &model.Service{Namespace: o.namespace, Name: o.name, ExternalName: c.text(), Headless: flags&compactHeadless != 0, Pos: o.pos}
	s.ClusterIPs, s.Selector = c.addrs(), c.labels()
	if count := c.entries(5); count > 0 {
		s.Ports = make([]model.ServicePort, count)
		for i := range s.Ports {
			s.Ports[i] = model.ServicePort{Name: c.word(), Proto: c.proto(), Port: c.port(), Target: c.port(), TargetName: c.word()}
		}
	}
	return s
}

func (c *compactLoader) endpointsValue(o *object, _ uint64) any {
	e := &model.Endpoints{Namespace: o.namespace, Name: o.name, Slice: o.kind == "EndpointSlice", Service: c.word(), Pos: o.pos}
	if count := c.entries(7); count > 0 {
		e.Subsets = make([]model.EndpointSubset, count)
	}
	for i := range e.Subsets {
		set := &e.Subsets[i]
		if set.Addrs = c.addrs(); len(set.Addrs) == 0 {
			c.fail("endpoints without an address")
		}
		if count := c.entries(3); count > 0 {
			set.Ports = make([]model.EndpointPort, count)
		}
		for j := range set.Ports {
			set.Ports[j] = model.EndpointPort{Name: c.word(), Proto: c.proto(), Port: c.port()}
		}
	}
	return e
}

// shape reads one that compactWriter.shape wrote.
func (c *compactLoader) shape() *compactShape {
	n := c.number()
	if n > uint64(len(c.shapes)) {
		c.fail("there is no shape %d", n)
		return &compactShape{}
	}
	if n > 0 {
		return &c.shapes[n-1]
	}
	flags := c.below(compactShapeFlags+1, "flags")
	s := compactShape{meta: model.PodMeta{
		Enrolled: flags&compactEnrolled != 0, VirtualNode: flags&compactVirtualNode != 0, HostNetwork: flags&compactHostNetwork != 0,
		Labels: c.labels(),
	}}
	for range c.entries(1) {
		s.meta.Bypass = append(s.meta.Bypass, c.word())
	}
	if count := c.entries(3); count > 0 {
		s.ports = make(map[model.NamedPort]uint16)
		for range count {
			p := model.NamedPort{Name: c.word(), Proto: c.proto()}
			s.ports[p] = c.port()
		}
	}
	c.shapes = append(c.shapes, s)
	return &s
}

func comparePorts(a, b model.NamedPort) int {
	return cmp.Or(strings.Compare(a.Name, b.Name), cmp.Compare(a.Proto, b.Proto))
}

// labels reads a label set, nil for none.
func (c *compactLoader) labels() model.Labels {
	count := c.entries(2)
	if count == 0 {
		return nil
	}
	ls := make(model.Labels, count)
	for i := range ls {
		l := model.Label{Key: c.word(), Value: c.word()}
		if c.failed != "" {
			return nil
		}
		if !c.valid(labelKeys, l.Key) || !c.valid(labelValues, l.Value) || i > 0 && l.Key <= ls[i-1].Key {
			c.fail("label %s=%s is not valid, or not in order", quote(l.Key), quote(l.Value))
			return nil
		}
		ls[i] = l
	}
	return ls
}

// addrs reads a list of addresses, nil for none.
func (c *compactLoader) addrs() []netip.Addr {
	as := c.slabs.addrs.take(c.entries(5))
	for i := range as {
		as[i] = c.addr()
	}
	return as
}

// addr reads an address, which is unmapped.
func (c *compactLoader) addr() netip.Addr {
	s := c.text()
	switch len(s) {
	case 4:
		return netip.AddrFrom4([4]byte{s[0], s[1], s[2], s[3]})
	case 16:
		var b [16]byte
		copy(b[:], s)
		if a := netip.AddrFrom16(b); !a.Is4In6() {
			return a
		}
	}
	c.fail("%d bytes are no address", len(s))
	return netip.Addr{}
}

func (c *compactLoader) prefix() netip.Prefix {
	a := c.addr()
	p := netip.PrefixFrom(a, int(c.below(129, "length")))
	if !p.IsValid() || p != p.Masked() {
		c.fail("%s is no prefix", p)
	}
	return p
}

func (c *compactLoader) proto() model.Proto {
	p := model.Proto(c.below(256, "protocol"))
	if p != model.TCP && p != model.UDP && p != model.SCTP {
		c.fail("protocol %d is none of a port", p)
	}
	return p
}

func (c *compactLoader) port() uint16 { return uint16(c.below(1<<16, "port")) }
