package model

import "net/netip"

// Inventory is what is known of a cluster: the objects that names resolve
// against. Slices are in input order. The zero Inventory knows nothing.
type Inventory struct {
	Namespaces []*Namespace
	Nodes      []*Node
	Pods       []*Pod
	Services   []*Service
	Endpoints  []*Endpoints // EndpointSlices and Endpoints objects alike
	Templates  []*PodTemplate

	// Broken names the objects that could not be read, as KIND/NAMESPACE/NAME:
	// what would follow from them is not known.
	Broken []BrokenObject
}

// BrokenObject is an inventory object that was skipped because it is invalid.
type BrokenObject struct {
	Ref string // KIND/NAMESPACE/NAME, as far as it could be read
	Pos Pos
	Why string // the first thing that is wrong with it, "" where that is not known
}

// Namespace is a v1 Namespace.
type Namespace struct {
	Name   string
	Labels Labels
	Pos    Pos
}

// Node is a v1 Node.
type Node struct {
	Name           string
	Addresses      []netip.Addr   // status.addresses of type InternalIP and ExternalIP, unmapped
	PodCIDRs       []netip.Prefix // spec.podCIDRs, or spec.podCIDR alone, masked
	KubeletVersion string         // status.nodeInfo.kubeletVersion
	Pos            Pos
}

// PodPhase is status.phase.
type PodPhase string

// Phases in which a pod's addresses are no longer its own.
const (
	PodSucceeded PodPhase = "Succeeded"
	PodFailed    PodPhase = "Failed"
)

// PodMeta is what a pod and the template of one have in common.
type PodMeta struct {
	Labels Labels
	// Enrolled reports both annotations that put a pod under the agent.
	Enrolled bool
	// VirtualNode reports the toleration for ACS virtual nodes
	// (key virtual-kubelet.io/provider).
	VirtualNode bool
	HostNetwork bool
	// Bypass lists why the pod could undo enforcement in its own network
	// namespace, such as "privileged" or "capability NET_ADMIN"; sorted.
	Bypass []string
}

// Pod is a v1 Pod.
type Pod struct {
	Namespace, Name string
	PodMeta
	NodeName string
	Phase    PodPhase
	Deleting bool         // has a deletionTimestamp
	IPs      []netip.Addr // status.podIPs, or status.podIP alone, unmapped, each once, in order
	// NamedPorts maps a container port's name and protocol to its number.
	NamedPorts map[NamedPort]uint16
	Pos        Pos
}

// NamedPort is a container port's name within one protocol.
type NamedPort struct {
	Name  string
	Proto Proto
}

// Ref returns NAMESPACE/NAME.
func (p *Pod) Ref() string { return p.Namespace + "/" + p.Name }

// Finished reports whether the pod's addresses may be somebody else's by now.
func (p *Pod) Finished() bool { return p.Phase == PodSucceeded || p.Phase == PodFailed }

// Subject reports whether policies can apply to the pod at all, enrolled or not.
func (p *Pod) Subject() bool { return !p.HostNetwork && !p.Finished() }

// PodTemplate is the pod template of a workload.
type PodTemplate struct {
	Kind, Namespace, Name string // of the workload
	PodMeta
	Pos Pos
}

// Service is a v1 Service.
type Service struct {
	Namespace, Name string
	ExternalName    string       // non-empty exactly for type ExternalName
	ClusterIPs      []netip.Addr // without "None", unmapped, each once
	Headless        bool         // clusterIP is "None"
	Selector        Labels       // nil without one
	Ports           []ServicePort
	Pos             Pos
}

// Ref returns NAMESPACE/NAME.
func (s *Service) Ref() string { return s.Namespace + "/" + s.Name }

// ServicePort is one entry of spec.ports.
type ServicePort struct {
	Name  string
	Proto Proto
	Port  uint16
	// Target is spec.targetPort: a number, or the name of a container port.
	// Without one it is Port.
	Target     uint16
	TargetName string
}

// Endpoints is an EndpointSlice or an Endpoints object. Readiness does not count.
type Endpoints struct {
	Namespace, Name string
	Slice           bool   // an EndpointSlice
	Service         string // the Service it belongs to: label kubernetes.io/service-name, or its own name
	Subsets         []EndpointSubset
	Pos             Pos
}

// EndpointSubset is addresses that serve the same ports.
type EndpointSubset struct {
	Addrs []netip.Addr // unmapped
	Ports []EndpointPort
}

// EndpointPort is one port of a subset; Port 0 means every port.
type EndpointPort struct {
	Name  string
	Proto Proto
	Port  uint16
}
