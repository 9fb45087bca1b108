package report

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// baselineVersion is the form that is written; another one is refused.
const baselineVersion = 1

// Baseline is findings that are accepted as they are today. It knows them by
// code and by what they are about, not by line.
type Baseline struct {
	Version  int             `json:"version"`
	Findings []BaselineEntry `json:"findings"`
}

// BaselineEntry is Count findings of one code about one thing.
type BaselineEntry struct {
	Code  model.Code `json:"code"`
	About string     `json:"about"`          // the rule, else the policy, else the file
	Other string     `json:"with,omitempty"` // the other policy of a pair
	Count int        `json:"count"`
}

func entryOf(f *model.Finding) BaselineEntry {
	e := BaselineEntry{Code: f.Code, About: cmp.Or(f.Rule, f.Policy, f.File)}
	if len(f.Related) > 0 && (f.Code == model.PriorityConflict || f.Code == model.PriorityTie) {
		e.Other = f.Related[0].Policy
	}
	return e
}

// NewBaseline returns the baseline of findings, sorted.
func NewBaseline(fs []model.Finding) *Baseline {
	counts := map[BaselineEntry]int{}
	for i := range fs {
		counts[entryOf(&fs[i])]++
	}
	b := &Baseline{Version: baselineVersion, Findings: []BaselineEntry{}}
	for e, n := range counts {
		e.Count = n
		b.Findings = append(b.Findings, e)
	}
	slices.SortFunc(b.Findings, func(x, y BaselineEntry) int {
		return cmp.Or(cmp.Compare(x.Code, y.Code), cmp.Compare(x.About, y.About), cmp.Compare(x.Other, y.Other))
	})
	return b
}

// Write writes b as JSON, one entry a line, so that diffs of it are readable.
func (b *Baseline) Write(w io.Writer) error {
	var out bytes.Buffer
	fmt.Fprintf(&out, "{\"version\": %d, \"findings\": [", b.Version)
	for i, e := range b.Findings {
		line, err := json.Marshal(e)
		if err != nil {
			return err
		}
		if i > 0 {
			out.WriteByte(',')
		}
		out.WriteString("\n  ")
		out.Write(line)
	}
	out.WriteString("\n]}\n")
	_, err := w.Write(out.Bytes())
	return err
}

// ReadBaseline reads what Write wrote.
func ReadBaseline(r io.Reader) (*Baseline, error) {
	dec := json.NewDecoder(r)
	dec.DisallowUnknownFields()
	var b Baseline
	if err := dec.Decode(&b); err != nil {
		return nil, fmt.Errorf("not a baseline: %w", err)
	}
	if b.Version != baselineVersion {
		return nil, fmt.Errorf("baseline of version %d, this program reads %d", b.Version, baselineVersion)
	}
	return &b, nil
}

// Filter returns the findings that b does not hold, in order, and how many it
// holds. Where there are more of a kind than b counts, the last ones stay.
func (b *Baseline) Filter(fs []model.Finding) (kept []model.Finding, held int) {
	left := map[BaselineEntry]int{}
	for _, e := range b.Findings {
		n := e.Count
		e.Count = 0
		left[e] += n
	}
	kept = []model.Finding{}
	for i := range fs {
		if e := entryOf(&fs[i]); left[e] > 0 {
			left[e]--
			held++
			continue
		}
		kept = append(kept, fs[i])
	}
	return kept, held
}
