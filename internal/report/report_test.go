package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/trafficpolicy/trafficpolicy/model"
)

func sample() []model.Finding {
	a := model.NewFinding(model.ShadowedRule, model.Pos{File: "policies/a b.yaml", Line: 12, Column: 7}, "no packet reaches this rule: 10.0.0.0/8, \"all\" <100%>\nare taken")
	a.Policy, a.Rule = "TrafficPolicy/default/agent", "TrafficPolicy/default/agent#egress[3]"
	a.Related = []model.Related{{Policy: a.Policy, Rule: "TrafficPolicy/default/agent#egress[1]", File: "policies/a b.yaml", Line: 8, Column: 7, Message: "decides 10.0.0.0/8 first"}}
	a.Witness = &model.Witness{Src: "default/agent", Dst: "10.0.0.0", Proto: "TCP", Port: 1}
	b := model.NewFinding(model.PriorityTie, model.Pos{File: "b.yaml", Line: 3, Column: 1}, "same priority")
	b.Policy, b.Suggestion = "TrafficPolicy/default/b", "give one a smaller priority"
	c := model.NewFinding(model.ParseError, model.Pos{File: "c.yaml"}, "not YAML: \x00")
	return []model.Finding{a, b, c}
}

// golden compares got with testdata/name; UPDATE rewrites it.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("%s (-want +got):\n%s", name, d)
	}
}

func TestSARIF(t *testing.T) {
	var buf bytes.Buffer
	help := func(c model.Code) string { return "# " + string(c) }
	meaning := func(c model.Code) string {
		if c == model.ParseError {
			return "" // no page
		}
		return "What " + string(c) + " means. And more."
	}
	if err := SARIF(&buf, sample(), SARIFOptions{Version: "v1.2.3", Help: help, Meaning: meaning}); err != nil {
		t.Fatal(err)
	}
	golden(t, "sample.sarif", buf.Bytes())
	validate(t, buf.Bytes())
}

func TestSARIFWithoutFindings(t *testing.T) {
	var buf bytes.Buffer
	if err := SARIF(&buf, nil, SARIFOptions{}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(buf.String(), `"results": []`) {
		t.Errorf("results must be an empty list, which says that the run was clean:\n%s", &buf)
	}
	validate(t, buf.Bytes())
}

// validate holds a report against the SARIF 2.1.0 schema of OASIS.
func validate(t *testing.T, text []byte) {
	t.Helper()
	schema, err := jsonschema.NewCompiler().Compile("testdata/sarif-schema-2.1.0.json")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(doc); err != nil {
		t.Error(err)
	}
}

func TestSARIFKeepsTheMostSevere(t *testing.T) {
	var fs []model.Finding
	for i := range maxSARIFResults + 10 {
		c := model.PriorityTie // info
		if i >= maxSARIFResults {
			c = model.ShadowedRule // error
		}
		fs = append(fs, model.NewFinding(c, model.Pos{File: "a.yaml", Line: i + 1, Column: 1}, "m"))
	}
	var buf bytes.Buffer
	if err := SARIF(&buf, fs, SARIFOptions{}); err != nil {
		t.Fatal(err)
	}
	var log sarifLog
	if err := json.Unmarshal(buf.Bytes(), &log); err != nil {
		t.Fatal(err)
	}
	run := log.Runs[0]
	errors := 0
	for _, r := range run.Results {
		if r.Level == "error" {
			errors++
		}
	}
	if len(run.Results) != maxSARIFResults || errors != 10 {
		t.Errorf("%d results with %d errors, want %d with 10", len(run.Results), errors, maxSARIFResults)
	}
	const want = "not in this report, which holds the 5000 most severe findings: 10 of severity info"
	if ns := run.Invocations[0].ToolExecutionNotifications; len(ns) != 1 || ns[0].Message.Text != want {
		t.Errorf("notification %v, want %q", ns, want)
	}
}

func TestLeftOut(t *testing.T) {
	fs := []model.Finding{{Severity: model.Error}, {Severity: model.Warning}, {Severity: model.Info}, {Severity: model.Error}}
	for _, c := range []struct {
		places []int
		want   string
	}{
		{[]int{0, 3}, ": 2 of severity error"},
		{[]int{3, 1, 2}, ": 1 of severity error, 1 of severity warning, 1 of severity info"},
		{[]int{1}, ": 1 of severity warning"},
	} {
		if got := leftOut(fs, c.places); !strings.HasSuffix(got, c.want) {
			t.Errorf("%v: %q, want %q", c.places, got, c.want)
		}
	}
}

func TestFingerprintsSurviveLineMoves(t *testing.T) {
	before, moved := sample(), sample()
	for i := range moved {
		moved[i].Line += 10
		moved[i].Message += " "
	}
	if d := cmp.Diff(Fingerprints(before), Fingerprints(moved)); d != "" {
		t.Errorf("a moved finding is another one:\n%s", d)
	}
	twice := append(sample(), sample()...)
	seen := map[string]bool{}
	for _, p := range Fingerprints(twice) {
		if seen[p] {
			t.Errorf("fingerprint %s stands for two findings", p)
		}
		seen[p] = true
	}
}

func TestJUnit(t *testing.T) {
	var buf bytes.Buffer
	if err := JUnit(&buf, sample(), nil); err != nil {
		t.Fatal(err)
	}
	golden(t, "sample.junit.xml", buf.Bytes())
	var back junitSuites
	if err := xml.Unmarshal(buf.Bytes(), &back); err != nil {
		t.Fatalf("not XML: %v", err)
	}
	if s := back.Suites[0]; s.Tests != 3 || s.Failures != 3 {
		t.Errorf("%d tests, %d failures, want 3 and 3", s.Tests, s.Failures)
	}
	buf.Reset()
	if err := JUnit(&buf, nil, nil); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(buf.String(), `tests="1" failures="0"`) {
		t.Errorf("a clean run must have one case that passed:\n%s", &buf)
	}
}

// TestUnchecked holds that no form of a report without findings looks like a clean
// run where something could not be judged.
func TestUnchecked(t *testing.T) {
	unchecked := []string{"TP101 not checked for <b>: too many, 50%\nof them"}
	var sarif, junit, github bytes.Buffer
	if err := errors.Join(SARIF(&sarif, nil, SARIFOptions{Unchecked: unchecked}), JUnit(&junit, nil, unchecked), GitHub(&github, nil, unchecked)); err != nil {
		t.Fatal(err)
	}
	var log sarifLog
	if err := json.Unmarshal(sarif.Bytes(), &log); err != nil {
		t.Fatal(err)
	}
	inv := log.Runs[0].Invocations[0]
	if n := inv.ToolExecutionNotifications; inv.ExecutionSuccessful || len(n) != 1 || n[0].Level != "error" || n[0].Message.Text != unchecked[0] {
		t.Errorf("SARIF has invocation %+v, want one that failed and says why", inv)
	}
	validate(t, sarif.Bytes())
	var suites junitSuites
	if err := xml.Unmarshal(junit.Bytes(), &suites); err != nil {
		t.Fatal(err)
	}
	if s := suites.Suites[0]; s.Tests != 1 || s.Failures != 0 || s.Errors != 1 || s.Cases[0].Error == nil || s.Cases[0].Error.Message != unchecked[0] {
		t.Errorf("JUnit has %+v, want one case in error", s)
	}
	if want := "::error title=not checked::TP101 not checked for <b>: too many, 50%25%0Aof them\n"; github.String() != want {
		t.Errorf("GitHub has %q, want %q", &github, want)
	}
}

func TestGitHub(t *testing.T) {
	var buf bytes.Buffer
	if err := GitHub(&buf, sample(), nil); err != nil {
		t.Fatal(err)
	}
	golden(t, "sample.github.txt", buf.Bytes())
	if n := strings.Count(buf.String(), "\n"); n != 3 {
		t.Errorf("%d lines for 3 findings: a line break got through", n)
	}
}

func TestGitLab(t *testing.T) {
	var buf bytes.Buffer
	if err := GitLab(&buf, sample()); err != nil {
		t.Fatal(err)
	}
	golden(t, "sample.gitlab.json", buf.Bytes())
	buf.Reset()
	if err := GitLab(&buf, nil); err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimSpace(buf.String()); got != "[]" {
		t.Errorf("no findings are %s, want []", got)
	}
}

func TestFileURI(t *testing.T) {
	for path, want := range map[string]string{
		"a/b.yaml":      "a/b.yaml",
		"./a.yaml":      "a.yaml",
		"a b#c?.yaml":   "a%20b%23c%3F.yaml",
		"/abs/p.yaml":   "file:///abs/p.yaml",
		"up/../x.yaml":  "x.yaml",
		"grüße/ä.yaml":  "gr%C3%BC%C3%9Fe/%C3%A4.yaml",
		"c:colon/p.yml": "./c:colon/p.yml",
	} {
		if got := fileURI(path); got != want {
			t.Errorf("fileURI(%q) = %q, want %q", path, got, want)
		}
	}
}
