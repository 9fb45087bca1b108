package nftables

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
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

// podsDepth is that of objects and lists: {"pods": [{"addrs": [
const podsDepth = 4

// ReadPods reads pods.json, which must be exactly as Emit writes it.
func ReadPods(data []byte) (*Pods, error) {
	p := new(Pods)
	if err := bundle.CheckLayout(data, podsDepth); err != nil {
		return nil, fmt.Errorf("%s is not in the form in which the compiler writes it: %w", PodsFile, err)
	}
	if err := json.Unmarshal(data, p); err != nil {
		return nil, fmt.Errorf("%s: %w", PodsFile, err)
	}
	if p.Schema != podsSchema {
		return nil, fmt.Errorf("%s: schema %d is not %d", PodsFile, p.Schema, podsSchema)
	}
	if again, err := p.encode(); err != nil || !bytes.Equal(again, data) {
		return nil, fmt.Errorf("%s is not in the form in which the compiler writes it", PodsFile)
	}
	return p, nil
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
