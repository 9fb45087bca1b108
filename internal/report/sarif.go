package report

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// What GitHub shows of one SARIF run, results by severity, and of one result's
// related locations (GitHub documentation, "SARIF support for code scanning").
const (
	maxSARIFResults   = 5000
	maxSARIFLocations = 100
)

// homeURI is where the tool is found.
const homeURI = "https://github.com/trafficpolicy/trafficpolicy"

// SARIFOptions describes the tool to the reader of the report.
type SARIFOptions struct {
	Version string
	// Help returns the Markdown page of a code, and Meaning what a finding of it
	// means in one paragraph; nil for none.
	Help, Meaning func(model.Code) string
	// Unchecked says what could not be judged, a line each: the run did not succeed.
	Unchecked []string
}

// The part of SARIF 2.1.0 (OASIS, section numbers in comments) that a report of
// findings needs.
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct { // 3.14
		Tool        sarifTool         `json:"tool"`
		Invocations []sarifInvocation `json:"invocations"`
		ColumnKind  string            `json:"columnKind"`
		Results     []sarifResult     `json:"results"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct { // 3.19
		Name           string      `json:"name"`
		InformationURI string      `json:"informationUri"`
		Version        string      `json:"version,omitempty"`
		Rules          []sarifRule `json:"rules"`
	}
	sarifRule struct { // 3.49
		ID                   string            `json:"id"`
		Name                 string            `json:"name"`
		ShortDescription     sarifMessage      `json:"shortDescription"`
		FullDescription      sarifMessage      `json:"fullDescription"` // GitHub requires it
		HelpURI              string            `json:"helpUri"`
		Help                 *sarifMessage     `json:"help,omitempty"`
		DefaultConfiguration map[string]string `json:"defaultConfiguration"`
		Properties           map[string]any    `json:"properties"`
	}
	sarifMessage struct {
		Text     string `json:"text"`
		Markdown string `json:"markdown,omitempty"`
	}
	sarifInvocation struct { // 3.20
		ExecutionSuccessful        bool                `json:"executionSuccessful"`
		ToolExecutionNotifications []sarifNotification `json:"toolExecutionNotifications,omitempty"`
	}
	sarifNotification struct {
		Level   string       `json:"level"`
		Message sarifMessage `json:"message"`
	}
	sarifResult struct { // 3.27
		RuleID              string            `json:"ruleId"`
		RuleIndex           int               `json:"ruleIndex"`
		Level               string            `json:"level"`
		Message             sarifMessage      `json:"message"`
		Locations           []sarifLocation   `json:"locations"`
		RelatedLocations    []sarifLocation   `json:"relatedLocations,omitempty"`
		PartialFingerprints map[string]string `json:"partialFingerprints"`
		Properties          map[string]any    `json:"properties,omitempty"`
	}
	sarifLocation struct { // 3.28
		ID               *int                   `json:"id,omitempty"`
		PhysicalLocation sarifPhysicalLocation  `json:"physicalLocation"`
		LogicalLocations []sarifLogicalLocation `json:"logicalLocations,omitempty"`
		Message          *sarifMessage          `json:"message,omitempty"`
	}
	sarifPhysicalLocation struct {
		ArtifactLocation sarifArtifact `json:"artifactLocation"`
		Region           *sarifRegion  `json:"region,omitempty"`
	}
	sarifArtifact struct {
		URI string `json:"uri"`
	}
	sarifRegion struct {
		StartLine   int `json:"startLine"`
		StartColumn int `json:"startColumn,omitempty"`
	}
	sarifLogicalLocation struct {
		FullyQualifiedName string `json:"fullyQualifiedName"`
	}
)

var sarifLevel = map[model.Severity]string{model.Error: "error", model.Warning: "warning", model.Info: "note"}

// SARIF writes findings as one SARIF 2.1.0 run. Where there are more than GitHub
// shows, the most severe are kept and a notification in the run says how many
// were left out.
func SARIF(w io.Writer, fs []model.Finding, o SARIFOptions) error {
	prints := Fingerprints(fs)
	order := make([]int, len(fs))
	for i := range order {
		order[i] = i
	}
	inv := sarifInvocation{ExecutionSuccessful: len(o.Unchecked) == 0}
	for _, text := range o.Unchecked {
		inv.notify("error", text)
	}
	if len(fs) > maxSARIFResults {
		slices.SortStableFunc(order, func(a, b int) int { return int(fs[b].Severity) - int(fs[a].Severity) })
		inv.notify("warning", leftOut(fs, order[maxSARIFResults:]))
		order = order[:maxSARIFResults]
		slices.Sort(order)
	}
	rules, index := sarifRules(fs, o)
	run := sarifRun{
		Tool: sarifTool{sarifDriver{
			Name:           "trafficpolicy",
			InformationURI: homeURI,
			Version:        o.Version,
			Rules:          rules,
		}},
		Invocations: []sarifInvocation{inv},
		ColumnKind:  "unicodeCodePoints",
		Results:     make([]sarifResult, 0, len(order)),
	}
	for _, i := range order {
		run.Results = append(run.Results, sarifOf(&fs[i], index[fs[i].Code], prints[i]))
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(sarifLog{
		Schema:  "https://json.schemastore.org/sarif-2.1.0.json",
		Version: "2.1.0",
		Runs:    []sarifRun{run},
	})
}

// leftOut counts the findings of fs at places, the most severe first.
func leftOut(fs []model.Finding, places []int) string {
	counts := map[model.Severity]int{}
	for _, i := range places {
		counts[fs[i].Severity]++
	}
	var parts []string
	for _, s := range []model.Severity{model.Error, model.Warning, model.Info} {
		if n := counts[s]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d of severity %s", n, s))
		}
	}
	return fmt.Sprintf("not in this report, which holds the %d most severe findings: %s", maxSARIFResults, strings.Join(parts, ", "))
}

func (i *sarifInvocation) notify(level, text string) {
	i.ToolExecutionNotifications = append(i.ToolExecutionNotifications, sarifNotification{Level: level, Message: sarifMessage{Text: text}})
}

// sarifRules describes the codes that occur, in order of code, and returns the
// place of each.
func sarifRules(fs []model.Finding, o SARIFOptions) ([]sarifRule, map[model.Code]int) {
	used := map[model.Code]bool{}
	for i := range fs {
		used[fs[i].Code] = true
	}
	rules, index := []sarifRule{}, map[model.Code]int{}
	for _, c := range model.Codes {
		if !used[c.Code] {
			continue
		}
		index[c.Code] = len(rules)
		r := sarifRule{
			ID:                   string(c.Code),
			Name:                 c.Name,
			ShortDescription:     sarifMessage{Text: c.Name},
			FullDescription:      sarifMessage{Text: c.Name},
			HelpURI:              homeURI + "/blob/main/docs/checks.md#" + strings.ToLower(string(c.Code)) + "-" + c.Name,
			DefaultConfiguration: map[string]string{"level": sarifLevel[c.Severity]},
			Properties:           map[string]any{"tags": []string{"network-policy"}},
		}
		if text := describe(o.Meaning, c.Code); text != "" {
			first, _, _ := strings.Cut(text, ". ")
			r.ShortDescription.Text, r.FullDescription.Text = strings.TrimSuffix(first, "."), text
		}
		if page := describe(o.Help, c.Code); page != "" {
			r.Help = &sarifMessage{Text: page, Markdown: page}
		}
		rules = append(rules, r)
	}
	return rules, index
}

// describe returns what of says of a code; of may be nil.
func describe(of func(model.Code) string, c model.Code) string {
	if of == nil {
		return ""
	}
	return of(c)
}

func sarifOf(f *model.Finding, rule int, fingerprint string) sarifResult {
	r := sarifResult{
		RuleID:    string(f.Code),
		RuleIndex: rule,
		Level:     sarifLevel[f.Severity],
		Message:   sarifMessage{Text: f.Message},
		Locations: []sarifLocation{sarifPlace(f.Pos(), f.Policy, f.Rule)},
		// GitHub knows a result again by primaryLocationLineHash and no other key.
		PartialFingerprints: map[string]string{"primaryLocationLineHash": fingerprint, "trafficpolicy/v1": fingerprint},
		Properties:          map[string]any{"scope": f.Scope},
	}
	if f.Witness != nil {
		r.Properties["witness"] = f.Witness
	}
	if f.Suggestion != "" {
		r.Message.Text += "\n" + f.Suggestion
	}
	for i, rel := range f.Related {
		if i == maxSARIFLocations {
			break
		}
		l := sarifPlace(model.Pos{File: rel.File, Line: rel.Line, Column: rel.Column}, rel.Policy, rel.Rule)
		l.ID, l.Message = &i, &sarifMessage{Text: rel.Message}
		r.RelatedLocations = append(r.RelatedLocations, l)
	}
	return r
}

func sarifPlace(p model.Pos, policy, rule string) sarifLocation {
	l := sarifLocation{PhysicalLocation: sarifPhysicalLocation{ArtifactLocation: sarifArtifact{URI: fileURI(p.File)}}}
	if p.IsValid() {
		l.PhysicalLocation.Region = &sarifRegion{StartLine: p.Line, StartColumn: p.Column}
	}
	if rule == "" {
		rule = policy
	}
	if rule != "" {
		l.LogicalLocations = []sarifLogicalLocation{{FullyQualifiedName: rule}}
	}
	return l
}

// fileURI returns a path as a URI reference: relative to the repository's root
// when the path is relative, as GitHub wants it.
func fileURI(path string) string {
	u := url.URL{Path: filepath.ToSlash(filepath.Clean(path))}
	if filepath.IsAbs(path) {
		u.Scheme = "file"
	}
	return u.String()
}
