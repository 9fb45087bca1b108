package main

import (
	"cmp"
	"encoding/xml"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/verify"
)

// Measures of the drawing, in pixels.
const (
	laneHeight  = 30 // of one arrow, at least
	lineHeight  = 16 // of text
	boxPadding  = 8
	boxGap      = 12
	bend        = 70 // between a box and the lanes
	charWidth   = 7  // of a letter in 12px sans-serif, on average
	margin      = 20
	titleHeight = 56 // with the names of the columns
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
	d.head(p)
	for i, a := range p.arrows {
		d.arrow(i, a)
	}
	for _, side := range []*column{&d.left, &d.right} {
		for _, b := range side.boxes {
			d.box(side, b, &p.ends[b.end])
		}
	}
	for i, line := range p.note {
		d.text(margin, d.height-margin-(len(p.note)-1-i)*lineHeight, `class="note"`, line)
	}
	d.WriteString("</svg>\n")
	_, err = io.WriteString(w, d.String())
	return err
}

// drawing is where things stand, and what is drawn.
type drawing struct {
	strings.Builder
	width, height int
	left, right   column
	lanes         span
	laneHeight    int
}

// span is a stretch from left to right.
type span struct{ x, width int }

func (s span) end() int { return s.x + s.width }

// column is the boxes of one side, from the top.
type column struct {
	span
	boxes []*box
	of    map[int]*box // by end
}

// box is where one end stands.
type box struct {
	end, y, height int
	lanes          []int // that meet here
}

func (b *box) middle() int { return b.y + b.height/2 }

func newDrawing(p *picture) *drawing {
	d := &drawing{left: column{of: map[int]*box{}}, right: column{of: map[int]*box{}}}
	labels := 0
	d.laneHeight = laneHeight
	for i, a := range p.arrows {
		d.left.meet(p, a.from, i)
		d.right.meet(p, a.to, i)
		labels = max(labels, textWidth(a.label))
	}
	d.left.x = margin
	d.lanes = span{d.left.end() + bend, labels}
	d.right.x = d.lanes.end() + bend
	if n := len(p.arrows); n > 0 {
		d.laneHeight = max(laneHeight, d.left.height()/n, d.right.height()/n)
	}
	bottom := max(d.place(&d.left), d.place(&d.right), titleHeight+len(p.arrows)*d.laneHeight)
	d.width = max(d.right.end(), margin+textWidth(p.title)*5/4)
	for _, line := range p.note {
		d.width = max(d.width, margin+textWidth(line))
	}
	d.width += margin
	d.height = bottom + margin
	if len(p.note) > 0 {
		d.height += len(p.note)*lineHeight + boxGap
	}
	return d
}

func textWidth(s string) int { return len([]rune(s))*charWidth + 2*boxPadding }

// laneY returns where lane i runs.
func (d *drawing) laneY(i int) int { return titleHeight + i*d.laneHeight + d.laneHeight*2/3 }

// meet has a lane begin or end at the box of an end.
func (c *column) meet(p *picture, end, lane int) {
	b := c.of[end]
	if b == nil {
		lines := p.ends[end].lines
		b = &box{end: end, height: len(lines)*lineHeight + boxPadding}
		c.of[end] = b
		c.boxes = append(c.boxes, b)
		for _, line := range lines {
			c.width = max(c.width, textWidth(line))
		}
	}
	b.lanes = append(b.lanes, lane)
}

// height returns how much place the boxes need.
func (c *column) height() (h int) {
	for _, b := range c.boxes {
		h += b.height + boxGap
	}
	return h
}

// center returns where the middle of a box's lanes is.
func (d *drawing) center(b *box) (y int) {
	for _, lane := range b.lanes {
		y += d.laneY(lane)
	}
	return y / len(b.lanes)
}

// place puts each box of a column at the middle of its lanes, or below the one
// before, and returns where the last one ends.
func (d *drawing) place(c *column) (bottom int) {
	slices.SortStableFunc(c.boxes, func(a, b *box) int { return cmp.Compare(d.center(a), d.center(b)) })
	bottom = titleHeight - boxGap
	for _, b := range c.boxes {
		b.y = max(d.center(b)-b.height/2, bottom+boxGap)
		bottom = b.y + b.height
	}
	return bottom
}

// head begins the drawing.
func (d *drawing) head(p *picture) {
	fmt.Fprintf(d, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d">`+"\n", d.width, d.height, d.width, d.height)
	fmt.Fprintf(d, "<title>%s</title>\n", xmlString(p.title))
	d.WriteString("<style>text{font:12px sans-serif;fill:#1c2733}.title{font-size:15px;font-weight:bold}.column,.note{fill:#5a6875}" +
		".arrow{fill:none;stroke:" + lineColor + ";stroke-width:1.2}.partial{stroke-dasharray:5 3}.ports{text-anchor:middle}</style>\n")
	d.WriteString(`<defs><marker id="head" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto"><path d="M0 0L8 4L0 8z" fill="` + lineColor + `"/></marker></defs>` + "\n")
	d.WriteString(`<rect width="100%" height="100%" fill="#fff"/>` + "\n")
	d.text(margin, margin+4, `class="title"`, p.title)
	if len(p.arrows) > 0 {
		d.text(d.left.x, titleHeight-10, `class="column"`, "from")
		d.text(d.lanes.x+d.lanes.width/2, titleHeight-10, `class="column ports"`, "protocols and ports")
		d.text(d.right.x, titleHeight-10, `class="column"`, "to")
	}
}

func (d *drawing) text(x, y int, attributes, text string) {
	fmt.Fprintf(d, `<text x="%d" y="%d" %s>%s</text>`+"\n", x, y, attributes, xmlString(text))
}

// arrow draws arrow number i in its own lane.
func (d *drawing) arrow(i int, a arrow) {
	y := d.laneY(i)
	x1, y1 := d.left.end(), d.left.of[a.from].middle()
	x2, y2 := d.right.x, d.right.of[a.to].middle()
	m1, m2 := (x1+d.lanes.x)/2, (d.lanes.end()+x2)/2
	class := "arrow"
	if a.partial {
		class += " partial"
	}
	fmt.Fprintf(d, `<path class="%s" d="M%d %dC%d %d %d %d %d %dH%dC%d %d %d %d %d %d" marker-end="url(#head)"/>`+"\n",
		class, x1, y1, m1, y1, m1, y, d.lanes.x, y, d.lanes.end(), m2, y, m2, y2, x2, y2)
	d.text(d.lanes.x+d.lanes.width/2, y-5, `class="ports"`, a.label)
}

func (d *drawing) box(c *column, b *box, e *pictureEnd) {
	colors := e.colors()
	d.WriteString("<g>")
	if e.members != "" {
		fmt.Fprintf(d, "<title>%s</title>", xmlString(e.members))
	}
	fmt.Fprintf(d, `<rect x="%d" y="%d" width="%d" height="%d" rx="5" fill="%s" stroke="%s"/>`+"\n", c.x, b.y, c.width, b.height, colors.fill, colors.line)
	for i, line := range e.lines {
		fmt.Fprintf(d, `<text x="%d" y="%d">%s</text>`, c.x+boxPadding, b.y+boxPadding/2+12+i*lineHeight, xmlString(line))
	}
	d.WriteString("</g>\n")
}

func xmlString(s string) string {
	var b strings.Builder
	xml.EscapeText(&b, []byte(s))
	return b.String()
}
