//go:build linux

package load

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/backends/nftables"
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
	Previous       string      `json:"previous,omitempty"`
	MaxConnections uint32      `json:"maxConnections"` // of each pod, 0: no limit
	Pods           []PodStatus `json:"pods"`           // sorted by name
	// Interfaces have a source check attached. Node scope only.
	Interfaces []InterfaceStatus `json:"interfaces"`
	// Drift is how the kernel differs from what was applied, in sentences.
	Drift       []string   `json:"drift"`
	Connections *ConnTable `json:"connections,omitempty"`
}

// PodStatus is one governed pod.
type PodStatus struct {
	Pod       string       `json:"pod"` // NAMESPACE/NAME
	Addresses []netip.Addr `json:"addresses"`
	Interface string       `json:"interface,omitempty"`
	// Attached reports whether the pod's interface was found and has its source
	// check. A pod scope bundle needs none: its pod is always attached.
	Attached bool   `json:"attached"`
	Reason   string `json:"reason,omitempty"` // why it is not attached
}

// InterfaceStatus is one interface of the node.
type InterfaceStatus struct {
	Name    string `json:"name"`
	Pod     string `json:"pod"`
	Bridge  string `json:"bridge,omitempty"` // of which it is a port
	Present bool   `json:"present"`
}

// ConnTable is the namespace's table of tracked connections.
type ConnTable struct {
	Count uint64 `json:"count"`
	Max   uint64 `json:"max"`
	// High is set above 80%. When the table is full the kernel drops the first
	// packet of every new connection.
	High bool `json:"high"`
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
	s := &Status{Pods: []PodStatus{}, Interfaces: []InterfaceStatus{}, Drift: []string{}, Connections: connTable()}
	objects, err := l.nft.list(ctx, false)
	if err != nil {
		return nil, err
	}
	r := l.state().Current
	if r == nil {
		if m, ok := findMark(objects); ok {
			s.Drift = append(s.Drift, fmt.Sprintf("the kernel holds generation %.12s, which this state directory does not know", m.generation))
		} else if objects != nil {
			s.Drift = append(s.Drift, "the kernel holds a table "+nftables.Table+" that this state directory does not know")
		}
		return s, nil
	}
	s.describe(r)
	if p := l.state().Previous; p != nil {
		s.Previous = p.Generation
	}
	drift, err := l.drift(objects, r)
	if err != nil {
		return nil, err
	}
	s.Drift = append(s.Drift, drift...)
	s.InForce = objects != nil
	return s, l.findPods(s, r)
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
	data, err := l.folder.Bundle(r)
	if err != nil {
		return err
	}
	b, err := Read(data)
	if err != nil {
		return fmt.Errorf("stored %w", err)
	}
	s.Node = b.Manifest.Node
	n, err := openNetwork()
	if err != nil {
		return err
	}
	defer n.close()
	if b.Manifest.Scope == bundle.ScopePod {
		s.Pods = podStatus(b, nil, nil)
		if err := ownsAddrs(n, b.Manifest); err != nil && len(s.Pods) > 0 {
			s.Pods[0].Attached, s.Pods[0].Reason = false, err.Error()
		}
		return nil
	}
	places, err := discover(n, b.pods, r.Options.Interfaces)
	if err != nil {
		return err
	}
	gone, err := goneChains(r)
	if err != nil {
		return err
	}
	for _, i := range r.Interfaces {
		s.Interfaces = append(s.Interfaces, InterfaceStatus{Name: i.Name, Pod: i.Pod, Bridge: i.Bridge, Present: !gone["chain "+deviceChain(i.Name)]})
	}
	s.Pods = podStatus(b, places, r.Interfaces)
	return nil
}

// podStatus joins the pods with where they are now and what is attached.
func podStatus(b *Bundle, places []Place, attached []state.Interface) []PodStatus {
	at := map[[2]string]state.Interface{}
	for _, i := range attached {
		at[[2]string{i.Pod, i.Name}] = i
	}
	byPod := map[string][]Place{}
	for _, x := range places {
		byPod[x.Pod] = append(byPod[x.Pod], x)
	}
	list := []PodStatus{}
	for _, pod := range b.pods {
		st := PodStatus{Pod: pod.Ref, Addresses: pod.Addrs, Attached: b.Manifest.Scope == bundle.ScopePod}
		bad := "" // why the pod is not attached although it has an interface that is
		for _, x := range byPod[pod.Ref] {
			switch {
			case x.Unseen:
				bad = fmt.Sprintf("address %s %s", x.Addr, x.Reason)
			case x.Interface == "" && st.Reason == "":
				st.Reason = fmt.Sprintf("address %s %s", x.Addr, x.Reason)
			case x.Interface == "":
			case at[[2]string{pod.Ref, x.Interface}].Name == "":
				bad = fmt.Sprintf("interface %s has no source check (apply again)", x.Interface)
				st.Interface = x.Interface
			case x.mac != "" && !slices.Contains(at[[2]string{pod.Ref, x.Interface}].MACs, x.mac):
				bad = fmt.Sprintf("behind interface %s is hardware address %s now (apply again)", x.Interface, x.mac)
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

// connTable reads the connection table's size, nil where nothing is tracked.
func connTable() *ConnTable {
	read := func(name string) (uint64, bool) {
		b, err := os.ReadFile("/proc/sys/net/netfilter/" + name)
		if err != nil {
			return 0, false
		}
		n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
		return n, err == nil
	}
	count, ok1 := read("nf_conntrack_count")
	most, ok2 := read("nf_conntrack_max")
	if !ok1 || !ok2 {
		return nil
	}
	return &ConnTable{Count: count, Max: most, High: most > 0 && count*5 > most*4}
}
