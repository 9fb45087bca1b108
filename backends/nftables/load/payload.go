//go:build linux

package load

import (
	"strings"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/backends/nftables"
	"github.com/trafficpolicy/trafficpolicy/internal/loader"
	"github.com/trafficpolicy/trafficpolicy/internal/place"
)

// payload is that of a bundle whose commands are all our own compiler's.
type payload struct {
	scope    bundle.Scope
	prefix   string // of the names of the generation's objects
	skeleton string
	objects  string
	dispatch string
	nodeSets [2]string // IPv4, IPv6
	pods     []nftables.Pod
}

// Read takes a payload that has no command but those of our own compiler, and of
// which the manifest says what is so.
func (Backend) Read(c *bundle.Bundle) ([]loader.Pod, any, error) {
	pods, err := nftables.Read(c)
	if err != nil {
		return nil, nil, err
	}
	list := make([]loader.Pod, len(pods.Pods))
	for i, p := range pods.Pods {
		list[i] = loader.Pod{Pod: place.Pod{Ref: p.Ref, Addrs: p.Addrs}, Class: p.Class}
	}
	return list, &payload{
		scope:    c.Manifest.Scope,
		prefix:   "tp_" + pods.Tag + "_",
		skeleton: string(c.File(nftables.SkeletonFile)),
		objects:  string(c.File(nftables.ObjectsFile)),
		dispatch: string(c.File(nftables.SwitchFile)),
		nodeSets: pods.NodeSets,
		pods:     pods.Pods,
	}, nil
}

// rename returns the payload with another prefix, for when the kernel has objects
// with that of the compiler already.
func (b *payload) rename(prefix string) *payload {
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
