package model

import (
	"cmp"
	"slices"
)

// Severity orders findings; the zero Severity is Info.
type Severity uint8

const (
	Info Severity = iota
	Warning
	Error
)

// String returns "info", "warning" or "error".
func (s Severity) String() string { return [...]string{"info", "warning", "error"}[s] }

// MarshalText lets a Severity stand in JSON as its name.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Scope says for which clusters a finding holds.
type Scope string

const (
	// Always: for every label assignment of a pod and every value of what is not known.
	Always Scope = "always"
	// InInventory: for the pods and addresses of the inventory given.
	InInventory Scope = "inventory"
)

// Finding is one thing that lint has to say. The JSON form is a contract.
type Finding struct {
	Code           Code      `json:"code"`
	Name           string    `json:"name"` // of the code, in kebab case
	Severity       Severity  `json:"severity"`
	Scope          Scope     `json:"scope"`
	Message        string    `json:"message"`
	File           string    `json:"file"`
	Line           int       `json:"line"`
	Column         int       `json:"column"`
	Policy         string    `json:"policy,omitempty"`
	Rule           string    `json:"rule,omitempty"`
	Entry          string    `json:"entry,omitempty"` // the peer or port entry, where it is about one: Rule with .to[0], .from[0] or .ports[0]
	Field          string    `json:"field,omitempty"` // path within the object, such as spec.egress.rules[0].to[1].cidr
	Related        []Related `json:"related,omitempty"`
	RelatedOmitted int       `json:"relatedOmitted,omitempty"`
	Witness        *Witness  `json:"witness,omitempty"`
	Suggestion     string    `json:"suggestion,omitempty"`
}

// Related is another place that a finding is about.
type Related struct {
	Policy  string `json:"policy,omitempty"`
	Rule    string `json:"rule,omitempty"`
	File    string `json:"file"`
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Message string `json:"message"`
}

// Witness is a packet that shows a finding; its fields are what simulate takes.
type Witness struct {
	Src   string `json:"src"`
	Dst   string `json:"dst"`
	Proto string `json:"proto"`
	Port  uint16 `json:"port"`
}

// At returns f placed at p.
func (f Finding) At(p Pos) Finding {
	f.File, f.Line, f.Column = p.File, p.Line, p.Column
	return f
}

// Pos returns where the finding stands.
func (f *Finding) Pos() Pos { return Pos{f.File, f.Line, f.Column} }

// CompareFindings orders findings by file, line, column, code, then message.
func CompareFindings(a, b Finding) int { return compareFindings(&a, &b) }

func compareFindings(a, b *Finding) int {
	if c := a.Pos().Compare(b.Pos()); c != 0 {
		return c
	}
	return cmp.Or(cmp.Compare(a.Code, b.Code), cmp.Compare(a.Message, b.Message), cmp.Compare(a.Rule, b.Rule))
}

// SortFindings sorts findings by [CompareFindings]. They are large, so it sorts
// their indices and then moves each once.
func SortFindings(fs []Finding) {
	order := make([]int, len(fs)) // what belongs at each index
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int { return compareFindings(&fs[i], &fs[j]) })
	for i := range order {
		first := fs[i]
		at := i
		for order[at] != i {
			next := order[at]
			fs[at], order[at] = fs[next], at
			at = next
		}
		fs[at], order[at] = first, at
	}
}
