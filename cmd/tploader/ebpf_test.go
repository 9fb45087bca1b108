//go:build linux

package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/backends/ebpf"
	"github.com/trafficpolicy/trafficpolicy/internal/netlab"
)

// ebpf returns the policy compiled for eBPF.
func (p policy) ebpf(t testing.TB) []byte {
	t.Helper()
	a, err := ebpf.Emit(p.program())
	if err != nil {
		t.Fatal(err)
	}
	a.Manifest.Sequence, a.Manifest.Tool = p.sequence, "test"
	var b bytes.Buffer
	if err := bundle.Write(&b, a.Manifest, a.Files); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestEBPFApply(t *testing.T) {
	for _, mode := range []netlab.Mode{netlab.Routed, netlab.Bridged} {
		t.Run(mode.String(), func(t *testing.T) {
			n := newNode(t, mode)
			out := n.apply(0, open.ebpf(t))
			if !strings.Contains(out.stdout, "is in force, 2 interfaces") || out.stderr != "" {
				t.Errorf("first apply: %+v", out)
			}
			n.wantPing("open", netlab.Answered)
			n.run(0, "status")
			n.apply(0, shut.ebpf(t))
			n.run(0, "status")
			if out := n.apply(0, shut.ebpf(t)); !strings.Contains(out.stdout, "nothing changed") {
				t.Errorf("second apply: %+v", out)
			}
			n.run(0, "rollback")
			n.wantPing("rolled back", netlab.Answered)
			n.run(0, "rollback")
			n.run(0, "remove")
			n.wantPing("removed", netlab.Answered)
			n.wantNoState()
			n.run(1, "status")
			if out := n.run(0, "remove"); !strings.Contains(out.stdout, "nothing to remove") {
				t.Errorf("second remove: %+v", out)
			}
		})
	}
}
