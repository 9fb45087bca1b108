package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/model"
)

var githubCommand = map[model.Severity]string{model.Error: "error", model.Warning: "warning", model.Info: "notice"}

// Escapes of workflow commands (actions/toolkit, packages/core/src/command.ts):
// data keeps : and , as they are, properties do not.
var (
	githubData     = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	githubProperty = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
)

// GitHub writes one workflow command a finding, which GitHub Actions shows as an
// annotation of the changed file, and one for each line of what could not be judged.
func GitHub(w io.Writer, fs []model.Finding, unchecked []string) error {
	for i := range fs {
		f := &fs[i]
		props := []string{"file=" + githubProperty.Replace(model.Printable(f.File))}
		if f.Line > 0 {
			props = append(props, fmt.Sprintf("line=%d", f.Line))
		}
		if f.Column > 0 {
			props = append(props, fmt.Sprintf("col=%d", f.Column))
		}
		props = append(props, "title="+githubProperty.Replace(fmt.Sprintf("%s %s", f.Code, f.Name)))
		msg := f.Message
		if f.Suggestion != "" {
			msg += "\n" + f.Suggestion
		}
		if _, err := fmt.Fprintf(w, "::%s %s::%s\n", githubCommand[f.Severity], strings.Join(props, ","), githubData.Replace(msg)); err != nil {
			return err
		}
	}
	for _, line := range unchecked {
		if _, err := fmt.Fprintf(w, "::error title=not checked::%s\n", githubData.Replace(line)); err != nil {
			return err
		}
	}
	return nil
}
