package report

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// Escape sequences of terminals (ECMA-48, SGR).
const (
	bold   = "\x1b[1m"
	red    = "\x1b[1;31m"
	yellow = "\x1b[1;33m"
	blue   = "\x1b[1;34m"
	green  = "\x1b[32m"
	plain  = "\x1b[0m"
)

var severityColor = map[model.Severity]string{model.Error: red, model.Warning: yellow, model.Info: blue}

// TextOptions is how [Text] writes. The zero TextOptions is plain text.
type TextOptions struct {
	Color bool
}

// Text writes findings for people: what is wrong and where, the source line with
// marks under the subject, other places it is about, a packet that shows it, and
// how to mend it. Source lines are read again from the files; without them the
// rest stands.
func Text(w io.Writer, fs []model.Finding, o TextOptions) error {
	t := &textWriter{w: bufio.NewWriter(w), color: o.Color}
	for i := range fs {
		t.finding(&fs[i])
	}
	return t.w.Flush()
}

type textWriter struct {
	w       *bufio.Writer
	color   bool
	sources sources
}

// paint returns s in a colour.
func (t *textWriter) paint(color, s string) string {
	if !t.color {
		return s
	}
	return color + s + plain
}

func (t *textWriter) finding(f *model.Finding) {
	where := ""
	if pos := f.Pos().String(); pos != "" {
		where = t.paint(bold, pos) + ": "
	}
	fmt.Fprintf(t.w, "%s%s: %s [%s]\n", where, t.paint(severityColor[f.Severity], f.Severity.String()), f.Message, f.Code)
	gutter := t.source(f)
	note := func(kind, text string) { fmt.Fprintf(t.w, "%s = %s: %s\n", gutter, kind, text) }
	if about := cmp.Or(f.Entry, f.Rule); about != "" {
		note("rule", about)
	}
	for _, r := range f.Related {
		message := r.Message
		if about := cmp.Or(r.Rule, r.Policy); about != "" {
			message = about + ": " + message
		}
		note("related", fmt.Sprintf("%s: %s", model.Pos{File: r.File, Line: r.Line, Column: r.Column}, message))
	}
	if f.RelatedOmitted > 0 {
		note("related", fmt.Sprintf("and %d more", f.RelatedOmitted))
	}
	if w := f.Witness; w != nil {
		packet := fmt.Sprintf("%s to %s, %s", w.Src, w.Dst, w.Proto)
		if p, ok := model.ParseProto(w.Proto, model.IPv4); ok && p.HasPorts() {
			packet += " " + strconv.Itoa(int(w.Port))
		}
		note("packet", packet)
	}
	if f.Suggestion != "" && !strings.HasSuffix(f.Message, "("+f.Suggestion+")") { // else it is said
		note("help", strings.ReplaceAll(f.Suggestion, "\n", "\n"+gutter+strings.Repeat(" ", len(" = help: "))))
	}
	fmt.Fprintln(t.w)
}

// source writes the source line with marks and returns the blank gutter that
// lines below it begin with.
func (t *textWriter) source(f *model.Finding) string {
	line, marks, ok := t.sources.excerpt(f.Pos())
	if !ok {
		return " "
	}
	number := strconv.Itoa(f.Line)
	gutter := strings.Repeat(" ", len(number)+1)
	fmt.Fprintf(t.w, " %s | %s\n%s | %s\n", number, line, gutter, t.paint(green, marks))
	return gutter
}
