package verify

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"go4.org/netipx"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// reachFilter is one end that was asked for. The nil *reachFilter is every pod
// and every address.
type reachFilter struct {
	namespace, pod string
	labels         model.Labels
	addrs          *netipx.IPSet // nil for pods
}

// newReachFilter reads a filter; src tells the ends of a Service apart.
func newReachFilter(s string, in *compiler.Input, r *compiler.Resolver, src bool) (*reachFilter, error) {
	if s == "" {
		return nil, nil
	}
	if ref, ok := strings.CutPrefix(s, "svc:"); ok {
		return serviceFilter(ref, in, r, src)
	}
	if p, ok := parseAddresses(s); ok {
		return addressFilter(p)
	}
	if addr, bits, ok := strings.Cut(s, "/"); ok {
		if a, err := netip.ParseAddr(addr); err == nil {
			return nil, fmt.Errorf("%q is not a CIDR: /%s is no prefix length, want /0 to /%d", s, bits, a.BitLen())
		}
	}
	if name, ok := compiler.NormalizeFQDN(s); ok && strings.Contains(name, ".") { // which no namespace has
		return nameFilter(name, r, src)
	}
	f := &reachFilter{namespace: s}
	if ns, list, ok := strings.Cut(s, "?"); ok {
		m := map[string]string{}
		for kv := range strings.SplitSeq(list, ",") {
			k, v, ok := strings.Cut(kv, "=")
			if !ok && list != "" {
				return nil, fmt.Errorf("%q: label %q is not k=v", s, kv)
			}
			if list != "" {
				m[k] = v
			}
		}
		f.namespace, f.labels = ns, model.NewLabels(m)
	} else if ns, pod, ok := strings.Cut(s, "/"); ok {
		f.namespace, f.pod = ns, pod
	}
	for _, p := range in.Inventory.Pods {
		if f.pods(p, nil) {
			return f, nil
		}
	}
	return nil, f.unknown(s, in.Inventory.Pods)
}

// unknown says what is wrong with a filter s that no pod passes.
func (f *reachFilter) unknown(s string, pods []*model.Pod) error {
	var namespaces, refs []string
	for _, p := range pods {
		namespaces, refs = append(namespaces, p.Namespace), append(refs, p.Ref())
	}
	msg, near := fmt.Sprintf("pod %q is not in the inventory", s), []string(nil)
	switch {
	case !slices.Contains(namespaces, f.namespace):
		msg = fmt.Sprintf("namespace %q has no pod in the inventory", f.namespace)
		near = nearestOf(f.namespace, namespaces)
	case f.pod == "":
		return fmt.Errorf("%q: no pod of namespace %q in the inventory has these labels", s, f.namespace)
	default:
		near = nearestOf(s, refs)
	}
	if len(near) > 0 {
		return fmt.Errorf("%s, did you mean %q?", msg, near[0])
	}
	return fmt.Errorf("%s, want NAMESPACE, NAMESPACE/POD, NAMESPACE?k=v, a CIDR, an IP address, svc:NAMESPACE/NAME or as destination a domain name", msg)
}

// nearestOf returns which of names, which may stand there several times, are like s.
func nearestOf(s string, names []string) []string {
	slices.Sort(names)
	return compiler.Nearest(s, slices.Compact(names))
}

func parseAddresses(s string) (netip.Prefix, bool) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), true
	}
	p, err := netip.ParsePrefix(s)
	return p.Masked(), err == nil
}

func addressFilter(ps ...netip.Prefix) (*reachFilter, error) {
	var b netipx.IPSetBuilder
	for _, p := range ps {
		b.AddPrefix(p)
	}
	set, err := b.IPSet()
	return &reachFilter{addrs: set}, err
}

// nameFilter is the known addresses of a domain name.
func nameFilter(name string, r *compiler.Resolver, src bool) (*reachFilter, error) {
	if src {
		return nil, fmt.Errorf("%q is a domain name, which only a destination can be", name)
	}
	peer := model.Peer{Kind: model.PeerFQDN, FQDN: name}
	ps := r.Peer(&peer, model.Egress).Prefixes
	if len(ps) == 0 {
		return nil, fmt.Errorf("%q has no known addresses, see --resolve", name)
	}
	return addressFilter(ps...)
}

// serviceFilter is the addresses of a Service as a rule of the other end sees
// them: its clusterIPs are never a source.
func serviceFilter(ref string, in *compiler.Input, r *compiler.Resolver, src bool) (*reachFilter, error) {
	for _, s := range in.Inventory.Services {
		if s.Ref() != ref {
			continue
		}
		if s.ExternalName != "" {
			return nil, fmt.Errorf("service %q is of type ExternalName and has no addresses", ref)
		}
		d := model.Egress
		if src {
			d = model.Ingress
		}
		peer := model.Peer{Kind: model.PeerService, Service: model.ServicePeer{Namespace: s.Namespace, Name: s.Name}}
		ps := r.Peer(&peer, d).Prefixes
		if len(ps) == 0 {
			return nil, fmt.Errorf("service %q has no addresses", ref)
		}
		return addressFilter(ps...)
	}
	return nil, fmt.Errorf("service %q is not in the inventory", ref)
}

// pods reports whether the filter lets p through, whose addresses are addrs.
func (f *reachFilter) pods(p *model.Pod, addrs []netip.Addr) bool {
	switch {
	case f == nil:
		return true
	case f.addrs != nil:
		for _, a := range addrs {
			if f.addrs.Contains(a) {
				return true
			}
		}
		return false
	}
	return p.Namespace == f.namespace && (f.pod == "" || p.Name == f.pod) && p.Labels.Contains(f.labels)
}

// world returns the addresses of a family that the filter lets through, false
// where it is about pods.
func (f *reachFilter) world(fam model.Family) (*netipx.IPSet, bool) {
	var b netipx.IPSetBuilder
	b.AddPrefix(fam.All())
	switch {
	case f == nil:
	case f.addrs == nil:
		return nil, false
	default:
		b.Intersect(f.addrs)
	}
	set, err := b.IPSet()
	return set, err == nil
}

var errNoPods = errors.New("no pod in the inventory, which -i gives: reach is about the pods of a cluster")

// newReacher groups the pods of in that either filter lets through.
func newReacher(in *compiler.Input, o ReachOptions) (*reacher, error) {
	if !in.InventoryGiven || len(in.Inventory.Pods) == 0 {
		return nil, errNoPods
	}
	r := &reacher{options: o, families: in.Families(o.Options), resolver: compiler.NewResolver(in.Inventory, o.Options)}
	var err error
	if r.from, err = newReachFilter(o.From, in, r.resolver, true); err != nil {
		return nil, fmt.Errorf("--from: %w", err)
	}
	if r.to, err = newReachFilter(o.To, in, r.resolver, false); err != nil {
		return nil, fmt.Errorf("--to: %w", err)
	}
	r.joined, r.named = map[[4]profileID]int{}, map[string]int{}
	r.every = r.sets.intern(l4Pair{model.EveryL4, model.EveryL4})
	r.free = r.sets.profile(l4Profile{{r.every, manyHosts}})
	r.group(in)
	return r, nil
}
