package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/model"
	"github.com/trafficpolicy/trafficpolicy/verify"
)

// Most prefixes, and rules, that text and markdown show of one block. JSON has
// all prefixes.
const (
	shownPrefixes = 8
	shownDeciders = 3
)

// writeDiffText writes a diff for a terminal.
func writeDiffText(w io.Writer, d *verify.Diff, color bool) error {
	var b strings.Builder
	for _, p := range []struct {
		what string
		refs []string
	}{{"added", d.Policies.Added}, {"removed", d.Policies.Removed}, {"changed", d.Policies.Changed}} {
		for _, ref := range p.refs {
			fmt.Fprintf(&b, "%s %s\n", p.what, ref)
		}
	}
	for i := range d.Classes {
		c := &d.Classes[i]
		if b.Len() > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "%s%s\n", classTitle(c), governedText(c))
		for j := range c.Changes {
			writeChange(&b, &c.Changes[j], color)
		}
	}
	if b.Len() > 0 {
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "%s, %s\n", diffSummary(d), comparedWith(d))
	_, err := io.WriteString(w, b.String())
	return err
}

func writeChange(b *strings.Builder, ch *verify.Change, color bool) {
	sign, paint := "+", "\x1b[32m"
	if ch.Change == verify.NewlyDenied {
		sign, paint = "-", "\x1b[31m"
	}
	head := fmt.Sprintf("%s %s %s: %s, %s", sign, changeText(ch.Change), ch.Direction, prefixList(ch.Peers), portText(ch))
	if color {
		head = paint + head + "\x1b[0m"
	}
	fmt.Fprintf(b, "  %s\n", head)
	if ch.Condition != "" {
		fmt.Fprintf(b, "      where %s\n", ch.Condition)
	}
	fmt.Fprintf(b, "      before: %s\n", decidersText(&ch.Before))
	fmt.Fprintf(b, "      after:  %s\n", decidersText(&ch.After))
	fmt.Fprintf(b, "      packet: %s\n", packetFlags(&ch.Witness.Witness))
}

func changeText(change string) string { return strings.ReplaceAll(change, "-", " ") }

// classTitle names a class: its example, and how many more there are.
func classTitle(c *verify.ClassDiff) string {
	if n := len(c.Members) - 1; n > 0 {
		return fmt.Sprintf("%s and %d more", c.Example, n)
	}
	return c.Example
}

func governedText(c *verify.ClassDiff) string {
	switch c.Governed {
	case verify.Gained:
		return ": now governed, by " + strings.Join(c.After, ", ")
	case verify.Lost:
		return ": no longer governed"
	}
	return ""
}

// portText returns the ports of a change, cut where they are very many.
func portText(ch *verify.Change) string {
	parts := strings.Split(verify.PortText(ch.Ports), ", ")
	n := min(len(parts), shownPrefixes)
	return moreThan(strings.Join(parts[:n], ", "), len(parts)-n)
}

// decidersText says what decides, and how.
func decidersText(d *verify.Deciders) string {
	n := min(len(d.By), shownDeciders)
	return d.Verdict + " by " + moreThan(strings.Join(d.By[:n], ", "), len(d.By)-n+d.Omitted)
}

func moreThan(text string, more int) string {
	if more > 0 {
		return fmt.Sprintf("%s and %d more", text, more)
	}
	return text
}

// packetFlags returns a packet as flags of simulate.
func packetFlags(w *model.Witness) string {
	s := fmt.Sprintf("--src %s --dst %s --proto %s", shellWord(w.Src), shellWord(w.Dst), strings.ToLower(w.Proto))
	if w.Proto == "TCP" || w.Proto == "UDP" || w.Proto == "SCTP" {
		s += fmt.Sprintf(" --port %d", w.Port)
	}
	return s
}

// shellWord quotes a pod with labels, whose question mark and commas a shell
// would take for a pattern.
func shellWord(s string) string {
	if strings.ContainsAny(s, "?*[") {
		return "'" + s + "'"
	}
	return s
}

// diffSummary says how much differs.
func diffSummary(d *verify.Diff) string {
	s := d.Summary
	if d.Same {
		text := "no packet has another verdict"
		if s.Gained+s.Lost > 0 {
			text += fmt.Sprintf(", %d %s now governed, %d no longer", s.Gained, map[bool]string{true: "kinds of pods", false: "pods"}[d.Pods == verify.PodsByLabels], s.Lost)
		}
		return text
	}
	return fmt.Sprintf("%s newly allowed, %d newly denied, for %s of pods",
		count(s.NewlyAllowed, "block", "blocks"), s.NewlyDenied, count(s.Classes, "class", "classes"))
}

// comparedWith says what the answer is about.
func comparedWith(d *verify.Diff) string { return comparedFor(d.Pods, d.Families) }

func comparedFor(pods string, families []string) string {
	of := "of the inventory"
	if pods == verify.PodsByLabels {
		of = "with any labels"
	}
	return fmt.Sprintf("for pods %s, %s", of, strings.Join(families, " and "))
}
