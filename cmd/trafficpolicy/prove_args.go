package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"regexp"

	"go.yaml.in/yaml/v3"

	"github.com/trafficpolicy/trafficpolicy/compiler"
)

// proveArgs are the arguments of prove by what they hold.
type proveArgs struct{ assertions, policies []string }

// proveArgs tells files of assertions from policies by their content; a directory
// holds policies. What it reads of standard input is there to be read again.
func (c *command) proveArgs(paths []string) (a proveArgs, err error) {
	for _, path := range paths {
		asserts, err := c.holdsAssertions(path)
		switch {
		case err != nil:
			return a, err
		case asserts:
			a.assertions = append(a.assertions, path)
		default:
			a.policies = append(a.policies, path)
		}
	}
	return a, nil
}

// holdsAssertions reports whether a path is a file of assertions, not policies. An
// error is for one that cannot be read or is neither.
func (c *command) holdsAssertions(path string) (bool, error) {
	if path == "-" {
		if c.Stdin == nil {
			return false, fmt.Errorf(`standard input ("-") is named, but there is none`)
		}
		var head bytes.Buffer
		holds, err := sniffAssertions("<stdin>", io.TeeReader(c.Stdin, &head))
		c.Stdin = io.MultiReader(&head, c.Stdin)
		return holds, err
	}
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.IsDir() {
		return false, err
	}
	return sniffAssertions(path, f)
}

// maxSniffed is how many bytes of an input are looked at.
const maxSniffed = 1 << 20

// objectField is a field that every Kubernetes object has, as YAML or JSON.
var objectField = regexp.MustCompile(`(?m)(?:^|[{,])[ \t]*(?:- )?"?(?:apiVersion|kind)"?[ \t]*:`)

// sniffAssertions tells by the first document that is not empty. Of a text that is
// no YAML, or longer than is looked at, it tells by a field of objects, so that
// whoever reads it says what is wrong.
func sniffAssertions(name string, r io.Reader) (bool, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxSniffed))
	if err != nil {
		return false, fmt.Errorf("read %s: %w", name, err)
	}
	if compiler.IsCompactInventory(text) {
		return false, nil
	}
	documents := yaml.NewDecoder(bytes.NewReader(text))
	for {
		var root yaml.Node
		switch err := documents.Decode(&root); {
		case err == io.EOF:
			return false, neitherError(name)
		case err != nil:
			return !objectField.Match(text), nil
		}
		switch n := root.Content[0]; {
		case n.Kind == yaml.SequenceNode, hasKey(n, "assertions"):
			return true, nil
		case hasKey(n, "kind"), hasKey(n, "apiVersion"):
			return false, nil
		case n.Kind != yaml.ScalarNode || n.Tag != "!!null":
			return false, neitherError(name)
		}
	}
}

func hasKey(n *yaml.Node, key string) bool {
	for i := 0; n.Kind == yaml.MappingNode && i < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return true
		}
	}
	return false
}

func neitherError(name string) error {
	return fmt.Errorf(`%s holds neither assertions (a list, or a mapping with "assertions") nor Kubernetes objects (with "apiVersion" and "kind")`, name)
}
