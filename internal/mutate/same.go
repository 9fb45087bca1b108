package mutate

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/backends/nftables/command"
)

// SameScripts returns bundles whose scripts are written differently and mean the
// same: other orders, another tag, elements in more lines, intervals in two.
func SameScripts(b *bundle.Bundle, r *rand.Rand) []*Mutation {
	same := func(what string, f func(name string, lines []string) []string) *Mutation {
		return &Mutation{Class: "scripts", What: what, Same: true, Bundle: withFiles(b, func(name string, data []byte) []byte {
			if !strings.HasSuffix(name, ".nft") {
				return data
			}
			lines := strings.SplitAfter(strings.TrimSuffix(string(data), "\n"), "\n")
			lines[len(lines)-1] += "\n"
			return []byte(strings.Join(f(name, lines), ""))
		})}
	}
	elements := func(what string, f func(list []string) []string) *Mutation {
		return same(what, func(_ string, lines []string) []string {
			for i, line := range lines {
				if head, rest, ok := strings.Cut(line, " { "); ok && strings.HasPrefix(line, "add element") {
					lines[i] = head + " { " + strings.Join(f(strings.Split(strings.TrimSuffix(rest, " }\n"), ", ")), ", ") + " }\n"
				}
			}
			return lines
		})
	}
	return []*Mutation{
		elements("elements in another order", func(list []string) []string { return shuffled(r, list) }),
		elements("intervals in two", func(list []string) (out []string) {
			for _, e := range list {
				out = append(out, halves(e)...)
			}
			return out
		}),
		same("elements in lines of their own", func(_ string, lines []string) (out []string) {
			for _, line := range lines {
				head, rest, ok := strings.Cut(line, " { ")
				if !ok || !strings.HasPrefix(line, "add element") {
					out = append(out, line)
					continue
				}
				for _, e := range strings.Split(strings.TrimSuffix(rest, " }\n"), ", ") {
					out = append(out, head+" { "+e+" }\n")
				}
			}
			return out
		}),
		same("chains, sets and counters in another order", func(_ string, lines []string) []string {
			return shuffledRuns(r, lines, "add chain", "add set", "add map", "add counter")
		}),
		same("chains filled in another order", func(_ string, lines []string) []string { return byChain(r, lines) }),
		retagged(b),
	}
}

func shuffled(r *rand.Rand, list []string) []string {
	list = slices.Clone(list)
	r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list
}

// halves returns an element whose key is a range of addresses as two.
func halves(element string) []string {
	key, verdict, ok := strings.Cut(element, " : ")
	first, last, isAddr := command.Addrs(key)
	if !ok || !isAddr || first == last || strings.Contains(key, "/") {
		return []string{element}
	}
	write := func(a, b netip.Addr) string {
		if a == b {
			return a.String() + " : " + verdict
		}
		return a.String() + "-" + b.String() + " : " + verdict
	}
	return []string{write(first, first), write(first.Next(), last)}
}

// shuffledRuns shuffles neighbouring lines that begin with one of the prefixes.
func shuffledRuns(r *rand.Rand, lines []string, prefixes ...string) (out []string) {
	is := func(line string) bool {
		return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(line, p+" ") })
	}
	for i := 0; i < len(lines); {
		j := i + 1
		for j < len(lines) && is(lines[i]) && is(lines[j]) {
			j++
		}
		out = append(out, shuffled(r, lines[i:j])...)
		i = j
	}
	return out
}

// byChain shuffles the chains in a run of rules: the rules of each stay in order.
func byChain(r *rand.Rand, lines []string) (out []string) {
	rule := func(line string) (chain string, ok bool) {
		f := strings.Fields(line)
		return f[min(4, len(f)-1)], strings.HasPrefix(line, "add rule ")
	}
	for i := 0; i < len(lines); {
		if _, ok := rule(lines[i]); !ok {
			out = append(out, lines[i])
			i++
			continue
		}
		rules := map[string][]string{}
		var order []string
		for ; i < len(lines); i++ {
			chain, ok := rule(lines[i])
			if !ok {
				break
			}
			if rules[chain] == nil {
				order = append(order, chain)
			}
			rules[chain] = append(rules[chain], lines[i])
		}
		for _, chain := range shuffled(r, order) {
			out = append(out, rules[chain]...)
		}
	}
	return out
}

var tag = regexp.MustCompile(`"tag": "([0-9a-f]{12})"`)

// retagged gives the generation another tag, in all of its files.
func retagged(b *bundle.Bundle) *Mutation {
	old := tag.FindSubmatch(b.File("pods.json"))[1]
	now := slices.Clone(old)
	if now[0]++; now[0] == '9'+1 || now[0] == 'f'+1 {
		now[0] = '0'
	}
	return &Mutation{Class: "scripts", What: "another tag", Same: true, Bundle: withFiles(b, func(_ string, data []byte) []byte {
		return bytes.ReplaceAll(data, old, now)
	})}
}
