//go:build linux

package load

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/backends/nftables"
	"github.com/trafficpolicy/trafficpolicy/internal/loader"
)

// Counts reads the named counters of the table.
func (k *kernel) Counts(ctx context.Context) (*loader.Counts, error) {
	out, err := k.nft.run(ctx, nil, append([]string{"-j", "list", "counters", "table"}, strings.Fields(nftables.Table)...)...)
	if notFound(err) {
		return nil, loader.ErrNothing
	}
	if err != nil {
		return nil, err
	}
	var listing struct {
		NFTables []struct {
			Counter *struct {
				Table string `json:"table"`
				Name  string `json:"name"`
				loader.Count
			} `json:"counter"`
		} `json:"nftables"`
	}
	if err := json.Unmarshal(out, &listing); err != nil {
		return nil, fmt.Errorf("nft list counters: %w", err)
	}
	counts := &loader.Counts{Rules: map[string]loader.Count{}, Defaults: map[string]loader.Count{}}
	fixed := map[string]*loader.Count{
		nftables.CounterSpoofed: &counts.Spoofed, nftables.CounterStray: &counts.Stray,
		nftables.CounterBroken: &counts.Broken, nftables.CounterUnknown: &counts.Unknown,
		nftables.CounterLimited: &counts.Limited, nftables.CounterLogged: &counts.Logged,
	}
	for _, o := range listing.NFTables {
		if o.Counter == nil {
			continue
		}
		if to := fixed[o.Counter.Name]; to != nil {
			*to = o.Counter.Count
		} else if id, ok := strings.CutPrefix(o.Counter.Name, nftables.RulePrefix); ok {
			counts.Rules[id] = o.Counter.Count
		} else if id, ok := strings.CutPrefix(o.Counter.Name, nftables.DefaultPrefix); ok {
			counts.Defaults[id] = o.Counter.Count
		}
	}
	return counts, nil
}
