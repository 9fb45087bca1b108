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

// Meaning returns what a finding of a code means, in one paragraph, or "" where
// there is no page of it.
func Meaning(code string) string {
	_, text, _ := strings.Cut(Check(code), "**Meaning.** ")
	text, _, _ = strings.Cut(text, "\n\n")
	return strings.Join(strings.Fields(text), " ")
}
