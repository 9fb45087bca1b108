package oracle_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trafficpolicy/trafficpolicy/verify/oracle"
)

func TestCases(t *testing.T) {
	for _, c := range oracle.Cases {
		t.Run(c.Name, func(t *testing.T) {
			in, cluster, err := c.Read()
			if err != nil {
				t.Fatal(err)
			}
			always, err := oracle.Analyze(in)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.Want, lines(always)); diff != "" {
				t.Errorf("always (-want +got):\n%s%s", diff, c.Policies)
			}
			if cluster == nil {
				return
			}
			inventory, err := oracle.Analyze(oracle.InCluster(in, cluster))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.Further, lines(oracle.Further(always, inventory))); diff != "" {
				t.Errorf("inventory (-want +got):\n%s%s", diff, c.Cluster)
			}
		})
	}
}

// lines returns the findings as "CODE SUBJECT", sorted.
func lines(r *oracle.Report) []string {
	var out []string
	for _, f := range r.Findings {
		out = append(out, string(f.Code)+" "+f.Subject)
	}
	slices.Sort(out)
	return out
}
