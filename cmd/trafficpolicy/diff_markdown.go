package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/verify"
)

// Bounds of a markdown diff. A comment of GitHub holds 65,536 characters (GraphQL
// addComment, "body is too long"), one of GitLab a million.
const (
	maxMarkdown = 60_000 // bytes
	maxRows     = 50     // of one table
)

// writeDiffMarkdown writes a diff as a comment on a pull request: a summary line,
// a table of what opens and one of what closes, and the packets folded away. What
// does not fit is counted.
func writeDiffMarkdown(w io.Writer, d *verify.Diff) error {
	m := &markdown{room: maxMarkdown}
	m.writef("### TrafficPolicy: %s\n\n", diffSummary(d))
	m.writef("Compared %s.", comparedWith(d))
	for _, p := range []struct {
		what string
		refs []string
	}{{"Added", d.Policies.Added}, {"Removed", d.Policies.Removed}, {"Changed", d.Policies.Changed}} {
		if len(p.refs) > 0 {
			n := min(len(p.refs), shownPrefixes)
			m.writef(" %s: %s.", p.what, moreThan(code(p.refs[:n]...), len(p.refs)-n))
		}
	}
	m.writef("\n")
	m.governed(d)
	m.table(d, verify.NewlyAllowed, "Newly allowed")
	m.table(d, verify.NewlyDenied, "Newly denied")
	m.details(d)
	_, err := io.WriteString(w, m.b.String())
	return err
}

// markdown is text with a limit.
type markdown struct {
	b    strings.Builder
	room int
}

func (m *markdown) writef(format string, args ...any) {
	s := fmt.Sprintf(format, args...)
	m.room -= len(s)
	m.b.WriteString(s)
}

// reserve is kept for what follows a table or the details.
const reserve = 4000

// row writes s and reports true if there is room for it.
func (m *markdown) row(s string) bool {
	if len(s) > m.room-reserve {
		return false
	}
	m.writef("%s", s)
	return true
}

// governed lists classes that become governed, or not governed.
func (m *markdown) governed(d *verify.Diff) {
	for _, g := range []struct{ what, text string }{{verify.Gained, "Now governed"}, {verify.Lost, "No longer governed"}} {
		var titles []string
		for i := range d.Classes {
			if d.Classes[i].Governed == g.what {
				titles = append(titles, classTitle(&d.Classes[i]))
			}
		}
		if n := min(len(titles), shownPrefixes); n > 0 {
			m.writef("\n**%s:** %s\n", g.text, moreThan(code(titles[:n]...), len(titles)-n))
		}
	}
}

func (m *markdown) table(d *verify.Diff, change, title string) {
	by, total, rows := "Now allowed by", d.Summary.NewlyAllowed, 0
	if change == verify.NewlyDenied {
		by, total = "Now denied by", d.Summary.NewlyDenied
	}
	if total == 0 {
		return
	}
	m.writef("\n#### %s\n\n| Pods | Direction | Remote addresses | Ports | %s |\n| --- | --- | --- | --- | --- |\n", title, by)
	each(d, func(c *verify.ClassDiff, ch *verify.Change) bool {
		if ch.Change != change {
			return true
		}
		where := ""
		if ch.Condition != "" {
			where = "<br>where " + cell(ch.Condition)
		}
		n := min(len(ch.After.By), shownDeciders)
		row := fmt.Sprintf("| %s | %s | %s%s | %s | %s |\n", code(classTitle(c)), ch.Direction, cell(prefixList(ch.Peers)), where,
			cell(portText(ch)), moreThan(code(ch.After.By[:n]...), len(ch.After.By)-n+ch.After.Omitted))
		if rows == maxRows || !m.row(row) {
			return false
		}
		rows++
		return true
	})
	if rows < total {
		m.writef("\nand %d more\n", total-rows)
	}
}

// details folds away one packet of each block.
func (m *markdown) details(d *verify.Diff) {
	total, shown := d.Summary.NewlyAllowed+d.Summary.NewlyDenied, 0
	if total == 0 {
		return
	}
	m.writef("\n<details><summary>One packet of each block, for <code>trafficpolicy simulate</code></summary>\n\n")
	each(d, func(_ *verify.ClassDiff, ch *verify.Change) bool {
		text := fmt.Sprintf("- %s: %s\n  before %s, after %s\n", changeText(ch.Change), code(packetFlags(&ch.Witness.Witness)),
			decidedBy(ch.Before.Verdict, ch.Witness.Before), decidedBy(ch.After.Verdict, ch.Witness.After))
		if len(ch.Witness.In) > 0 {
			text += fmt.Sprintf("  where %s\n", cell(ch.Condition))
		}
		if shown == 2*maxRows || !m.row(text) {
			return false
		}
		shown++
		return true
	})
	if shown < total {
		m.writef("\nand %d more\n", total-shown)
	}
	m.writef("\n</details>\n")
}

func decidedBy(verdict, by string) string { return verdict + " by " + code(by) }

// each calls f with every change in order, until it returns false.
func each(d *verify.Diff, f func(*verify.ClassDiff, *verify.Change) bool) {
	for i := range d.Classes {
		for j := range d.Classes[i].Changes {
			if !f(&d.Classes[i], &d.Classes[i].Changes[j]) {
				return
			}
		}
	}
}

// code sets texts as code. Within a table a bar ends the cell even there.
func code(texts ...string) string {
	out := make([]string, len(texts))
	for i, s := range texts {
		out[i] = "`" + cell(s) + "`"
	}
	return strings.Join(out, ", ")
}

// cell escapes what would end a table's cell. Names, labels and addresses have no
// other character that markdown knows.
func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }
