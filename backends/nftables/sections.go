package nftables

import (
	"bytes"
	"fmt"
	"sync"
)

// sections collects commands by what they make. nft wants chains before the
// elements that go to them and objects before the rules that use them, and
// sends the elements of a new interval map together with the map.
type sections struct {
	chains, objects, elements, rules bytes.Buffer
	count                            int // elements
}

// spare holds sections whose memory the next generation can have: that of a node
// is some megabytes.
var spare sync.Pool

func newSections() *sections {
	if s, ok := spare.Get().(*sections); ok {
		return s
	}
	return new(sections)
}

// release empties s and gives its memory away. s is not used any more.
func (s *sections) release() {
	for _, b := range s.parts() {
		b.Reset()
	}
	s.count = 0
	spare.Put(s)
}

func (s *sections) chain(name string) { fmt.Fprintf(&s.chains, "add chain %s %s\n", Table, name) }

// base adds a base chain that passes what no rule decides.
func (s *sections) base(name, hook string, priority int) {
	fmt.Fprintf(&s.chains, "add chain %s %s { type filter hook %s priority %d; policy accept; }\n", Table, name, hook, priority)
}

// set adds a set or map ("set", "map"), of the type and with the properties that spec has.
func (s *sections) set(kind, name, spec string) {
	fmt.Fprintf(&s.objects, "add %s %s %s { %s }\n", kind, Table, name, spec)
}

func (s *sections) counter(name string) { fmt.Fprintf(&s.objects, "add counter %s %s\n", Table, name) }

func (s *sections) rule(chain, format string, args ...any) {
	fmt.Fprintf(&s.rules, "add rule %s %s ", Table, chain)
	fmt.Fprintf(&s.rules, format, args...)
	s.rules.WriteByte('\n')
}

// flush empties a chain or map of the skeleton ("chain", "map", "set").
func (s *sections) flush(kind, name string) {
	b := &s.objects
	if kind == "chain" {
		b = &s.rules
	}
	fmt.Fprintf(b, "flush %s %s %s\n", kind, Table, name)
}

// perLine is how many elements a line has, so that lines stay short enough to
// read and parse.
const perLine = 256

// add adds elements to a set or map.
func (s *sections) add(name string, elements []string) {
	s.count += len(elements)
	for len(elements) > 0 {
		n := min(perLine, len(elements))
		fmt.Fprintf(&s.elements, "add element %s %s { ", Table, name)
		for i, e := range elements[:n] {
			if i > 0 {
				s.elements.WriteString(", ")
			}
			s.elements.WriteString(e)
		}
		s.elements.WriteString(" }\n")
		elements = elements[n:]
	}
}

// parts returns the sections in the order that nft wants.
func (s *sections) parts() [4]*bytes.Buffer {
	return [...]*bytes.Buffer{&s.chains, &s.objects, &s.elements, &s.rules}
}

// bytes returns the commands in the order that nft wants.
func (s *sections) bytes() []byte {
	return bytes.Join([][]byte{s.chains.Bytes(), s.objects.Bytes(), s.elements.Bytes(), s.rules.Bytes()}, nil)
}
