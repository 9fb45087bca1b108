package simulate

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// end is an end of a flow as it was given. Exactly one of pod, addr, service and
// name is set.
type end struct {
	input   string
	pod     *subject
	addr    netip.Addr // unmapped
	service *model.Service
	name    string // a domain name in normal form
}

// servicePrefix marks a Service as the destination.
const servicePrefix = "svc:"

// end reads one end of a flow. A Service or a domain name can only be dst.
func (s *Simulator) end(input string, dst bool) (end, error) {
	e := end{input: input}
	if e.addr = plainAddress(input); e.addr.IsValid() {
		return e, nil
	}
	if e.pod = s.named(input); e.pod != nil {
		return e, nil
	}
	var err error
	switch {
	case input == "":
		err = errors.New("no end given, want NAMESPACE/POD, NAMESPACE?k=v or an IP address")
	case strings.HasPrefix(input, servicePrefix):
		e.service, err = s.namedService(strings.TrimPrefix(input, servicePrefix), dst)
	case strings.Contains(input, "?"):
		e.pod, err = s.labelledPod(input)
	case isPrefix(input):
		err = fmt.Errorf("%q is a prefix, want one address", input)
	case strings.Contains(input, "/"):
		err = s.noPod(input)
	default:
		e.addr, e.name, err = addressOrName(input, dst)
	}
	return e, err
}

// plainAddress returns the address, unmapped, that most inputs with no name of a pod
// are; else an invalid one. No other kind of end reads as an address without a zone.
func plainAddress(input string) netip.Addr {
	if strings.IndexByte(input, '/') >= 0 {
		return netip.Addr{}
	}
	a, err := netip.ParseAddr(input)
	if err != nil || a.Zone() != "" {
		return netip.Addr{}
	}
	return a.Unmap()
}

func isPrefix(input string) bool { _, err := netip.ParsePrefix(input); return err == nil }

func addressOrName(input string, dst bool) (netip.Addr, string, error) {
	a, err := netip.ParseAddr(input)
	if err == nil && a.Zone() != "" {
		return a, "", fmt.Errorf("%q has a zone, want a plain address", input)
	}
	if err == nil {
		return a.Unmap(), "", nil
	}
	name, ok := compiler.NormalizeFQDN(input)
	switch {
	case !ok || looksNumeric(name):
		return a, "", fmt.Errorf("%q is no NAMESPACE/POD, NAMESPACE?k=v, IP address%s", input, dstForms(dst))
	case !dst:
		return a, "", fmt.Errorf("%q reads as a domain name, which can only be dst (a pod is NAMESPACE/POD)", input)
	}
	return a, name, nil
}

func dstForms(dst bool) string {
	if dst {
		return ", svc:NAMESPACE/NAME or domain name"
	}
	return ""
}

// looksNumeric reports whether the last label of a name is all digits: such is
// an IPv4 address with a mistake in it, not a name (RFC 3696, section 2).
func looksNumeric(name string) bool {
	last := name[strings.LastIndexByte(name, '.')+1:]
	return strings.Trim(last, "0123456789") == ""
}

// noPod says what is wrong with a NAMESPACE/POD that no pod has.
func (s *Simulator) noPod(ref string) error {
	if !isRef(ref) {
		return fmt.Errorf("%q is not NAMESPACE/POD", ref)
	}
	if err := s.broken("Pod", ref); err != nil {
		return err
	}
	if len(s.byRef) == 0 {
		return fmt.Errorf("pod %q is not known: there are no pods in the inventory (-i gives one; NAMESPACE?k=v needs none)", ref)
	}
	ns, _, _ := strings.Cut(ref, "/")
	return s.unknown("pod", ref, ns, slices.Collect(maps.Keys(s.byRef)))
}

// isRef reports whether ref has the form A/B.
func isRef(ref string) bool {
	a, b, ok := strings.Cut(ref, "/")
	return ok && a != "" && b != "" && !strings.Contains(b, "/")
}

// broken is the error for an object that the inventory holds but that could not
// be read, nil for any other.
func (s *Simulator) broken(kind, ref string) error {
	for _, o := range s.in.Inventory.Broken {
		if o.Ref == kind+"/"+ref {
			return fmt.Errorf("%s %q could not be read (%s)", strings.ToLower(kind), ref, o.Pos)
		}
	}
	return nil
}

// unknown is the error for a name that the inventory does not hold, with the
// nearest that it does: of namespaces where that is what is wrong.
func (s *Simulator) unknown(kind, ref, ns string, refs []string) error {
	slices.Sort(refs)
	near := compiler.Nearest(ref, refs)
	if !s.resolver.HoldsNamespace(ns) {
		names := map[string]bool{}
		for _, n := range s.in.Inventory.Namespaces {
			names[n.Name] = true
		}
		for _, r := range refs {
			n, _, _ := strings.Cut(r, "/")
			names[n] = true
		}
		kind, near = fmt.Sprintf("namespace %q of %s", ns, kind), compiler.Nearest(ns, slices.Sorted(maps.Keys(names)))
	}
	msg := fmt.Sprintf("%s %q is not in the inventory", kind, ref)
	if len(near) > 0 {
		msg += fmt.Sprintf(", did you mean %s?", strings.Join(quoted(near), " or "))
	}
	return errors.New(msg)
}

func quoted(names []string) []string {
	q := make([]string, len(names))
	for i, n := range names {
		q[i] = fmt.Sprintf("%q", n)
	}
	return q
}

// labelledPod makes the pod that NAMESPACE?k=v,k=v describes: enrolled, on no
// node, without an address and without a name.
func (s *Simulator) labelledPod(input string) (*subject, error) {
	ns, list, _ := strings.Cut(input, "?")
	if len(validation.IsDNS1123Label(ns)) > 0 {
		return nil, fmt.Errorf("%q: %q is not the name of a namespace", input, ns)
	}
	set := map[string]string{}
	for pair := range strings.SplitSeq(list, ",") {
		if list == "" {
			break
		}
		k, v, ok := strings.Cut(pair, "=")
		switch {
		case !ok:
			return nil, fmt.Errorf("%q: label %q is not k=v", input, pair)
		case len(validation.IsQualifiedName(k)) > 0:
			return nil, fmt.Errorf("%q: %q is not a label key: %s", input, k, validation.IsQualifiedName(k)[0])
		case len(validation.IsValidLabelValue(v)) > 0:
			return nil, fmt.Errorf("%q: %q is not a label value: %s", input, v, validation.IsValidLabelValue(v)[0])
		}
		if old, twice := set[k]; twice && old != v {
			return nil, fmt.Errorf("%q: label %q has two values", input, k)
		}
		set[k] = v
	}
	return s.subject(&model.Pod{Namespace: ns, PodMeta: model.PodMeta{Labels: model.NewLabels(set), Enrolled: true}}), nil
}

// namedService finds NAMESPACE/NAME.
func (s *Simulator) namedService(ref string, dst bool) (*model.Service, error) {
	if !dst {
		return nil, fmt.Errorf("%q is a Service, which can only be dst", servicePrefix+ref)
	}
	if svc := s.services[ref]; svc != nil {
		if svc.ExternalName != "" {
			return nil, fmt.Errorf("service %q is of type ExternalName and has no addresses, give its name %q instead", ref, svc.ExternalName)
		}
		return svc, nil
	}
	if !isRef(ref) {
		return nil, fmt.Errorf("%q is not svc:NAMESPACE/NAME", servicePrefix+ref)
	}
	if err := s.broken("Service", ref); err != nil {
		return nil, err
	}
	if len(s.services) == 0 {
		return nil, fmt.Errorf("service %q is not known: there are no Services in the inventory (-i gives one)", ref)
	}
	ns, _, _ := strings.Cut(ref, "/")
	return nil, s.unknown("service", ref, ns, slices.Collect(maps.Keys(s.services)))
}
