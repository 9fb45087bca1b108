package report

import (
	"encoding/json"
	"io"
	"path/filepath"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// gitlabIssue is one entry of a Code Quality report (GitLab documentation, "Code
// Quality report format"): these fields are all that GitLab reads.
type gitlabIssue struct {
	Description string         `json:"description"`
	CheckName   string         `json:"check_name"`
	Fingerprint string         `json:"fingerprint"`
	Severity    string         `json:"severity"`
	Location    gitlabLocation `json:"location"`
}

type gitlabLocation struct {
	Path  string `json:"path"`
	Lines struct {
		Begin int `json:"begin"`
	} `json:"lines"`
}

var gitlabSeverity = map[model.Severity]string{model.Error: "critical", model.Warning: "major", model.Info: "info"}

// GitLab writes a Code Quality report.
func GitLab(w io.Writer, fs []model.Finding) error {
	prints := Fingerprints(fs)
	issues := make([]gitlabIssue, len(fs))
	for i := range fs {
		f := &fs[i]
		issues[i] = gitlabIssue{
			Description: f.Message,
			CheckName:   string(f.Code) + " " + f.Name,
			Fingerprint: prints[i],
			Severity:    gitlabSeverity[f.Severity],
			Location:    gitlabLocation{Path: filepath.ToSlash(filepath.Clean(f.File))},
		}
		issues[i].Location.Lines.Begin = max(f.Line, 1)
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(issues)
}
