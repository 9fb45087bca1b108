package oracle_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trafficpolicy/trafficpolicy/model"
	"github.com/trafficpolicy/trafficpolicy/verify/oracle"
)

func TestDiff(t *testing.T) {
	for _, test := range oracle.DiffCases {
		t.Run(test.Name, func(t *testing.T) {
			old, in := parse(t, test.Old), read(t, test.New, test.Cluster)
			differences, err := oracle.Diff(old, in)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, d := range differences {
				got = append(got, fmt.Sprintf("%s %s: %s by %s, %s by %s", d.Pod, d.Packet, verb(d.Old), d.Old.Rule, verb(d.New), d.New.Rule))
			}
			if diff := cmp.Diff(test.Want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestProve(t *testing.T) {
	for _, test := range oracle.ProveCases {
		t.Run(test.Name, func(t *testing.T) {
			p, err := oracle.Prove(read(t, test.Policies, test.Cluster), test.Assertion)
			if err != nil {
				t.Fatal(err)
			}
			got := fmt.Sprintf("%s %s: %s by %s", p.Pod, p.Packet, verb(p.Decision), p.Decision.Rule)
			if p.Proven {
				got = "proven"
			}
			if p.Vacuous {
				got = "vacuous"
			}
			if got != test.Want {
				t.Errorf("got  %s\nwant %s", got, test.Want)
			}
		})
	}
}

func verb(d oracle.Decision) string {
	if d.Allow {
		return "allow"
	}
	return "deny"
}

func parse(t *testing.T, text string) []*model.Policy {
	t.Helper()
	policies, err := oracle.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return policies
}

// read returns the question in the inventory sense where there is a cluster.
func read(t *testing.T, policies, cluster string) oracle.Input {
	t.Helper()
	c := oracle.Case{Policies: policies, Cluster: cluster}
	in, inventory, err := c.Read()
	if err != nil {
		t.Fatal(err)
	}
	if inventory != nil {
		in = oracle.InCluster(in, inventory)
	}
	return in
}
