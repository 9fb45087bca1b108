package verify

import (
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// policyYAML returns p as a YAML document that is read back as p.
func policyYAML(p *model.Policy) string {
	o := yamlPolicy{APIVersion: model.GroupVersion, Kind: p.Kind.String()}
	o.Metadata.Name, o.Metadata.Namespace = p.Name, p.Namespace
	o.Spec.Priority = p.Priority
	o.Spec.Selector = yamlSelector{MatchLabels: labelMap(p.Selector.MatchLabels)}
	for _, r := range p.Selector.MatchExpressions {
		o.Spec.Selector.MatchExpressions = append(o.Spec.Selector.MatchExpressions, yamlRequirement{r.Key, string(r.Operator), r.Values})
	}
	o.Spec.Ingress, o.Spec.Egress = yamlSectionOf(p, model.Ingress), yamlSectionOf(p, model.Egress)
	var b strings.Builder
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	// Structs of strings, numbers, maps and lists always marshal, and a
	// strings.Builder takes everything.
	if err := e.Encode(o); err != nil {
		panic(err)
	}
	return b.String()
}

// The fields of the custom resources, in the order of the guide.
type (
	yamlPolicy struct {
		APIVersion string `yaml:"apiVersion"`
		Kind       string `yaml:"kind"`
		Metadata   struct {
			Name      string `yaml:"name"`
			Namespace string `yaml:"namespace,omitempty"`
		} `yaml:"metadata"`
		Spec struct {
			Priority int          `yaml:"priority"`
			Selector yamlSelector `yaml:"selector"`
			Ingress  *yamlSection `yaml:"ingress,omitempty"`
			Egress   *yamlSection `yaml:"egress,omitempty"`
		} `yaml:"spec"`
	}
	yamlSelector struct {
		MatchLabels      map[string]string `yaml:"matchLabels,omitempty,flow"`
		MatchExpressions []yamlRequirement `yaml:"matchExpressions,omitempty"`
	}
	yamlRequirement struct {
		Key      string   `yaml:"key"`
		Operator string   `yaml:"operator"`
		Values   []string `yaml:"values,omitempty,flow"`
	}
	yamlSection struct {
		Rules []yamlRule `yaml:"rules,omitempty"`
	}
	yamlRule struct {
		Action string     `yaml:"action"`
		From   []yamlPeer `yaml:"from,omitempty"`
		To     []yamlPeer `yaml:"to,omitempty"`
		Ports  []yamlPort `yaml:"ports,omitempty"`
	}
	yamlPeer struct {
		CIDR      string        `yaml:"cidr,omitempty"`
		Service   *yamlService  `yaml:"service,omitempty,flow"`
		Namespace string        `yaml:"namespace,omitempty"`
		Workload  *yamlWorkload `yaml:"workload,omitempty,flow"`
		FQDN      string        `yaml:"fqdn,omitempty"`
	}
	yamlService struct {
		Namespace string `yaml:"namespace"`
		Name      string `yaml:"name"`
	}
	yamlWorkload struct {
		Namespace string            `yaml:"namespace"`
		Selector  map[string]string `yaml:"selector,flow"`
	}
	yamlPort struct {
		Protocol string `yaml:"protocol"`
		Port     uint16 `yaml:"port,omitempty"`
		EndPort  uint16 `yaml:"endPort,omitempty"`
	}
)

func yamlSectionOf(p *model.Policy, d model.Direction) *yamlSection {
	if p.Section(d) == nil {
		return nil
	}
	s := &yamlSection{}
	for i := range p.Rules(d) {
		r := &p.Rules(d)[i]
		o := yamlRule{Action: r.Action.String()}
		var peers []yamlPeer
		for j := range r.Peers {
			peers = append(peers, yamlPeerOf(&r.Peers[j]))
		}
		if d == model.Ingress {
			o.From = peers
		} else {
			o.To = peers
		}
		for _, port := range r.Ports {
			o.Ports = append(o.Ports, yamlPortOf(port))
		}
		s.Rules = append(s.Rules, o)
	}
	return s
}

func yamlPeerOf(p *model.Peer) yamlPeer {
	switch p.Kind {
	case model.PeerService:
		return yamlPeer{Service: &yamlService{p.Service.Namespace, p.Service.Name}}
	case model.PeerNamespace:
		return yamlPeer{Namespace: p.Namespace}
	case model.PeerWorkload:
		return yamlPeer{Workload: &yamlWorkload{p.Workload.Namespace, labelMap(p.Workload.Labels)}}
	case model.PeerFQDN:
		return yamlPeer{FQDN: p.FQDN}
	}
	return yamlPeer{CIDR: p.CIDR.String()}
}

func yamlPortOf(p model.Port) yamlPort {
	o := yamlPort{Protocol: p.Proto.String()}
	if p.Proto.HasPorts() && p.First > 0 {
		o.Port = p.First
		if p.Last > p.First {
			o.EndPort = p.Last
		}
	}
	return o
}

func labelMap(ls model.Labels) map[string]string {
	m := make(map[string]string, len(ls))
	for _, l := range ls {
		m[l.Key] = l.Value
	}
	return m
}
