//go:build linux

package load

import (
	"bytes"
	"fmt"
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
	pods     []nftables.Pod
}

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
	if err := nftables.Check(c.Files); err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	pods, err := nftables.ReadPods(c.File(nftables.PodsFile))
	if err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	if pods.Scope != string(c.Manifest.Scope) {
		return nil, fmt.Errorf("bundle: %s is of scope %q and the manifest of %q", nftables.PodsFile, pods.Scope, c.Manifest.Scope)
	}
	return &Bundle{
		Manifest: &c.Manifest, data: data,
		prefix:   "tp_" + pods.Tag + "_",
		skeleton: string(c.File(nftables.SkeletonFile)),
		objects:  string(c.File(nftables.ObjectsFile)),
		dispatch: string(c.File(nftables.SwitchFile)),
		nodeSets: pods.NodeSets,
		pods:     pods.Pods,
	}, nil
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
	q.pods = make([]nftables.Pod, len(b.pods))
	for i, p := range b.pods {
		p.Source, p.Deliver = r.Replace(p.Source), r.Replace(p.Deliver)
		q.pods[i] = p
	}
	return &q
}
