package scale

import (
	"bufio"
	"fmt"
	"io"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// WriteYAML writes policies of this package, one document each, as people write
// them: some 130 bytes a rule.
func WriteYAML(w io.Writer, policies []*model.Policy) error {
	b := bufio.NewWriterSize(w, 1<<16)
	for _, p := range policies {
		fmt.Fprintf(b, "---\napiVersion: %s\nkind: %s\nmetadata:\n  name: %s\n  namespace: %s\n", model.GroupVersion, p.Kind, p.Name, p.Namespace)
		fmt.Fprintf(b, "spec:\n  priority: %d\n  selector:\n    matchLabels:\n", p.Priority)
		for _, l := range p.Selector.MatchLabels {
			fmt.Fprintf(b, "      %s: %s\n", l.Key, l.Value)
		}
		fmt.Fprint(b, "  egress:\n    rules:\n")
		for i := range p.Egress.Rules {
			writeRule(b, &p.Egress.Rules[i])
		}
	}
	return b.Flush()
}

func writeRule(w io.Writer, r *model.Rule) {
	fmt.Fprintf(w, "      - action: %s\n        to:\n", r.Action)
	for i := range r.Peers {
		fmt.Fprintf(w, "          - cidr: %s\n", r.Peers[i].CIDR)
	}
	for i, p := range r.Ports {
		if i == 0 {
			fmt.Fprint(w, "        ports:\n")
		}
		fmt.Fprintf(w, "          - protocol: %s\n            port: %d\n", p.Proto, p.First)
		if p.Last != p.First {
			fmt.Fprintf(w, "            endPort: %d\n", p.Last)
		}
	}
}
