package simulate

import (
	"net/netip"
	"slices"
	"strings"
)

// result joins one case of each side.
func (h *hearing) result(f Flow, egress, ingress *Side) Result {
	r := Result{
		Src:     End{Input: f.Src, Pod: h.src.pod.name(), IP: addrName(h.src.addr)},
		Dst:     End{Input: f.Dst, Pod: h.dst.pod.name(), IP: addrName(h.to.addr), Endpoint: h.endpoint},
		Proto:   h.packet.egress.proto.String(),
		Verdict: Allow,
		Egress:  egress,
		Ingress: ingress,
	}
	if h.packet.egress.proto.HasPorts() && h.packet.egress.known {
		r.Port = &h.packet.egress.port
	}
	for _, s := range [...]*Side{egress, ingress} {
		if s.Verdict == Deny {
			r.Verdict, r.Reject = Deny, s.Reject // where both deny, egress decides how
			break
		}
	}
	return r
}

// condition says when a case of each side holds, together, and what tells the
// packet from the others of its flow.
func (h *hearing) condition(egress, ingress int) string {
	conditions := slices.Clone(h.conditions)
	for _, c := range [...]string{h.egress.condition(egress), h.ingress.condition(ingress)} {
		if c != "" {
			conditions = append(conditions, c)
		}
	}
	return strings.Join(conditions, ", ")
}

// condition says when a case holds, "" for always.
func (r *ruling) condition(i int) string {
	if r.walk == nil {
		return ""
	}
	return r.outcomes[i].condition(r.peer)
}

// name is how a pod stands in results, "" for none.
func (sub *subject) name() string {
	switch {
	case sub == nil:
		return ""
	case sub.ref == "":
		return sub.pod.Namespace + "?" + sub.pod.Labels.String()
	}
	return sub.ref
}

func addrName(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}
