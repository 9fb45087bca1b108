package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/verify"
)

// maxPicture is the most flows that a picture can be read with.
const maxPicture = 300

// picture is flows between ends, for drawing.
type picture struct {
	title  string
	ends   []pictureEnd // in order of first use
	arrows []arrow
	note   []string // below
}

// pictureEnd is one end of flows: groups of pods, or addresses.
type pictureEnd struct {
	lines   []string
	addrs   bool
	members string // for who wants to know more
}

type arrow struct {
	from, to int // in picture.ends
	label    string
	partial  bool // some of it, or depending on names
}

// lineLength is the most letters of a line in a picture, where words permit.
const lineLength = 48

// newPicture joins the flows of r that have one end in common into arrows.
func newPicture(r *verify.Reach) (*picture, error) {
	if len(r.Flows) > maxPicture {
		return nil, fmt.Errorf("%d flows are too many for a picture, want at most %d: narrow them by --from and --to", len(r.Flows), maxPicture)
	}
	p := &picture{title: fmt.Sprintf("Who can talk to whom: %s, %s", count(len(r.Groups), "group of pods", "groups of pods"), strings.Join(r.Families, " and "))}
	index := map[string]int{}
	end := func(f *verify.ReachFlow, groups []int) int {
		e := newPictureEnd(r, f, groups)
		key := strings.Join(e.lines, "\n")
		i, ok := index[key]
		if !ok {
			i = len(p.ends)
			index[key] = i
			p.ends = append(p.ends, e)
		}
		return i
	}
	for i := range r.Flows {
		f := &r.Flows[i]
		p.arrows = append(p.arrows, arrow{end(f, f.From), end(f, f.To), flowPorts(f), len(f.Ports) == 0})
	}
	if len(p.arrows) == 0 {
		p.note = append(p.note, "nothing is open")
	}
	if slices.ContainsFunc(p.arrows, func(a arrow) bool { return a.partial }) {
		p.note = append(p.note, "dashed: between some of them only, or depending on the addresses of names")
	}
	for _, note := range reachNotes(r) {
		p.note = append(p.note, wrap(note, 2*lineLength)...)
	}
	return p, nil
}

// newPictureEnd writes each group on a line of its own, and addresses on as many
// as they need.
func newPictureEnd(r *verify.Reach, f *verify.ReachFlow, groups []int) pictureEnd {
	if len(groups) == 0 {
		var e pictureEnd
		for family := range strings.SplitSeq(prefixList(f.Prefixes), "; ") {
			e.lines = append(e.lines, wrap(family, lineLength)...)
		}
		e.addrs = true
		return e
	}
	var e pictureEnd
	var members []string
	for _, name := range strings.Split(groupNames(r, groups), "; ") {
		e.lines = append(e.lines, wrap(name, lineLength)...)
	}
	for _, g := range groups {
		members = append(members, r.Groups[g].Members...)
	}
	n := min(len(members), maxMembers)
	e.members = moreThan(strings.Join(members[:n], "\n"), len(members)-n)
	return e
}

// maxMembers is how many pods are named for who wants to know more.
const maxMembers = 50

// wrap breaks a text between words into lines of at most n letters, or one word.
func wrap(text string, n int) []string {
	var lines []string
	for _, word := range strings.Fields(text) {
		last := len(lines) - 1
		if last >= 0 && len(lines[last])+1+len(word) <= n {
			lines[last] += " " + word
		} else {
			lines = append(lines, word)
		}
	}
	return lines
}

// writeReachDOT writes a graph in the language of Graphviz.
func writeReachDOT(w io.Writer, r *verify.Reach) error {
	p, err := newPicture(r)
	if err != nil {
		return err
	}
	var b strings.Builder
	b.WriteString("digraph reach {\n")
	fmt.Fprintf(&b, "  label=%s;\n", dotString(strings.Join(append([]string{p.title}, p.note...), "\n")))
	b.WriteString("  labelloc=t;\n  rankdir=LR;\n  fontname=\"sans-serif\";\n")
	b.WriteString("  node [shape=box, style=\"rounded,filled\", fontname=\"sans-serif\", fontsize=11];\n")
	b.WriteString("  edge [fontname=\"sans-serif\", fontsize=10, color=\"" + lineColor + "\"];\n")
	for i, e := range p.ends {
		c := e.colors()
		fmt.Fprintf(&b, "  n%d [label=%s, fillcolor=\"%s\", color=\"%s\"];\n", i, dotString(strings.Join(e.lines, "\n")), c.fill, c.line)
	}
	for _, a := range p.arrows {
		style := ""
		if a.partial {
			style = ", style=dashed"
		}
		fmt.Fprintf(&b, "  n%d -> n%d [label=%s%s];\n", a.from, a.to, dotString(a.label), style)
	}
	b.WriteString("}\n")
	_, err = io.WriteString(w, b.String())
	return err
}

func dotString(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(s) + `"`
}

// boxColors are those of an end.
type boxColors struct{ fill, line string }

// lineColor is that of arrows.
const lineColor = "#35506b"

// colors tells pods from addresses.
func (e *pictureEnd) colors() boxColors {
	if e.addrs {
		return boxColors{"#f7f3ea", "#a08a5b"}
	}
	return boxColors{"#e9f1fb", "#5b7db1"}
}
