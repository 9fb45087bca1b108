//go:build linux

package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/backends/nftables"
)

// errNothing says that there is no bundle to report on.
var errNothing = errors.New("nothing is in force in this network namespace")

// Count is a counter since its rule was first applied.
type Count struct {
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"` // with the IP header
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
	Spoofed       Count          `json:"spoofed"` // from a pod's interface, not from its address
	Stray         Count          `json:"stray"`   // to a pod's interface, not to its address
	Broken        Count          `json:"broken"`
	Unknown       Count          `json:"unknown"` // of pods that the bundle does not know
	Limited       Count          `json:"limited"` // over --max-connections
	// Logged counts the denied packets that monitor could see, the others were
	// over the rate of the log.
	Logged Count `json:"logged"`
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
	counts, err := l.nft.counters(ctx)
	if err != nil {
		return nil, err
	}
	s := &Stats{
		Generation: b.Manifest.Generation, Rules: []RuleCount{},
		Spoofed: counts[nftables.CounterSpoofed], Stray: counts[nftables.CounterStray],
		Broken: counts[nftables.CounterBroken], Unknown: counts[nftables.CounterUnknown],
		Limited: counts[nftables.CounterLimited], Logged: counts[nftables.CounterLogged],
	}
	for _, r := range b.Manifest.Rules {
		s.Rules = append(s.Rules, RuleCount{r.Name, r.Action, counts[nftables.RulePrefix+r.ID]})
	}
	s.DefaultDenies = defaultCounts(b, counts)
	return s, nil
}

// Current returns the bundle in force.
func (l *Loader) Current() (*Bundle, error) {
	r := l.state().Current
	if r == nil {
		return nil, errNothing
	}
	data, err := l.folder.Bundle(r)
	if err != nil {
		return nil, err
	}
	b, err := Read(data)
	if err != nil {
		return nil, fmt.Errorf("stored %w", err)
	}
	return b, nil
}

// defaultCounts joins the classes that share a counter.
func defaultCounts(b *Bundle, counts map[string]Count) []DefaultCount {
	pods := map[int][]string{}
	for _, p := range b.pods {
		pods[p.Class] = append(pods[p.Class], p.Ref)
	}
	list := []DefaultCount{}
	at := map[string]int{}
	for _, d := range b.Manifest.Defaults {
		i, ok := at[d.ID]
		if !ok {
			i = len(list)
			at[d.ID] = i
			list = append(list, DefaultCount{d.Direction, d.Policies, []string{}, counts[nftables.DefaultPrefix+d.ID]})
		}
		list[i].Pods = append(list[i].Pods, pods[d.Class]...)
	}
	for i := range list {
		slices.Sort(list[i].Pods)
	}
	return list
}

// counters returns the named counters of the table.
func (c *command) counters(ctx context.Context) (map[string]Count, error) {
	out, err := c.run(ctx, nil, append([]string{"-j", "list", "counters", "table"}, strings.Fields(nftables.Table)...)...)
	if notFound(err) {
		return nil, errNothing
	}
	if err != nil {
		return nil, err
	}
	var listing struct {
		NFTables []struct {
			Counter *struct {
				Table string `json:"table"`
				Name  string `json:"name"`
				Count
			} `json:"counter"`
		} `json:"nftables"`
	}
	if err := json.Unmarshal(out, &listing); err != nil {
		return nil, fmt.Errorf("nft list counters: %w", err)
	}
	counts := map[string]Count{}
	for _, o := range listing.NFTables {
		if o.Counter != nil {
			counts[o.Counter.Name] = o.Counter.Count
		}
	}
	return counts, nil
}

// reasons names what is decided before any rule is asked, by the prefix of its
// packets in the log.
var reasons = map[string]string{
	nftables.CounterSpoofed: "spoofed",
	nftables.CounterStray:   "stray",
	nftables.CounterBroken:  "broken",
	nftables.CounterUnknown: "unknown",
}

// cause is why a packet was denied.
type cause struct {
	reason    string // rule, default-deny, or one of reasons
	direction string
	rule      string
	policies  []string
}

// causes returns what each prefix in the log stands for.
func causes(m *bundle.Manifest) map[string]cause {
	c := map[string]cause{}
	for counter, reason := range reasons {
		c[counter] = cause{reason: reason}
	}
	for _, r := range m.Rules {
		direction := "egress"
		if strings.Contains(r.Name, "#ingress[") {
			direction = "ingress"
		}
		c[nftables.RulePrefix+r.ID] = cause{reason: "rule", direction: direction, rule: r.Name}
	}
	for _, d := range m.Defaults {
		c[nftables.DefaultPrefix+d.ID] = cause{reason: "default-deny", direction: d.Direction, policies: d.Policies}
	}
	return c
}
