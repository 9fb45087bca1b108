package ebpf

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/compiler/space"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// TestGolden compares what each policy of the corpus compiles to for a node of
// the small cluster with testdata/golden: the decisions that a reader finds in the
// graph, by class, direction and family. UPDATE=1 rewrites them: read the change.
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
			golden := "testdata/golden/" + name + ".txt"
			got := decisions(t, p)
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

// decisions writes what the graph of p decides, for people.
func decisions(t *testing.T, p *compiler.Program) []byte {
	t.Helper()
	a := emit(t, p)
	d := decode(t, a)
	names := map[string]string{"": "not selected"}
	for _, r := range a.Manifest.Rules {
		names[r.ID] = r.Action + "(" + r.Name + ")"
	}
	for _, x := range a.Manifest.Defaults {
		names[x.ID] = "default-deny(" + x.Direction + " " + strings.Join(x.Policies, " ") + ")"
	}
	var b bytes.Buffer
	pods := map[int][]string{}
	locals := map[int][2]netip.Addr{}
	for _, pod := range d.Tables.Pods {
		pods[pod.Class] = append(pods[pod.Class], pod.Ref)
		for _, x := range pod.Addrs {
			own := locals[pod.Class]
			own[model.FamilyOf(x.Addr)] = x.Addr
			locals[pod.Class] = own
		}
	}
	for c := range p.Classes {
		fmt.Fprintf(&b, "class %d: %s\n", c, strings.Join(pods[c], " "))
		for _, dir := range model.Directions {
			for _, f := range model.Families {
				root, ok := d.Root(dir, locals[c][f])
				if !ok {
					continue
				}
				table, err := d.Table(root, f)
				if err != nil {
					t.Fatal(err)
				}
				fmt.Fprintf(&b, "%s %s\n", dir, f)
				writeTable(&b, table, func(rule int32) string { return names[d.Tables.Deciders[rule]] })
			}
		}
	}
	return b.Bytes()
}

// writeTable writes one line for each range of addresses and stretch of ports.
func writeTable(b *bytes.Buffer, t *space.Table, name func(int32) string) {
	for _, r := range t.Ranges() {
		addrs := r.First.String()
		if r.First != r.Last {
			addrs += "-" + r.Last.String()
		}
		for _, c := range t.Cells(r.Decision) {
			var text []string
			for _, cond := range c.If {
				text = append(text, fmt.Sprintf("in %s %s", strings.TrimPrefix(string(cond.Atom), "fqdn "), name(cond.Rule)))
			}
			text = append(text, name(c.Rule))
			on := ""
			if c.L4Range != model.AllL4 {
				on = " " + c.L4Range.String()
			}
			fmt.Fprintf(b, "    %s%s : %s\n", addrs, on, strings.Join(text, ", else "))
		}
	}
}
