// Package fix takes rules, entries and copies of policies that decide nothing out
// of the files that hold them.
//
// Nothing is written before all of it is known: what the files will hold is read
// as policies, and proven to decide each packet of each pod by the same rule as
// before.
package fix

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/internal/edit"
	"github.com/trafficpolicy/trafficpolicy/model"
	"github.com/trafficpolicy/trafficpolicy/verify"
)

// Options is how to fix.
type Options struct {
	Load    compiler.LoadOptions // of files; standard input cannot be changed
	Compile compiler.Options
	// Report judges an input as its user wants it judged. Of what it finds, what
	// can be fixed is: what it leaves out, as accepted or not wanted, stays.
	Report func(context.Context, *compiler.Input) (*verify.Report, error)
	// Copies has copies of policies removed, which are no findings.
	Copies bool
}

// Plan is what is to change. Nothing of it is written yet.
type Plan struct {
	Files   []File    // that change, sorted by path
	Removed []Removed // in the order of files and lines, as they were
	// Kept says what could go and stays: what cannot be edited, or is so for IPv4
	// or the addresses given for a name alone.
	Kept []string
	// Input and Report are what there is after the change.
	Input  *compiler.Input
	Report *verify.Report
}

// Removed is one rule, entry or copy that goes.
type Removed struct {
	Pos  model.Pos  // in the file as it was
	Name string     // of the policy, rule, peer or port entry
	Code model.Code // of the finding, "" of a copy
	Why  string
	// Again says that it went before, from an equal policy: this is a copy of it.
	Again bool
}

// File is one file that changes.
type File struct {
	Path     string // as it was named
	Old, New []byte

	real string // without links
	info os.FileInfo
	text *edit.Text // of Old
}

// Empty reports whether the file will hold nothing but comments.
func (f *File) Empty() bool {
	t, err := edit.Parse(f.New)
	return err == nil && t.Empty()
}

// ErrInvalid says that the input has errors, so that it is not known what it
// means, and was not touched.
var ErrInvalid = errors.New("not fixed: the input has errors, mend these first")

// Make plans the fixes of in, which was read with o.Load and has report r. The
// error wraps ErrInvalid where in is invalid; any other says why it could not be
// judged or proven.
func Make(ctx context.Context, in *compiler.Input, r *verify.Report, o Options) (*Plan, error) {
	if firstError(in) != nil {
		return nil, ErrInvalid
	}
	m := &maker{Options: o, before: in.Policies, copied: in.Copied, files: map[string]*File{}, kept: map[string]bool{}}
	p := &Plan{Input: in, Report: r}
	var err error
	if p.Removed, err = m.edit(ctx, in, r); err != nil {
		return nil, err
	}
	// Once is enough: what goes decides nothing, so nothing else can go without it.
	if len(p.Removed) > 0 {
		if err := m.prove(ctx, p); err != nil {
			return nil, err
		}
	}
	for _, f := range m.files {
		if !bytes.Equal(f.Old, f.New) {
			p.Files = append(p.Files, *f)
		}
	}
	slices.SortFunc(p.Files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	for text := range m.kept {
		p.Kept = append(p.Kept, text)
	}
	slices.Sort(p.Kept)
	return p, nil
}

// firstError returns the first error of in that is about a policy, or about a text
// of which it is not known what stands in it; nil without one.
func firstError(in *compiler.Input) *model.Finding {
	for i := range in.Findings {
		if f := &in.Findings[i]; f.Severity == model.Error && !in.OfInventory(f) {
			return f
		}
	}
	return nil
}

// maker makes a plan.
type maker struct {
	Options
	before []*model.Policy // that the files hold now
	copied func(file string) bool
	files  map[string]*File // that were looked at, by path without links
	kept   map[string]bool
}

// prove reads what the files will hold, proves that it decides the same, and has
// it judged.
func (m *maker) prove(ctx context.Context, p *Plan) error {
	load := m.Load
	load.Open = m.open
	after, err := compiler.Load(ctx, load)
	if err != nil {
		return err
	}
	if f := firstError(after); f != nil {
		return fmt.Errorf("nothing was changed: the files would be invalid: %s: %s", f.Pos(), f.Message)
	}
	if err := verify.Unchanged(ctx, m.before, after.Policies, m.Compile); err != nil {
		return fmt.Errorf("nothing was changed: it is not proven that no verdict changes: %w", err)
	}
	p.Input = after
	p.Report, err = m.Report(ctx, after)
	return err
}

// open opens a file as it will be.
func (m *maker) open(path string) (io.ReadCloser, error) {
	if real, err := realPath(path); err == nil && m.files[real] != nil {
		return io.NopCloser(bytes.NewReader(m.files[real].New)), nil
	}
	return os.Open(path)
}

// edit takes out of the files what can go, and returns it.
func (m *maker) edit(ctx context.Context, in *compiler.Input, r *verify.Report) ([]Removed, error) {
	gone, stay := m.copiesOf(in)
	found, err := m.deadOf(ctx, in, r, stay)
	if err != nil {
		return nil, err
	}
	found = append(found, gone...)
	for bad := m.cutAll(found); len(bad) > 0; bad = m.cutAll(found) {
		found = slices.DeleteFunc(found, func(c candidate) bool {
			if slices.Contains(bad, c.file) {
				return true
			}
			i := slices.IndexFunc(c.with, func(f *File) bool { return slices.Contains(bad, f) })
			if i >= 0 && !c.Again {
				m.keep("%s: %s stays, as it does in the copy in %s", c.Pos, c.Name, model.Printable(c.with[i].Path))
			}
			return i >= 0
		})
	}
	var removed []Removed
	for i := range found {
		removed = append(removed, found[i].Removed)
	}
	slices.SortFunc(removed, func(a, b Removed) int { return cmp.Or(a.Pos.Compare(b.Pos), strings.Compare(a.Name, b.Name)) })
	return removed, nil
}

// cutAll takes cs out of their files, and returns the files that cannot be edited.
func (m *maker) cutAll(cs []candidate) (bad []*File) {
	byFile := map[*File][]candidate{}
	for _, c := range cs {
		byFile[c.file] = append(byFile[c.file], c)
	}
	for _, f := range m.files {
		if f.New = f.Old; len(byFile[f]) > 0 && !m.cut(f, byFile[f]) {
			bad = append(bad, f)
		}
	}
	return bad
}
