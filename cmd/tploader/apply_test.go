//go:build linux

package main

import (
	"strings"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/internal/netlab"
)

func TestApply(t *testing.T) {
	for _, mode := range []netlab.Mode{netlab.Routed, netlab.Bridged} {
		t.Run(mode.String(), func(t *testing.T) {
			n := newNode(t, mode)
			out := n.apply(0, open.bundle(t))
			t.Log(out)
			if got := n.ping(); got != netlab.Answered {
				t.Errorf("open: %s", got)
			}
			t.Log(n.run(0, "status"))
			out = n.apply(0, shut.bundle(t))
			if got := n.ping(); got != netlab.Silence {
				t.Errorf("shut: %s", got)
			}
			out = n.apply(0, shut.bundle(t))
			if !strings.Contains(out.stdout, "nothing changed") {
				t.Errorf("second apply: %+v", out)
			}
			t.Log(n.run(0, "stats").stdout)
			t.Log(n.run(0, "status", "-o", "json").stdout)
			n.run(0, "rollback")
			if got := n.ping(); got != netlab.Answered {
				t.Errorf("rolled back: %s", got)
			}
			n.run(0, "remove")
			t.Log(n.nft("list", "ruleset"))
			n.run(1, "status")
		})
	}
}
