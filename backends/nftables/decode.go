package nftables

import (
	"fmt"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/backends/nftables/ruleset"
	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/compiler/space"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// Decode returns what the files of a bundle decide once a loader has put them in
// force, by themselves: rules, default denies and domain names are called what the
// manifest calls their ids. What packets could meet and the format does not have
// is an error that names file, chain and line.
func Decode(files []bundle.File, m *bundle.Manifest) (*space.Reading, error) {
	texts, pods, err := cutFiles(files)
	if err != nil {
		return nil, err
	}
	t, err := ruleset.Read(texts...)
	if err != nil {
		return nil, err
	}
	if err := agree(m, pods); err != nil {
		return nil, err
	}
	if err := count(m, len(pods.Pods), t.Elements()); err != nil {
		return nil, err
	}
	r, err := t.Decode(KeyOf(m, "tp_"+pods.Tag+"_", pods.Pods))
	if err != nil {
		return nil, err
	}
	if err := compare(m, r); err != nil {
		return nil, err
	}
	if err := classes(m, pods, r); err != nil {
		return nil, err
	}
	return r, nil
}

// Legend says what a bare script does not: what the ids in it stand for, and whose
// the governed addresses are.
type Legend struct {
	// Rules are names of rules by id. Those that a comment in the script has whole
	// may be missing.
	Rules map[string]string
	// Defaults are the default denies by id, Names the domain names.
	Defaults map[string]bundle.Default
	Names    map[string]string
	Pods     []Pod
}

// NewLegend returns the legend of a program's script. It has the names that stand
// in the policies and nothing of what they decide.
func NewLegend(p *compiler.Program) *Legend {
	l := &Legend{Rules: map[string]string{}, Defaults: map[string]bundle.Default{}, Names: map[string]string{}}
	for i := range p.Classes {
		for _, d := range model.Directions {
			for _, r := range p.Classes[i].List(d).Rules {
				name := r.Ref.String()
				l.Rules[bundle.ID(name)] = name
			}
		}
	}
	for _, d := range bundle.Defaults(p) {
		l.Defaults[d.ID] = d
	}
	for _, n := range p.Names {
		l.Names[bundle.ID(n.Name)] = n.Name
	}
	for _, pod := range p.Pods {
		l.Pods = append(l.Pods, Pod{Ref: pod.Ref, Addrs: pod.Addrs, Class: pod.Class})
	}
	return l
}

// DecodeScript returns what a bare script decides, whatever the table held before.
func DecodeScript(text []byte, l *Legend) (*space.Reading, error) {
	t, err := ruleset.ReadScript(ruleset.Text{Name: "script", Data: text})
	if err != nil {
		return nil, err
	}
	key := &ruleset.Key{Script: true, Rules: l.Rules, Defaults: map[string]ruleset.Default{}, Domains: l.Names, Pods: keyPods(l.Pods)}
	for id, d := range l.Defaults {
		key.Defaults[id] = keyDefault(&d)
	}
	return t.Decode(key)
}

// KeyOf returns what a manifest and pods.json tell a reader of rules whose names
// begin with prefix.
func KeyOf(m *bundle.Manifest, prefix string, pods []Pod) *ruleset.Key {
	key := &ruleset.Key{
		Prefix: prefix, Rules: map[string]string{}, Defaults: map[string]ruleset.Default{},
		Domains: map[string]string{}, Pods: keyPods(pods),
	}
	for _, r := range m.Rules {
		key.Rules[r.ID] = r.Name
	}
	for i := range m.Defaults {
		key.Defaults[m.Defaults[i].ID] = keyDefault(&m.Defaults[i])
	}
	for _, n := range m.Names {
		key.Domains[n.ID] = n.Name
	}
	return key
}

func keyDefault(d *bundle.Default) ruleset.Default {
	out := ruleset.Default{Direction: model.Egress, Policies: d.Policies}
	if d.Direction == model.Ingress.String() {
		out.Direction = model.Ingress
	}
	return out
}

func keyPods(pods []Pod) []ruleset.Pod {
	out := make([]ruleset.Pod, len(pods))
	for i, p := range pods {
		out[i] = ruleset.Pod{Ref: p.Ref, Addrs: p.Addrs, Source: p.Source, Deliver: p.Deliver}
	}
	return out
}

// cutFiles returns the commands of a payload, and pods.json.
func cutFiles(files []bundle.File) ([]ruleset.Text, *Pods, error) {
	want := []string{SkeletonFile, ObjectsFile, SwitchFile, PodsFile}
	if len(files) != len(want) {
		return nil, nil, fmt.Errorf("the payload has %d files, not %d", len(files), len(want))
	}
	for i, f := range files {
		if f.Name != want[i] {
			return nil, nil, fmt.Errorf("file %q stands where %s should", f.Name, want[i])
		}
	}
	pods, err := ReadPods(files[3].Data)
	if err != nil {
		return nil, nil, err
	}
	in := phases{"tp_" + pods.Tag + "_"}
	return []ruleset.Text{
		{Name: SkeletonFile, Data: files[0].Data, May: in.skeleton},
		{Name: ObjectsFile, Data: files[1].Data, May: in.objects},
		{Name: SwitchFile, Data: files[2].Data, May: in.turn},
	}, pods, nil
}
