package oracle

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// YAML returns the policies as the commands read them, so that a case, or a
// mismatch of a random test, can be run by hand.
func YAML(policies []*model.Policy) string {
	var b strings.Builder
	for i, p := range policies {
		if i > 0 {
			b.WriteString("---\n")
		}
		fmt.Fprintf(&b, "apiVersion: %s\nkind: %s\nmetadata:\n  name: %s\n", model.GroupVersion, p.Kind, p.Name)
		if p.Namespace != "" {
			fmt.Fprintf(&b, "  namespace: %s\n", p.Namespace)
		}
		fmt.Fprintf(&b, "spec:\n  priority: %d\n", p.Priority)
		yamlSelector(&b, &p.Selector)
		for _, d := range []model.Direction{model.Ingress, model.Egress} {
			if s := p.Section(d); s != nil {
				yamlSection(&b, d, s)
			}
		}
	}
	return b.String()
}

func yamlSelector(b *strings.Builder, s *model.Selector) {
	if s.Empty() {
		b.WriteString("  selector: {}\n")
		return
	}
	b.WriteString("  selector:\n")
	if len(s.MatchLabels) > 0 {
		fmt.Fprintf(b, "    matchLabels: %s\n", yamlLabels(s.MatchLabels))
	}
	if len(s.MatchExpressions) > 0 {
		b.WriteString("    matchExpressions:\n")
	}
	for _, r := range s.MatchExpressions {
		fmt.Fprintf(b, "    - {key: %s, operator: %s", strconv.Quote(r.Key), r.Operator)
		if len(r.Values) > 0 {
			var quoted []string
			for _, v := range r.Values {
				quoted = append(quoted, strconv.Quote(v))
			}
			fmt.Fprintf(b, ", values: [%s]", strings.Join(quoted, ", "))
		}
		b.WriteString("}\n")
	}
}

func yamlLabels(ls model.Labels) string {
	var kv []string
	for _, l := range ls {
		kv = append(kv, strconv.Quote(l.Key)+": "+strconv.Quote(l.Value))
	}
	return "{" + strings.Join(kv, ", ") + "}"
}

func yamlSection(b *strings.Builder, d model.Direction, s *model.Section) {
	if len(s.Rules) == 0 {
		fmt.Fprintf(b, "  %s: {}\n", d)
		return
	}
	fmt.Fprintf(b, "  %s:\n    rules:\n", d)
	for _, r := range s.Rules {
		fmt.Fprintf(b, "    - action: %s\n", r.Action)
		if len(r.Peers) > 0 {
			fmt.Fprintf(b, "      %s:\n", d.PeerList())
		}
		for i := range r.Peers {
			fmt.Fprintf(b, "      - %s\n", yamlPeer(&r.Peers[i]))
		}
		if len(r.Ports) > 0 {
			b.WriteString("      ports:\n")
		}
		for _, p := range r.Ports {
			fmt.Fprintf(b, "      - %s\n", yamlPort(p))
		}
	}
}

func yamlPeer(p *model.Peer) string {
	switch p.Kind {
	case model.PeerService:
		return fmt.Sprintf("service: {namespace: %s, name: %q}", p.Service.Namespace, p.Service.Name)
	case model.PeerNamespace:
		return "namespace: " + p.Namespace
	case model.PeerWorkload:
		return fmt.Sprintf("workload: {namespace: %s, selector: %s}", p.Workload.Namespace, yamlLabels(p.Workload.Labels))
	case model.PeerFQDN:
		return "fqdn: " + p.FQDN
	}
	return fmt.Sprintf("cidr: %q", p.CIDR)
}

// yamlPort writes no port for 0..65535, which cannot be written otherwise.
func yamlPort(p model.Port) string {
	switch {
	case !p.Proto.HasPorts(), p.First == 0:
		return fmt.Sprintf("protocol: %s", p.Proto)
	case p.First == p.Last:
		return fmt.Sprintf("{protocol: %s, port: %d}", p.Proto, p.First)
	}
	return fmt.Sprintf("{protocol: %s, port: %d, endPort: %d}", p.Proto, p.First, p.Last)
}
