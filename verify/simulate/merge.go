package simulate

import (
	"net/netip"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// result joins the two sides of one packet.
func (p *packet) result(f Flow, egress, ingress *Side) Result {
	r := Result{
		Src:     End{Input: f.Src, Pod: podNamed(p.src.pod, f.Src), IP: addrName(p.src.addr)},
		Dst:     End{Input: f.Dst, Pod: podNamed(p.dst.pod, f.Dst), IP: addrName(p.to.addr), Endpoint: p.endpoint},
		Proto:   p.egress.proto.String(),
		Verdict: Allow,
		Egress:  egress,
		Ingress: ingress,
	}
	if p.egress.proto.HasPorts() && p.egress.known {
		r.Port = &p.egress.port
	}
	for _, s := range []*Side{egress, ingress} {
		if s.Verdict == Deny {
			r.Verdict, r.Reject = Deny, s.Reject // where both deny, egress decides how
			break
		}
	}
	conditions := append([]string(nil), p.conditions...)
	for _, s := range []*Side{egress, ingress} {
		if c := s.at.outcome.condition(s.at.peer); c != "" {
			conditions = append(conditions, c)
		}
	}
	r.Condition = strings.Join(conditions, ", ")
	return r
}

// merge makes one answer of all packets and cases of a flow: the first where
// they have one verdict, else the list.
func merge(f Flow, all []Result) *Result {
	first := &all[0]
	for i := range all {
		if all[i].Verdict != first.Verdict {
			return &Result{Src: first.Src, Dst: first.Dst, Proto: first.Proto, Port: first.Port, Verdict: Mixed, Cases: all}
		}
	}
	first.Condition = ""
	return first
}

// podName is how a pod stands in results, "" for none.
func podName(p *model.Pod) string {
	switch {
	case p == nil:
		return ""
	case p.Name == "":
		return p.Namespace + "?" + p.Labels.String()
	}
	return p.Ref()
}

// podNamed is podName where input may be that name already.
func podNamed(p *model.Pod, input string) string {
	if p == nil || p.Name == "" || len(input) != len(p.Namespace)+1+len(p.Name) ||
		input[:len(p.Namespace)] != p.Namespace || input[len(p.Namespace)] != '/' || input[len(p.Namespace)+1:] != p.Name {
		return podName(p)
	}
	return input
}

func addrName(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}
