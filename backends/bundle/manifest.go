package bundle

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// Schema is the version of the manifest and of the layout around it. A reader
// takes its own version only: fields are never added within one.
const Schema = 1

// ManifestName is the name of the first entry.
const ManifestName = "manifest.json"

// Scope says what enforces the bundle.
type Scope string

const (
	ScopeNode Scope = "node" // the node's network namespace, for all of its pods
	ScopePod  Scope = "pod"  // one pod's own network namespace
)

// Backends that a manifest can name.
const (
	NFTables = "nftables"
	EBPF     = "ebpf"
)

// Manifest describes a bundle. Its JSON form is a contract; lists are in a
// fixed order, so that equal bundles are equal byte for byte.
type Manifest struct {
	Schema int    `json:"schema"`
	Tool   string `json:"tool"` // version of the compiler that wrote it
	// Backend is NFTables or EBPF and says which files the payload has.
	Backend string `json:"backend"`
	Scope   Scope  `json:"scope"`
	// Name is the node's name, or NAMESPACE/NAME of the pod.
	Name string `json:"name"`
	// Node is the name of the node, in pod scope of the one that the pod runs
	// on; there it is empty where the pod had none yet.
	Node string `json:"node,omitempty"`
	// PodAddrs are the pod's addresses, sorted. Pod scope only.
	PodAddrs []netip.Addr `json:"podAddrs,omitempty"`
	// Generation names the payload: SHA-256, in hex, over the files' names,
	// sizes and digests in order (see [Generation]).
	Generation string `json:"generation"`
	// Sequence orders the bundles of one target; a loader refuses to go back.
	Sequence uint64      `json:"sequence"`
	Files    []FileInfo  `json:"files"`
	Rules    []Rule      `json:"rules"`    // sorted by Name
	Defaults []Default   `json:"defaults"` // by Class, egress first
	Names    []KnownName `json:"names"`    // sorted by Name
	Counts   Counts      `json:"counts"`
}

// FileInfo is one file of the payload.
type FileInfo struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`   // bytes
	SHA256 string `json:"sha256"` // hex
}

// Rule is one rule that can decide a packet under this bundle.
type Rule struct {
	ID     string `json:"id"`     // [ID] of Name
	Name   string `json:"name"`   // as in every output, KIND/NAMESPACE/NAME#egress[I]
	Action string `json:"action"` // allow, deny or reject
}

// Default is the default deny of one class of pods in one direction.
type Default struct {
	ID        string   `json:"id"` // [ID] of [DefaultName]
	Class     int      `json:"class"`
	Direction string   `json:"direction"` // egress or ingress
	Policies  []string `json:"policies"`  // that select the class, in evaluation order
}

// KnownName is a domain name that rules mention.
type KnownName struct {
	ID    string       `json:"id"` // [ID] of Name
	Name  string       `json:"name"`
	Addrs []netip.Addr `json:"addrs"` // known when compiled, sorted
}

// Counts is for people. What the tables of the manifest have is counted here as it
// is there; Pods and Elements are of the payload, and its backend compares them.
type Counts struct {
	Pods     int `json:"pods"`
	Classes  int `json:"classes"`
	Policies int `json:"policies"`
	Rules    int `json:"rules"`
	Names    int `json:"names"`
	Elements int `json:"elements"` // map and set elements, or blob entries
}

func (c Counts) String() string {
	return fmt.Sprintf("%d pods, %d classes, %d policies, %d rules, %d names, %d elements", c.Pods, c.Classes, c.Policies, c.Rules, c.Names, c.Elements)
}

// ID returns the identifier that name has in counters and logs: the first 64
// bits of its SHA-256, in hex. It depends on the name alone, so that it is the
// same in every generation.
func ID(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:8])
}

// DefaultName is the name whose ID stands for a default deny: the direction
// and the policies that select the class, in evaluation order.
func DefaultName(direction string, policies []string) string {
	return fmt.Sprintf("default %s %q", direction, policies)
}

// Generation returns the digest of a payload with these files.
func Generation(files []FileInfo) string {
	h := sha256.New()
	for _, f := range files {
		fmt.Fprintf(h, "%s %d %s\n", f.Name, f.Size, f.SHA256)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// info describes a file.
func info(f File) FileInfo {
	sum := sha256.Sum256(f.Data)
	return FileInfo{Name: f.Name, Size: int64(len(f.Data)), SHA256: hex.EncodeToString(sum[:])}
}

// validate reports the first thing in m that no writer of this package makes.
// Digests of files are checked against the files elsewhere.
func (m *Manifest) validate() error {
	if err := m.validateTarget(); err != nil {
		return err
	}
	if len(m.Files) == 0 || len(m.Files) > MaxFiles {
		return fmt.Errorf("it lists %d files, not 1 to %d", len(m.Files), MaxFiles)
	}
	for i, f := range m.Files {
		if !validName(f.Name) || f.Name == ManifestName || f.Name == SignatureName {
			return fmt.Errorf("%q is no name of a payload file", f.Name)
		}
		if slices.ContainsFunc(m.Files[:i], func(g FileInfo) bool { return g.Name == f.Name }) {
			return fmt.Errorf("it lists %q twice", f.Name)
		}
		if f.Size < 0 {
			return fmt.Errorf("size %d of %q is negative", f.Size, f.Name)
		}
	}
	if g := Generation(m.Files); m.Generation != g {
		return fmt.Errorf("generation %q is not the digest of its files, %s", m.Generation, g)
	}
	if err := m.validateTables(); err != nil {
		return err
	}
	return m.validateCounts()
}

// validateCounts compares the counts with the tables.
func (m *Manifest) validateCounts() error {
	classes, policies := map[int]bool{}, map[string]bool{}
	for _, d := range m.Defaults {
		classes[d.Class] = true
		for _, p := range d.Policies {
			policies[p] = true
		}
	}
	for _, c := range []struct {
		what       string
		said, have int
	}{
		{"classes", m.Counts.Classes, len(classes)},
		{"policies", m.Counts.Policies, len(policies)},
		{"rules", m.Counts.Rules, len(m.Rules)},
		{"names", m.Counts.Names, len(m.Names)},
	} {
		if c.said != c.have {
			return fmt.Errorf("it counts %d %s and lists %d", c.said, c.what, c.have)
		}
	}
	if m.Counts.Pods < 0 || m.Counts.Elements < 0 {
		return fmt.Errorf("it counts %d pods and %d elements", m.Counts.Pods, m.Counts.Elements)
	}
	return nil
}

func (m *Manifest) validateTarget() error {
	switch {
	case m.Backend != NFTables && m.Backend != EBPF:
		return fmt.Errorf("backend %q is not one of %s, %s", m.Backend, EBPF, NFTables)
	case m.Name == "":
		return fmt.Errorf("it names no target")
	case m.Scope == ScopeNode && (m.Name != m.Node || len(m.PodAddrs) > 0):
		return fmt.Errorf("a bundle of node %q has node %q and %d pod addresses", m.Name, m.Node, len(m.PodAddrs))
	case m.Scope == ScopeNode || m.Scope == ScopePod:
		return validateAddrs("podAddrs", m.PodAddrs)
	}
	return fmt.Errorf("scope %q is not one of %s, %s", m.Scope, ScopeNode, ScopePod)
}

func (m *Manifest) validateTables() error {
	seen := map[string]string{}
	check := func(id, name string) error {
		if id != ID(name) {
			return fmt.Errorf("%q has id %q, not %s", name, id, ID(name))
		}
		if other, ok := seen[id]; ok {
			return fmt.Errorf("%q and %q have one id, %s", other, name, id)
		}
		seen[id] = name
		return nil
	}
	for i, r := range m.Rules {
		if err := check(r.ID, r.Name); err != nil {
			return err
		}
		if r.Action != "allow" && r.Action != "deny" && r.Action != "reject" {
			return fmt.Errorf("action %q of %q is not one of allow, deny, reject", r.Action, r.Name)
		}
		if i > 0 && m.Rules[i-1].Name >= r.Name {
			return fmt.Errorf("rule %q is out of order", r.Name)
		}
	}
	if len(m.Defaults)%2 != 0 {
		return fmt.Errorf("it lists %d default denies, which are two of each class", len(m.Defaults))
	}
	for i, d := range m.Defaults {
		if want := model.Directions[i%2].String(); d.Class != i/2 || d.Direction != want {
			return fmt.Errorf("the default deny of class %d, %s, stands where that of class %d, %s, should", d.Class, d.Direction, i/2, want)
		}
		if id := ID(DefaultName(d.Direction, d.Policies)); d.ID != id {
			return fmt.Errorf("the default deny of class %d has id %q, not %s", d.Class, d.ID, id)
		}
	}
	for i, n := range m.Names {
		if err := check(n.ID, n.Name); err != nil {
			return err
		}
		if i > 0 && m.Names[i-1].Name >= n.Name {
			return fmt.Errorf("name %q is out of order", n.Name)
		}
		if err := validateAddrs(n.Name, n.Addrs); err != nil {
			return err
		}
	}
	return nil
}

func validateAddrs(what string, addrs []netip.Addr) error {
	for i, a := range addrs {
		if !a.IsValid() || a.Zone() != "" || a.Is4In6() {
			return fmt.Errorf("%q in %s is no plain address", a, what)
		}
		if i > 0 && addrs[i-1].Compare(a) >= 0 {
			return fmt.Errorf("address %s in %s is out of order", a, what)
		}
	}
	return nil
}
