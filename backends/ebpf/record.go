package ebpf

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/compiler/space"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// piece is what one list of one family decides, apart from any graph: the nodes
// to write, in order, so that each stands behind those that it leads to. Graphs of
// many nodes of a cluster are put together from the pieces of their classes.
//
// Its references are its own: of a node the slot is the number in nodes, of a
// terminal the index that in deciders, of a chain the number that in chains.
type piece struct {
	deciders  []decider
	chains    [][]Link
	nodes     []recorded
	intervals []interval // of all search nodes
	root      Ref
}

// decider is what ends a judgement.
type decider struct {
	id   string
	rule bundle.Rule // zero of a default deny, and of what passes because no policy speaks
}

// recorded is a node that was asked for.
type recorded struct {
	kind int // KindChain, KindSequence or, whatever its size becomes, KindSmall for a search
	// of a search
	word        int
	first, last int // in intervals, the end exclusive
	// of a chain its number and a Ref, of a sequence two Refs
	a, b uint32
}

// recorder writes a piece. It has the methods of a writer that a list needs.
type recorder struct {
	piece
	known  map[content]Ref
	byID   map[string]uint32
	rules  map[string]bundle.Rule // by name
	byLink map[string]uint32      // number of a chain by its links
	links  int                    // of all chains
	err    error                  // the first; the piece is then of no use
}

func newRecorder() *recorder {
	return &recorder{known: map[content]Ref{}, byID: map[string]uint32{}, rules: map[string]bundle.Rule{}, byLink: map[string]uint32{}}
}

// pieceKey tells what is kept of a class.
type pieceKey struct {
	model.Direction
	model.Family
}

// result returns what j decides, which is made once for all programs that have the class.
func (j *job) result() (*piece, error) {
	return compiler.Remember(j.class.Memo, pieceKey{j.list.Direction, j.key.Family}, func() (*piece, error) {
		table, err := space.Flatten(j.list, j.key.Family)
		if err != nil {
			return nil, fmt.Errorf("%s of %s: %w", j.list.Direction, strings.Join(bundle.PolicyRefs(j.class), ", "), err)
		}
		return j.record(table)
	})
}

// record writes the piece of j, whose list flattens to table.
func (j *job) record(table *space.Table) (*piece, error) {
	l := &lister{recorder: newRecorder(), job: *j, table: table}
	l.piece.root = l.root()
	if l.err != nil {
		return nil, l.err
	}
	return &l.piece, nil
}

// fail remembers the first error.
func (r *recorder) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

// decider returns the terminal of the decider with this id.
func (r *recorder) decider(verdict uint32, id string) Ref {
	return r.decide(verdict, decider{id: id})
}

func (r *recorder) decide(verdict uint32, d decider) Ref {
	i, ok := r.byID[d.id]
	if !ok {
		i = uint32(len(r.deciders))
		r.byID[d.id] = i
		r.deciders = append(r.deciders, d)
	}
	return terminal(verdict, i)
}

// rule returns the terminal of a rule.
func (r *recorder) rule(rule *model.ListRule) Ref {
	name := rule.Ref.String()
	known, ok := r.rules[name]
	if !ok {
		known = bundle.Rule{ID: bundle.ID(name), Name: name, Action: rule.Action.String()}
		r.rules[name] = known
	}
	if err := sameAction(known, rule.Action.String()); err != nil {
		r.fail(err)
	}
	return r.decide(verdicts[rule.Action], decider{known.ID, known})
}

// sameAction is an error where a rule of the name that known has acts otherwise.
func sameAction(known bundle.Rule, action string) error {
	if known.Action != action {
		return fmt.Errorf("%s is both %s and %s", known.Name, known.Action, action)
	}
	return nil
}

// chainOf returns the number of the chain with these links.
func (r *recorder) chainOf(links []Link) uint32 {
	key := linksKey(links)
	n, ok := r.byLink[key]
	if !ok {
		n = uint32(len(r.chains))
		r.byLink[key] = n
		if r.links += len(links); r.links > maxLinks {
			r.fail(linksError(maxLinks))
			links = nil // they would be kept until the list ends
		}
		r.chains = append(r.chains, links)
	}
	return n
}

// put returns the node, which is new unless it was asked for before.
func (r *recorder) put(c content, make func() recorded) Ref {
	if ref, ok := r.known[c]; ok {
		return ref
	}
	n := len(r.nodes)
	if n >= MaxSlots {
		r.fail(slotsError(MaxSlots))
		return NoRecord
	}
	r.nodes = append(r.nodes, make())
	ref := node(KindSmall, 0, uint32(n))
	r.known[c] = ref
	return ref
}

// search returns the node that looks up word in the intervals, as a writer does.
func (r *recorder) search(word int, in []interval) Ref {
	if len(in) == 1 {
		return in[0].ref
	}
	flat := make([]uint32, 0, 2*len(in))
	for _, x := range in {
		flat = append(flat, x.last, uint32(x.ref))
	}
	return r.put(contentOf(node(KindSmall, word, 0), flat), func() recorded {
		first := len(r.intervals)
		r.intervals = append(r.intervals, in...)
		return recorded{kind: KindSmall, word: word, first: first, last: len(r.intervals)}
	})
}

// chain returns the node of a chain, as a writer does.
func (r *recorder) chain(number uint32, otherwise Ref) Ref {
	return r.pair(KindChain, number, uint32(otherwise))
}

// sequence returns what goes on with second where first ends at NoMatch.
func (r *recorder) sequence(first, second Ref) Ref {
	switch {
	case first == NoMatch:
		return second
	case first.Terminal():
		return first
	}
	return r.pair(KindSequence, uint32(first), uint32(second))
}

func (r *recorder) pair(kind int, a, b uint32) Ref {
	return r.put(contentOf(node(kind, 0, 0), []uint32{a, b}), func() recorded { return recorded{kind: kind, a: a, b: b} })
}

// addresses returns the search by addresses of family f, from word base on.
func (r *recorder) addresses(base int, f model.Family) *addresses { return newAddresses(r, base, f) }

// linksKey spells links.
func linksKey(links []Link) string {
	var key []byte
	for _, l := range links {
		key = binary.LittleEndian.AppendUint32(append(append(key, l.Name...), 0), uint32(l.Ref))
	}
	return string(key)
}
