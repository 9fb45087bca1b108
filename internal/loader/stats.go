//go:build linux

package loader

import (
	"context"
	"slices"
)

// Count is a counter since its rule was first applied.
type Count struct {
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"` // with the IP header
}

// Counts is what a backend has counted.
type Counts struct {
	Rules, Defaults map[string]Count // by id in the manifest
	Fixed
}

// Fixed counts what is decided before any rule is asked.
type Fixed struct {
	Spoofed Count `json:"spoofed"` // from a pod's interface, not from its address
	Stray   Count `json:"stray"`   // to a pod's interface, not to its address
	Broken  Count `json:"broken"`
	Unknown Count `json:"unknown"` // of pods that the bundle does not know
	Limited Count `json:"limited"` // over --max-connections
	// Logged counts the denied packets that monitor could see, the others were
	// over the rate of the log.
	Logged Count `json:"logged"`
	// Others are counters of this backend alone.
	Others []OtherCount `json:"others,omitempty"`
}

// OtherCount is a counter that not every backend has.
type OtherCount struct {
	Name string `json:"name"`
	Drop bool   `json:"drop"` // what it counts was dropped, and is in no other counter
	Count
}

// Stats is what the kernel has counted. Its JSON form is a contract.
type Stats struct {
	Generation string `json:"generation"`
	// Rules is sorted by name. A rule counts the packets that it decides; a
	// counter goes on for as long as each apply has a rule of its name.
	Rules []RuleCount `json:"rules"`
	// DefaultDenies has one entry for each direction and set of policies, in
	// the order of the first pod that has it.
	DefaultDenies []DefaultCount `json:"defaultDenies"`
	Fixed
}

// RuleCount is the counter of one rule.
type RuleCount struct {
	Rule   string `json:"rule"`
	Action string `json:"action"` // allow, deny or reject
	Count
}

// DefaultCount is the counter of packets of some pods that no rule matched.
type DefaultCount struct {
	Direction string   `json:"direction"` // egress or ingress
	Policies  []string `json:"policies"`  // in evaluation order
	Pods      []string `json:"pods"`
	Count
}

// Stats reads the counters of what is in force.
func (l *Loader) Stats(ctx context.Context) (*Stats, error) {
	b, err := l.Current()
	if err != nil {
		return nil, err
	}
	k, err := l.kernel(ctx, b.Manifest.Backend)
	if err != nil {
		return nil, err
	}
	counts, err := k.Counts(ctx)
	if err != nil {
		return nil, err
	}
	s := &Stats{Generation: b.Manifest.Generation, Rules: []RuleCount{}, Fixed: counts.Fixed}
	for _, r := range b.Manifest.Rules {
		s.Rules = append(s.Rules, RuleCount{r.Name, r.Action, counts.Rules[r.ID]})
	}
	s.DefaultDenies = defaultCounts(b, counts)
	return s, nil
}

// Tables describes the table of connections and that of addresses of domain names, nil
// where there is none.
func (l *Loader) Tables(ctx context.Context) (conns, names *ConnTable, err error) {
	r := l.state().Current
	if r == nil {
		return nil, nil, ErrNothing
	}
	k, err := l.kernel(ctx, r.Backend)
	if err != nil {
		return nil, nil, err
	}
	return k.Connections(ctx), k.NameTable(ctx, l.applied(r, r.Backend)), nil
}

// defaultCounts joins the classes that share a counter.
func defaultCounts(b *Bundle, counts *Counts) []DefaultCount {
	pods := map[int][]string{}
	for _, p := range b.Pods {
		pods[p.Class] = append(pods[p.Class], p.Ref)
	}
	list := []DefaultCount{}
	at := map[string]int{}
	for _, d := range b.Manifest.Defaults {
		i, ok := at[d.ID]
		if !ok {
			i = len(list)
			at[d.ID] = i
			list = append(list, DefaultCount{d.Direction, d.Policies, []string{}, counts.Defaults[d.ID]})
		}
		list[i].Pods = append(list[i].Pods, pods[d.Class]...)
	}
	for i := range list {
		slices.Sort(list[i].Pods)
	}
	return list
}
