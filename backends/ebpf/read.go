package ebpf

import (
	"fmt"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// Read returns the checked graph of a bundle: what [Check] promises, and that
// manifest and tables agree on scope, rules, default denies and domain names.
func Read(b *bundle.Bundle) (*Graph, error) {
	if b.Manifest.Backend != bundle.EBPF {
		return nil, fmt.Errorf("the bundle is for backend %s, not %s", b.Manifest.Backend, bundle.EBPF)
	}
	graph, tables, err := readFiles(b.Files)
	if err != nil {
		return nil, err
	}
	g, err := Check(graph, tables)
	if err != nil {
		return nil, err
	}
	if err := g.agree(&b.Manifest); err != nil {
		return nil, fmt.Errorf("%s: %w", TablesFile, err)
	}
	return g, nil
}

// readFiles returns the graph and the tables of a payload, unchecked.
func readFiles(files []bundle.File) ([]byte, *Tables, error) {
	want := []string{GraphFile, TablesFile}
	if len(files) != len(want) {
		return nil, nil, fmt.Errorf("the payload has %d files, not %d", len(files), len(want))
	}
	for i, f := range files {
		if f.Name != want[i] {
			return nil, nil, fmt.Errorf("file %q stands where %s should", f.Name, want[i])
		}
	}
	t, err := ReadTables(files[1].Data)
	return files[0].Data, t, err
}

// agree compares the tables with the manifest.
func (g *Graph) agree(m *bundle.Manifest) error {
	if g.Tables.Scope != string(m.Scope) {
		return fmt.Errorf("scope %q is not the manifest's %q", g.Tables.Scope, m.Scope)
	}
	actions := map[string]string{notSelected: model.Allow.String()}
	for _, r := range m.Rules {
		actions[r.ID] = r.Action
	}
	classes := map[int]bool{}
	for _, d := range m.Defaults {
		actions[d.ID] = model.Deny.String()
		classes[d.Class] = true
	}
	for i, id := range g.Tables.Deciders {
		want, ok := actions[id]
		if !ok {
			return fmt.Errorf("decider %q is not in the manifest", id)
		}
		if a, used := g.Action(uint32(i)); used && a.String() != want {
			return fmt.Errorf("decider %q does %q, and in the manifest %q", id, a, want)
		}
	}
	names := map[string]bool{}
	for _, n := range m.Names {
		names[n.Name] = true
	}
	for _, chain := range g.Tables.Chains {
		for _, l := range chain {
			if !names[l.Name] {
				return fmt.Errorf("domain name %q is not in the manifest", l.Name)
			}
		}
	}
	if have := len(g.Tables.Pods); m.Counts.Pods != have {
		return fmt.Errorf("it has %d pods, and the manifest counts %d", have, m.Counts.Pods)
	}
	if m.Counts.Elements != g.intervals {
		return fmt.Errorf("the graph searches %d intervals, and the manifest counts %d elements", g.intervals, m.Counts.Elements)
	}
	if err := g.agreeRules(m); err != nil {
		return err
	}
	for _, p := range g.Tables.Pods {
		if !classes[p.Class] {
			return fmt.Errorf("pod %q is of class %d, which is not in the manifest", p.Ref, p.Class)
		}
	}
	return nil
}

// agreeRules makes sure that every rule of the manifest is a decider.
func (g *Graph) agreeRules(m *bundle.Manifest) error {
	known := map[string]bool{}
	for _, id := range g.Tables.Deciders {
		known[id] = true
	}
	for _, r := range m.Rules {
		if !known[r.ID] {
			return fmt.Errorf("rule %q of the manifest is no decider", r.Name)
		}
	}
	return nil
}
