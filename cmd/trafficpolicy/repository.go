package main

import (
	"os"
	"path/filepath"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// repositoryRoot returns dir or the nearest directory above it that is the root of
// a git repository, or "" where there is none.
func repositoryRoot(dir string) string {
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, ".git")); err == nil { // a folder, or a file in a worktree
			return dir
		}
		if filepath.Dir(dir) == dir {
			return ""
		}
	}
}

// places names files as services that hold a repository know them: by the path
// from its root. The same file has one name, however the command line names it.
type places struct {
	dir  string   // the working directory
	root string   // of the repository, without one the working directory
	base []string // root by all its names
}

func newPlaces() (*places, error) {
	dir, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	p := &places{dir: dir, root: repositoryRoot(dir)}
	if p.root == "" {
		p.root = dir
	}
	p.base = []string{p.root}
	if real, err := filepath.EvalSymlinks(p.root); err == nil && real != p.root {
		p.base = append(p.base, real)
	}
	return p, nil
}

// name returns the path of file from the root of the repository, or without one
// from the working directory; the absolute path of a file that is not below. It
// has forward slashes. Links above the file are followed where that leads below,
// a link that is the file itself is not: the repository holds the link.
func (p *places) name(file string) string {
	if file == "" || file == compiler.StdinName {
		return file
	}
	abs := file
	if !filepath.IsAbs(file) {
		abs = filepath.Join(p.dir, file)
	}
	abs = filepath.Clean(abs)
	paths := []string{abs}
	if dir, err := filepath.EvalSymlinks(filepath.Dir(abs)); err == nil {
		paths = append(paths, filepath.Join(dir, filepath.Base(abs)))
	}
	for _, path := range paths {
		for _, base := range p.base {
			if rel, err := filepath.Rel(base, path); err == nil && filepath.IsLocal(rel) {
				return filepath.ToSlash(rel)
			}
		}
	}
	return filepath.ToSlash(abs)
}

// findings returns fs with files named so, in the order of these names.
func (p *places) findings(fs []model.Finding) []model.Finding {
	names := map[string]string{}
	name := func(file string) string {
		n, ok := names[file]
		if !ok {
			n = p.name(file)
			names[file] = n
		}
		return n
	}
	out := slices.Clone(fs)
	for i := range out {
		f := &out[i]
		f.File = name(f.File)
		f.Related = slices.Clone(f.Related)
		for j := range f.Related {
			f.Related[j].File = name(f.Related[j].File)
		}
	}
	model.SortFindings(out)
	return out
}
