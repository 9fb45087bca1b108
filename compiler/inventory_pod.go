package compiler

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// Annotations that put a pod under the network policy agent, and the toleration
// of ACS virtual nodes (the vendor guide, "Quick start").
const (
	annotationAgent = "network.alibabacloud.com/enable-network-policy-agent"
	annotationMode  = "network.alibabacloud.com/network-policy-mode"
	virtualNodeKey  = "virtual-kubelet.io/provider"
)

// policyModes are the values of annotationMode that enforce TrafficPolicies.
var policyModes = []string{"enhanced-traffic-policy", "traffic-policy"}

// bypassCapabilities are those with which a process could undo enforcement in
// its own network namespace, or leave it.
var bypassCapabilities = []string{"ALL", "NET_ADMIN", "NET_RAW", "SETGID", "SETUID", "SYS_ADMIN"}

func decodePod(d *decoder, n *yaml.Node, m meta) any {
	pod := &model.Pod{Namespace: m.namespace, Name: m.name, Deleting: m.deleting, Pos: d.pos(n)}
	spec, status := d.specStatus(n)
	pod.PodMeta = d.podMeta(m, spec, specPath)
	f := d.lenient(spec, specPath, "containers", "initContainers", "nodeName")
	name, _ := d.optionalStr(f.get("nodeName"), specPath.field("nodeName"))
	pod.NodeName = d.intern(name)
	var ports []namedPort
	ports = d.namedPorts(ports, f.get("containers"), specPath.field("containers"), false)
	ports = d.namedPorts(ports, f.get("initContainers"), specPath.field("initContainers"), true)
	pod.NamedPorts = d.portMap(ports)

	s := d.lenient(status, statusPath, "phase", "podIP", "podIPs")
	phase, _ := d.optionalStr(s.get("phase"), statusPath.field("phase"))
	pod.Phase = model.PodPhase(d.intern(phase))
	ips := statusPath.field("podIPs")
	for i, item := range d.list(s.get("podIPs"), ips) {
		ip := d.lenient(item, ips.item(i), "ip")
		pod.IPs = d.addr(pod.IPs, ip.get("ip"), ips.item(i).field("ip"))
	}
	if len(pod.IPs) == 0 {
		pod.IPs = d.addr(pod.IPs, s.get("podIP"), statusPath.field("podIP"))
	}
	return pod
}

// templatePath is where workloads of a kind keep their pod template.
func templatePath(kind string) []string {
	if kind == "CronJob" {
		return []string{"spec", "jobTemplate", "spec", "template"}
	}
	return []string{"spec", "template"}
}

func decodeTemplate(d *decoder, n *yaml.Node, m meta) any {
	t := &model.PodTemplate{Kind: m.kind, Namespace: m.namespace, Name: m.name, Pos: d.pos(n)}
	var p *path
	node := n
	for _, step := range templatePath(m.kind) {
		f := d.lenient(node, p, step)
		node, p = f.get(step), p.field(step)
	}
	tf := d.lenient(node, p, "metadata", "spec")
	mp := p.field("metadata")
	mf := d.lenient(tf.get("metadata"), mp, "annotations", "labels")
	t.PodMeta = d.podMeta(meta{
		labels:          d.labels(mf.get("labels"), mp.field("labels")),
		annotations:     mf.get("annotations"),
		annotationsPath: mp.field("annotations"),
	}, tf.get("spec"), p.field("spec"))
	return t
}

// podMeta reads what pods and pod templates have in common from spec at p.
func (d *decoder) podMeta(m meta, spec *yaml.Node, p *path) model.PodMeta {
	f := d.lenient(spec, p, "containers", "ephemeralContainers", "hostNetwork", "initContainers", "tolerations")
	return model.PodMeta{
		Labels:      m.labels,
		Enrolled:    d.enrolled(m),
		VirtualNode: d.virtualNode(f.get("tolerations"), p.field("tolerations")),
		HostNetwork: d.optionalBool(f.get("hostNetwork"), p.field("hostNetwork")),
		Bypass:      d.bypass(&f, p),
	}
}

func (d *decoder) enrolled(m meta) bool {
	f := d.lenient(m.annotations, m.annotationsPath, annotationAgent, annotationMode)
	agent, _ := d.optionalStr(f.get(annotationAgent), m.annotationsPath.field(annotationAgent))
	mode, _ := d.optionalStr(f.get(annotationMode), m.annotationsPath.field(annotationMode))
	return agent == "true" && slices.Contains(policyModes, mode)
}

func (d *decoder) virtualNode(n *yaml.Node, p *path) (found bool) {
	for i, item := range d.list(n, p) {
		f := d.lenient(item, p.item(i), "key")
		key, _ := d.optionalStr(f.get("key"), p.item(i).field("key"))
		found = found || key == virtualNodeKey
	}
	return found
}

// bypass lists why a pod could undo enforcement, sorted, each once.
func (d *decoder) bypass(f *fields, p *path) []string {
	var why []string
	for _, name := range []string{"containers", "initContainers", "ephemeralContainers"} {
		at := p.field(name)
		for i, item := range d.list(f.get(name), at) {
			at := at.item(i).field("securityContext")
			c := d.lenient(item, at.up, "securityContext")
			s := d.lenient(c.get("securityContext"), at, "capabilities", "privileged")
			if d.optionalBool(s.get("privileged"), at.field("privileged")) {
				why = append(why, "privileged")
			}
			at = at.field("capabilities")
			caps := d.lenient(s.get("capabilities"), at, "add")
			for j, item := range d.list(caps.get("add"), at.field("add")) {
				name, _ := d.optionalStr(item, at.field("add").item(j))
				name = strings.TrimPrefix(strings.ToUpper(name), "CAP_")
				if slices.Contains(bypassCapabilities, name) {
					why = append(why, "capability "+name)
				}
			}
		}
	}
	slices.Sort(why)
	why = slices.Compact(why)
	for i := range why {
		why[i] = d.intern(why[i])
	}
	return why
}

type namedPort struct {
	model.NamedPort
	number uint16
}

// namedPorts adds the named ports of containers; of init containers only those
// that go on running (sidecars), as in the endpoints controller (podutil.FindPort).
func (d *decoder) namedPorts(ports []namedPort, n *yaml.Node, p *path, sidecars bool) []namedPort {
	for i, item := range d.list(n, p) {
		at := p.item(i)
		c := d.lenient(item, at, "ports", "restartPolicy")
		restart, _ := d.optionalStr(c.get("restartPolicy"), at.field("restartPolicy"))
		if sidecars && restart != "Always" {
			continue
		}
		at = at.field("ports")
		for j, item := range d.list(c.get("ports"), at) {
			at := at.item(j)
			f := d.lenient(item, at, "containerPort", "name", "protocol")
			name, _ := d.optionalStr(f.get("name"), at.field("name"))
			number, ok := d.portNumber(f.get("containerPort"), at.field("containerPort"))
			proto := d.proto(f.get("protocol"), at.field("protocol"))
			if name != "" && ok {
				ports = append(ports, namedPort{model.NamedPort{Name: d.intern(name), Proto: proto}, number})
			}
		}
	}
	return ports
}

// portMap returns ports as a map, nil for none: of two with one name and protocol
// the first counts. Pods of one workload share it.
func (d *decoder) portMap(ports []namedPort) map[model.NamedPort]uint16 {
	if len(ports) == 0 {
		return nil
	}
	text := fmt.Sprint(ports)
	if m, ok := d.portMaps[text]; ok {
		return m
	}
	m := make(map[model.NamedPort]uint16, len(ports))
	for _, p := range ports {
		if _, taken := m[p.NamedPort]; !taken {
			m[p.NamedPort] = p.number
		}
	}
	if len(d.portMaps) < maxInterned {
		d.portMaps[text] = m
	}
	return m
}
