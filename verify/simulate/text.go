package simulate

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// TextOptions are the switches of [Result.WriteText].
type TextOptions struct {
	Color bool // ANSI colours
}

// WriteText writes r for people: the verdict, the walk of each side with every
// rule that was tried, and for a denied flow the rule that would allow it.
func (r *Result) WriteText(w io.Writer, o TextOptions) error {
	out := bufio.NewWriter(w)
	t := &text{w: out, color: o.Color}
	fmt.Fprintf(out, "%s -> %s, %s: %s\n", endName(r.Src), endName(r.Dst), r.transport(), t.verdict(r.Verdict, r.Reject))
	if r.Verdict != Mixed {
		t.sides(r)
	}
	for i := range r.Cases {
		if i == maxCases {
			fmt.Fprintf(out, "\n%d more cases, which JSON output lists\n", len(r.Cases)-i)
			break
		}
		c := &r.Cases[i]
		fmt.Fprintf(out, "\ncase %d of %d: %s where %s\n", i+1, len(r.Cases), t.verdict(c.Verdict, c.Reject), c.Condition)
		t.sides(c)
	}
	return out.Flush()
}

// maxCases is how many cases are spelled out.
const maxCases = 16

type text struct {
	w     *bufio.Writer
	color bool
}

// sides writes both sides of an answer that is not mixed, and what would allow it.
func (t *text) sides(r *Result) {
	t.side(model.Egress, r.Src, r.Egress)
	t.side(model.Ingress, r.Dst, r.Ingress)
	for _, s := range r.Suggest() {
		fmt.Fprintf(t.w, "\nthe smallest rule that would allow the %s goes %s:\n\n", s.Direction, s.Where())
		for line := range strings.Lines(s.YAML()) {
			fmt.Fprintf(t.w, "    %s", line)
		}
	}
}

// why says in words what a reason other than a rule means.
var why = map[Reason]string{
	External:    "no pod of this cluster",
	NotRunning:  "the pod has ended, its addresses are no longer its own",
	HostNetwork: "the pod is on its node's network, which policies never govern",
	NotEnrolled: "the pod lacks the annotations that enrol it",
	Self:        "a pod may always reach itself",
	NodeLocal:   "a node may always reach the pods it runs",
	NotSelected: "no policy that selects the pod closes this direction",
	DefaultDeny: "a policy selects the pod and no rule matches",
}

func (t *text) side(d model.Direction, e End, s *Side) {
	by := s.Rule
	if s.Reason != ByRule {
		by = fmt.Sprintf("%s (%s)", s.Reason, why[s.Reason])
	}
	name := e.Pod
	if name == "" {
		name = e.Input
	}
	fmt.Fprintf(t.w, "\n%s of %s: %s, %s\n", d, name, t.verdict(s.Verdict, s.Reject), by)
	if s.at.walk != nil && s.Reason != NotSelected {
		t.walk(&s.at)
	}
}

// walk writes each policy in order with the rules that were tried.
func (t *text) walk(at *judged) {
	tried := 0
	for _, p := range at.walk.Policies {
		fmt.Fprintf(t.w, "  %s, priority %d\n", p.Ref(), p.Priority)
		rules := p.Rules(at.walk.Direction)
		if len(rules) == 0 {
			fmt.Fprintf(t.w, "    no %s rules\n", at.walk.Direction)
		}
		tw := tabwriter.NewWriter(t.w, 0, 0, 2, ' ', 0)
		for i := range rules {
			r := at.walk.rules[tried]
			tried++
			decided := r.ref == at.outcome.decision.Rule
			fmt.Fprintf(tw, "    %s[%d]\t%s\t%s\t%s\n", at.walk.Direction, i, r.rule.Action, summary(r.rule), t.step(at, r, decided))
			if decided {
				tw.Flush()
				t.untried(len(at.walk.rules) - tried)
				return
			}
		}
		tw.Flush()
	}
}

func (t *text) untried(n int) {
	switch n {
	case 0:
	case 1:
		fmt.Fprint(t.w, "  1 later rule not tried\n")
	default:
		fmt.Fprintf(t.w, "  %d later rules not tried\n", n)
	}
}

// step says what became of one rule.
func (t *text) step(at *judged, r *walkRule, decided bool) string {
	if decided {
		if at.outcome.decision.Peer == noPeer {
			return t.paint(bold, "matches every peer")
		}
		p := &r.rule.Peers[at.outcome.decision.Peer]
		return t.paint(bold, fmt.Sprintf("matches %s[%d] %s", at.walk.Direction.PeerList(), at.outcome.decision.Peer, p))
	}
	held := r.everyone
	if !held && at.peer.name == "" {
		_, held = r.peer(at.peer.addr)
	}
	ports, _ := r.ports(at.point) // had the port been missed, there would be no answer
	other := at.peer.addr.String()
	if at.peer.name != "" {
		other = "the address of " + at.peer.name
	}
	switch {
	case !held && len(r.unknown) == 0 && at.peer.name == "":
		return "no peer holds " + other
	case !ports:
		return "no port entry holds " + at.point.String()
	}
	return "taken not to hold " + other
}

// maxPeers is how many peers of a rule are spelled out.
const maxPeers = 3

// summary names a rule's peers and ports.
func summary(r *model.Rule) string {
	var parts []string
	for i := range r.Peers {
		if i == maxPeers {
			parts = append(parts, fmt.Sprintf("%d more", len(r.Peers)-maxPeers))
			break
		}
		parts = append(parts, r.Peers[i].String())
	}
	if len(r.Peers) == 0 {
		parts = []string{"every peer"}
	}
	out := strings.Join(parts, ", ")
	for i, p := range r.Ports {
		sep := ", "
		if i == 0 {
			sep = "; "
		}
		out += sep + p.String()
	}
	return out
}

// String returns "TCP 443", or the protocol alone where the port is unknown or
// has no meaning.
func (x point) String() string {
	if !x.proto.HasPorts() || !x.known {
		return x.proto.String()
	}
	return model.L4Of(x.proto, x.port).String()
}

func (r *Result) transport() string {
	if r.Port == nil {
		return r.Proto
	}
	return fmt.Sprintf("%s %d", r.Proto, *r.Port)
}

func endName(e End) string {
	var extra []string
	if e.Pod != "" && e.Pod != e.Input {
		extra = append(extra, e.Pod)
	}
	if e.IP != "" && e.IP != e.Input {
		extra = append(extra, e.IP)
	}
	if e.Endpoint != "" {
		extra = append(extra, "endpoint "+e.Endpoint)
	}
	if len(extra) == 0 {
		return e.Input
	}
	return e.Input + " (" + strings.Join(extra, ", ") + ")"
}

// SGR parameters (ECMA-48, 8.3.117).
const (
	bold   = "1"
	red    = "31"
	green  = "32"
	yellow = "33"
)

func (t *text) paint(sgr, s string) string {
	if !t.color {
		return s
	}
	return "\x1b[" + sgr + "m" + s + "\x1b[0m"
}

func (t *text) verdict(v Verdict, reject bool) string {
	switch {
	case v == Allow:
		return t.paint(green, string(v))
	case v == Mixed:
		return t.paint(yellow, string(v))
	case reject:
		return t.paint(red, string(v)+" (reject)")
	}
	return t.paint(red, string(v))
}
