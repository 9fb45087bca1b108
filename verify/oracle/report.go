package oracle

import (
	"slices"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// Witness is a pod and a packet of it that show a finding.
type Witness struct {
	Pod    Pod
	Packet Packet // of TP202 zero: there is none to show
	// Rule is the first match of the packet, "" for none; of TP201 the first
	// match of the policy that comes first.
	Rule string
	// Other is, of TP201, the first match of the other policy.
	Other string
}

func (w *world) witness(c *class, d model.Direction, points set, r *rule) Witness {
	out := Witness{Pod: c.pod, Packet: w.spaces[d].packet(points.first())}
	if r != nil {
		out.Rule = r.ref.String()
	}
	return out
}

// Finding is one thing that the oracle has found.
type Finding struct {
	Code model.Code
	// Subject is a rule for TP101, TP102 and TP104, a peer or port entry for
	// TP103, a policy for TP203, as SEMANTICS 7 names them, and a [Pair] of policies
	// for TP201 and TP202.
	Subject string
	Witness Witness
}

// Report is all findings, sorted by subject. A subject has at most one.
type Report struct {
	Findings []Finding
}

func (r *Report) add(c model.Code, subject string, w Witness) {
	r.Findings = append(r.Findings, Finding{c, subject, w})
}

// Codes returns the code of each subject that has a finding.
func (r *Report) Codes() map[string]model.Code {
	out := map[string]model.Code{}
	for _, f := range r.Findings {
		out[f.Subject] = f.Code
	}
	return out
}

// Analyze returns TP101 to TP104 and TP201 to TP203 of the policies of in, for
// the pods and addresses of in: the always sense where in.Pods and in.Templates
// are empty and in.Peers knows no inventory. It returns an error where
// there is more than can be tried one by one.
func Analyze(in Input) (*Report, error) {
	w, err := newWorld(in, in.Policies, scope{})
	if err != nil {
		return nil, err
	}
	return w.report(), nil
}

func (w *world) report() *Report {
	r := new(Report)
	for _, d := range model.Directions {
		w.deadRules(d, r)
	}
	w.overridden(r)
	w.pairs(r)
	slices.SortFunc(r.Findings, func(a, b Finding) int { return cmpString(a.Subject, b.Subject) })
	return r
}

// Further returns what inventory, the report in the inventory sense, has beyond
// always, the report of the same policies in the always sense: "one that holds
// always is not repeated". A rule that is dead always is not dead again in the
// inventory, whichever of TP101 and TP102 it would be there, and pairs of
// policies are always' business alone.
func Further(always, inventory *Report) *Report {
	said := always.Codes()
	dead := func(c model.Code) bool { return c == model.ShadowedRule || c == model.RedundantRule }
	out := new(Report)
	for _, f := range inventory.Findings {
		c := said[f.Subject]
		pair := f.Code == model.PriorityConflict || f.Code == model.PriorityTie
		if !pair && c != f.Code && !(dead(c) && dead(f.Code)) {
			out.Findings = append(out.Findings, f)
		}
	}
	return out
}
