//go:build linux

package load

import (
	"net/netip"
	"regexp"
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

// NodeAddrs returns the elements of the sets of the node's addresses.
func (b *payload) NodeAddrs() []netip.Addr {
	var addrs []netip.Addr
	for _, set := range b.nodeSets {
		head := "add element " + nftables.Table + " " + set + " { "
		for line := range strings.Lines(b.objects) {
			elements, ok := strings.CutPrefix(strings.TrimSuffix(line, " }\n"), head)
			if !ok {
				continue
			}
			for _, e := range strings.Split(elements, ", ") {
				if a, err := netip.ParseAddr(e); err == nil {
					addrs = append(addrs, a)
				}
			}
		}
	}
	return addrs
}

// NameRules returns, by id of a domain name, the ids of the rules that are about it. A
// list sends packets to the name's addresses to the chain of a rule, or to one that
// looks at ports before.
func (b *payload) NameRules() map[string][]string {
	refs, targets := map[string][]string{}, map[string][]string{}
	for line := range strings.Lines(b.objects) {
		verb, rest, _ := strings.Cut(line, " "+nftables.Table+" ")
		if verb != "add rule" && verb != "add element" {
			continue
		}
		from, rest, _ := strings.Cut(rest, " ")
		to := generationObject.FindAllString(rest, -1)
		if name := nameSet.FindString(first(to)); name != "" && verb == "add rule" {
			id := name[strings.LastIndex(name, "_")+1:]
			targets[id] = append(targets[id], to[1:]...)
			continue
		}
		refs[from] = append(refs[from], to...)
	}
	rules := map[string][]string{}
	for id, open := range targets {
		seen := map[string]bool{}
		for len(open) > 0 {
			at := open[0]
			open = open[1:]
			if seen[at] {
				continue
			}
			seen[at] = true
			if rule, ok := strings.CutPrefix(at, b.prefix+"r_"); ok {
				rules[id] = append(rules[id], rule)
				continue
			}
			open = append(open, refs[at]...)
		}
	}
	return rules
}

// generationObject matches names of objects of a generation.
var generationObject = regexp.MustCompile(`tp_[0-9a-f]{12}_[0-9a-z_]+`)

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}
