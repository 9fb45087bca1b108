package verify

import (
	"context"
	"net/netip"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// Reach is who can talk to whom. Its JSON form is a contract.
type Reach struct {
	Families []string `json:"families"`
	// Groups are the pods that the question is about, in the order of the namespace
	// and name of their first, whatever the order of the inventory.
	Groups []ReachGroup `json:"groups"`
	// Flows are what is open, by source: between groups, and between a group and
	// addresses. What no policy governs at either end is open and left out, unless
	// both ends were asked for.
	Flows []ReachFlow `json:"flows"`
	// Open are the groups that no policy governs.
	Open []int `json:"open"`
	// OpenShown reports that Flows has the traffic between two ends that no policy
	// governs, too.
	OpenShown bool `json:"-"`
	// NoAddress are the pods that the question would be about, had they an address
	// of Families: NAMESPACE/POD, in the order of namespace and name. Nothing is
	// said of them, and they are in no group.
	NoAddress []string `json:"noAddress"`
}

// ReachGroup is pods of one namespace that the same policies govern, or that
// none does. Pods on their node's network, finished ones and those without an
// address are in no group.
type ReachGroup struct {
	ID        int      `json:"id"` // index in Reach.Groups
	Name      string   `json:"name"`
	Namespace string   `json:"namespace"`
	Members   []string `json:"members"` // NAMESPACE/POD, sorted
	Policies  []string `json:"policies"`
}

// ReachFlow is traffic that passes at its source and at its destination. One end
// is groups, the other as well, or the addresses of Prefixes, judged at the end
// that is groups alone. Addresses of pods may be among them.
type ReachFlow struct {
	From     []int          `json:"from,omitempty"`
	To       []int          `json:"to,omitempty"`
	Prefixes []netip.Prefix `json:"prefixes,omitempty"`
	// Ports are open from every pod of one end to every other pod, or address, of
	// the other; Some between some of them only; Maybe depends on the addresses of
	// unresolved names. Pods that have no family in common do not count, and pods
	// that claim one address count as one: each takes it for its own.
	Ports []string `json:"ports"`
	Some  []string `json:"some,omitempty"`
	Maybe []string `json:"maybe,omitempty"`
}

// ReachOptions narrows the question. Filters are, unless empty, NAMESPACE,
// NAMESPACE/POD, NAMESPACE?k=v,k=v, a CIDR or IP address, or svc:NAMESPACE/NAME;
// To may also be a domain name of which Resolve has addresses.
type ReachOptions struct {
	compiler.Options
	From, To string
}

// FindReach answers who can talk to whom in the cluster of in, which must hold
// pods. A pod to itself and a node to its pods are always open, and not shown.
// The cost follows classes times classes, and classes times pods for looking up
// addresses; no two pods are ever compared.
func FindReach(ctx context.Context, in *compiler.Input, o ReachOptions) (*Reach, error) {
	r, err := newReacher(in, o)
	if err != nil {
		return nil, err
	}
	if err := r.lookUp(ctx); err != nil {
		return nil, err
	}
	out := &Reach{Groups: []ReachGroup{}, Flows: []ReachFlow{}, Open: []int{}, OpenShown: r.narrow(), NoAddress: append([]string{}, r.noAddress...)}
	for _, f := range r.families {
		out.Families = append(out.Families, f.String())
	}
	for i, g := range r.groups {
		out.Groups = append(out.Groups, ReachGroup{ID: i, Name: g.name, Namespace: g.namespace, Members: g.members, Policies: refs(g.policies)})
		if len(g.policies) == 0 {
			out.Open = append(out.Open, i)
		}
	}
	for i := range r.groups {
		out.Flows = append(out.Flows, r.between(i)...)
		out.Flows = append(out.Flows, r.world(i, model.Egress)...)
	}
	for i := range r.groups {
		out.Flows = append(out.Flows, r.world(i, model.Ingress)...)
	}
	return out, nil
}

// reacher holds what is known of a cluster for one question.
type reacher struct {
	options  ReachOptions
	families []model.Family
	resolver *compiler.Resolver
	from, to *reachFilter
	groups   []*reachGroup
	addrs    []reachAddr // of all groups, sorted
	sets     l4Sets
	every    l4ID      // everything is allowed
	free     profileID // every, for whatever hosts

	noAddress []string // pods, sorted

	// outcomes holds what passes between two profiles a family; joined names it by
	// them, named by what it is.
	outcomes []outcome
	joined   map[[4]profileID]int
	named    map[string]int
}

// reachGroup is the pods of one group.
type reachGroup struct {
	name, namespace string
	members         []string
	policies        []*model.Policy
	isSrc, isDst    bool // by the filters
	addrs           []netip.Addr
	// sole is, by family, the only host of the group; noHost where none of it has
	// an address, manyHosts where several have.
	sole [2]hostID
	// kin are the groups that have a host in common with this one, itself among
	// them; nil where no other has.
	kin map[int32]bool
	// seen holds, by direction, family and other group, what the group's policies
	// say of that group's addresses; nil where no policy governs it.
	seen [2][2][]profileID
	// open is, by direction and family, what the policies say of all addresses.
	open [2][2][]l4Addrs
}

// reachAddr is one pod's address.
type reachAddr struct {
	addr  netip.Addr
	group int32
	host  hostID
}
