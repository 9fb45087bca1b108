package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	dir := t.TempDir()
	tests := []struct {
		name, args string
		want       string // in the output, or in the error
		fails      bool
	}{
		{"JSON", "-pods 20 -nodes 3", "{\n    \"apiVersion\": \"v1\",\n    \"items\": [\n        {\n            \"apiVersion\": \"v1\",\n            \"kind\": \"Pod\",", false},
		{"YAML", "-pods 20 -nodes 3 -format yaml", "---\napiVersion: v1\nkind: Pod\n", false},
		{"policies alone", "-policies-out - -inventory= -policies 3 -rules 9", "kind: GlobalTrafficPolicy", false},
		{"a format that is none", "-format xml", "-format \"xml\" is not one of json, yaml", true},
		{"an argument", "cluster.json", "\"cluster.json\" is no flag", true},
		{"no nodes", "-nodes 0", "at least one node", true},
		{"a folder that is not there", "-inventory " + filepath.Join(dir, "no", "file"), "no such file", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			err := run(strings.Fields(tt.args), &stdout, &stderr)
			text := stdout.String()
			if err != nil {
				text = err.Error()
			}
			if (err != nil) != tt.fails || !strings.Contains(text, tt.want) {
				t.Errorf("error %v, output %.300q, want %q", err, text, tt.want)
			}
		})
	}
}

// Both files at once, in the forms that their names say.
func TestRunFiles(t *testing.T) {
	dir := t.TempDir()
	policies, inventory := filepath.Join(dir, "p.json"), filepath.Join(dir, "i.json")
	var stdout bytes.Buffer
	if err := run([]string{"-pods", "50", "-nodes", "1", "-policies-out", policies, "-inventory", inventory}, &stdout, &stdout); err != nil || stdout.Len() > 0 {
		t.Fatal(err, stdout.String())
	}
	for file, want := range map[string]string{policies: `"kind": "TrafficPolicy"`, inventory: `"kind": "Node"`} {
		if text, err := os.ReadFile(file); err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s: error %v, want it to have %s", file, err, want)
		}
	}
}
