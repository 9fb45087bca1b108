//go:build linux

package load

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"regexp"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/backends/nftables"
)

// Bundle is a bundle that was read whole and checked.
type Bundle struct {
	Manifest *bundle.Manifest

	data     []byte // as it was read
	prefix   string // of the names of the generation's objects
	skeleton string
	objects  string
	dispatch string
	nodeSets [2]string // IPv4, IPv6
	pods     []pod
}

// pod is one governed pod, as in pods.json. The chains are of node scope.
type pod struct {
	Ref     string       `json:"ref"`
	Addrs   []netip.Addr `json:"addrs"`
	Class   int          `json:"class"`
	Source  string       `json:"source"`
	Deliver string       `json:"deliver"`
}

// podsSchema is the version of pods.json that this package reads.
const podsSchema = 1

// Read reads and checks a whole bundle: container, digests, and that the
// payload has no command but those of our own compiler.
func Read(data []byte) (*Bundle, error) {
	c, err := bundle.Read(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	if c.Manifest.Backend != bundle.NFTables {
		return nil, fmt.Errorf("bundle: it is for backend %s, and this is the loader of %s", c.Manifest.Backend, bundle.NFTables)
	}
	b := &Bundle{
		Manifest: &c.Manifest, data: data,
		skeleton: string(c.File(nftables.SkeletonFile)),
		objects:  string(c.File(nftables.ObjectsFile)),
		dispatch: string(c.File(nftables.SwitchFile)),
	}
	if err := b.readPods(c.File(nftables.PodsFile)); err != nil {
		return nil, fmt.Errorf("bundle: %s: %w", nftables.PodsFile, err)
	}
	return b, nil
}

var tagText = regexp.MustCompile(`^[0-9a-f]{12}$`)

func (b *Bundle) readPods(text []byte) error {
	var index struct {
		Schema   int       `json:"schema"`
		Tag      string    `json:"tag"`
		Scope    string    `json:"scope"`
		NodeSets [2]string `json:"nodeSets"`
		Pods     []pod     `json:"pods"`
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&index); err != nil {
		return err
	}
	switch {
	case index.Schema != podsSchema:
		return fmt.Errorf("schema %d is not %d", index.Schema, podsSchema)
	case !tagText.MatchString(index.Tag):
		return fmt.Errorf("tag %q is not twelve hex digits", index.Tag)
	case index.Scope != string(b.Manifest.Scope):
		return fmt.Errorf("scope %q is not that of the manifest, %q", index.Scope, b.Manifest.Scope)
	}
	b.prefix, b.nodeSets, b.pods = "tp_"+index.Tag+"_", index.NodeSets, index.Pods
	names := index.NodeSets[:]
	for _, p := range b.pods {
		if b.Manifest.Scope == bundle.ScopeNode {
			names = append(names, p.Source, p.Deliver)
		}
	}
	for _, n := range names {
		if !b.own(n) {
			return fmt.Errorf("%q is no object of generation %s", n, index.Tag)
		}
	}
	return nil
}

var objectName = regexp.MustCompile(`^[a-z0-9_]+$`)

// own reports whether name can be an object of the bundle's generation.
func (b *Bundle) own(name string) bool {
	rest, ok := strings.CutPrefix(name, b.prefix)
	return ok && objectName.MatchString(rest)
}

// rename returns the bundle with another prefix, for when the kernel has objects
// with that of the compiler already.
func (b *Bundle) rename(prefix string) *Bundle {
	if prefix == b.prefix {
		return b
	}
	q := *b
	r := strings.NewReplacer(b.prefix, prefix)
	q.prefix, q.objects, q.dispatch = prefix, r.Replace(b.objects), r.Replace(b.dispatch)
	q.nodeSets = [2]string{r.Replace(b.nodeSets[0]), r.Replace(b.nodeSets[1])}
	q.pods = make([]pod, len(b.pods))
	for i, p := range b.pods {
		p.Source, p.Deliver = r.Replace(p.Source), r.Replace(p.Deliver)
		q.pods[i] = p
	}
	return &q
}
