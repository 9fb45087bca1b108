package compiler

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// StdinName is the file name of standard input in positions.
const StdinName = "<stdin>"

// inputFile is one file to read.
type inputFile struct {
	path      string // "-" is standard input
	inventory bool
	found     bool // in a directory
}

// extensions of files that are read in directories.
var extensions = []string{".json", compactExtension, ".yaml", ".yml"}

// IsInputFile reports whether a file of that name is read in a directory.
func IsInputFile(name string) bool {
	return slices.Contains(extensions, strings.ToLower(filepath.Ext(name)))
}

// listInputs expands directories. Files are in the order of o, those of a
// directory sorted.
func listInputs(o LoadOptions) ([]inputFile, error) {
	var inputs []inputFile
	stdin := 0
	for i, paths := range [][]string{o.Policies, o.Inventory} {
		for _, p := range paths {
			in := inputFile{path: p, inventory: i == 1}
			if p == "-" {
				if stdin++; stdin > 1 {
					return nil, errors.New(`standard input ("-") is named more than once, want it once`)
				}
				if o.Stdin == nil {
					return nil, errors.New(`standard input ("-") is named, but there is none`)
				}
				inputs = append(inputs, in)
				continue
			}
			info, err := os.Stat(p)
			if err != nil {
				return nil, err
			}
			if !info.IsDir() {
				inputs = append(inputs, in)
				continue
			}
			w := dirWalk{inventory: in.inventory, seen: map[string]bool{}}
			if err := w.dir(p); err != nil {
				return nil, err
			}
			inputs = append(inputs, w.inputs...)
		}
	}
	return inputs, nil
}

// dirWalk lists a directory. Links are followed, as a mounted ConfigMap is made
// of them; each file and directory is read once, so that links to a directory
// above end.
type dirWalk struct {
	inventory bool
	seen      map[string]bool // by real path
	inputs    []inputFile
}

func (w *dirWalk) dir(dir string) error {
	if again, err := w.again(dir); again || err != nil {
		return err
	}
	entries, err := os.ReadDir(dir) // sorted
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := w.entry(filepath.Join(dir, e.Name()), e); err != nil {
			return err
		}
	}
	return nil
}

func (w *dirWalk) entry(path string, e fs.DirEntry) error {
	wanted := IsInputFile(path)
	mode := e.Type()
	if mode&fs.ModeSymlink != 0 {
		info, err := os.Stat(path)
		if err != nil && wanted {
			return fmt.Errorf("follow link: %w", err)
		}
		if err != nil {
			return nil
		}
		mode = info.Mode().Type()
	}
	switch {
	case mode.IsDir():
		return w.dir(path)
	case !wanted || !mode.IsRegular(): // a pipe or device would hang
		return nil
	}
	if again, err := w.again(path); again || err != nil {
		return err
	}
	w.inputs = append(w.inputs, inputFile{path: path, inventory: w.inventory, found: true})
	return nil
}

// again reports whether path was met before, by whatever name.
func (w *dirWalk) again(path string) (bool, error) {
	real, err := filepath.EvalSymlinks(path)
	if err == nil {
		real, err = filepath.Abs(real)
	}
	if err != nil {
		return false, err
	}
	was := w.seen[real]
	w.seen[real] = true
	return was, nil
}
