package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/backends/ebpf"
	"github.com/trafficpolicy/trafficpolicy/backends/nftables"
	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/compiler/space"
)

// artifact is what compile wrote: a bundle, or a script.
type artifact struct {
	path   string
	target compiler.Target
	bundle *bundle.Bundle // nil for a script
	script []byte
}

// artifactName is which artifact it is.
type artifactName struct {
	Backend    string `json:"backend"`
	Format     string `json:"format"` // bundle or script
	Scope      string `json:"scope"`
	Name       string `json:"name"`
	Generation string `json:"generation,omitempty"`
	Sequence   uint64 `json:"sequence"`
}

// openArtifact reads the artifact at path, or standard input for "-". target is
// what a script is for; a bundle says so by itself.
func (c *command) openArtifact(path string, target compiler.Target) (*artifact, error) {
	in := c.Stdin
	if path == "-" {
		path = "standard input"
	} else {
		file, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		in = file
	}
	a, err := readArtifact(in, target)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	a.path = path
	return a, nil
}

// maxScript bounds a script, in bytes.
const maxScript = bundle.MaxFile

// readArtifact tells a script, which is text, from a bundle.
func readArtifact(r io.Reader, target compiler.Target) (*artifact, error) {
	in := bufio.NewReader(r)
	none := target == compiler.Target{}
	begin, err := in.Peek(512)
	if err != nil && err != io.EOF {
		return nil, err
	}
	if isScript(begin) {
		if none {
			return nil, errors.New("a script does not say what it is for: give --node NODE or --pod NAMESPACE/NAME")
		}
		text, err := io.ReadAll(io.LimitReader(in, maxScript+1))
		switch {
		case err != nil:
			return nil, err
		case len(text) > maxScript:
			return nil, fmt.Errorf("the script has more than %d bytes", maxScript)
		}
		return &artifact{target: target, script: text}, nil
	}
	if bytes.Contains(begin, []byte("\n"+scriptStart)) {
		return nil, fmt.Errorf("a script begins with %q, and something stands before that", scriptStart)
	}
	b, err := bundle.Read(in)
	if err != nil {
		return nil, err
	}
	if !none {
		return nil, errors.New("a bundle says what it is for: --node and --pod go with a script")
	}
	a := &artifact{bundle: b, target: compiler.Target{Node: b.Manifest.Name}}
	if b.Manifest.Scope == bundle.ScopePod {
		a.target = compiler.Target{Pod: b.Manifest.Name}
	}
	return a, nil
}

// scriptStart is what the first command of a script begins with.
const scriptStart = "add table "

// isScript reports whether a file that begins so is text of commands of nft.
func isScript(begin []byte) bool {
	return bytes.HasPrefix(begin, []byte(scriptStart))
}

// decode decodes a bundle.
func (a *artifact) decode() (r *space.Reading, err error) {
	if m := &a.bundle.Manifest; m.Backend == bundle.EBPF {
		r, err = ebpf.DecodeBundle(a.bundle)
	} else {
		r, err = nftables.Decode(a.bundle.Files, m)
	}
	if err != nil {
		return nil, fmt.Errorf("%s cannot be decoded: %w", a.path, err)
	}
	return r, nil
}

// decodeScript decodes a script with the names that stand in the policies of p.
func (a *artifact) decodeScript(p *compiler.Program) (*space.Reading, error) {
	r, err := nftables.DecodeScript(a.script, nftables.NewLegend(p))
	if err != nil {
		return nil, fmt.Errorf("%s cannot be decoded: %w (or it is of other pods or policies than these)", a.path, err)
	}
	return r, nil
}

func (a *artifact) name() artifactName {
	if a.bundle != nil {
		m := &a.bundle.Manifest
		return artifactName{Backend: m.Backend, Format: "bundle", Scope: string(m.Scope), Name: m.Name, Generation: m.Generation, Sequence: m.Sequence}
	}
	n := artifactName{Backend: bundle.NFTables, Format: "script", Scope: string(bundle.ScopeNode), Name: a.target.Node}
	if a.target.Pod != "" {
		n.Scope, n.Name = string(bundle.ScopePod), a.target.Pod
	}
	return n
}

func (n *artifactName) text() string {
	text := fmt.Sprintf("%s %s, backend %s", n.Scope, n.Name, n.Backend)
	if n.Format == "script" {
		return text + ", a script"
	}
	return fmt.Sprintf("%s, generation %.12s, sequence %d", text, n.Generation, n.Sequence)
}
