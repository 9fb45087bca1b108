// Package docs carries the pages that the program itself shows.
package docs

import (
	_ "embed"
	"strings"
)

//go:embed checks.md
var checks string

// Check returns the page of a finding's code as Markdown, its heading first, or
// "" where there is none.
func Check(code string) string {
	_, page, ok := strings.Cut(checks, "\n## "+code+" ")
	if !ok {
		return ""
	}
	for _, next := range []string{"\n## ", "\n# "} {
		page, _, _ = strings.Cut(page, next)
	}
	return "## " + code + " " + strings.TrimRight(page, "\n") + "\n"
}
