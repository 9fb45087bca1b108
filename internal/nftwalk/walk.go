package nftwalk

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/backends/nftables/command"
)

// End is what became of a packet.
type End struct {
	Kind string // accept, drop or reject
	How  string // of a reject
	// Chain is where the packet ended, "" where no rule has ended it.
	Chain string
	// Counters are those that counted the packet, in order.
	Counters []string
}

func (e End) String() string {
	s := e.Kind
	if e.How != "" {
		s += " with " + e.How
	}
	return s + " " + strings.Join(e.Counters, " ")
}

// maxJumps is NFT_JUMP_STACK_SIZE of the kernel (include/net/netfilter/nf_tables.h).
const maxJumps = 16

// maxChains bounds the chains of one walk: the kernel refuses loops when they are
// loaded, so a longer walk is one.
const maxChains = 1000

// Run walks p through the base chains of the hooks in turn: through all of them,
// unless one drops it.
func (r *Ruleset) Run(p *Packet, hooks ...string) (End, error) {
	var end End
	for _, hook := range hooks {
		for _, c := range r.base(hook) {
			if err := r.walk(c, p, &end); err != nil || end.Kind != "accept" {
				return end, err
			}
		}
	}
	end.Kind = "accept" // the policy of every base chain
	return end, nil
}

// RunChain walks p from the beginning of a chain, as if a base chain had sent it there.
func (r *Ruleset) RunChain(p *Packet, name string) (End, error) {
	c := r.chains[name]
	if c == nil {
		return End{}, fmt.Errorf("there is no chain %s", name)
	}
	var end End
	err := r.walk(c, p, &end)
	return end, err
}

// frame is where a walk is in a chain, or goes on when another ends.
type frame struct {
	chain *chain
	next  int
}

// walk runs p from the first rule of a base chain. A packet that leaves it passes.
func (r *Ruleset) walk(base *chain, p *Packet, end *End) error {
	at, stack := frame{base, 0}, []frame(nil)
	for chains := 0; ; {
		if at.next == len(at.chain.rules) {
			if len(stack) == 0 {
				end.Kind = "accept"
				return nil
			}
			at, stack = stack[len(stack)-1], stack[:len(stack)-1]
			continue
		}
		rule := at.chain.rules[at.next]
		at.next++
		v, err := r.rule(rule, p, end)
		switch {
		case err != nil:
			return fmt.Errorf("chain %s: %w", at.chain.name, err)
		case v == nil:
			continue
		}
		switch v.Kind {
		case "accept", "drop", "reject":
			end.Kind, end.How, end.Chain = v.Kind, v.Target, at.chain.name
			return nil
		case "return":
			at.next = len(at.chain.rules)
			continue
		case "jump":
			if stack = append(stack, at); len(stack) > maxJumps {
				return errors.New("jumps are too deep")
			}
		}
		if chains++; chains > maxChains {
			return errors.New("the walk does not end")
		}
		at = frame{r.chains[v.Target], 0}
	}
}

// rule returns the verdict of a rule, nil where a part of it does not hold or it has none.
func (r *Ruleset) rule(terms []command.Term, p *Packet, end *End) (*command.Verdict, error) {
	for _, t := range terms {
		switch t := t.(type) {
		case *command.Match:
			v, known := p.field(t.Field)
			if !known {
				return nil, fmt.Errorf("no field %q", t.Field)
			}
			if !matches(t, v) {
				return nil, nil
			}
		case *command.Lookup:
			e, err := r.lookup(t, p)
			if err != nil || e == nil {
				return nil, err
			}
			if t.Map {
				return e.Verdict, nil
			}
		case *command.Count:
			end.Counters = append(end.Counters, t.Name)
		case *command.Verdict:
			return t, nil
		}
	}
	return nil, nil
}

func matches(m *command.Match, v value) bool {
	if !v.ok {
		return false
	}
	if m.Op == ">" {
		n, err := strconv.Atoi(m.Values[0])
		return err == nil && v.n > n
	}
	found := false
	for _, text := range m.Values {
		found = found || v.in(text)
	}
	return found == (m.Op == "")
}

// lookup returns the element that has the fields' values, nil for none.
func (r *Ruleset) lookup(l *command.Lookup, p *Packet) (*command.Element, error) {
	values := make([]value, len(l.Fields))
	for i, f := range l.Fields {
		v, known := p.field(f)
		if !known {
			return nil, fmt.Errorf("no field %q", f)
		}
		if !v.ok {
			return nil, nil
		}
		values[i] = v
	}
	s := r.sets[l.Name]
	for i := range s.elements {
		e := &s.elements[i]
		found := true
		for j, v := range values {
			found = found && v.in(e.Key[j])
		}
		if found {
			return e, nil
		}
	}
	return nil, nil
}
