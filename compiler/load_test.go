package compiler

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// The corpus and the small cluster are what real users have: nothing in them is
// an error, and every object of them is found.
func TestLoadCorpus(t *testing.T) {
	in, err := Load(context.Background(), LoadOptions{
		Policies:  []string{"../testdata/corpus"},
		Inventory: []string{"../testdata/cluster/small.yaml"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range in.Findings {
		if f.Severity != model.Error {
			continue // the guide's own 100.96.0.0/10 has host bits
		}
		t.Errorf("%s: %s [%s]", f.Pos(), f.Message, f.Code)
	}
	got := map[string]int{
		"files": in.Files, "policies": len(in.Policies), "namespaces": len(in.Inventory.Namespaces), "nodes": len(in.Inventory.Nodes),
		"pods": len(in.Inventory.Pods), "services": len(in.Inventory.Services), "endpoints": len(in.Inventory.Endpoints), "skipped": len(in.Skipped),
	}
	want := map[string]int{"files": 10, "policies": 10, "namespaces": 5, "nodes": 2, "pods": 14, "services": 8, "endpoints": 2, "skipped": 0}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("objects read (-want +got):\n%s", diff)
	}
}
