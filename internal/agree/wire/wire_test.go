//go:build linux

package wire

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trafficpolicy/trafficpolicy/internal/agree"
	"github.com/trafficpolicy/trafficpolicy/internal/kerneltest"
	"github.com/trafficpolicy/trafficpolicy/internal/netlab"
	"github.com/trafficpolicy/trafficpolicy/internal/synth"
	"github.com/trafficpolicy/trafficpolicy/model"
)

func TestMain(m *testing.M) { os.Exit(kerneltest.Main(m)) }

// Sizes of TestWire. The number of policy sets is that of TRAFFICPOLICY_WIRE_SETS,
// or this times TRAFFICPOLICY_SOAK.
const (
	wireSets    = 150
	wirePackets = 100
	shrinkTime  = 90 * time.Second
)

// kept is where cases are kept that kernel and simulator disagreed about once.
const kept = "../../../testdata/agree"

// TestWire draws clusters and policies and has kernel and simulator judge packets
// around every boundary. Sets are shared out among the backends: a third is also
// loaded as the bare script.
func TestWire(t *testing.T) {
	kerneltest.Require(t)
	want := agree.Number(t, "TRAFFICPOLICY_WIRE_SETS", wireSets*agree.Number(t, "TRAFFICPOLICY_SOAK", 1))
	first := uint64(agree.Number(t, "TRAFFICPOLICY_AGREE_SEED", 0))
	for _, b := range kerneltest.Backends {
		t.Run(b.String(), func(t *testing.T) {
			begin, sets := time.Now(), 0
			for seed := first; sets < want; seed++ {
				if b.Bare && seed%3 > 0 {
					sets++
					continue
				}
				c := synth.Small(seed)
				r := judge(t, b, c)
				if t.Failed() {
					return // could not be judged
				}
				if len(r.bad) > 0 {
					keep(t, b, c, r)
				}
				if r.sent > 0 {
					sets++
				}
			}
			t.Logf("%d policy sets, %d packets each: %.0f sets a minute", sets, wirePackets, float64(sets)/time.Since(begin).Minutes())
		})
	}
}

// TestKept sends again what was disagreed about.
func TestKept(t *testing.T) {
	kerneltest.Require(t)
	paths, err := filepath.Glob(filepath.Join(kept, "*.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		k, err := agree.Read(path)
		if err != nil {
			t.Fatal(err)
		}
		if len(k.Flows) == 0 {
			continue
		}
		for _, b := range kerneltest.Backends {
			t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar")+"/"+b.String(), func(t *testing.T) {
				flows := make([]kerneltest.Flow, len(k.Flows))
				for i, f := range k.Flows {
					flows[i] = kerneltest.Flow{Src: f.Src, Dst: f.Dst, Proto: f.L4.Proto(), Port: f.L4.Port()}
				}
				for _, m := range send(t, b, k, func(*kerneltest.Stage, *agree.Set) []kerneltest.Flow { return flows }).bad {
					t.Error(m)
				}
			})
		}
	}
}

// result is what became of a case.
type result struct {
	sent int // flows
	bad  []kerneltest.Mismatch
}

// unresolved is the address of the names that a cluster does not resolve, so that
// no verdict depends on what is not known.
var unresolved = netip.MustParseAddr("203.0.113.99")

// caseOf is the cluster's first node, in a mode that the seed decides.
func caseOf(c *synth.Cluster) *agree.Kept {
	names := maps.Clone(c.Resolve)
	for _, p := range c.Policies {
		for _, r := range p.Rules(model.Egress) {
			for _, peer := range r.Peers {
				if peer.Kind == model.PeerFQDN && len(names[peer.FQDN]) == 0 {
					names[peer.FQDN] = []netip.Addr{unresolved}
				}
			}
		}
	}
	k := &agree.Kept{Mode: netlab.Mode(c.Seed % 2).String()}
	k.Policies, k.Inventory = c.PolicyYAML(), c.InventoryYAML()
	k.Resolve, k.Node = names, c.Inventory.Nodes[0].Name
	if c.Seed%5 == 4 {
		k.Isolation = "direction"
	}
	return k
}

// judge has kernel and simulator judge the packets of a cluster.
func judge(t *testing.T, b kerneltest.Backend, c *synth.Cluster) (r result) {
	k := caseOf(c)
	t.Run(fmt.Sprintf("seed %d %s", c.Seed, k.Mode), func(t *testing.T) {
		r = send(t, b, k, func(s *kerneltest.Stage, set *agree.Set) []kerneltest.Flow {
			flows := s.Flows(kerneltest.Addresses(set.Input.Inventory, set.Input.Policies, k.Resolve), synth.Points(set.Input.Policies))
			rng := rand.New(rand.NewPCG(c.Seed, 1))
			rng.Shuffle(len(flows), func(i, j int) { flows[i], flows[j] = flows[j], flows[i] })
			return flows[:min(len(flows), wirePackets)]
		})
	})
	return r
}

// send puts a case in force and sends flows.
func send(t *testing.T, b kerneltest.Backend, k *agree.Kept, flows func(*kerneltest.Stage, *agree.Set) []kerneltest.Flow) result {
	t.Helper()
	set, err := k.Load(t.Context())
	if errors.Is(err, agree.ErrNothing) {
		return result{}
	}
	if err != nil {
		t.Fatal(err)
	}
	mode := netlab.Routed
	if k.Mode == netlab.Bridged.String() {
		mode = netlab.Bridged
	}
	stage, e := kerneltest.Govern(t, b, kerneltest.NodeSpec(set.Input.Inventory, k.Node, mode), k.Node, "")
	args := kerneltest.ResolveArgs(k.Resolve)
	if k.Isolation != "" {
		args = append(args, "--isolation", k.Isolation)
	}
	p, err := kerneltest.WritePolicies(t.TempDir(), k.Policies, k.Inventory, args...)
	if err == nil {
		err = e.Apply(p, "--allow-unresolved")
	}
	var r result
	if err == nil {
		all := flows(stage, set)
		r.sent = len(all)
		r.bad, err = stage.Compare(p, all)
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// keep shrinks a cluster that kernel and simulator disagree about, and ends the test.
func keep(t *testing.T, b kerneltest.Backend, c *synth.Cluster, r result) {
	t.Helper()
	end := time.Now().Add(shrinkTime)
	small := synth.Shrink(c, func(c *synth.Cluster) bool {
		return time.Now().Before(end) && len(judge(t, b, c).bad) > 0
	})
	if again := judge(t, b, small); len(again.bad) > 0 {
		r = again
	} else {
		small = c // it does not always happen
	}
	k := caseOf(small)
	k.Comment = fmt.Sprintf("%s: %s", b, r.bad[0])
	f := r.bad[0].Flow
	k.Flows = []agree.Flow{{Src: f.Src, Dst: f.Dst, L4: model.L4Of(f.Proto, f.Port)}}
	path, err := k.Write(kept, fmt.Sprintf("wire-%d", c.Seed))
	t.Fatalf("seed %d: %v\nkept as %s (%v)", c.Seed, r.bad, path, err)
}
