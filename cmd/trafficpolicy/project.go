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
	"go.yaml.in/yaml/v3"

	"github.com/trafficpolicy/trafficpolicy/compiler"
)

// projectFile holds a repository's defaults for flags. It is looked for in the
// working directory and above, up to the root of the repository.
const projectFile = ".trafficpolicy.yaml"

// pathFlags hold paths, which a project file gives relative to itself.
var pathFlags = []string{"filename", "inventory", "resolve-file", "baseline", "sign"}

// neverDefault are flags that change files or ask for one answer: not for a
// project file.
var neverDefault = []string{"fix", "dry-run", "write-baseline", "output-file", "expect", "all", "out-dir", "since", "watch", "help"}

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
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		return fmt.Errorf("%s%s", path, yamlProblem(err))
	}
	if len(document.Content) == 0 { // empty, or comments alone
		return nil
	}
	p := project{path: path, args: args}
	return p.apply(cmd, document.Content[0])
}

// yamlProblem returns what a YAML library says, such as "yaml: line 3: did not find
// ...", as what follows the name of a file.
func yamlProblem(err error) string {
	text, _, _ := strings.Cut(strings.TrimPrefix(err.Error(), "yaml: "), "\n")
	if rest, ok := strings.CutPrefix(text, "line "); ok {
		return ":" + strings.Replace(rest, ": ", ": not YAML: ", 1)
	}
	return ": not YAML: " + text
}

// project is one project file being applied.
type project struct {
	path string
	args []string // of the command line
}

// setting is a key of the project file with its value.
type setting struct {
	name       string // with its section
	key, value *yaml.Node
}

// apply walks the settings: flags of every command at the top, flags of one
// command in a section of its name. What is null is as if it were not there.
func (p *project) apply(cmd *cobra.Command, n *yaml.Node) error {
	root := cmd.Root()
	settings, err := p.mapping(n, "", "a mapping of settings")
	if err != nil {
		return err
	}
	for _, s := range settings {
		if f := root.PersistentFlags().Lookup(s.name); f != nil {
			if p.replaced(cmd, s.name) {
				continue
			}
			if err := p.set(f, s); err != nil {
				return err
			}
			continue
		}
		sub, _, err := root.Find([]string{s.name})
		if err != nil || !slices.Contains(commandNames(root), s.name) {
			return p.unknown(s, append(flagNames(root.PersistentFlags()), commandNames(root)...))
		}
		if err := p.section(cmd, sub, s); err != nil {
			return err
		}
	}
	return nil
}

// replaced reports whether arguments of cmd take the place of a flag for all
// commands: paths are the policies, of inventory the inventory, which has no other.
// Which of them are policies, prove finds out.
func (p *project) replaced(cmd *cobra.Command, flag string) bool {
	switch {
	case cmd.Name() == "inventory":
		return flag == "filename" || flag == "inventory" && len(p.args) > 0
	case cmd.Name() == "prove", cmd.Name() == "verify":
		return false // prove tells which are policies, verify's argument is a bundle
	}
	return flag == "filename" && len(p.args) > 0
}

// section reads the settings of sub, and applies them if that is cmd.
func (p *project) section(cmd, sub *cobra.Command, of setting) error {
	settings, err := p.mapping(of.value, of.name+".", "a mapping of flags of "+sub.Name())
	if err != nil {
		return err
	}
	for _, s := range settings {
		name := s.key.Value
		f := sub.LocalNonPersistentFlags().Lookup(name)
		if f == nil || slices.Contains(neverDefault, name) {
			return p.unknown(s, flagNames(sub.LocalNonPersistentFlags()))
		}
		if sub != cmd { // it is only looked at
			continue
		}
		if err := p.set(f, s); err != nil {
			return err
		}
	}
	return nil
}

// mapping returns the settings of a mapping, none of null.
func (p *project) mapping(n *yaml.Node, section, want string) (out []setting, err error) {
	n = valueOf(n)
	if isNullNode(n) {
		return nil, nil
	}
	if n.Kind != yaml.MappingNode {
		return nil, p.errorf(n, "%s%s, want %s", quotedSection(section), describeNode(n), want)
	}
	seen := map[string]int{}
	for i := 0; i < len(n.Content); i += 2 {
		s := setting{section + n.Content[i].Value, n.Content[i], valueOf(n.Content[i+1])}
		if line := seen[s.name]; line > 0 {
			return nil, p.errorf(s.key, "setting %q stands twice, first on line %d", s.name, line)
		}
		seen[s.name] = s.key.Line
		out = append(out, s)
	}
	return out, nil
}

func quotedSection(section string) string {
	if section == "" {
		return "the file is "
	}
	return fmt.Sprintf("%q is ", strings.TrimSuffix(section, "."))
}

// valueOf follows an alias.
func valueOf(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

func isNullNode(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// describeNode says what a value is.
func describeNode(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case isNullNode(n):
		return "null"
	}
	return fmt.Sprintf("%q", n.Value)
}

func (p *project) errorf(at *yaml.Node, format string, args ...any) error {
	return fmt.Errorf("%s:%d:%d: %w", p.path, at.Line, at.Column, fmt.Errorf(format, args...))
}

func (p *project) unknown(s setting, known []string) error {
	slices.Sort(known)
	if near := compiler.Nearest(s.key.Value, known); len(near) > 0 {
		return p.errorf(s.key, "unknown setting %q, did you mean %q?", s.name, near[0])
	}
	return p.errorf(s.key, "unknown setting %q (settings are %s)", s.name, strings.Join(known, ", "))
}

// set gives f the value of s, a scalar or for a list of values also a list, unless
// the command line has set it. A value is checked all the same.
func (p *project) set(f *pflag.Flag, s setting) error {
	list, many := f.Value.(pflag.SliceValue)
	values := []*yaml.Node{s.value}
	switch {
	case isNullNode(s.value):
		return nil
	case many && s.value.Kind == yaml.SequenceNode:
		values = s.value.Content
	}
	var texts []string
	for _, v := range values {
		v = valueOf(v)
		if v.Kind != yaml.ScalarNode || isNullNode(v) || f.Value.Type() == "bool" && v.ShortTag() != "!!bool" {
			return p.errorf(v, "%q %s %s, want %s", s.name, map[bool]string{true: "holds", false: "is"}[v != s.value], describeNode(v), wantedValue(f))
		}
		text := v.Value
		if slices.Contains(pathFlags, f.Name) && text != "-" && !filepath.IsAbs(text) {
			text = filepath.Join(filepath.Dir(p.path), text)
		}
		texts = append(texts, text)
	}
	var err error
	switch {
	case f.Changed:
	case many:
		err = list.Replace(texts)
	default:
		err = f.Value.Set(texts[0])
	}
	if err != nil {
		return p.errorf(s.value, "%q is %s, want %s: %w", s.name, describeNode(s.value), wantedValue(f), err)
	}
	return nil
}

// wantedValue says what values f takes.
func wantedValue(f *pflag.Flag) string {
	if _, many := f.Value.(pflag.SliceValue); many {
		return "a string or a list of strings"
	}
	switch t := f.Value.Type(); t {
	case "bool":
		return "true or false"
	case "string":
		return "a string"
	default:
		return "a value of type " + t
	}
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

// commandNames returns the commands that can have a section: inventory cannot, the
// flag has the name.
func commandNames(root *cobra.Command) []string {
	var names []string
	for _, c := range root.Commands() {
		if c.LocalNonPersistentFlags().HasFlags() && root.PersistentFlags().Lookup(c.Name()) == nil {
			names = append(names, c.Name())
		}
	}
	return names
}
