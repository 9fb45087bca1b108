package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// TestPoliciesAreTheGuides: the demo's policies are those of the corpus.
func TestPoliciesAreTheGuides(t *testing.T) {
	policies, err := filepath.Glob("data/*-policy.yaml")
	if err != nil || len(policies) == 0 {
		t.Fatal(policies, err)
	}
	for _, p := range policies {
		ours, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		guides, err := os.ReadFile(filepath.Join("../../testdata/corpus", filepath.Base(p)))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(ours, guides) {
			t.Errorf("%s differs from the corpus", p)
		}
	}
}

// TestDemo runs the demo whole: with root with packets, otherwise without.
func TestDemo(t *testing.T) {
	if why := kernelReason(); why != "" && os.Getenv("TRAFFICPOLICY_REQUIRE_KERNEL") == "1" {
		t.Fatal(why)
	}
	var out, stderr bytes.Buffer
	if code := run(t.Context(), "", &out, &stderr); code != exitAgree {
		t.Errorf("exit %d\n%s\n%s", code, &out, &stderr)
	}
}
