package fix

import (
	"bytes"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/diff"
)

// WritePatch writes the plan as a unified diff, which patch -p1 takes in dir, and
// git apply too if dir is the root of the repository or there is none. A file that
// is not below dir has its path from /. A link is not patched, but the file that it
// leads to.
func (p *Plan) WritePatch(w io.Writer, dir string) error {
	dir, err := realPath(dir)
	if err != nil {
		return err
	}
	for i := range p.Files {
		if err := p.Files[i].writePatch(w, dir); err != nil {
			return err
		}
	}
	return nil
}

// Below reports whether all files that change are below dir.
func (p *Plan) Below(dir string) bool {
	dir, err := realPath(dir)
	return err == nil && !slices.ContainsFunc(p.Files, func(f File) bool {
		rel, err := filepath.Rel(dir, f.real)
		return err != nil || !filepath.IsLocal(rel)
	})
}

// writePatch writes the header of git too: by it git apply takes names from the
// root of the repository, wherever below it runs.
func (f *File) writePatch(w io.Writer, dir string) error {
	name := patchName(dir, f.real)
	text := diff.Diff("a", f.Old, "b", f.New)
	_, hunks, _ := bytes.Cut(text, []byte("\n@@"))
	from, to := quotedName("a/"+name), quotedName("b/"+name)
	_, err := fmt.Fprintf(w, "diff --git %s %s\n--- %s\n+++ %s\n@@%s", strings.TrimSuffix(from, "\t"), strings.TrimSuffix(to, "\t"), from, to, hunks)
	return err
}

// patchName returns the name of the file at an absolute path from dir, or from / if
// it is not below.
func patchName(dir, path string) string {
	rel, err := filepath.Rel(dir, path)
	if err != nil || !filepath.IsLocal(rel) {
		rel = strings.TrimPrefix(path, filepath.VolumeName(path))
	}
	return strings.TrimLeft(filepath.ToSlash(rel), "/")
}

// quotedName writes a file name as git and GNU patch read it: what they would
// take for its end is escaped, and behind a space a tab says that it goes on up
// to there.
func quotedName(name string) string {
	special := strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f || r == '"' || r == '\\' })
	if !special {
		if strings.ContainsRune(name, ' ') {
			return name + "\t"
		}
		return name
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range []byte(name) {
		switch {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ' || c == 0x7f:
			fmt.Fprintf(&b, "\\%03o", c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}
