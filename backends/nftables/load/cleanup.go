//go:build linux

package load

import (
	"context"
	"regexp"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/backends/nftables"
	"github.com/trafficpolicy/trafficpolicy/internal/loader"
)

// generationName matches the objects that belong to one generation.
var generationName = regexp.MustCompile(`^tp_[0-9a-f]{12}_`)

// cleanup deletes what cleanupScript finds among the objects of a listing.
func (c *command) cleanup(ctx context.Context, script string) error {
	if script == "" {
		return nil
	}
	// A deleted rule is gone at once also for a packet that is just on its way
	// through the old chains, and what it then found would be no policy at all.
	loader.Grace()
	return c.load(ctx, script)
}

// cleanupScript deletes, of the objects of a listing, those of every generation
// but the one with that prefix, and the counters of rules that nothing uses any
// more: neither a chain that stays nor one that fresh, a script, makes.
func cleanupScript(objects []object, prefix, fresh string) string {
	var old []object
	used := map[string]bool{}
	use := func(text string) {
		for _, m := range counterUse.FindAllStringSubmatch(text, -1) {
			used[m[1]] = true
		}
	}
	use(fresh)
	for _, o := range objects {
		if tag := generationName.FindString(o.name); tag != "" && tag != prefix {
			old = append(old, o)
			continue
		}
		for _, line := range o.body {
			use(line)
		}
	}
	for _, o := range objects {
		if o.kind == "counter" && ofRule(o.name) && !used[o.name] {
			old = append(old, o)
		}
	}
	return deleteScript(old)
}

// ofRule reports whether a counter is of a rule or a default deny. The others
// belong to the skeleton.
func ofRule(counter string) bool {
	return strings.HasPrefix(counter, nftables.RulePrefix) || strings.HasPrefix(counter, nftables.DefaultPrefix)
}

var counterUse = regexp.MustCompile(`counter name "?([A-Za-z0-9_]+)"?`)

// deleteScript deletes objects in an order in which none is in use when its turn
// comes: rules, the maps that name chains, chains, the rest.
func deleteScript(objects []object) string {
	var flush, maps, chains, rest strings.Builder
	for _, o := range objects {
		tail := " " + nftables.Table + " " + o.name + "\n"
		switch o.kind {
		case "chain":
			flush.WriteString("flush chain" + tail)
			chains.WriteString("delete chain" + tail)
		case "map":
			maps.WriteString("delete map" + tail)
		default:
			rest.WriteString("delete " + o.kind + tail)
		}
	}
	return flush.String() + maps.String() + chains.String() + rest.String()
}
