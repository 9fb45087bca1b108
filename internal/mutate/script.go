package mutate

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
)

// Scripts yields mutations of the scripts of an nftables bundle: of every line, and
// of every word of every line. r decides between what a word can become.
func Scripts(b *bundle.Bundle, r *rand.Rand) iter.Seq[*Mutation] {
	return func(yield func(*Mutation) bool) {
		words := newVocabulary(b)
		for _, f := range b.Files {
			if !strings.HasSuffix(f.Name, ".nft") {
				continue
			}
			s := &script{bundle: b, name: f.Name, lines: strings.SplitAfter(strings.TrimSuffix(string(f.Data), "\n"), "\n"), vocabulary: words, rand: r}
			s.lines[len(s.lines)-1] += "\n"
			for i := range s.lines {
				for m := range s.line(i) {
					if !yield(m) {
						return
					}
				}
			}
		}
	}
}

// script is one of the files, by lines with their ends.
type script struct {
	bundle *bundle.Bundle
	name   string
	lines  []string
	*vocabulary
	rand *rand.Rand
}

// with returns the mutation that puts other lines in the place of n lines from i on.
func (s *script) with(class string, i, n int, lines ...string) *Mutation {
	text := strings.Join(slices.Concat(s.lines[:i], lines, s.lines[i+n:]), "")
	was := strings.TrimSpace(strings.Join(s.lines[i:i+n], ""))
	now := strings.TrimSpace(strings.Join(lines, ""))
	return &Mutation{
		Class:  s.name + " " + class,
		What:   fmt.Sprintf("line %d: %.1500q for %.1500q", i+1, now, was),
		Bundle: withFile(s.bundle, s.name, []byte(text)),
	}
}

// line yields mutations of line i.
func (s *script) line(i int) iter.Seq[*Mutation] {
	return func(yield func(*Mutation) bool) {
		line := s.lines[i]
		kind := strings.Join(strings.Fields(line)[:2], " ")
		if !yield(s.with("less "+kind, i, 1)) || !yield(s.with("twice "+kind, i, 1, line, line)) {
			return
		}
		if i+1 < len(s.lines) && !yield(s.with("swapped "+kind, i, 2, s.lines[i+1], line)) {
			return
		}
		words := tokens.FindAllStringIndex(line, -1)
		for _, w := range words[2:] { // behind the verb
			for _, now := range s.instead(line[w[0]:w[1]]) {
				if !yield(s.with("word of "+kind, i, 1, line[:w[0]]+now+line[w[1]:])) {
					return
				}
			}
		}
		for _, m := range s.elements(i) {
			if !yield(m) {
				return
			}
		}
	}
}

// tokens are words, names, numbers, addresses and ranges.
var tokens = regexp.MustCompile(`[A-Za-z0-9_.:/@!=>-]+`)

// elements are mutations of a line that adds elements: each in turn is left out, or
// trades its verdict with the next.
func (s *script) elements(i int) (out []*Mutation) {
	head, rest, ok := strings.Cut(s.lines[i], " { ")
	if !ok || !strings.HasPrefix(head, "add element") {
		return nil
	}
	list := strings.Split(strings.TrimSuffix(rest, " }\n"), ", ")
	write := func(list []string) string { return head + " { " + strings.Join(list, ", ") + " }\n" }
	for j := range list {
		if len(list) > 1 {
			out = append(out, s.with("element left out", i, 1, write(slices.Delete(slices.Clone(list), j, j+1))))
		}
		if j+1 < len(list) {
			a, va, ok := strings.Cut(list[j], " : ")
			b, vb, _ := strings.Cut(list[j+1], " : ")
			if ok && va != vb {
				traded := slices.Clone(list)
				traded[j], traded[j+1] = a+" : "+vb, b+" : "+va
				out = append(out, s.with("verdicts traded", i, 1, write(traded)))
			}
		}
	}
	return out
}

// alternatives are what some words can become.
var alternatives = [][]string{
	{"accept", "drop", "return"},
	{"goto", "jump"},
	{"original", "reply"},
	{"saddr", "daddr"},
	{"proto-dst", "proto-src"},
	{"new", "established", "related", "invalid", "untracked"},
	{"tcp", "udp", "sctp", "icmp", "ipv6-icmp"},
	{"ipv4", "ipv6"},
	{"ip", "ip6"},
	{"ipv4_addr", "ipv6_addr"},
	{"prerouting", "forward", "input", "output"},
	{"set", "map"},
	{"iifname", "oifname"},
	{"l4proto", "nfproto"},
	{"saddr", "daddr"},
	{"dport", "sport"},
}

// vocabulary is what names can be changed to.
type vocabulary struct{ chains, sets, counters []string }

var (
	chainName   = regexp.MustCompile(`(?m)^add chain inet trafficpolicy (\S+)`)
	setName     = regexp.MustCompile(`(?m)^add (?:set|map) inet trafficpolicy (\S+)`)
	counterName = regexp.MustCompile(`(?m)^add counter inet trafficpolicy (\S+)`)
)

func newVocabulary(b *bundle.Bundle) *vocabulary {
	v := &vocabulary{}
	find := func(re *regexp.Regexp, data []byte) (out []string) {
		for _, m := range re.FindAllSubmatch(data, -1) {
			out = append(out, string(m[1]))
		}
		return out
	}
	for _, f := range b.Files {
		v.chains = append(v.chains, find(chainName, f.Data)...)
		v.sets = append(v.sets, find(setName, f.Data)...)
		v.counters = append(v.counters, find(counterName, f.Data)...)
	}
	return v
}

// instead returns what a word can become, some of it drawn.
func (s *script) instead(word string) []string {
	for _, list := range alternatives {
		if slices.Contains(list, word) {
			other := list[s.rand.IntN(len(list))]
			if other == word {
				other = list[(slices.Index(list, word)+1)%len(list)]
			}
			return []string{other}
		}
	}
	for _, names := range [][]string{s.chains, s.sets, s.counters} {
		name, ref := strings.CutPrefix(word, "@")
		if slices.Contains(names, name) {
			other := names[s.rand.IntN(len(names))]
			if other == name {
				return nil
			}
			if ref {
				other = "@" + other
			}
			return []string{other}
		}
	}
	return next(word)
}

// next returns the neighbours of a number, an address, a prefix or a range.
func next(word string) (out []string) {
	if n, err := strconv.Atoi(word); err == nil {
		return []string{strconv.Itoa(n + 1), strconv.Itoa(n - 1)}
	}
	if a, err := netip.ParseAddr(word); err == nil {
		return valid(a.Next(), a.Prev())
	}
	if p, err := netip.ParsePrefix(word); err == nil {
		out = append(out, netip.PrefixFrom(p.Addr(), min(p.Bits()+1, p.Addr().BitLen())).String())
		if p.Bits() > 0 {
			out = append(out, netip.PrefixFrom(p.Addr(), p.Bits()-1).Masked().String())
		}
		return out
	}
	if first, last, ok := strings.Cut(word, "-"); ok {
		for _, x := range next(first) {
			out = append(out, x+"-"+last)
		}
		for _, x := range next(last) {
			out = append(out, first+"-"+x)
		}
	}
	return out
}

func valid(addrs ...netip.Addr) (out []string) {
	for _, a := range addrs {
		if a.IsValid() {
			out = append(out, a.String())
		}
	}
	return out
}
