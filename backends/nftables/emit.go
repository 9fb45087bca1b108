package nftables

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// Emit writes p as a bundle whose manifest lacks Tool, Sequence and what follows from
// the files. It returns a [*LimitError] where p does not fit in a payload, and a
// *space.LimitError where a rule list has too many decisions.
func Emit(p *compiler.Program) (*bundle.Bundle, error) {
	e, err := build(p)
	if err != nil {
		return nil, err
	}
	var skeleton, turn sections
	e.skeleton(&skeleton)
	e.turn(&turn)
	pods, err := e.pods()
	if err != nil {
		return nil, err
	}
	create := []byte("add table " + Table + "\n")
	files := []bundle.File{
		{Name: SkeletonFile, Data: append(create, skeleton.bytes()...)},
		{Name: ObjectsFile, Data: e.out.bytes()},
		{Name: SwitchFile, Data: turn.bytes()},
		{Name: PodsFile, Data: pods},
	}
	count := e.out.count + turn.count
	e.out.release()
	tagFiles(files)
	return &bundle.Bundle{Manifest: bundle.Describe(p, bundle.NFTables, e.rules, count), Files: files}, nil
}

// tagFiles replaces the placeholder by the tag: the first 48 bits of SHA-256
// over all files with the placeholder in them.
func tagFiles(files []bundle.File) {
	h := sha256.New()
	for _, f := range files {
		fmt.Fprintf(h, "%s %d\n", f.Name, len(f.Data))
		h.Write(f.Data)
	}
	tag := hex.EncodeToString(h.Sum(nil)[:6])
	for i := range files {
		retag(files[i].Data, tag)
		if files[i].Name == PodsFile {
			files[i].Data = bytes.Replace(files[i].Data, []byte(`"`+placeholder+`"`), []byte(`"`+tag+`"`), 1)
		}
	}
}

// retag puts tag, of the placeholder's length, in its place wherever a name begins
// with it.
func retag(data []byte, tag string) {
	const begins = len("tp") // before the underscore that is looked for, of which there are few
	for at := 0; ; {
		i := bytes.IndexByte(data[at:], '_')
		if i < 0 {
			return
		}
		at += i
		if at >= begins && bytes.HasPrefix(data[at-begins:], []byte(genPrefix)) {
			copy(data[at+1:], tag)
			at += len(placeholder)
		}
		at++
	}
}

// emitter holds the objects of one generation while they are written. Chains
// and maps are known by what they hold, so that equal ones are written once.
type emitter struct {
	p      *compiler.Program
	limits limits
	pod    bool // pod scope
	bare   bool // a script for use without a loader
	out    *sections
	known  map[string]string // content -> name
	number map[string]int    // kind -> how many there are
	rules  map[string]bundle.Rule
	lists  map[listKey]string // chains of the lists
	// deciders counts rules and default denies.
	deciders int
	err      error // the first
}

// build writes the generation's objects.
func build(p *compiler.Program) (*emitter, error) { return buildWithin(p, realLimits) }

func buildWithin(p *compiler.Program, most limits) (*emitter, error) {
	e := &emitter{
		p: p, limits: most, pod: p.Target.Pod != "", out: newSections(),
		known: map[string]string{}, number: map[string]int{},
		rules: map[string]bundle.Rule{}, lists: map[listKey]string{},
	}
	if e.pod && len(p.Pods) > 1 {
		return nil, fmt.Errorf("a program of pod %q has %d pods", p.Target.Pod, len(p.Pods))
	}
	e.addresses()                       // sets: each pod's own addresses, the node's, those of domain names
	e.drops()                           // where packets end that no rule is about
	e.checks()                          // what is decided before any rule is asked
	if err := e.classes(); err != nil { // the chains of each class, with their lists
		return nil, err
	}
	if e.pod {
		e.ends() // the pod's namespace: source and destination
	} else {
		e.devices() // source and destination of each pod's device
		e.unknown() // pods that the program does not know
	}
	return e, e.err
}

// fail remembers the first error.
func (e *emitter) fail(err error) {
	if e.err == nil {
		e.err = err
	}
}

// classes writes the chains of each class in both families. Each is entered by
// goto from a dispatch map and ends every packet.
//
//	from: the pod sends     to: the pod is sent     out: the node's own output
func (e *emitter) classes() error {
	jobs := e.jobs()
	recordings, stop := compiler.InOrder(len(jobs), func(i int) (*recording, error) { return jobs[i].recording() })
	defer stop()
	for c := range e.p.Classes {
		for _, f := range fams {
			var lists [len(sides)]string // by direction
			for _, s := range sides {
				key := e.listKey(c, s, f)
				if _, ok := e.lists[key]; !ok {
					r, err := recordings()
					if err != nil {
						return err
					}
					e.lists[key] = e.link(r)
				}
				lists[s.Direction] = e.lists[key]
			}
			if e.err != nil {
				return e.err
			}
			e.class(c, f, lists[model.Egress], lists[model.Ingress])
		}
	}
	return nil
}

// class writes the chains of class c, whose lists have been written.
func (e *emitter) class(c int, f fam, egress, ingress string) {
	e.entry("from", c, f, egress, ingress)
	e.entry("to", c, f, ingress, egress)
	if !e.pod {
		e.output(c, f, egress)
	}
}

// entry writes the chain that judges a packet of or to a pod of class c: by the
// list of its own direction, or, where it answers, by the list that the opening
// packet of the connection was judged by.
func (e *emitter) entry(kind string, c int, f fam, own, answer string) {
	name := gen("%s%s_%d", kind, f.n, c)
	e.out.chain(name)
	e.out.rule(name, "jump %s", gen("check_%s%s", kind, f.n))
	e.out.rule(name, "ct direction reply goto %s", answer)
	e.out.rule(name, "goto %s", own)
}

// output writes the chain for packets to a pod of class c at the node's output.
// What the node itself opens, untracked packets of the node and its ICMP errors
// pass; its replies are judged, so that a connection that is denied now stops
// also where only the node sends. Another source than the node's is IPVS, or the
// reset that a reject rule sends in the other end's name.
func (e *emitter) output(c int, f fam, egress string) {
	name := gen("out%s_%d", f.n, c)
	e.out.chain(name)
	e.out.rule(name, "ct state related tcp flags & rst == rst accept")
	if f.n == "4" {
		// The source of ICMP errors of a node without any IPv4 address (RFC 7600 4.8;
		// INADDR_DUMMY, net/ipv4/icmp.c since Linux 5.13).
		e.out.rule(name, "ct state related ip saddr 192.0.0.8 accept")
	}
	e.out.rule(name, "fib saddr type != local goto %s", gen("to%s_%d", f.n, c))
	e.out.rule(name, "ct state established ct direction reply goto %s", egress)
	e.out.rule(name, "accept")
}
