//go:build linux

package kerneltest

import (
	"strings"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/internal/netlab"
)

// Govern makes a node, and a backend that is to govern it, or in pod scope the one
// pod (NAMESPACE/NAME). What it makes goes with the test.
func Govern(t testing.TB, b Backend, spec netlab.Spec, node, pod string) (*Stage, *Enforcement) {
	t.Helper()
	n := NewNode(t, spec)
	e := &Enforcement{Backend: b, Space: n.Namespace, Target: []string{"--node", node}, StateDir: t.TempDir()}
	var host *netlab.Host
	if pod != "" {
		if host = n.Pod(strings.ReplaceAll(pod, "/", ".")); host == nil {
			t.Fatalf("no pod %s on %s", pod, node)
		}
		e.Space, e.Target = host.Namespace, []string{"--pod", pod}
	}
	s, err := NewStage(n, host)
	if err != nil {
		t.Fatal(err)
	}
	if b.Name != "" && !b.Bare { // pins outlive the namespace
		t.Cleanup(func() {
			if _, err := e.Loader("remove"); err != nil {
				t.Error(err)
			}
		})
	}
	return s, e
}
