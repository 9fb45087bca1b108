package nftables

import (
	"bytes"
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/compiler"
)

// TestGolden compares what each policy of the corpus compiles to for a node of
// the small cluster with testdata/golden. The files hold the lists, maps and
// verdicts with rule names in place of ids; the chains that do not depend on
// policies are in testdata/small.nft. UPDATE=1 rewrites them: read the change.
func TestGolden(t *testing.T) {
	const root = "../../testdata/"
	files, err := filepath.Glob(root + "corpus/*polic*.yaml")
	if err != nil || len(files) < 7 {
		t.Fatalf("corpus: %v, %v", files, err)
	}
	files = append(files, root+"corpus/global-security-baseline.yaml")
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		t.Run(name, func(t *testing.T) {
			in, err := compiler.Load(context.Background(), compiler.LoadOptions{Policies: []string{file}, Inventory: []string{root + "cluster/small.yaml"}})
			if err != nil {
				t.Fatal(err)
			}
			o := compiler.CompileOptions{Target: compiler.Target{Node: "node-a"}, AllowUnresolved: true}
			o.Resolve = map[string][]netip.Addr{"rds-xxx.aliyuncs.com": addrs("203.0.113.7", "2001:db8::7")}
			p, err := compiler.Compile(context.Background(), in, o)
			if err != nil {
				t.Fatal(err)
			}
			decodes(t, p)
			golden := "testdata/golden/" + name + ".txt"
			got := decisions(emit(t, p))
			if os.Getenv("UPDATE") != "" {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), string(got)); d != "" {
				t.Errorf("-%s +emitted:\n%s", golden, d)
			}
		})
	}
}

var (
	about    = regexp.MustCompile(`^add (?:element|rule) inet trafficpolicy (?:tp_[0-9a-f]{12}_)?((?:map|port|ports|list|name)[46_][0-9a-z_]*|tp_from[46]) (.*)$`)
	tag      = regexp.MustCompile(`tp_[0-9a-f]{12}_`)
	ruleID   = regexp.MustCompile(`\b[rd]_([0-9a-f]{16})`)
	nameID   = regexp.MustCompile(`\b(name[46])_([0-9a-f]{16})`)
	elements = regexp.MustCompile(`^\{ (.*) \}$`)
)

// decisions returns what of an artifact depends on policies, for people.
func decisions(a *bundle.Bundle) []byte {
	names := map[string]string{}
	for _, r := range a.Manifest.Rules {
		names[r.ID] = r.Action + "(" + r.Name + ")"
	}
	for _, d := range a.Manifest.Defaults {
		names[d.ID] = "default-deny(" + d.Direction + " " + strings.Join(d.Policies, " ") + ")"
	}
	for _, n := range a.Manifest.Names {
		names[n.ID] = n.Name
	}
	var b bytes.Buffer
	for _, f := range a.Files[1:3] {
		last := ""
		for line := range strings.Lines(string(f.Data)) {
			m := about.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
			if m == nil {
				continue
			}
			text := tag.ReplaceAllString(m[2], "")
			text = ruleID.ReplaceAllStringFunc(text, func(s string) string { return names[s[2:]] })
			text = nameID.ReplaceAllStringFunc(text, func(s string) string { return s[:6] + names[s[6:]] })
			what := nameID.ReplaceAllStringFunc(m[1], func(s string) string { return s[:6] + names[s[6:]] })
			if what != last {
				b.WriteString(what + "\n")
				last = what
			}
			if e := elements.FindStringSubmatch(text); e != nil {
				text = strings.ReplaceAll(e[1], ", ", "\n    ")
			}
			b.WriteString("    " + text + "\n")
		}
	}
	return b.Bytes()
}
