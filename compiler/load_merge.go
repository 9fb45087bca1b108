package compiler

import (
	"fmt"
	"reflect"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// merge makes one Input of all objects: it settles which of several objects of
// one kind, namespace and name counts.
func (l *loader) merge() {
	l.in.Findings = append(l.in.Findings, l.findings...)
	l.in.ofInventory = map[findingKey]bool{}
	l.mergeObjects(l.objects, inBoth(l.objects), make(map[objectKey]*object, len(l.objects)))
}

// mergeObjects merges objects behind those that first holds. both are objects that
// yield to one in the other input.
func (l *loader) mergeObjects(objects []*object, both map[objectKey]bool, first map[objectKey]*object) {
	for _, o := range objects {
		named := o.name != ""
		if named && len(both) > 0 && both[o.objectKey] && o.inventory == isPolicyKind(o.kind) {
			continue // yields to the one in the other input, with its findings
		}
		l.in.Findings = append(l.in.Findings, o.findings...)
		if o.ofInventory() && o.value == nil {
			l.mark(o.findings)
		}
		switch prev := first[o.objectKey]; {
		case !named:
			l.keep(o)
		case prev == nil:
			first[o.objectKey] = o
			l.keep(o)
		case !sameObject(prev, o):
			l.duplicate(prev, o)
		default:
			l.copyOf(prev, o)
		}
	}
}

// inBoth returns the objects that both LoadOptions.Policies and Inventory have. It
// remembers those of the policies, which are few where there are many.
func inBoth(objects []*object) map[objectKey]bool {
	policies := make(map[objectKey]bool)
	for _, o := range objects {
		if !o.inventory && o.name != "" {
			policies[o.objectKey] = true
		}
	}
	both := make(map[objectKey]bool)
	for _, o := range objects {
		if len(policies) > 0 && o.inventory && policies[o.objectKey] {
			both[o.objectKey] = true
		}
	}
	return both
}

func isPolicyKind(kind string) bool { return kind == policyKinds[0] || kind == policyKinds[1] }

// keep puts an object where it belongs.
func (l *loader) keep(o *object) {
	inv := l.in.Inventory
	switch v := o.value.(type) {
	case *model.Policy:
		l.in.Policies = append(l.in.Policies, v)
		if o.inventory {
			l.in.inInventory[v] = true
		}
	case *model.Namespace:
		inv.Namespaces = append(inv.Namespaces, v)
	case *model.Node:
		inv.Nodes = append(inv.Nodes, v)
	case *model.Pod:
		inv.Pods = append(inv.Pods, v)
	case *model.Service:
		inv.Services = append(inv.Services, v)
	case *model.Endpoints:
		inv.Endpoints = append(inv.Endpoints, v)
	case *model.PodTemplate:
		inv.Templates = append(inv.Templates, v)
	case nil:
		l.broken(o, o.findings)
	}
}

// ofInventory reports whether o is no policy. A policy without a usable name has
// no kind here.
func (o *object) ofInventory() bool { return o.kind != "" && !isPolicyKind(o.kind) }

// broken notes an inventory object that cannot be used, for what findings say.
func (l *loader) broken(o *object, findings []model.Finding) {
	if !o.ofInventory() {
		return
	}
	b := model.BrokenObject{Ref: o.objectKey.String(), Pos: o.pos}
	if i := slices.IndexFunc(findings, func(f model.Finding) bool { return f.Severity == model.Error }); i >= 0 {
		b.Why = findings[i].Message
	}
	l.in.Inventory.Broken = append(l.in.Inventory.Broken, b)
}

// mark remembers findings that say why an inventory object cannot be used.
func (l *loader) mark(findings []model.Finding) {
	for i := range findings {
		l.in.ofInventory[keyOf(&findings[i])] = true
	}
}

// duplicate reports o, which says something else than prev.
func (l *loader) duplicate(prev, o *object) {
	f := model.NewFinding(model.DuplicateObject, o.pos,
		fmt.Sprintf("%s is given twice with different content, at %s and at %s, want one of them", o.objectKey, prev.pos, o.pos))
	if isPolicyKind(o.kind) {
		f.Policy = o.objectKey.String()
	}
	related := model.Related{Policy: f.Policy, File: prev.pos.File, Line: prev.pos.Line, Column: prev.pos.Column, Message: "the other content"}
	f.Related = []model.Related{related}
	l.in.Findings = append(l.in.Findings, f)
	if l.broken(o, []model.Finding{f}); o.ofInventory() {
		l.mark([]model.Finding{f})
	}
}

// copyOf notes that o says the same as prev.
func (l *loader) copyOf(prev, o *object) {
	if p, ok := prev.value.(*model.Policy); ok {
		l.in.Copies = append(l.in.Copies, Copy{p, o.pos})
	}
}

// sameObject reports whether two objects say the same, wherever they stand.
func sameObject(a, b *object) bool {
	if a.value == nil || b.value == nil {
		return a.value == nil && b.value == nil && a.spec == b.spec && a.spec != ""
	}
	return reflect.DeepEqual(unplaced(a.value), unplaced(b.value))
}

// unplaced returns a copy of an object without positions.
func unplaced(value any) any {
	switch v := value.(type) {
	case *model.Policy:
		c := *v
		c.Pos = model.Pos{}
		c.Ingress, c.Egress = unplacedSection(v.Ingress), unplacedSection(v.Egress)
		return c
	case *model.Namespace:
		c := *v
		c.Pos = model.Pos{}
		return c
	case *model.Node:
		c := *v
		c.Pos = model.Pos{}
		return c
	case *model.Pod:
		c := *v
		c.Pos = model.Pos{}
		return c
	case *model.Service:
		c := *v
		c.Pos = model.Pos{}
		return c
	case *model.Endpoints:
		c := *v
		c.Pos = model.Pos{}
		return c
	case *model.PodTemplate:
		c := *v
		c.Pos = model.Pos{}
		return c
	}
	return nil
}

func unplacedSection(s *model.Section) *model.Section {
	if s == nil {
		return nil
	}
	c := &model.Section{Rules: make([]model.Rule, len(s.Rules))}
	for i, r := range s.Rules {
		u := model.Rule{Action: r.Action, Peers: make([]model.Peer, len(r.Peers)), Ports: make([]model.Port, len(r.Ports))}
		for j, p := range r.Peers {
			p.Pos = model.Pos{}
			u.Peers[j] = p
		}
		for j, p := range r.Ports {
			p.Pos = model.Pos{}
			u.Ports[j] = p
		}
		c.Rules[i] = u
	}
	return c
}
