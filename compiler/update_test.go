package compiler

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// updateFiles are the objects of TestUpdateTouches by name, each a file: pods a/web,
// a/db, b/web and b/job on the nodes of their names, Services that select them, and
// policies that name them in every way.
func updateFiles() map[string]string {
	pod := func(ns, app, ip string) string {
		return fmt.Sprintf(`{apiVersion: v1, kind: Pod, metadata: {namespace: %s, name: %s, labels: {app: %s}}, spec: {nodeName: %s-%s}, status: {phase: Running, podIPs: [{ip: %s}]}}`, ns, app, app, ns, app, ip)
	}
	policy := func(ns, name, app, peer string) string {
		return fmt.Sprintf(`{apiVersion: network.alibabacloud.com/v1alpha1, kind: TrafficPolicy, metadata: {namespace: %s, name: %s}, spec: {priority: 1, selector: {matchLabels: {app: %s}}, ingress: {rules: [{action: allow, from: [%s]}]}}}`, ns, name, app, peer)
	}
	service := func(ns, name, app string) string {
		return fmt.Sprintf(`{apiVersion: v1, kind: Service, metadata: {namespace: %s, name: %s}, spec: {clusterIP: 172.16.0.%d, selector: {app: %s}, ports: [{port: 80}]}}`, ns, name, 10+len(ns+name), app)
	}
	return map[string]string{
		"pod-a-web": pod("a", "web", "10.0.0.1"), "pod-a-db": pod("a", "db", "10.0.0.2"),
		"pod-b-web": pod("b", "web", "10.0.0.3"), "pod-b-job": pod("b", "job", "10.0.0.4"),
		"pod-a-new": pod("a", "new", "10.0.0.9"), "pod-a-idle": pod("a", "idle", "10.0.0.10"),
		"svc-b-web": service("b", "web", "web"), "svc-b-job": service("b", "job", "job"),
		"workload": policy("a", "workload", "web", "{workload: {selector: {app: db}}}"),
		"service":  policy("a", "service", "db", "{service: {namespace: b, name: web}}"),
		"every":    policy("b", "every", "web", `{service: {namespace: b, name: "*"}}`),
		"whole":    policy("b", "whole", "job", "{namespace: a}"),
	}
}

func TestUpdateTouches(t *testing.T) {
	move := func(text, from, to string) string { return strings.ReplaceAll(text, from, to) }
	for _, tt := range []struct {
		name   string
		change func(files map[string]string)
		nodes  string // touched, "all" for all
	}{
		{"nothing", func(map[string]string) {}, ""},
		{"a comment", func(f map[string]string) { f["workload"] = "# why\n" + f["workload"] }, ""},
		{"a pod of a workload peer, of a namespace peer", func(f map[string]string) { f["pod-a-db"] = move(f["pod-a-db"], "10.0.0.2", "10.0.0.22") }, "a-db a-web b-job"},
		{"a pod that only the namespace peer means", func(f map[string]string) { f["pod-a-new"] = move(f["pod-a-new"], "10.0.0.9", "10.0.0.99") }, "a-new b-job"},
		{"a pod behind a Service and of every Service", func(f map[string]string) { f["pod-b-web"] = move(f["pod-b-web"], "10.0.0.3", "10.0.0.33") }, "a-db b-web"},
		{"a pod of every Service only", func(f map[string]string) { f["pod-b-job"] = move(f["pod-b-job"], "10.0.0.4", "10.0.0.44") }, "b-job b-web"},
		{"a pod without what peers look at", func(f map[string]string) { f["pod-b-job"] = move(f["pod-b-job"], "phase: Running", "phase: Pending") }, "b-job"},
		{"a pod that goes", func(f map[string]string) { delete(f, "pod-a-new") }, "a-new b-job"},
		{"a pod that moves", func(f map[string]string) { f["pod-a-new"] = move(f["pod-a-new"], "nodeName: a-new", "nodeName: a-db") }, "a-db a-new"},
		{"clusterIPs are no peers of ingress", func(f map[string]string) { f["svc-b-web"] = move(f["svc-b-web"], "clusterIP: 172", "clusterIP: 173") }, ""},
		{"a Service that selects others", func(f map[string]string) { f["svc-b-web"] = move(f["svc-b-web"], "app: web", "app: job") }, "a-db b-web"},
		{"a Service that goes", func(f map[string]string) { delete(f, "svc-b-job") }, "b-web"},
		{"slices in place of a selector", func(f map[string]string) {
			f["slice"] = `{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {namespace: b, name: s, labels: {kubernetes.io/service-name: web}}, addressType: IPv4, endpoints: [{addresses: [10.0.0.77]}]}`
		}, "a-db b-web"},
		{"a Node object", func(f map[string]string) { f["node"] = `{apiVersion: v1, kind: Node, metadata: {name: a-db}}` }, "a-db"},
		{"a policy", func(f map[string]string) { f["workload"] = move(f["workload"], "app: db", "app: idle") }, "all"},
		{"a namespace", func(f map[string]string) { f["ns"] = `{apiVersion: v1, kind: Namespace, metadata: {name: c}}` }, "all"},
		{"a pod of another namespace", func(f map[string]string) { f["pod-a-db"] = move(f["pod-a-db"], "namespace: a", "namespace: z") }, "all"},
		{"an address that two pods claim", func(f map[string]string) { f["pod-a-new"] = move(f["pod-a-new"], "10.0.0.9", "10.0.0.1") }, "all"},
		{"an object that cannot be read", func(f map[string]string) { f["svc-b-job"] = move(f["svc-b-job"], "172.16", "x") }, "all"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir, files := t.TempDir(), updateFiles()
			write := func(now map[string]string) {
				t.Helper()
				for name := range updateFiles() {
					os.Remove(filepath.Join(dir, name+".yaml"))
				}
				for name, text := range now {
					if err := os.WriteFile(filepath.Join(dir, name+".yaml"), []byte(text), 0o644); err != nil {
						t.Fatal(err)
					}
				}
			}
			write(files)
			cache, err := NewInputCache(LoadOptions{Inventory: []string{dir}})
			if err != nil {
				t.Fatal(err)
			}
			in, _, err := cache.Load(t.Context())
			if err != nil || len(in.Findings) > 0 {
				t.Fatal(err, in.Findings)
			}
			o := CompileOptions{Options: Options{AllEnrolled: true}, AllowUnresolved: true, SkipBroken: true}
			c := NewCompiler(in, o)
			programs := map[string]*Program{}
			for _, n := range c.Nodes() {
				if programs[n], err = c.Compile(t.Context(), Target{Node: n}); err != nil {
					t.Fatal(err)
				}
			}
			tt.change(files)
			write(files)
			in, changed, err := cache.Load(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if !changed {
				if tt.nodes != "" {
					t.Fatal("no change is seen")
				}
				return
			}
			c, touched := c.Update(in)
			got := strings.Join(touched.Nodes(), " ")
			if touched.All {
				got = "all"
			}
			if got != tt.nodes {
				t.Errorf("nodes %q are touched, want %q", got, tt.nodes)
			}
			for _, n := range c.Nodes() {
				p, err := c.Compile(t.Context(), Target{Node: n})
				if err != nil {
					continue // of the address that two claim
				}
				if was := programs[n]; was != nil && !touched.Node(n) && !p.Same(was) {
					t.Errorf("the program of %s is another", n)
				}
				fresh, err := Compile(t.Context(), in, withTarget(o, n))
				if err != nil {
					t.Fatal(err)
				}
				if a, b := programSays(p), programSays(fresh); a != b {
					t.Errorf("%s: %s\nfrom scratch %s", n, a, b)
				}
			}
		})
	}
}

func withTarget(o CompileOptions, node string) CompileOptions {
	o.Target.Node = node
	return o
}

func programSays(p *Program) string {
	var b strings.Builder
	fmt.Fprintln(&b, p.NodeName, p.NodeAddrs, p.Pods, p.Names, p.Warnings)
	for _, c := range p.Classes {
		fmt.Fprintln(&b, refs(c.Policies))
		for _, r := range slices.Concat(c.Egress.Rules, c.Ingress.Rules) {
			fmt.Fprintln(&b, r.Ref, r.Action, r.Peers, r.L4)
		}
	}
	return b.String()
}

// TestInputCacheParsesOnce: what did not change keeps its pointers, also where its
// file was written again; what changed does not.
func TestInputCacheParsesOnce(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	files := updateFiles()
	write("one.yaml", files["pod-a-web"]+"\n---\n"+files["pod-a-db"])
	write("two.yaml", files["workload"])
	cache, err := NewInputCache(LoadOptions{Policies: []string{filepath.Join(dir, "two.yaml")}, Inventory: []string{filepath.Join(dir, "one.yaml")}})
	if err != nil {
		t.Fatal(err)
	}
	load := func(want bool) *Input {
		t.Helper()
		in, changed, err := cache.Load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if changed != want {
			t.Errorf("changed is %v", changed)
		}
		return in
	}
	was := load(true)
	if again := load(false); again != was {
		t.Error("another Input of the same files")
	}
	write("one.yaml", files["pod-a-web"]+"\n---\n"+files["pod-a-db"]) // the same at another time
	load(false)

	write("one.yaml", "# more\n"+files["pod-a-web"]+"\n---\n"+strings.Replace(files["pod-a-db"], "10.0.0.2", "10.0.0.7", 1))
	now := load(true)
	if now.Inventory.Pods[0] != was.Inventory.Pods[0] || now.Inventory.Pods[1] == was.Inventory.Pods[1] || now.Policies[0] != was.Policies[0] {
		t.Error("pointers are not those of what is the same")
	}
	if line := now.Inventory.Pods[0].Pos.Line; line != 2 {
		t.Errorf("the pod that moved is in line %d", line)
	}

	// A change of equal size and time is seen as long as the time is recent.
	path := filepath.Join(dir, "one.yaml")
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	write("one.yaml", "# more\n"+files["pod-a-web"]+"\n---\n"+strings.Replace(files["pod-a-db"], "10.0.0.2", "10.0.0.8", 1))
	if err := os.Chtimes(path, time.Now(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	if now = load(true); now.Inventory.Pods[1].IPs[0].String() != "10.0.0.8" {
		t.Errorf("pod %v", now.Inventory.Pods[1])
	}

	if err := os.Remove(filepath.Join(dir, "two.yaml")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := cache.Load(t.Context()); err == nil {
		t.Error("a file that is gone is no error")
	}
	write("two.yaml", files["workload"])
	if in := load(false); len(in.Policies) != 1 {
		t.Errorf("%d policies", len(in.Policies))
	}
	if _, err := NewInputCache(LoadOptions{Inventory: []string{"-"}}); err == nil {
		t.Error("standard input is taken")
	}
}
