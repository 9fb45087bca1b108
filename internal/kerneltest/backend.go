//go:build linux

package kerneltest

import (
	"fmt"

	"github.com/trafficpolicy/trafficpolicy/internal/netlab"
)

// Backend is a way to enforce policies that the tests are run with.
type Backend struct {
	Name string // of compile's --backend
	// Bare is the bare script, which nft loads without tploader: it knows no
	// devices and keeps no promise about switches.
	Bare bool
	// Interfaces is a backend whose hooks are on interfaces alone. Where it is unlike
	// the others, docs/tploader.md says so:
	//   - What a pod is sent is judged behind the node's own source translation.
	//   - In a pod's own namespace a packet is dropped behind the stack, which does not
	//     tell the socket (EPERM of an output hook).
	//   - Pods that the bundle does not know have no hook that could close them.
	//   - Fragments are judged as they come, nothing puts them together before: one that
	//     overtakes its first is lost where ports matter.
	//   - SCTP that does not begin with an INIT is judged as if it did, not invalid.
	Interfaces bool
}

// String returns the backend's name.
func (b Backend) String() string {
	if b.Bare {
		return b.Name + " script"
	}
	return b.Name
}

// Backends lists what the tests cover, with one expected verdict for all.
var Backends = []Backend{{Name: "nftables"}, {Name: "nftables", Bare: true}, {Name: "ebpf", Interfaces: true}}

// Enforcement is a backend at work in one namespace.
type Enforcement struct {
	Backend Backend
	Space   *netlab.Namespace
	// Target is compile's: --node NAME or --pod NAMESPACE/NAME.
	Target []string
	// StateDir is tploader's.
	StateDir string
	// LoaderArgs are added to tploader apply.
	LoaderArgs []string
}

// Compile returns the bundle of the policies for the target.
func (e *Enforcement) Compile(p *Policies, args ...string) ([]byte, error) {
	all := append([]string{"compile", "--backend", e.Backend.Name, "-o", "-"}, e.Target...)
	return Run(nil, "trafficpolicy", append(append(all, p.Args...), args...)...)
}

// Load puts a bundle in force.
func (e *Enforcement) Load(bundle []byte) error {
	_, err := e.loader(bundle, append([]string{"apply"}, e.LoaderArgs...)...)
	return err
}

// Apply compiles the policies and puts them in force.
func (e *Enforcement) Apply(p *Policies, args ...string) error {
	if e.Backend.Bare {
		return e.script(p, args)
	}
	bundle, err := e.Compile(p, args...)
	if err != nil {
		return err
	}
	return e.Load(bundle)
}

// script loads the bare script of the policies, as a user would.
func (e *Enforcement) script(p *Policies, args []string) error {
	text, err := e.Compile(p, append([]string{"--format", "script"}, args...)...)
	if err != nil {
		return err
	}
	if err := e.Space.NFT(string(text)); err != nil {
		return fmt.Errorf("%s: %w", e.Backend, err)
	}
	return nil
}

// Loader runs another verb of tploader.
func (e *Enforcement) Loader(args ...string) ([]byte, error) { return e.loader(nil, args...) }

func (e *Enforcement) loader(stdin []byte, args ...string) ([]byte, error) {
	where := []string{"--netns", e.Space.Path(), "--state-dir", e.StateDir}
	if len(e.Target) == 2 && e.Target[0] == "--node" && args[0] == "apply" {
		args = append(args, e.Target...)
	}
	out, err := Run(stdin, "tploader", append(where, args...)...)
	if err != nil {
		return out, fmt.Errorf("%s backend: %w", e.Backend.Name, err)
	}
	return out, nil
}
