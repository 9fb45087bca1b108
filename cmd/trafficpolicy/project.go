package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"sigs.k8s.io/yaml"

	"github.com/trafficpolicy/trafficpolicy/compiler"
)

// projectFile holds a repository's defaults for flags. It is looked for in the
// working directory and above, up to the root of the repository.
const projectFile = ".trafficpolicy.yaml"

// pathFlags hold paths, which a project file gives relative to itself.
var pathFlags = []string{"filename", "inventory", "resolve-file", "baseline"}

// neverDefault are flags that change files or ask for one answer: not for a
// project file.
var neverDefault = []string{"fix", "dry-run", "write-baseline", "output-file", "expect", "help"}

// findProject returns the path of the project file for dir, or "" where there is
// none between dir and the repository's root, both included. Outside of a
// repository only dir itself is looked at.
func findProject(dir string) (string, error) {
	root := repositoryRoot(dir)
	if root == "" {
		root = dir
	}
	for d := dir; ; d = filepath.Dir(d) {
		path := filepath.Join(d, projectFile)
		if _, err := os.Stat(path); err == nil {
			return path, nil
		} else if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		if d == root {
			return "", nil
		}
	}
}

// applyProject sets flags of cmd that the command line leaves at their default
// to what the project file says.
func applyProject(cmd *cobra.Command, args []string) error {
	dir, err := os.Getwd()
	if err != nil {
		return err
	}
	path, err := findProject(dir)
	if err != nil || path == "" {
		return err
	}
	if rel, err := filepath.Rel(dir, path); err == nil {
		path = rel
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var settings map[string]any
	if err := yaml.UnmarshalStrict(text, &settings); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	p := project{path: path, args: args}
	return p.apply(cmd, settings)
}

// project is one project file being applied.
type project struct {
	path string
	args []string // of the command line
}

// apply walks the settings in order of their keys: flags of every command at the
// top, flags of one command in a section of its name.
func (p *project) apply(cmd *cobra.Command, settings map[string]any) error {
	root := cmd.Root()
	for _, key := range sortedKeys(settings) {
		if section, ok := settings[key].(map[string]any); ok {
			sub, _, err := root.Find([]string{key})
			if err != nil || sub == root {
				return p.unknown(key, commandNames(root))
			}
			for _, name := range sortedKeys(section) {
				f := sub.LocalNonPersistentFlags().Lookup(name)
				if f == nil || slices.Contains(neverDefault, name) {
					return p.unknown(key+"."+name, flagNames(sub.LocalNonPersistentFlags()))
				}
				if sub == cmd {
					if err := p.set(f, section[name]); err != nil {
						return err
					}
				}
			}
			continue
		}
		f := root.PersistentFlags().Lookup(key)
		if f == nil {
			return p.unknown(key, append(flagNames(root.PersistentFlags()), commandNames(root)...))
		}
		if key == "filename" && len(p.args) > 0 {
			continue // paths as arguments take the place of -f
		}
		if err := p.set(f, settings[key]); err != nil {
			return err
		}
	}
	return nil
}

func (p *project) unknown(key string, known []string) error {
	slices.Sort(known)
	last := key[strings.LastIndexByte(key, '.')+1:]
	if near := compiler.Nearest(last, known); len(near) > 0 {
		return fmt.Errorf("%s: unknown setting %q, did you mean %q?", p.path, key, near[0])
	}
	return fmt.Errorf("%s: unknown setting %q (settings are %s)", p.path, key, strings.Join(known, ", "))
}

// set gives f the value v, a scalar or a list of them, unless the command line
// has set it.
func (p *project) set(f *pflag.Flag, v any) error {
	if f.Changed {
		return nil
	}
	values, ok := v.([]any)
	if !ok {
		values = []any{v}
	}
	var texts []string
	for _, x := range values {
		switch x.(type) {
		case string, bool, float64:
		default:
			return fmt.Errorf("%s: %s: %v is not a string, number or boolean", p.path, f.Name, x)
		}
		s := fmt.Sprint(x)
		if slices.Contains(pathFlags, f.Name) && s != "-" && !filepath.IsAbs(s) {
			s = filepath.Join(filepath.Dir(p.path), s)
		}
		texts = append(texts, s)
	}
	if list, ok := f.Value.(pflag.SliceValue); ok {
		if err := list.Replace(texts); err != nil {
			return fmt.Errorf("%s: %s: %w", p.path, f.Name, err)
		}
		return nil
	}
	if len(texts) != 1 {
		return fmt.Errorf("%s: %s takes one value", p.path, f.Name)
	}
	if err := f.Value.Set(texts[0]); err != nil {
		return fmt.Errorf("%s: %s: %w", p.path, f.Name, err)
	}
	return nil
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func flagNames(fs *pflag.FlagSet) []string {
	var names []string
	fs.VisitAll(func(f *pflag.Flag) {
		if !slices.Contains(neverDefault, f.Name) {
			names = append(names, f.Name)
		}
	})
	return names
}

func commandNames(root *cobra.Command) []string {
	var names []string
	for _, c := range root.Commands() {
		if c.LocalNonPersistentFlags().HasFlags() {
			names = append(names, c.Name())
		}
	}
	return names
}
