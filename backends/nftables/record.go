package nftables

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"strconv"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// recording is what one list of one family decides, apart from any generation: the
// objects to write, in order, so that each stands behind those that it leads to.
// The generations of many nodes of a cluster are put together from the pieces of
// their classes.
type recording struct {
	objects []object
	root    int // number of the list's chain
}

// object is an interned chain or map, the verdict chain of a rule, or that of a
// default deny.
type object struct {
	// Of an interned one: what is counted in its number, the digest of kind and
	// content, its commands and the number of its elements.
	kind     string
	key      [sha256.Size]byte
	commands [4]template // chains, objects, elements and rules, as in sections
	count    int

	rule *ruleChain
	deny *denyChain
}

// ruleChain is what the verdict chain of a rule is written from.
type ruleChain struct {
	bundle.Rule
	action  model.Action
	side    side
	comment string // as nft reads it
}

// denyChain is what the verdict chain of a default deny is written from.
type denyChain struct {
	id   string
	side side
}

func (c *denyChain) name() string { return gen("d_%s", c.id) }

// recorder writes one. In its texts interned objects have tokens for names:
// their names depend on the generation.
type recorder struct {
	recording
	known map[[sha256.Size]byte]int // number of an interned object
	rules map[string]bundle.Rule    // that have a verdict chain, by name
	deny  bool                      // the default deny has one
	err   error                     // the first; the piece is then of no use
}

func newRecorder() *recorder {
	return &recorder{known: map[[sha256.Size]byte]int{}, rules: map[string]bundle.Rule{}}
}

// fail remembers the first error.
func (r *recorder) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

// A token is the number of an object of the piece between these bytes, which
// nothing else in a script has.
const (
	tokenBegin = 1
	tokenEnd   = 2
)

func token(object int) string {
	return string(append(strconv.AppendInt([]byte{tokenBegin}, int64(object), 10), tokenEnd))
}

// template is a text whose tokens have been cut out.
type template struct {
	text []byte
	refs []reference
}

// reference is where the name of an object stands in a template.
type reference struct{ at, object int }

func newTemplate(text []byte) template {
	var t template
	for {
		before, rest, ok := bytes.Cut(text, []byte{tokenBegin})
		t.text = append(t.text, before...)
		if !ok {
			t.text = bytes.Clone(t.text)
			return t
		}
		number, behind, _ := bytes.Cut(rest, []byte{tokenEnd})
		n, err := strconv.Atoi(string(number))
		if err != nil {
			panic("nftables: a token that token did not make: " + err.Error())
		}
		t.refs = append(t.refs, reference{len(t.text), n})
		text = behind
	}
}

// write writes the text with the names of objects.
func (t *template) write(b *bytes.Buffer, names []string) {
	at := 0
	for _, r := range t.refs {
		b.Write(t.text[at:r.at])
		b.WriteString(names[r.object])
		at = r.at
	}
	b.Write(t.text[at:])
}

// intern returns the token of the object with this content, which write fills in
// where it is new. Contents are equal where they are but for tokens, and the
// objects that these stand for are.
func (r *recorder) intern(kind string, content []byte, write func(s *sections, name string)) string {
	key := r.digest(kind, content)
	if n, ok := r.known[key]; ok {
		return token(n)
	}
	n := len(r.objects)
	r.known[key] = n
	var s sections
	write(&s, token(n))
	o := object{kind: kind, key: key, count: s.count}
	for i, b := range s.parts() {
		o.commands[i] = newTemplate(b.Bytes())
	}
	r.objects = append(r.objects, o)
	return token(n)
}

// digest returns SHA-256 of kind and content, with the digests of objects in place
// of their tokens.
func (r *recorder) digest(kind string, content []byte) [sha256.Size]byte {
	t := newTemplate(content)
	h := sha256.New()
	fmt.Fprintf(h, "%s\n", kind)
	at := 0
	for _, ref := range t.refs {
		h.Write(t.text[at:ref.at])
		h.Write([]byte{tokenBegin})
		h.Write(r.objects[ref.object].key[:])
		at = ref.at
	}
	h.Write(t.text[at:])
	return [sha256.Size]byte(h.Sum(nil))
}

// internChain returns the token of the chain with these rules.
func (r *recorder) internChain(kind string, rules []string) string {
	var content []byte
	for _, x := range rules {
		content = append(append(content, x...), '\n')
	}
	return r.intern(kind, content, func(s *sections, name string) {
		s.chain(name)
		for _, x := range rules {
			s.rule(name, "%s", x)
		}
	})
}

// internMap returns the token of the interval map with these elements.
func (r *recorder) internMap(kind, typ string, elements []string) string {
	size := 0
	for _, x := range elements {
		size += len(x) + 1
	}
	content := make([]byte, 0, size)
	for _, x := range elements {
		content = append(append(content, x...), '\n')
	}
	return r.intern(kind, content, func(s *sections, name string) {
		s.set("map", name, "type "+typ+" : verdict; flags interval;")
		s.add(name, elements)
	})
}
