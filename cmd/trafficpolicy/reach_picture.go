package main

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/verify"
)

// maxPicture is the most flows that a picture can be read with.
const maxPicture = 300

// picture is flows between named ends, for drawing.
type picture struct {
	ends   []string // in order of first use
	arrows []arrow
}

type arrow struct {
	from, to int // in picture.ends
	label    string
	partial  bool // some of it, or depending on names
}

// newPicture joins the flows of r that have one end in common into arrows.
func newPicture(r *verify.Reach) (*picture, error) {
	if len(r.Flows) > maxPicture {
		return nil, fmt.Errorf("%d flows are too many for a picture, want at most %d: narrow them by --from and --to", len(r.Flows), maxPicture)
	}
	p := &picture{}
	index := map[string]int{}
	end := func(name string) int {
		i, ok := index[name]
		if !ok {
			i = len(p.ends)
			index[name] = i
			p.ends = append(p.ends, name)
		}
		return i
	}
	for i := range r.Flows {
		f := &r.Flows[i]
		p.arrows = append(p.arrows, arrow{end(flowEnd(r, f, f.From)), end(flowEnd(r, f, f.To)), flowPorts(f), len(f.Ports) == 0})
	}
	return p, nil
}

// writeReachDOT writes a graph in the language of Graphviz.
func writeReachDOT(w io.Writer, r *verify.Reach) error {
	p, err := newPicture(r)
	if err != nil {
		return err
	}
	var b strings.Builder
	b.WriteString("digraph reach {\n  rankdir=LR;\n  node [shape=box, fontname=\"sans-serif\"];\n  edge [fontname=\"sans-serif\", fontsize=10];\n")
	for i, e := range p.ends {
		fmt.Fprintf(&b, "  n%d [label=%s];\n", i, dotString(e))
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
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// Measures of the drawing, in pixels.
const (
	laneHeight = 34 // of one arrow
	boxGap     = 14
	boxHeight  = 26
	charWidth  = 7 // of a letter in 12px sans-serif, on average
	margin     = 16
)

// writeReachSVG draws sources on the left, destinations on the right, and
// between them one lane for each flow, with its ports above the line: so no two
// labels meet.
func writeReachSVG(w io.Writer, r *verify.Reach) error {
	p, err := newPicture(r)
	if err != nil {
		return err
	}
	d := newDrawing(p)
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="12">`+"\n", d.width, d.height)
	b.WriteString(`<title>who can talk to whom</title>` + "\n")
	b.WriteString(`<defs><marker id="head" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto"><path d="M0 0L8 4L0 8z" fill="#456"/></marker></defs>` + "\n")
	b.WriteString(`<rect width="100%" height="100%" fill="#fff"/>` + "\n")
	for i, a := range p.arrows {
		d.arrow(&b, i, a)
	}
	for i, e := range p.ends {
		if y, ok := d.left[i]; ok {
			d.box(&b, margin, y, d.leftWidth, e)
		}
		if y, ok := d.right[i]; ok {
			d.box(&b, d.rightX, y, d.rightWidth, e)
		}
	}
	b.WriteString("</svg>\n")
	_, err = io.WriteString(w, b.String())
	return err
}

// drawing is where things stand.
type drawing struct {
	width, height         int
	leftWidth, rightWidth int
	laneX, laneWidth      int
	rightX                int
	left, right           map[int]int // top of an end's box, of those that are there
}

func newDrawing(p *picture) *drawing {
	d := &drawing{left: map[int]int{}, right: map[int]int{}}
	var from, to []int
	for _, a := range p.arrows {
		if _, ok := d.left[a.from]; !ok {
			d.left[a.from] = 0
			from = append(from, a.from)
		}
		if _, ok := d.right[a.to]; !ok {
			d.right[a.to] = 0
			to = append(to, a.to)
		}
		d.leftWidth = max(d.leftWidth, textWidth(p.ends[a.from]))
		d.rightWidth = max(d.rightWidth, textWidth(p.ends[a.to]))
		d.laneWidth = max(d.laneWidth, textWidth(a.label))
	}
	rows := max(len(p.arrows)*laneHeight, len(from)*(boxHeight+boxGap), len(to)*(boxHeight+boxGap))
	d.height = rows + 2*margin
	spread(d.left, from, rows)
	spread(d.right, to, rows)
	const bend = 80 // between a box and the lanes
	d.laneX = margin + d.leftWidth + bend
	d.rightX = d.laneX + d.laneWidth + bend
	d.width = d.rightX + d.rightWidth + margin
	return d
}

func textWidth(s string) int { return len([]rune(s))*charWidth + 16 }

// spread places boxes evenly, in order.
func spread(tops map[int]int, order []int, height int) {
	for i, e := range order {
		tops[e] = margin + (2*i+1)*height/(2*len(order)) - boxHeight/2
	}
}

// arrow draws arrow number i in its own lane.
func (d *drawing) arrow(b *strings.Builder, i int, a arrow) {
	y := margin + i*laneHeight + laneHeight*2/3
	x1, y1 := margin+d.leftWidth, d.left[a.from]+boxHeight/2
	x2, y2 := d.rightX, d.right[a.to]+boxHeight/2
	end := d.laneX + d.laneWidth
	dash := ""
	if a.partial {
		dash = ` stroke-dasharray="5 3"`
	}
	fmt.Fprintf(b, `<path d="M%d %dC%d %d %d %d %d %dL%d %dC%d %d %d %d %d %d" fill="none" stroke="#456"%s marker-end="url(#head)"/>`+"\n",
		x1, y1, (x1+d.laneX)/2, y1, (x1+d.laneX)/2, y, d.laneX, y, end, y, (end+x2)/2, y, (end+x2)/2, y2, x2, y2, dash)
	fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="middle">%s</text>`+"\n", d.laneX+d.laneWidth/2, y-5, xmlString(a.label))
}

func (d *drawing) box(b *strings.Builder, x, y, width int, text string) {
	fmt.Fprintf(b, `<rect x="%d" y="%d" width="%d" height="%d" rx="4" fill="#eef3f8" stroke="#456"/>`+"\n", x, y, width, boxHeight)
	fmt.Fprintf(b, `<text x="%d" y="%d">%s</text>`+"\n", x+8, y+17, xmlString(text))
}

func xmlString(s string) string {
	var b strings.Builder
	xml.EscapeText(&b, []byte(s))
	return b.String()
}
