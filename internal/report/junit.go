package report

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// Case is one test case of a JUnit report. Failure and Error are empty for one that
// passed; Error says why it could not be judged.
type Case struct {
	Name, Class, File string
	Line              int
	Failure, Details  string // a short message, and the whole story
	Error             string
}

type (
	junitSuites struct {
		XMLName xml.Name     `xml:"testsuites"`
		Suites  []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Errors   int         `xml:"errors,attr"`
		Skipped  int         `xml:"skipped,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Name    string        `xml:"name,attr"`
		Class   string        `xml:"classname,attr"`
		File    string        `xml:"file,attr,omitempty"`
		Line    int           `xml:"line,attr,omitempty"`
		Failure *junitFailure `xml:"failure,omitempty"`
		Error   *junitFailure `xml:"error,omitempty"`
	}
	junitFailure struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

// JUnitCases writes one suite of the given cases.
func JUnitCases(w io.Writer, suite string, cases []Case) error {
	s := junitSuite{Name: suite, Tests: len(cases)}
	for _, c := range cases {
		jc := junitCase{Name: xmlText(c.Name), Class: xmlText(c.Class), File: xmlText(c.File), Line: c.Line}
		if c.Failure != "" {
			s.Failures++
			jc.Failure = &junitFailure{Message: xmlText(c.Failure), Text: xmlText(c.Details)}
		}
		if c.Error != "" {
			s.Errors++
			jc.Error = &junitFailure{Message: xmlText(c.Error)}
		}
		s.Cases = append(s.Cases, jc)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(junitSuites{Suites: []junitSuite{s}}); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

// JUnit writes one case a finding, and one in error for each line of what could not
// be judged. A run without either is one case that passed, because readers take an
// empty suite for a broken run.
func JUnit(w io.Writer, fs []model.Finding, unchecked []string) error {
	if len(fs)+len(unchecked) == 0 {
		return JUnitCases(w, "trafficpolicy lint", []Case{{Name: "no findings", Class: "lint"}})
	}
	cases := make([]Case, len(fs))
	for i := range fs {
		f := &fs[i]
		about := f.Rule
		if about == "" {
			about = f.Policy
		}
		if about == "" {
			about = f.File
		}
		cases[i] = Case{
			Name:    fmt.Sprintf("%s %s %s", f.Code, f.Name, about),
			Class:   string(f.Code),
			File:    f.File,
			Line:    f.Line,
			Failure: fmt.Sprintf("%s: %s", f.Severity, f.Message),
			Details: details(f),
		}
	}
	for i, line := range unchecked {
		cases = append(cases, Case{Name: fmt.Sprintf("unchecked %d", i+1), Class: "lint", Error: line})
	}
	return JUnitCases(w, "trafficpolicy lint", cases)
}

// details tells a finding in plain lines.
func details(f *model.Finding) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s: %s [%s]\n", f.Pos(), f.Severity, f.Message, f.Code)
	for _, r := range f.Related {
		fmt.Fprintf(&b, "%s: %s\n", model.Pos{File: r.File, Line: r.Line, Column: r.Column}, r.Message)
	}
	if f.Suggestion != "" {
		fmt.Fprintf(&b, "%s\n", f.Suggestion)
	}
	return b.String()
}

// xmlText replaces what XML 1.0 (2.2) cannot hold even escaped.
func xmlText(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 && r != '\t' && r != '\n' && r != '\r' || r == 0xFFFE || r == 0xFFFF {
			return 0xFFFD
		}
		return r
	}, s)
}
