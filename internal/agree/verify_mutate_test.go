package agree

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/backends/ebpf"
	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/internal/synth"
	"github.com/trafficpolicy/trafficpolicy/model"
	"github.com/trafficpolicy/trafficpolicy/verify"
)

// TestVerifyFindsChangedWords changes words of small graphs, one at a time. What the decoder
// takes, verify must call equivalent just where walks of the graph decide every
// packet around every boundary as before, and else show one that they do not.
func TestVerifyFindsChangedWords(t *testing.T) {
	outcomes := map[string]int{}
	n := uint64(4 * soak(t))
	for seed := range n {
		c := synth.Small(seed)
		m, rng := modeOf(c)
		m.inventory = true
		in, err := load(c, m)
		if err != nil {
			t.Fatal(err)
		}
		o := compiler.CompileOptions{Options: m.options, AllowUnresolved: true, AllowEmpty: true, SkipBroken: true}
		for _, node := range in.Inventory.Nodes {
			o.Target = compiler.Target{Node: node.Name}
			p, err := compiler.Compile(context.Background(), in, o)
			if err != nil {
				continue
			}
			if err := changeWords(p, rng, outcomes); err != nil {
				t.Fatalf("seed %d, %s: %v", seed, node.Name, err)
			}
		}
	}
	t.Log(outcomes)
	for _, what := range []string{"refused", "equivalent", "found"} {
		if outcomes[what] < 10 {
			t.Errorf("%d changes were %s, want more: %v", outcomes[what], what, outcomes)
		}
	}
}

func changeWords(p *compiler.Program, rng *rand.Rand, outcomes map[string]int) error {
	a, err := ebpf.Emit(p)
	if err != nil {
		return err
	}
	was, err := ebpf.Decode(a.Files)
	if err != nil {
		return err
	}
	graph := a.Files[0].Data
	for at := 0; at < len(graph); at += 4 * (1 + rng.IntN(7)) {
		changed := slices.Clone(graph)
		w := binary.LittleEndian.Uint32(changed[at:])
		binary.LittleEndian.PutUint32(changed[at:], changeWord(rng, w, graph))
		files := []bundle.File{{Name: a.Files[0].Name, Data: changed}, a.Files[1]}
		what, err := changedOutcome(p, a, was, files)
		if err != nil {
			return fmt.Errorf("word %d, %#x: %w", at/4, w, err)
		}
		outcomes[what]++
	}
	return nil
}

// changeWord returns another word: one bit of it, one that stands elsewhere, or a
// value beside it.
func changeWord(rng *rand.Rand, w uint32, graph []byte) uint32 {
	switch rng.IntN(4) {
	case 0:
		return w ^ 1<<rng.IntN(32)
	case 1:
		return w + 1
	case 2:
		return w ^ 3<<29
	}
	return binary.LittleEndian.Uint32(graph[4*rng.IntN(len(graph)/4):])
}

func changedOutcome(p *compiler.Program, a *bundle.Bundle, was *ebpf.Decoded, files []bundle.File) (string, error) {
	now, err := ebpf.Decode(files)
	if err != nil {
		return "refused", nil
	}
	r, err := now.Reading(&a.Manifest)
	if err != nil {
		return "refused", nil
	}
	e, err := verify.Artifact(context.Background(), p, r, verify.EquivalenceOptions{})
	if err != nil {
		return "", err
	}
	if e.Equivalent {
		return "equivalent", sameWalks(p, was, now)
	}
	for i := range e.Differences {
		w := e.Differences[i].Witness
		proto, _ := model.ParseProto(w.Proto, model.FamilyOf(w.Peer))
		packet := ebpf.Packet{
			Local: w.Local, Peer: w.Peer, L4: model.L4Of(proto, w.Port),
			In: func(name string) bool { return slices.Contains(w.Names, name) },
		}
		if w.Direction == model.Ingress.String() {
			packet.Direction = model.Ingress
		}
		before, _ := was.Judge(&packet)
		after, _ := now.Judge(&packet)
		if before == after {
			return "", fmt.Errorf("both walks of %+v end at %+v: %+v", w, before, e.Differences[i])
		}
		if (after.Action == model.Allow) != (e.Differences[i].Have.Verdict == "allow") {
			return "", fmt.Errorf("the walk of %+v ends at %+v: %+v", w, after, e.Differences[i])
		}
	}
	return "found", nil
}

// sameWalks returns an error where two graphs decide a packet otherwise.
func sameWalks(p *compiler.Program, was, now *ebpf.Decoded) error {
	for _, pod := range p.Pods {
		for _, local := range pod.Addrs {
			for _, d := range model.Directions {
				list := p.Classes[pod.Class].List(d)
				for _, in := range subsets(atomsOf(list)) {
					has := func(name string) bool { return in[model.Atom("fqdn "+name)] }
					for _, peer := range boundaryAddrs(list, model.FamilyOf(local)) {
						for _, x := range boundaryL4(list) {
							packet := ebpf.Packet{Direction: d, Local: local, Peer: peer, L4: x, In: has}
							before, _ := was.Judge(&packet)
							if after, ok := now.Judge(&packet); !ok || before != after {
								return fmt.Errorf("equivalent, but %s of %s with %s %s is %+v, then %+v", d, local, peer, x, before, after)
							}
						}
					}
				}
			}
		}
	}
	return nil
}
