// Package report writes findings in the forms that other tools read: SARIF,
// JUnit, GitHub annotations and GitLab code quality. Every writer gives the same
// bytes for the same findings, and none drops one without saying so.
package report

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// Fingerprints returns one stable identity for each finding, in order. It is
// made of what the finding is about (code, policy, rule, field and the other
// policy of a pair), never of lines, so it survives edits above the finding. A
// second finding that is about the same gets a count.
func Fingerprints(fs []model.Finding) []string {
	seen := make(map[string]int, len(fs))
	out := make([]string, len(fs))
	for i := range fs {
		key := Identity(&fs[i])
		seen[key]++
		sum := sha256.Sum256([]byte(key + "\x00" + strconv.Itoa(seen[key])))
		out[i] = hex.EncodeToString(sum[:16])
	}
	return out
}

// Identity returns what a finding is about, without where it stands: the key by
// which fingerprints and baselines know it again.
func Identity(f *model.Finding) string {
	about := f.Rule
	if about == "" {
		about = f.Policy
	}
	if about == "" {
		about = f.File // decoding failed before a policy had a name
	}
	other := ""
	if len(f.Related) > 0 && (f.Code == model.PriorityConflict || f.Code == model.PriorityTie) {
		other = f.Related[0].Policy
	}
	return fmt.Sprintf("%s\x00%s\x00%s\x00%s\x00%s", f.Code, about, f.Field, other, f.Scope)
}
