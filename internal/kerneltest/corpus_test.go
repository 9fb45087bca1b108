//go:build linux

package kerneltest

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/internal/netlab"
	"github.com/trafficpolicy/trafficpolicy/internal/synth"
)

// names are the addresses of the names that the corpus uses.
var names = map[string][]netip.Addr{
	"rds-xxx.aliyuncs.com": {netip.MustParseAddr("10.99.0.1"), netip.MustParseAddr("2001:db8:99::1")},
	"api.aliyun.com":       {netip.MustParseAddr("10.99.0.2"), netip.MustParseAddr("2001:db8:99::2")},
}

// TestCorpus has each of the guide's policies judge packets of every pod of a
// node, routed and bridged, and of a pod in its own namespace.
func TestCorpus(t *testing.T) {
	forBackends(t, func(t *testing.T, b Backend) {
		inventory := smallCluster(t)
		files, err := filepath.Glob("../../testdata/corpus/*.yaml")
		if err != nil {
			t.Fatal(err)
		}
		files = slices.DeleteFunc(files, func(f string) bool { return strings.HasSuffix(f, "agent-pod.yaml") })
		if len(files) < 8 {
			t.Fatalf("corpus: only %q", files)
		}
		for _, place := range []struct {
			mode      netlab.Mode
			node, pod string
		}{
			{netlab.Routed, "node-a", ""},
			{netlab.Bridged, "node-a", ""},
			{netlab.Routed, "node-b", ""},
			{netlab.Bridged, "node-b", ""},
			{netlab.Routed, "node-a", "default/agent-pod"},
			{netlab.Bridged, "node-a", "default/openclaw-0"},
		} {
			t.Run(strings.Trim(fmt.Sprintf("%s %s %s", place.mode, place.node, place.pod), " "), func(t *testing.T) {
				inv := load(t, files[0], inventory).Inventory
				f := newFixture(t, b, NodeSpec(inv, place.node, place.mode), place.node, place.pod)
				for _, file := range files {
					in := load(t, file, inventory)
					policies := in.Policies
					p := &Policies{append([]string{"-f", file, "-i", inventory}, ResolveArgs(names)...)}
					f.T = t
					if f.Pod != nil && !selects(t, in, place.pod) {
						continue // there is nothing to enforce, and the loader says so
					}
					f.apply(p)
					f.compare(p, f.Flows(Addresses(inv, policies, names), synth.Points(policies)))
					if t.Failed() {
						t.Fatalf("with %s", file)
					}
				}
			})
		}
	})
}

// selects reports whether some policy of in selects the pod.
func selects(t *testing.T, in *compiler.Input, pod string) bool {
	t.Helper()
	p, err := compiler.Compile(t.Context(), in, compiler.CompileOptions{Target: compiler.Target{Pod: pod}, AllowUnresolved: true})
	if err != nil {
		t.Fatal(err)
	}
	return len(p.Pods) > 0
}
