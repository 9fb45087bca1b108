package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
)

// TestReachPicture holds that the picture in the docs is what reach draws, and
// that it is XML. With UPDATE=1 it draws it anew.
func TestReachPicture(t *testing.T) {
	const picture = "../../docs/reach.svg"
	var out bytes.Buffer
	c := &command{Stdin: strings.NewReader(""), Stdout: &out, Stderr: t.Output(), Getenv: os.Getenv}
	const corpus, cluster = "../../testdata/corpus/", "../../testdata/cluster/small.yaml"
	if code := c.Main([]string{"reach", "-f", corpus + "openclaw-policy.yaml", "-f", corpus + "agent-egress-policy.yaml", "-i", cluster, "-o", "svg"}); code != exitOK {
		t.Fatalf("exit code %d", code)
	}
	for dec := xml.NewDecoder(bytes.NewReader(out.Bytes())); ; {
		if _, err := dec.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(picture, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(picture)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(out.Bytes(), want) {
		t.Errorf("%s is not what reach draws now; make golden draws it anew", picture)
	}
}

// Boxes of one column never overlap, and stand within the drawing.
func TestDrawing(t *testing.T) {
	p := &picture{title: "x"}
	for i := range 40 {
		lines := make([]string, 1+i%7)
		for j := range lines {
			lines[j] = strings.Repeat("w", 10+i)
		}
		p.ends = append(p.ends, pictureEnd{lines: lines})
	}
	for i := range 120 {
		p.arrows = append(p.arrows, arrow{from: i * i % 20, to: 20 + i*7%20, label: "TCP 80"})
	}
	d := newDrawing(p)
	if d.left.end() >= d.lanes.x || d.lanes.end() >= d.right.x || d.right.end() > d.width {
		t.Errorf("columns overlap: %+v %+v %+v in %d", d.left.span, d.lanes, d.right.span, d.width)
	}
	for _, c := range []*column{&d.left, &d.right} {
		bottom := titleHeight - boxGap
		for _, b := range c.boxes {
			if b.y < bottom+boxGap || b.y+b.height > d.height {
				t.Errorf("box of %d at %d is above %d or below %d", b.end, b.y, bottom+boxGap, d.height)
			}
			bottom = b.y + b.height
		}
	}
	if y := d.laneY(len(p.arrows) - 1); y > d.height {
		t.Errorf("the last lane is at %d of %d", y, d.height)
	}
}

func TestWrap(t *testing.T) {
	for _, c := range []struct {
		text string
		want string
	}{
		{"", ""},
		{"a bc def", "a bc|def"},
		{"abcdefgh ij", "abcdefgh|ij"},
		{"ab cd", "ab cd"},
		{"ab cde", "ab|cde"},
	} {
		if got := strings.Join(wrap(c.text, 5), "|"); got != c.want {
			t.Errorf("%q: %q, want %q", c.text, got, c.want)
		}
	}
}
