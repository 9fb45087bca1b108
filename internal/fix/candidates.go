package fix

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/internal/edit"
	"github.com/trafficpolicy/trafficpolicy/model"
	"github.com/trafficpolicy/trafficpolicy/verify"
)

// candidate is something that could go.
type candidate struct {
	Removed
	file  *File
	place edit.Place
	// with are the files that hold the same once more, in copies of the policy that
	// stay: it goes from all of them or from none.
	with []*File
}

// subject is what a finding is about.
type subject struct{ policy, field string }

// deadOf returns what r reports as dead and no packet reaches in any cluster.
// Copies of a policy that stay lose the same: equal is what they have to be.
func (m *maker) deadOf(ctx context.Context, in *compiler.Input, r *verify.Report, stay []compiler.Copy) ([]candidate, error) {
	reported := map[subject]*model.Finding{}
	for i := range r.Findings {
		if f := &r.Findings[i]; slices.Contains(verify.RemovableCodes, f.Code) && f.Scope == model.Always {
			reported[subject{f.Policy, f.Field}] = f
		}
	}
	if len(reported) == 0 {
		return nil, nil
	}
	dead, err := verify.Removable(ctx, in.Policies, m.Compile)
	if err != nil {
		return nil, err
	}
	copies := map[*model.Policy][]compiler.Copy{}
	for _, c := range stay {
		copies[c.Policy] = append(copies[c.Policy], c)
	}
	policies := map[string]*model.Policy{}
	for _, p := range in.Policies {
		policies[p.Ref()] = p
	}
	var out []candidate
	for i := range dead {
		s := subject{dead[i].Policy, dead[i].Field}
		f, p := reported[s], policies[s.policy]
		delete(reported, s)
		if f == nil && dead[i].Code == model.UnreachablePeer {
			f = reported[subject{s.policy, ruleOf(s.field)}]
			// The rule is dead for less than every cluster, the entry for all.
		}
		if f == nil {
			continue
		}
		if c, ok := m.candidate(p.Pos, s.field); ok && !m.keepInventory(in, p) {
			c.Removed = Removed{Pos: dead[i].Pos(), Name: nameOf(p, s.field), Code: dead[i].Code, Why: dead[i].Message}
			out = append(out, m.everywhere(c, copies[p])...)
		}
	}
	for s, f := range reported {
		if p := policies[s.policy]; !m.keepInventory(in, p) {
			m.keep("%s: %s stays, it is dead for IPv4 alone or for the addresses given for names", f.Pos(), nameOf(p, s.field))
		}
	}
	return out, nil
}

// everywhere returns c and the same in each copy of its policy, nothing where one
// of these cannot be changed.
func (m *maker) everywhere(c candidate, copies []compiler.Copy) []candidate {
	out := []candidate{c}
	for _, other := range copies {
		again, err := m.again(c, other.Pos)
		if err != nil {
			m.keep("%s: %s stays, as it does in the copy at %s: %v", c.Pos, c.Name, other.Pos, err)
			return nil
		}
		if again.file != c.file || again.place != c.place {
			out = append(out, again)
		}
	}
	var files []*File
	for i := range out {
		files = append(files, out[i].file)
	}
	for i := range out {
		out[i].with = files
	}
	return out
}

// again returns what c is in the copy of its policy at pos.
func (m *maker) again(c candidate, pos model.Pos) (candidate, error) {
	file, err := m.file(pos.File)
	if err != nil {
		return candidate{}, err
	}
	text, err := file.parse()
	if err != nil {
		return candidate{}, err
	}
	place := edit.Place{Line: pos.Line, Column: pos.Column, Field: c.place.Field}
	at := model.Pos{File: pos.File}
	if at.Line, at.Column, err = text.Find(place); err != nil {
		return candidate{}, err
	}
	why := fmt.Sprintf("it says the same as at %s", c.Pos)
	return candidate{Removed: Removed{Pos: at, Name: c.Name, Code: c.Code, Why: why, Again: true}, file: file, place: place}, nil
}

// nameOf returns the name of what stands at a field of p: of a rule, peer or port.
func nameOf(p *model.Policy, field string) string {
	name := strings.Replace(strings.TrimPrefix(field, "spec."), ".rules[", "[", 1)
	return p.Ref() + "#" + name
}

// ruleOf returns the field of the rule that has the entry at a field.
func ruleOf(field string) string { return field[:strings.LastIndexByte(field, '.')] }

// keepInventory reports whether p is of the inventory, which is a picture of a
// cluster and not to be changed.
func (m *maker) keepInventory(in *compiler.Input, p *model.Policy) bool {
	if in.FromInventory(p) {
		m.keep("%s is of the inventory, which stays as it is", p.Ref())
		return true
	}
	return false
}

func (m *maker) keep(format string, args ...any) { m.kept[fmt.Sprintf(format, args...)] = true }

// candidate returns what stands at a field of the object at pos; false where its
// file cannot be edited.
func (m *maker) candidate(pos model.Pos, field string) (candidate, bool) {
	file, err := m.file(pos.File)
	if err != nil {
		m.keep("%s stays as it is: %v", model.Printable(pos.File), err)
		return candidate{}, false
	}
	return candidate{file: file, place: edit.Place{Line: pos.Line, Column: pos.Column, Field: field}}, true
}

// copiesOf returns the copies of policies that are the same in all, also where
// that decides no packet, and the copies that stay.
func (m *maker) copiesOf(in *compiler.Input) (gone []candidate, stay []compiler.Copy) {
	for _, c := range in.Copies {
		if in.FromInventory(c.Policy) {
			continue
		}
		if !m.Copies {
			stay = append(stay, c)
			continue
		}
		first, ok := m.candidate(c.Policy.Pos, "")
		again, ok2 := m.candidate(c.Pos, "")
		if !ok || !ok2 || sameFile(first.file, again.file) && first.place == again.place {
			stay = append(stay, c) // the latter is the same text, read by two names
			continue
		}
		if err := sameText(first, again); err != nil {
			m.keep("%s: the copy of %s stays: %v", c.Pos, c.Policy.Ref(), err)
			stay = append(stay, c)
			continue
		}
		again.Removed = Removed{Pos: c.Pos, Name: c.Policy.Ref(), Why: fmt.Sprintf("it says the same as at %s", c.Policy.Pos)}
		gone = append(gone, again)
	}
	return gone, stay
}

// sameText returns an error unless two objects are the same, value for value.
func sameText(a, b candidate) error {
	t, err := a.file.parse()
	if err != nil {
		return err
	}
	u, err := b.file.parse()
	if err != nil {
		return err
	}
	if !edit.Same(t, a.place, u, b.place) {
		return errors.New("its metadata, or how values are written, is not the same")
	}
	return nil
}
