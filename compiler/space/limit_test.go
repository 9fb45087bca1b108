package space

import (
	"errors"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// TestLimits looks for exactly what a list needs, below which there is an error
// and no table, and from which on the table is the same.
func TestLimits(t *testing.T) {
	list := isolated([]model.ListRule{
		caseRule(t, "deny 10.0.0.1/32,10.0.0.2/32,10.1.0.0/16 tcp/80,tcp/443"),
		caseRule(t, "allow @a,@b tcp/80-90,udp/53"),
		caseRule(t, "allow 10.0.0.0/8 tcp/1-1000,udp"),
		caseRule(t, "deny @c"),
		caseRule(t, "reject 0.0.0.0/0 sctp"),
	})
	whole, err := Flatten(list, model.IPv4)
	if err != nil {
		t.Fatal(err)
	}
	for what, limit := range map[string]func(n int) bounds{
		"stretches of ports under distinct prefixes":                            func(n int) bounds { return bounds{n, maxConditionals} },
		"rules with unknown addresses, counted at each boundary of their ports": func(n int) bounds { return bounds{maxCells, n} },
	} {
		n := 0
		for ; ; n++ {
			table, err := flatten(list, model.IPv4, fewCells, limit(n))
			if err == nil {
				if len(table.Ranges()) != len(whole.Ranges()) || len(table.Decisions) != len(whole.Decisions) {
					t.Errorf("%s: the table with a limit of %d is another", what, n)
				}
				break
			}
			if own := (*LimitError)(nil); table != nil || !errors.As(err, &own) || own.What != what || own.Max != n {
				t.Fatalf("%s: with a limit of %d: %v", what, n, err)
			}
		}
		if n < 5 {
			t.Errorf("%s: the list needs %d only", what, n)
		}
	}
}
