// Package layout holds the test that keeps the import table of
// docs/architecture.md true.
package layout

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/trafficpolicy/trafficpolicy/"

// allowed says what the packages below a folder may import of this module. The
// longest folder that fits counts; a folder may always import itself. What is
// not listed may be imported by nobody but cmd.
var allowed = []struct {
	folder  string
	imports []string
}{
	{"model", nil},
	{"compiler", []string{"model"}},
	{"compiler/space", []string{"model"}},
	{"verify", []string{"model", "compiler", "compiler/space", "verify"}},
	{"verify/flat", []string{"model", "compiler", "compiler/space", "verify/simulate"}},
	{"verify/simulate", []string{"model", "compiler"}},
	{"verify/oracle", []string{"model", "compiler"}},
	{"backends/bundle", []string{"model", "compiler", "internal/canon"}},
	{"backends/nftables", []string{"model", "compiler", "compiler/space", "backends/bundle", "internal/canon"}},
	{"backends/nftables/ruleset", []string{"model", "compiler/space", "backends/nftables/command"}},
	{"backends/nftables/load", []string{"model", "compiler/space", "backends/nftables", "backends/nftables/ruleset", "backends/bundle", "internal/conntrack", "internal/loader", "internal/place", "internal/state"}},
	{"internal/loader", []string{"model", "compiler/space", "backends/bundle", "internal/learned", "internal/netns", "internal/place", "internal/state"}},
	{"internal/place", []string{"model", "internal/state"}},
	{"internal/names", []string{"compiler"}},
	{"internal/state", nil},
	{"internal/netns", nil},
	{"backends/ebpf", []string{"model", "compiler", "compiler/space", "backends/bundle", "internal/canon"}},
	{"backends/ebpf/bpf", nil},
	{"backends/ebpf/load", []string{"model", "compiler/space", "backends/ebpf", "backends/ebpf/bpf", "backends/bundle", "internal/conntrack", "internal/loader", "internal/place", "internal/state"}},
	{"internal/agent", []string{"backends/bundle", "internal/learned", "internal/loader", "internal/names", "internal/place", "internal/state", "internal/version"}},
	{"internal/bundles", nil},
	{"internal/canon", nil},
	{"internal/conntrack", []string{"model"}},
	{"internal/learned", nil},
	{"internal/edit", nil},
	{"internal/nftwalk", []string{"backends/nftables/command"}},
	{"internal/bpflab", []string{"backends/ebpf", "backends/ebpf/bpf", "backends/bundle"}},
	{"internal/fix", []string{"model", "compiler", "verify", "internal/edit"}},
	{"internal/inputs", []string{"model", "compiler"}},
	{"internal/report", []string{"model"}},
	{"internal/synth", []string{"model"}},
	{"internal/version", nil},
}

// forbidden lists imports that would undo a promise of the layout.
var forbidden = []struct{ from, to, why string }{
	{"model", "*", "model is plain data: the standard library only"},
	{"verify/simulate", "compiler/space", "simulate is the reference that space is compared with"},
	{"backends/nftables/ruleset", "backends/nftables", "what decodes an artifact knows nothing of what writes it"},
	{"internal/nftwalk", "compiler", "it knows what commands do and nothing of policies"},
	{"verify/oracle", "compiler/space", "the oracle is what the algebra is compared with"},
	{"backends/nftables/ruleset", "compiler", "a second reading knows nothing of how the first was written"},
	{"backends/nftables/ruleset", "backends/nftables", "a second reading knows nothing of how the first was written"},
	{"cmd/trafficpolicy", "backends/nftables/load", "the compiler needs no kernel"},
	{"cmd/trafficpolicy", "github.com/cilium/ebpf", "the compiler needs no kernel"},
	{"cmd/trafficpolicy", "backends/ebpf/bpf", "the compiler needs no kernel"},
	{"cmd/trafficpolicy", "github.com/cilium/ebpf", "the compiler needs no kernel"},
	{"cmd/trafficpolicy", "github.com/vishvananda/netlink", "the compiler needs no kernel"},
	{"cmd/trafficpolicy", "github.com/mdlayher/netlink", "the compiler needs no kernel"},
	{"cmd/trafficpolicy", "net/http", "the compiler needs no network"},
	{"cmd/trafficpolicy", "internal/names", "the compiler needs no network"},
}

type pkg struct {
	ImportPath string
	Imports    []string // direct, without tests
	Deps       []string // transitive
	Standard   bool
}

func list(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,Deps,Standard", module+"...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var ps []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return ps
		} else if err != nil {
			t.Fatal(err)
		}
		ps = append(ps, p)
	}
}

func within(path, folder string) bool { return path == folder || strings.HasPrefix(path, folder+"/") }

func TestImportsPointOneWay(t *testing.T) {
	for _, p := range list(t) {
		from := strings.TrimPrefix(p.ImportPath, module)
		best := -1
		for i, a := range allowed {
			if within(from, a.folder) && (best < 0 || len(a.folder) > len(allowed[best].folder)) {
				best = i
			}
		}
		if best < 0 {
			continue // cmd, demo and test harnesses join the rooms
		}
		for _, imp := range p.Imports {
			to, ours := strings.CutPrefix(imp, module)
			if !ours || within(to, allowed[best].folder) {
				continue
			}
			ok := false
			for _, a := range allowed[best].imports {
				ok = ok || to == a
			}
			if !ok {
				t.Errorf("%s imports %s, but only %q may be imported there", from, to, allowed[best].imports)
			}
		}
	}
}

func TestForbiddenImports(t *testing.T) {
	for _, p := range list(t) {
		from := strings.TrimPrefix(p.ImportPath, module)
		for _, f := range forbidden {
			if from != f.from {
				continue
			}
			for _, dep := range p.Deps {
				to := strings.TrimPrefix(dep, module)
				if to == f.to || f.to == "*" && strings.Contains(dep, ".") {
					t.Errorf("%s depends on %s: %s", from, to, f.why)
				}
			}
		}
	}
}
