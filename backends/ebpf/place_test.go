package ebpf

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/model"
)

func TestPlace(t *testing.T) {
	a := emit(t, sample())
	g, err := Read(sealed(t, a))
	if err != nil {
		t.Fatal(err)
	}
	before := bytes.Clone(g.Bytes())
	p := placement(g)
	placed, err := g.Place(p)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(g.Bytes(), before) {
		t.Error("Place changed the graph itself")
	}
	word := func(i int) uint32 { return binary.LittleEndian.Uint32(placed[4*i:]) }
	if word(HeaderGeneration) != 7 || word(HeaderDeciders) != slices.Max(p.Counters)+1 {
		t.Errorf("generation %d, bound %d", word(HeaderGeneration), word(HeaderDeciders))
	}
	for i, at := range g.records() {
		if word(at+RecordInterface) != p.Interfaces[i] {
			t.Errorf("record %d has interface %d", i, word(at+RecordInterface))
		}
	}
	// A placed graph leads where the graph leads, with counters for deciders.
	from, to := walker{Decoded: &Decoded{g}}, walker{Decoded: &Decoded{&Graph{Tables: g.Tables, data: placed}}}
	for _, pod := range g.Tables.Pods {
		for _, local := range pod.Addrs {
			for _, d := range model.Directions {
				for _, x := range []model.L4{0, 80, 85, 3306, model.L4UDP, model.L4ICMP, model.L4Other} {
					for _, name := range []string{"", "rds.example", "api.example"} {
						for _, peer := range addrs("10.1.0.1", "10.2.0.1", "100.100.100.200", "192.0.2.3", "fd00::1", "fe00::1") {
							if peer.Is4() != local.Addr.Is4() {
								continue
							}
							packet := &Packet{In: func(n string) bool { return n == name }}
							ends := [2]Ref{}
							for i, w := range []*walker{&from, &to} {
								w.packet = packet
								w.load(peer, WordPeer)
								w.words[WordL4] = uint32(x)
								root, _ := w.Root(d, local.Addr)
								ends[i] = w.walk(root)
							}
							// A chain's links are not in the graph: the loader places them.
							if name != "" && ends[1] == ends[0] {
								ends[1] = p.Placed(&Link{Ref: ends[1]})
							}
							va, i, _ := ends[0].Decider()
							vb, n, ok := ends[1].Decider()
							if !ok || va != vb || n != p.Counters[i] {
								t.Fatalf("%s of %s with %s %s: decider %d, placed %d", d, local.Addr, peer, x, i, n)
							}
						}
					}
				}
			}
		}
	}
	if r := node(KindSmall, WordL4, 9); p.Placed(&Link{Ref: r}) != r {
		t.Error("a link to a node is changed")
	}
}

func TestPlaceRefuses(t *testing.T) {
	g, err := Read(sealed(t, emit(t, sample())))
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(p *Placement){
		"interfaces":    func(p *Placement) { p.Interfaces = p.Interfaces[1:] },
		"deciders":      func(p *Placement) { p.Counters = p.Counters[1:] },
		"have counter":  func(p *Placement) { p.Counters[0] = p.Counters[1] },
		"does not fit":  func(p *Placement) { p.Counters[0] = indexMask },
		"does not fit ": func(p *Placement) { p.Counters[0] = 0xffffffff },
	} {
		p := placement(g)
		change(p)
		if _, err := g.Place(p); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What a kernel holds is restored to the graph that was placed, and what is not
// that graph is not taken for it.
func TestRestore(t *testing.T) {
	g, err := Read(sealed(t, emit(t, sample())))
	if err != nil {
		t.Fatal(err)
	}
	p := placement(g)
	placed, err := g.Place(p)
	if err != nil {
		t.Fatal(err)
	}
	again, q, err := Restore(placed, g.Tables, p.Counters)
	if err != nil || !bytes.Equal(again, g.Bytes()) || q.Generation != 7 || !slices.Equal(q.Interfaces, p.Interfaces) {
		t.Fatalf("Restore: %v", err)
	}
	if _, err := Check(again, g.Tables); err != nil {
		t.Error(err)
	}
	for at := range len(placed) / 4 {
		changed := bytes.Clone(placed)
		binary.LittleEndian.PutUint32(changed[4*at:], binary.LittleEndian.Uint32(changed[4*at:])+1)
		again, q, err := Restore(changed, g.Tables, p.Counters)
		if err == nil && bytes.Equal(again, g.Bytes()) && q.Generation == 7 && slices.Equal(q.Interfaces, p.Interfaces) && at != HeaderDeciders {
			t.Errorf("word %d changed and it is restored as if not", at)
		}
	}
	if _, _, err := Restore(placed, g.Tables, p.Counters[1:]); err == nil {
		t.Error("restored with too few counters")
	}
	foreign := slices.Clone(p.Counters)
	for i := range foreign {
		if _, used := g.Action(uint32(i)); used {
			foreign[i] = 5000
			break
		}
	}
	if _, _, err := Restore(placed, g.Tables, foreign); err == nil || !strings.Contains(err.Error(), "is of no decider") {
		t.Errorf("restored with foreign counters: %v", err)
	}
}
