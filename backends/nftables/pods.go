package nftables

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"

	"github.com/trafficpolicy/trafficpolicy/internal/canon"
)

// Pods is pods.json: what a loader needs to know of the pods and the objects of
// the generation.
type Pods struct {
	Schema int    `json:"schema"`
	Tag    string `json:"tag"` // names of the generation's objects begin "tp_TAG_"
	Scope  string `json:"scope"`
	// NodeSets are the sets, IPv4 and IPv6, that take further addresses of the node.
	NodeSets [2]string `json:"nodeSets"`
	Pods     []Pod     `json:"pods"`
}

// Pod is one governed pod. Source and Deliver are chains, in node scope: where
// all packets must go that come in from its device, and that are forwarded out
// to it.
type Pod struct {
	Ref     string       `json:"ref"`
	Addrs   []netip.Addr `json:"addrs"`
	Class   int          `json:"class"`
	Source  string       `json:"source,omitempty"`
	Deliver string       `json:"deliver,omitempty"`
}

// podsSchema is the version of pods.json.
const podsSchema = 1

// ReadPods reads pods.json, which must be exactly as Emit writes it.
func ReadPods(data []byte) (*Pods, error) {
	p := new(Pods)
	if err := canon.Read(data, p.read); err != nil {
		return nil, fmt.Errorf("%s is not in the form in which the compiler writes it: %w", PodsFile, err)
	}
	return p, nil
}

// read reads the fields.
func (p *Pods) read(r *canon.Reader) {
	if p.Schema = int(r.Int("schema")); p.Schema != podsSchema {
		r.Fail("schema %d is not %d", p.Schema, podsSchema)
	}
	p.Tag, p.Scope = r.String("tag"), r.String("scope")
	sets := 0
	r.List("nodeSets", func() {
		name := r.String("")
		if sets < len(p.NodeSets) {
			p.NodeSets[sets] = name
		}
		if sets++; sets > len(p.NodeSets) {
			r.Fail("it is one set more than there are families")
		}
	})
	if sets < len(p.NodeSets) {
		r.Fail("there are fewer sets than families")
	}
	p.Pods = []Pod{}
	r.List("pods", func() { p.Pods = append(p.Pods, readPod(r)) })
}

func readPod(r *canon.Reader) (p Pod) {
	r.Object("", func() {
		p.Ref = r.String("ref")
		r.List("addrs", func() { p.Addrs = append(p.Addrs, r.Addr("")) })
		p.Class = int(r.Uint("class", 31))
		for _, f := range []struct {
			key string
			to  *string
		}{{"source", &p.Source}, {"deliver", &p.Deliver}} {
			if !r.Has(f.key) {
				continue
			}
			if *f.to = r.String(f.key); *f.to == "" {
				r.Fail("it is left out where it is empty")
			}
		}
	})
	if len(p.Addrs) == 0 {
		r.Fail("pod %q has no address", p.Ref)
	}
	return p
}

func (p *Pods) encode() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(p); err != nil {
		return nil, fmt.Errorf("%s: %w", PodsFile, err)
	}
	return b.Bytes(), nil
}

func (e *emitter) pods() ([]byte, error) {
	out := Pods{
		Schema: podsSchema, Tag: placeholder, Scope: "node",
		NodeSets: [2]string{gen("node4"), gen("node6")}, Pods: []Pod{},
	}
	if e.pod {
		out.Scope = "pod"
	}
	for i, p := range e.p.Pods {
		pod := Pod{Ref: p.Ref, Addrs: p.Addrs, Class: p.Class}
		if !e.pod {
			pod.Source, pod.Deliver = gen("src_%d", i), gen("dst_%d", i)
		}
		out.Pods = append(out.Pods, pod)
	}
	return out.encode()
}
