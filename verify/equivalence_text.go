package verify

import (
	"fmt"
	"strings"
)

// Text writes e for people. want and have are what to call the two sides.
func (e *Equivalence) Text(want, have string) string {
	var b strings.Builder
	for i := range e.Differences {
		e.Differences[i].text(&b, want, have)
	}
	if e.Omitted > 0 {
		fmt.Fprintf(&b, "and %d more\n", e.Omitted)
	}
	return b.String()
}

func (d *Disagreement) text(b *strings.Builder, want, have string) {
	fmt.Fprintf(b, "%s\n", d.Message)
	if d.Witness == nil {
		return
	}
	wide := max(len("packet"), len("so for"), len(want), len(have)) + 1
	line := func(what, text string) { fmt.Fprintf(b, "    %-*s %s\n", wide, what+":", text) }
	line("packet", d.Witness.text())
	line(want, d.Want.text())
	line(have, d.Have.text())
	if d.Peers != nil {
		line("so for", d.block())
	}
}

func (p *ArtifactPacket) text() string {
	src, dst := p.Local.String(), p.Peer.String()
	if p.Pod != "" {
		src = fmt.Sprintf("%s (%s)", p.Local, p.Pod)
	}
	if p.Direction == "ingress" {
		src, dst = dst, src
	}
	text := fmt.Sprintf("%s to %s, %s", src, dst, p.Proto)
	switch p.Proto {
	case "TCP", "UDP", "SCTP":
		text += fmt.Sprintf(" %d", p.Port)
	}
	if len(p.Names) > 0 {
		text += fmt.Sprintf(", where %s is an address of %s", p.Peer, strings.Join(p.Names, " and "))
	}
	return text
}

func (j *Judgement) text() string {
	verdict := j.Verdict
	if j.Reject {
		verdict = "reject"
	}
	switch j.Reason {
	case ReasonRule:
		verdict += " by " + j.Rule
	case ReasonDefaultDeny:
		verdict += " by default, as no rule of " + strings.Join(j.Policies, ", ") + " matches"
	case ReasonNotSelected:
		verdict += ", as no policy speaks of the direction"
	case ReasonNotGoverned:
		verdict += ", as the address is not governed"
	case ReasonUnknownPod:
		verdict += ", as unknown pods are closed"
	case ReasonNodeLocal:
		verdict += ", as it comes from the node itself"
	case ReasonSpoofed:
		verdict += " as spoofed"
	case ReasonUndecided:
		verdict += ", as nothing decides"
	}
	if j.Names != nil {
		verdict += " (as an address of " + strings.Join(j.Names, " and ") + ")"
	}
	return verdict
}

// block says which packets it is about.
func (d *Disagreement) block() string {
	const shown = 8
	var peers []string
	for _, p := range d.Peers[:min(len(d.Peers), shown)] {
		peers = append(peers, p.String())
	}
	if n := len(d.Peers) - len(peers); n > 0 {
		peers = append(peers, fmt.Sprintf("and %d more", n))
	}
	text := strings.Join(peers, " ") + ", " + PortText(d.Ports)
	if d.Addresses > 1 {
		text += fmt.Sprintf(", at %d addresses", d.Addresses)
	}
	return text
}

// Text writes what was compared.
func (s *EquivalenceSummary) Text() string {
	n := func(n int, one, many string) string {
		if n == 1 {
			return "1 " + one
		}
		return fmt.Sprintf("%d %s", n, many)
	}
	return fmt.Sprintf("%s with %s in %s; %s of %s; %s",
		n(s.Pods, "pod", "pods"), n(s.Addresses, "address", "addresses"), n(s.Classes, "class", "classes"),
		n(s.Tables, "table", "tables"), n(s.Cells, "cell", "cells"), n(s.Names, "domain name", "domain names"))
}
