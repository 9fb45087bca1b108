package compiler

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"os"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// loader collects objects while inputs are read.
type loader struct {
	namespace string
	poseidon  *poseidonVersion // nil without a check
	stdin     stdin
	open      func(path string) (io.ReadCloser, error)
	buffer    *bufio.Reader // for all files in turn

	// take is what becomes of the root of each YAML document; nil decodes it as
	// Kubernetes objects.
	take func(*source, *yaml.Node)

	objects  []*object
	findings []model.Finding // that belong to no object
	skipped  map[string]int
	counted  map[string]bool // files of in.Files, by path
	sources  []sourceFile
	in       *Input

	// snapshot keeps what a compact inventory has beside the values of objects:
	// cutOff is a finding about a JSON text that could not be read to its end, deep
	// that aliases of a policy nest too deep for a tree.
	snapshot bool
	cutOff   *model.Finding
	deep     bool

	strings  map[string]string
	checked  map[checkedString]bool
	portMaps map[string]map[model.NamedPort]uint16 // by their text
}

// sourceFile is a file of objects, with how much there was before it.
type sourceFile struct {
	name   string
	digest string // of the text, where loader.snapshot is set; "" where that is too large
	sourceMark
}

type sourceMark struct{ objects, findings, suppressions int }

func newLoader(o LoadOptions) (*loader, error) {
	l := &loader{
		namespace: cmp.Or(o.Namespace, "default"),
		stdin:     stdin{r: o.Stdin},
		open:      o.Open,
		skipped:   map[string]int{},
		counted:   map[string]bool{},
		strings:   map[string]string{},
		checked:   map[checkedString]bool{},
		portMaps:  map[string]map[model.NamedPort]uint16{},
	}
	l.in = &Input{Inventory: &model.Inventory{}, InventoryGiven: len(o.Inventory) > 0, VersionGiven: o.PoseidonVersion != "", Skipped: l.skipped,
		inInventory: map[*model.Policy]bool{}, copied: map[string]string{}, direct: map[string]bool{}}
	if l.open == nil {
		l.open = func(path string) (io.ReadCloser, error) { return os.Open(path) }
	}
	if !l.valid(labelNames, l.namespace) {
		return nil, fmt.Errorf("namespace %s is not valid, want %s", quote(l.namespace), wantLabelName)
	}
	if o.PoseidonVersion != "" {
		v, err := parsePoseidonVersion(o.PoseidonVersion)
		if err != nil {
			return nil, err
		}
		l.poseidon = &v
	}
	return l, nil
}

// intern returns s, the same memory for equal strings: the labels, namespaces
// and nodes of a cluster are few, its pods many.
func (l *loader) intern(s string) string {
	const longest = 256 // of a label with its prefix; longer strings hardly repeat
	if s == "" || len(s) > longest {
		return s
	}
	if t, ok := l.strings[s]; ok {
		return t
	}
	if len(l.strings) >= maxInterned {
		clear(l.strings) // they were not few
	}
	l.strings[s] = s
	return s
}

// maxInterned is how many strings are remembered at a time.
const maxInterned = 1 << 15

// checkedString is a string with what it was checked for.
type checkedString struct {
	check stringCheck
	s     string
}

type stringCheck uint8

const (
	labelKeys stringCheck = iota
	labelValues
	labelNames
)

var stringChecks = [...]func(string) []string{
	labelKeys:   validation.IsQualifiedName,
	labelValues: validation.IsValidLabelValue,
	labelNames:  validation.IsDNS1123Label,
}

// valid reports whether s passes a check. Results are kept, since labels repeat
// and the checks are regular expressions.
func (l *loader) valid(check stringCheck, s string) bool {
	const longest = 512 // no valid string is longer
	if len(s) > longest {
		return false
	}
	key := checkedString{check, s}
	ok, known := l.checked[key]
	if !known {
		ok = len(stringChecks[check](s)) == 0
		if len(l.checked) >= maxInterned {
			clear(l.checked)
		}
		l.checked[key] = ok
	}
	return ok
}
