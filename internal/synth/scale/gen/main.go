// Gen writes a policy set of package scale as YAML to standard output: the input
// of the figures in docs/performance.md.
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/internal/synth/scale"
	"github.com/trafficpolicy/trafficpolicy/model"
)

func main() {
	shape := flag.String("shape", "dense", "shape of the rules ("+strings.Join(names(), "|")+")")
	rules := flag.Int("rules", 100_000, "how many rules")
	per := flag.Int("per", 0, "rules of one policy; 0 puts all in one")
	policies := flag.Int("policies", 0, "write this many policies of five rules over 1,000 label sets instead")
	joined := flag.Bool("joined", false, "many of these label sets can be one pod's")
	flag.Parse()
	set, err := choose(*shape, *rules, *per, *policies, *joined)
	if err == nil {
		err = scale.WriteYAML(os.Stdout, set)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(2)
	}
}

func choose(shape string, rules, per, policies int, joined bool) ([]*model.Policy, error) {
	switch {
	case policies > 0 && joined:
		return scale.Policies(policies, scale.Joined, scale.Spread), nil
	case policies > 0:
		return scale.Policies(policies, scale.Apart, scale.Spread), nil
	}
	for _, s := range scale.Shapes {
		switch {
		case s.Name != shape:
		case per > 0:
			return scale.Split(s.Rules(rules), per), nil
		default:
			return []*model.Policy{scale.Policy(s.Rules(rules))}, nil
		}
	}
	return nil, fmt.Errorf("there is no shape %q", shape)
}

func names() []string {
	var out []string
	for _, s := range scale.Shapes {
		out = append(out, s.Name)
	}
	return out
}
