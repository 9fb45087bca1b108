//go:build linux

package loader

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/internal/place"
	"github.com/trafficpolicy/trafficpolicy/internal/state"
)

// Status is what is in force in a network namespace. Its JSON form is a
// contract.
type Status struct {
	InForce    bool   `json:"inForce"`
	Backend    string `json:"backend,omitempty"`
	Scope      string `json:"scope,omitempty"` // node or pod
	Name       string `json:"name,omitempty"`  // of the node, or NAMESPACE/NAME
	Node       string `json:"node,omitempty"`
	Generation string `json:"generation,omitempty"`
	Sequence   uint64 `json:"sequence"`
	Applied    string `json:"applied,omitempty"` // RFC 3339, UTC
	// Previous is the generation that rollback would put in force.
	Previous string `json:"previous,omitempty"`
	// Trusted are the names of the keys of which one must have signed a bundle; none
	// where no signature is asked for.
	Trusted        []string    `json:"trusted,omitempty"`
	MaxConnections uint32      `json:"maxConnections"` // of each pod, 0: no limit
	Pods           []PodStatus `json:"pods"`           // sorted by name
	// Interfaces are those that the backend is attached to.
	Interfaces []InterfaceStatus `json:"interfaces"`
	// Drift is how the kernel differs from what was applied, in sentences.
	Drift       []string   `json:"drift"`
	Connections *ConnTable `json:"connections,omitempty"`
	// Names is nil where the bundle has no domain names.
	Names *NamesStatus `json:"names,omitempty"`
}

// NamesStatus is how domain names are kept.
type NamesStatus struct {
	Names     int `json:"names"`
	Addresses int `json:"addresses"` // those of the bundle and those learned
	// Kept is set while an agent runs. Without one addresses stay as they are.
	Kept bool `json:"kept"`
}

// PodStatus is one governed pod.
type PodStatus struct {
	Pod       string       `json:"pod"` // NAMESPACE/NAME
	Addresses []netip.Addr `json:"addresses"`
	Interface string       `json:"interface,omitempty"`
	// Attached reports whether the pod's interface was found and is attached to.
	// Where a bundle of pod scope needs no interface its pod is always attached.
	Attached bool   `json:"attached"`
	Reason   string `json:"reason,omitempty"` // why it is not attached
}

// InterfaceStatus is one interface of the namespace.
type InterfaceStatus struct {
	Name    string `json:"name"`
	Pod     string `json:"pod"`
	Bridge  string `json:"bridge,omitempty"` // of which it is a port
	Present bool   `json:"present"`
}

// ConnTable is a table of tracked connections.
type ConnTable struct {
	Count uint64 `json:"count"`
	Max   uint64 `json:"max"`
	// High is set above 80%. docs/tploader.md says what becomes of a full table.
	High bool `json:"high"`
}

// NewConnTable returns the description of a table.
func NewConnTable(count, most uint64) *ConnTable {
	return &ConnTable{Count: count, Max: most, High: most > 0 && count*5 > most*4}
}

// OK reports whether everything that was applied is in force for every pod.
func (s *Status) OK() bool {
	for _, p := range s.Pods {
		if !p.Attached {
			return false
		}
	}
	return s.InForce && len(s.Drift) == 0
}

// Status compares the kernel with what was applied.
func (l *Loader) Status(ctx context.Context) (*Status, error) {
	s := &Status{Pods: []PodStatus{}, Interfaces: []InterfaceStatus{}, Drift: []string{}}
	r := l.state().Current
	if r == nil {
		return s, l.unknown(ctx, s)
	}
	s.describe(r)
	if p := l.state().Previous; p != nil {
		s.Previous = p.Generation
	}
	keys, err := bundle.KeyringOf(l.state().Trusted)
	if err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	s.Trusted = keys.IDs()
	k, err := l.kernel(ctx, r.Backend)
	if err != nil {
		return nil, err
	}
	drift, err := l.drift(ctx, k, r)
	if err != nil {
		return nil, err
	}
	if len(drift) == 0 {
		if drift, err = k.Inspect(ctx, l.applied(r, r.Backend)); err != nil {
			return nil, err
		}
	}
	s.Drift = append(s.Drift, drift...)
	if s.InForce, err = k.InForce(ctx); err != nil {
		return nil, err
	}
	s.Connections = k.Connections(ctx)
	return s, l.findPods(s, r)
}

// unknown says what the kernel holds though nothing is known to be in force.
func (l *Loader) unknown(ctx context.Context, s *Status) error {
	ks, err := l.usable(ctx)
	if err != nil {
		return err
	}
	for _, k := range ks {
		found, err := k.Unknown(ctx)
		if err != nil {
			return err
		}
		s.Drift = append(s.Drift, found...)
	}
	return nil
}

func (s *Status) describe(r *state.Record) {
	s.Backend, s.Scope, s.Name = r.Backend, r.Scope, r.Name
	s.Generation, s.Sequence = r.Generation, r.Sequence
	s.Applied = r.Applied.UTC().Format(time.RFC3339)
	s.MaxConnections = r.Options.MaxConnections
}

// findPods looks for the pods' interfaces as apply does and compares them with
// those that are attached.
func (l *Loader) findPods(s *Status, r *state.Record) error {
	b, err := l.bundleOf(r)
	if err != nil {
		return err
	}
	s.Node = b.Manifest.Node
	s.Names = l.namesStatus(b)
	n, err := place.Open()
	if err != nil {
		return err
	}
	defer n.Close()
	places, err := l.find(n, b, r.Options.Interfaces)
	if err != nil {
		return err
	}
	present, err := interfaceNames()
	if err != nil {
		return err
	}
	for _, i := range r.Interfaces {
		s.Interfaces = append(s.Interfaces, InterfaceStatus{Name: i.Name, Pod: i.Pod, Bridge: i.Bridge, Present: present[i.Name]})
	}
	s.Pods = podStatus(b, places, r.Interfaces)
	if b.Manifest.Scope == bundle.ScopePod {
		if err := ownsAddrs(n, b.Manifest); err != nil && len(s.Pods) > 0 {
			s.Pods[0].Attached, s.Pods[0].Reason = false, err.Error()
		}
	}
	return nil
}

func (l *Loader) namesStatus(b *Bundle) *NamesStatus {
	if len(b.Manifest.Names) == 0 {
		return nil
	}
	s := &NamesStatus{Names: len(b.Manifest.Names), Kept: l.HasAgent()}
	for _, addrs := range b.Meaning(l.known()) {
		s.Addresses += len(addrs)
	}
	return s
}

// unattached returns those of the pods that are not attached.
func unattached(pods []PodStatus) []PodStatus {
	return slices.DeleteFunc(pods, func(p PodStatus) bool { return p.Attached })
}

// interfaceNames returns the names of the namespace's interfaces.
func interfaceNames() (map[string]bool, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	names := map[string]bool{}
	for _, i := range all {
		names[i.Name] = true
	}
	return names, nil
}

// podStatus joins the pods with where they are now and what is attached.
func podStatus(b *Bundle, places []place.Place, attached []state.Interface) []PodStatus {
	at := map[[2]string]state.Interface{}
	for _, i := range attached {
		at[[2]string{i.Pod, i.Name}] = i
	}
	byPod := map[string][]place.Place{}
	for _, x := range places {
		byPod[x.Pod] = append(byPod[x.Pod], x)
	}
	list := []PodStatus{}
	for _, pod := range b.Pods {
		st := PodStatus{Pod: pod.Ref, Addresses: pod.Addrs}
		st.Attached = b.Manifest.Scope == bundle.ScopePod && len(byPod[pod.Ref]) == 0
		bad := "" // why the pod is not attached although it has an interface that is
		for _, x := range byPod[pod.Ref] {
			have := at[[2]string{pod.Ref, x.Interface}]
			switch {
			case x.Unseen:
				bad = fmt.Sprintf("address %s %s", x.Addr, x.Reason)
			case x.Interface == "" && st.Reason == "":
				st.Reason = fmt.Sprintf("address %s %s", x.Addr, x.Reason)
			case x.Interface == "":
			case have.Name == "":
				bad = fmt.Sprintf("interface %s is not attached to (apply again)", x.Interface)
				st.Interface = x.Interface
			case have.Index != 0 && have.Index != x.Index:
				bad = fmt.Sprintf("interface %s was made anew (apply again)", x.Interface)
				st.Interface = x.Interface
			case x.MAC != "" && !slices.Contains(have.MACs, x.MAC):
				bad = fmt.Sprintf("behind interface %s is hardware address %s now (apply again)", x.Interface, x.MAC)
				st.Interface = x.Interface
			default:
				st.Interface, st.Attached = x.Interface, true
			}
		}
		if bad != "" {
			st.Attached, st.Reason = false, bad
		} else if st.Attached {
			st.Reason = ""
		}
		list = append(list, st)
	}
	return list
}
