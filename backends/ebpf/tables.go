package ebpf

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/internal/canon"
)

// Files of the payload.
const (
	GraphFile  = "graph.bin"
	TablesFile = "tables.json"
)

// Tables is tables.json: what a loader needs to know beside the graph.
type Tables struct {
	Schema int    `json:"schema"`
	Scope  string `json:"scope"` // node or pod
	// NodeAddrs are the addresses of the node, sorted: IPv4 first.
	NodeAddrs []netip.Addr `json:"nodeAddrs"`
	// Pods are the governed pods. The index is the number in their records.
	Pods []Pod `json:"pods"`
	// Deciders are what ends a judgement: the index is that of a terminal. Each is
	// the manifest's id of a rule or of a default deny, or, at most once, "": what
	// a direction passes for which no policy speaks (--isolation=direction).
	Deciders []string `json:"deciders"`
	// Chains are the domain names that a packet's peer may have, by the number in
	// a chain node: the first that holds the address says what to go on with.
	Chains [][]Link `json:"chains"`
}

// Pod is one governed pod.
type Pod struct {
	Ref   string    `json:"ref"`
	Class int       `json:"class"`
	Addrs []PodAddr `json:"addrs"`
}

// PodAddr is one address of a pod.
type PodAddr struct {
	Addr   netip.Addr `json:"addr"`
	Record uint32     `json:"record"` // number of its record
}

// Link is one entry of a chain.
type Link struct {
	Name string `json:"name"` // domain name, as in the manifest
	Ref  Ref    `json:"ref"`  // what to go on with where it holds the address
}

// tablesSchema is the version of tables.json.
const tablesSchema = 1

// ReadTables reads tables.json, which must be exactly as Emit writes it.
func ReadTables(data []byte) (*Tables, error) {
	t := new(Tables)
	if err := canon.Read(data, t.read); err != nil {
		return nil, fmt.Errorf("%s is not in the form in which the compiler writes it: %w", TablesFile, err)
	}
	return t, nil
}

// read reads the fields.
func (t *Tables) read(r *canon.Reader) {
	if t.Schema = int(r.Int("schema")); t.Schema != tablesSchema {
		r.Fail("schema %d is not %d", t.Schema, tablesSchema)
	}
	t.Scope = r.String("scope")
	t.NodeAddrs, t.Pods, t.Deciders, t.Chains = []netip.Addr{}, []Pod{}, []string{}, [][]Link{}
	r.List("nodeAddrs", func() { t.NodeAddrs = append(t.NodeAddrs, r.Addr("")) })
	r.List("pods", func() { t.Pods = append(t.Pods, readPod(r)) })
	r.List("deciders", func() { t.Deciders = append(t.Deciders, r.String("")) })
	r.List("chains", func() {
		links := []Link{}
		r.List("", func() {
			var l Link
			r.Object("", func() { l.Name, l.Ref = r.String("name"), Ref(r.Uint("ref", 32)) })
			links = append(links, l)
		})
		t.Chains = append(t.Chains, links)
	})
}

func readPod(r *canon.Reader) (p Pod) {
	r.Object("", func() {
		p.Ref, p.Class = r.String("ref"), int(r.Uint("class", 31))
		r.List("addrs", func() {
			var a PodAddr
			r.Object("", func() { a.Addr, a.Record = r.Addr("addr"), uint32(r.Uint("record", 32)) })
			p.Addrs = append(p.Addrs, a)
		})
	})
	if len(p.Addrs) == 0 {
		r.Fail("pod %q has no address", p.Ref)
	}
	return p
}

func (t *Tables) encode() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(t); err != nil {
		return nil, fmt.Errorf("%s: %w", TablesFile, err)
	}
	return b.Bytes(), nil
}

// NodeAddrs returns the addresses of the node.
func (g *Graph) NodeAddrs() []netip.Addr { return g.Tables.NodeAddrs }

// NameRules returns, by id of a domain name, the ids of the rules that are about it;
// an empty one where a chain goes on to something else than a rule.
func (g *Graph) NameRules() map[string][]string {
	rules := map[string][]string{}
	for _, chain := range g.Tables.Chains {
		for _, l := range chain {
			id := ""
			if _, i, ok := l.Ref.Decider(); ok && int(i) < len(g.Tables.Deciders) {
				id = g.Tables.Deciders[i]
			}
			name := bundle.ID(l.Name)
			if !slices.Contains(rules[name], id) {
				rules[name] = append(rules[name], id)
			}
		}
	}
	return rules
}
