package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// TestSARIFOfEveryCheck holds the report of each check's example, with its whole
// help, against the SARIF 2.1.0 schema of OASIS.
func TestSARIFOfEveryCheck(t *testing.T) {
	schema, err := jsonschema.NewCompiler().Compile("../../internal/report/testdata/sarif-schema-2.1.0.json")
	if err != nil {
		t.Fatal(err)
	}
	const cluster = "../../testdata/checks/cluster.yaml"
	paths, err := filepath.Glob("../../testdata/checks/TP*.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatal(paths, err)
	}
	for _, path := range paths {
		code := strings.TrimSuffix(filepath.Base(path), ".yaml")
		t.Run(code, func(t *testing.T) {
			var out bytes.Buffer
			c := &command{Stdin: strings.NewReader(""), Stdout: &out, Stderr: t.Output(), Getenv: os.Getenv}
			if exit := c.Main([]string{"lint", path, "-i", cluster, "-o", "sarif", "--fail-on", "never",
				"--poseidon-version", "0.7.2", "--resolve", "cdn.example=192.0.2.7", "--resolve", "ads.example=192.0.2.7"}); exit != exitOK {
				t.Fatalf("exit code %d", exit)
			}
			doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(out.Bytes()))
			if err != nil {
				t.Fatal(err)
			}
			if err := schema.Validate(doc); err != nil {
				t.Error(err)
			}
			if !strings.Contains(out.String(), `"ruleId": "`+code+`"`) {
				t.Errorf("no %s in the report", code)
			}
		})
	}
}
