package bundles

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Schema is the version of the index.
const Schema = 1

// IndexName is the file name of the index.
const IndexName = "index.json"

// Index says which bundles a directory has. Its JSON form is a contract: two spaces
// of indentation, fields in this order.
type Index struct {
	Schema int `json:"schema"`
	// Tool is the version of the compiler that wrote the index. A bundle that did
	// not change has the one that wrote it.
	Tool    string `json:"tool"`
	Backend string `json:"backend"` // nftables or ebpf
	// Sequence is that of the run: the highest of all bundles.
	Sequence uint64 `json:"sequence"`
	// Since is set where the directory has only what changed: SHA-256, in hex, of
	// the index that it changed from.
	Since string  `json:"since,omitempty"`
	Nodes []Entry `json:"nodes"` // sorted by Node
	// Removed names nodes of the index in Since that are no more, sorted.
	Removed []string `json:"removed,omitempty"`
}

// Entry is the bundle of one node.
type Entry struct {
	Node       string `json:"node"`
	File       string `json:"file"`       // [FileName] of Node
	Size       int64  `json:"size"`       // bytes
	SHA256     string `json:"sha256"`     // hex, of the file
	Generation string `json:"generation"` // as in the manifest
	Sequence   uint64 `json:"sequence"`   // as in the manifest
	Pods       int    `json:"pods"`       // governed
	Classes    int    `json:"classes"`
	Warnings   int    `json:"warnings"` // of compiling it
}

// Find returns the entry of a node, nil where there is none or x is nil.
func (x *Index) Find(node string) *Entry {
	if x == nil {
		return nil
	}
	i, ok := slices.BinarySearchFunc(x.Nodes, node, func(e Entry, n string) int { return strings.Compare(e.Node, n) })
	if !ok {
		return nil
	}
	return &x.Nodes[i]
}

// ReadIndex reads the index of a directory, and returns its text too. The index is
// nil where the directory, or an index in it, does not exist.
func ReadIndex(dir string) (*Index, []byte, error) {
	text, err := os.ReadFile(filepath.Join(dir, IndexName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	x, err := decodeIndex(text)
	if err != nil {
		return nil, nil, fmt.Errorf("%s is no index of bundles: %w", filepath.Join(dir, IndexName), err)
	}
	return x, text, nil
}

// decodeIndex takes only what encode writes: a file of another kind that happens
// to have the name is not to be taken for a list of files to remove.
func decodeIndex(text []byte) (*Index, error) {
	x := new(Index)
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(x); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("something follows it")
	}
	if x.Schema != Schema {
		return nil, fmt.Errorf("schema %d is not %d", x.Schema, Schema)
	}
	for i, e := range x.Nodes {
		if e.File != FileName(e.Node) {
			return nil, fmt.Errorf("%q is not the name of a bundle of node %q", e.File, e.Node)
		}
		if i > 0 && x.Nodes[i-1].Node >= e.Node {
			return nil, fmt.Errorf("node %q is out of order", e.Node)
		}
	}
	return x, nil
}

// encode returns the text of x. Entries are written by hand: of 5,000 nodes they
// are a megabyte, which encoding/json takes longer for than a change of one node.
func (x *Index) encode() ([]byte, error) {
	x.Schema = Schema
	head := *x
	head.Nodes = []Entry{}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(&head); err != nil {
		return nil, fmt.Errorf("%s: %w", IndexName, err)
	}
	if len(x.Nodes) == 0 {
		return b.Bytes(), nil
	}
	const list = "\n  \"nodes\": ["
	before, behind, _ := bytes.Cut(b.Bytes(), []byte(list))
	text := append(make([]byte, 0, b.Len()+512*len(x.Nodes)), before...)
	text = append(text, list...)
	for i := range x.Nodes {
		if i > 0 {
			text = append(text, ',')
		}
		text = x.Nodes[i].append(text)
	}
	return append(append(text, "\n  "...), behind...), nil
}

// append appends the entry as encoding/json indents it.
func (e *Entry) append(text []byte) []byte {
	text = append(text, "\n    {"...)
	field := func(name string, more bool, value func([]byte) []byte) {
		text = append(append(append(text, "\n      \""...), name...), "\": "...)
		if text = value(text); more {
			text = append(text, ',')
		}
	}
	quoted := func(s string) func([]byte) []byte { return func(b []byte) []byte { return appendString(b, s) } }
	number := func(n int64) func([]byte) []byte { return func(b []byte) []byte { return strconv.AppendInt(b, n, 10) } }
	field("node", true, quoted(e.Node))
	field("file", true, quoted(e.File))
	field("size", true, number(e.Size))
	field("sha256", true, quoted(e.SHA256))
	field("generation", true, quoted(e.Generation))
	field("sequence", true, func(b []byte) []byte { return strconv.AppendUint(b, e.Sequence, 10) })
	field("pods", true, number(int64(e.Pods)))
	field("classes", true, number(int64(e.Classes)))
	field("warnings", false, number(int64(e.Warnings)))
	return append(text, "\n    }"...)
}

// appendString appends s as a JSON string.
func appendString(text []byte, s string) []byte {
	plain := true
	for i := range len(s) {
		c := s[i]
		plain = plain && ' ' <= c && c <= '~' && c != '"' && c != '\\'
	}
	if plain {
		return append(append(append(text, '"'), s...), '"')
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.Encode(s) // a string can always be written
	return append(text, bytes.TrimSuffix(b.Bytes(), []byte("\n"))...)
}
