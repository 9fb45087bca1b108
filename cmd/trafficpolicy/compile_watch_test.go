package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trafficpolicy/trafficpolicy/internal/bundles"
)

// watched is a "compile --watch" that runs.
type watched struct {
	t    *testing.T
	dir  string
	stop context.CancelFunc
	code chan int

	mu     sync.Mutex
	stderr bytes.Buffer
}

func (w *watched) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stderr.Write(b)
}

func (w *watched) text() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stderr.String()
}

// startWatch runs compile --watch with args; DIR in them is the directory of w.
func startWatch(t *testing.T, dir string, args ...string) *watched {
	t.Helper()
	w := &watched{t: t, dir: dir, code: make(chan int, 1)}
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "DIR", dir)
	}
	ctx, stop := context.WithCancel(t.Context())
	w.stop = stop
	c := &command{Stdin: strings.NewReader(""), Stdout: w, Stderr: w, Getenv: os.Getenv}
	go func() { w.code <- c.run(ctx, append([]string{"compile", "--watch"}, args...)) }()
	t.Cleanup(func() {
		stop()
		if t.Failed() {
			t.Logf("stderr:\n%s", w.text())
		}
	})
	w.until("watching", func() bool { return strings.Contains(w.text(), "watching") })
	return w
}

func (w *watched) until(what string, ok func() bool) {
	w.t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatalf("waited in vain: %s", what)
		}
	}
}

func (w *watched) put(name, text string) {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := replaceFile(path, []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

func putFiles(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	w := &watched{t: t, dir: dir}
	for name, text := range files {
		w.put(name, text)
	}
}

// entry returns what the index says of a node.
func (w *watched) entry(node string) bundles.Entry {
	w.t.Helper()
	x, _, err := bundles.ReadIndex(filepath.Join(w.dir, "out"))
	if err != nil {
		w.t.Fatal(err)
	}
	if e := x.Find(node); e != nil {
		return *e
	}
	return bundles.Entry{}
}

func watchPod(name, node, app, ip string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Pod
metadata:
  name: %s
  namespace: default
  labels: {app: %s}
  annotations: {network.alibabacloud.com/enable-network-policy-agent: "true", network.alibabacloud.com/network-policy-mode: traffic-policy}
spec: {nodeName: %s}
status: {phase: Running, podIPs: [{ip: %s}]}
`, name, app, node, ip)
}

const watchPolicy = `apiVersion: network.alibabacloud.com/v1alpha1
kind: TrafficPolicy
metadata: {name: web, namespace: default}
spec:
  priority: 1
  selector: {matchLabels: {app: web}}
  egress: {rules: [{action: allow, to: [{cidr: %s}]}]}
`

func watchFiles() map[string]string {
	return map[string]string{
		"in/policy.yaml": fmt.Sprintf(watchPolicy, "10.0.0.0/8"),
		"in/cluster.yaml": "{apiVersion: v1, kind: Namespace, metadata: {name: default}}\n---\n" +
			"{apiVersion: v1, kind: Node, metadata: {name: a}}\n---\n{apiVersion: v1, kind: Node, metadata: {name: b}}\n",
		"in/pods/a.yaml": watchPod("a", "a", "web", "10.0.0.1"),
		"in/pods/b.yaml": watchPod("b", "b", "db", "10.0.0.2"),
	}
}

func modTime(t *testing.T, path string) time.Time {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.ModTime()
}

// TestWatchCluster changes pods, policies and files of a cluster that is watched.
func TestWatchCluster(t *testing.T) {
	dir := t.TempDir()
	putFiles(t, dir, watchFiles())
	w := startWatch(t, dir, "-i", "DIR/in", "--all", "--out-dir", "DIR/out")
	if a, b := w.entry("a"), w.entry("b"); a.Pods != 1 || b.Pods != 0 || b.File != "b.tar" {
		t.Fatalf("entries %+v, %+v", a, b)
	}
	out := func(name string) string { return filepath.Join(dir, "out", name) }
	aTime, bTime := modTime(t, out("a.tar")), modTime(t, out("b.tar"))

	w.put("in/pods/c.yaml", watchPod("c", "b", "web", "10.0.0.3"))
	w.until("the pod on b", func() bool { return w.entry("b").Pods == 1 })
	if !modTime(t, out("a.tar")).Equal(aTime) || modTime(t, out("b.tar")).Equal(bTime) {
		t.Error("the bundle of a was written, or that of b was not")
	}

	generation := w.entry("a").Generation
	w.put("in/policy.yaml", fmt.Sprintf(watchPolicy, "none"))
	w.until("the error", func() bool { return strings.Contains(w.text(), "policy.yaml:7:") })
	if w.entry("a").Generation != generation {
		t.Error("an invalid policy changed the bundle")
	}
	w.put("in/policy.yaml", fmt.Sprintf(watchPolicy, "10.0.0.0/9"))
	w.until("the new policy", func() bool { return w.entry("a").Generation != generation })

	w.put("in/policy.yaml", strings.Replace(fmt.Sprintf(watchPolicy, "10.0.0.0/9"), "{action: allow, to: [{cidr: 10.0.0.0/9}]}", "{action: deny, to: [{service: {name: nothing}}]}", 1))
	w.until("the refusal", func() bool { return strings.Contains(w.text(), `nodes "a", "b": `) })
	w.put("in/pods/d.yaml", watchPod("d", "d", "web", "10.0.0.4")) // another node, while nothing can be written
	w.put("in/policy.yaml", fmt.Sprintf(watchPolicy, "10.0.0.0/10"))
	w.until("the node d", func() bool { return w.entry("d").Pods == 1 })

	if err := os.Remove(filepath.Join(dir, "in/pods/d.yaml")); err != nil {
		t.Fatal(err)
	}
	w.until("the end of node d", func() bool { return w.entry("d").Node == "" })
	if _, err := os.Stat(out("d.tar")); !os.IsNotExist(err) {
		t.Errorf("d.tar: %v", err)
	}

	w.stop()
	if code := <-w.code; code != exitOK {
		t.Errorf("exit code %d", code)
	}
	if _, err := os.Stat(out(".new")); !os.IsNotExist(err) {
		t.Errorf(".new: %v", err)
	}
	// What was written step by step is what is written at once.
	c := &command{Stdin: strings.NewReader(""), Stdout: w, Stderr: w, Getenv: os.Getenv}
	if code := c.run(t.Context(), []string{"compile", "-i", filepath.Join(dir, "in"), "--all", "--since", filepath.Join(dir, "out")}); code != exitOK {
		t.Errorf("something is old: exit code %d", code)
	}
}

// TestWatchNode watches one node, with its policies in a mounted ConfigMap:
// kubelet replaces a link to the directory of all of its files.
func TestWatchNode(t *testing.T) {
	dir := t.TempDir()
	files := watchFiles()
	files["map/..1/policy.yaml"] = files["in/policy.yaml"]
	delete(files, "in/policy.yaml")
	putFiles(t, dir, files)
	link := func(old, new string) {
		t.Helper()
		if err := os.Symlink(old, filepath.Join(dir, new+"~")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, new+"~"), filepath.Join(dir, new)); err != nil {
			t.Fatal(err)
		}
	}
	link("..1", "map/..data")
	link("..data/policy.yaml", "map/policy.yaml")
	w := startWatch(t, dir, "-f", "DIR/map/policy.yaml", "-i", "DIR/in", "--node", "a", "-o", "DIR/a.tar")
	read := func() string {
		data, err := os.ReadFile(filepath.Join(dir, "a.tar"))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	first, at := read(), modTime(t, filepath.Join(dir, "a.tar"))

	w.put("in/pods/b.yaml", "# nothing new\n"+files["in/pods/b.yaml"])
	w.put("map/..2/policy.yaml", fmt.Sprintf(watchPolicy, "10.0.0.0/9"))
	link("..2", "map/..data")
	w.until("the new ConfigMap", func() bool { return read() != first })
	w.put("map/..3/policy.yaml", files["map/..1/policy.yaml"])
	link("..3", "map/..data")
	w.until("the old one again", func() bool { return read() == first })
	if modTime(t, filepath.Join(dir, "a.tar")).Equal(at) {
		t.Error("the time is that of the first")
	}
	w.stop()
	if code := <-w.code; code != exitOK {
		t.Errorf("exit code %d", code)
	}
}

// TestWatchRefusedOnce: a refusal is said once, not whenever files are looked at.
func TestWatchRefusedOnce(t *testing.T) {
	dir := t.TempDir()
	putFiles(t, dir, watchFiles())
	for _, target := range [][]string{{"--all", "--out-dir", "DIR/out"}, {"--node", "a", "-o", "DIR/a.tar"}} {
		w := startWatch(t, dir, append([]string{"-i", "DIR/in"}, target...)...)
		w.put("in/policy.yaml", strings.Replace(fmt.Sprintf(watchPolicy, "10.0.0.0/9"), "{action: allow, to: [{cidr: 10.0.0.0/9}]}", "{action: deny, to: [{service: {name: nothing}}]}", 1))
		w.until("the refusal", func() bool { return strings.Contains(w.text(), "stay as they are") })
		for range 3 {
			w.put("in/pods/b.yaml", watchFiles()["in/pods/b.yaml"]) // wakes it
			time.Sleep(100 * time.Millisecond)
		}
		w.put("in/policy.yaml", fmt.Sprintf(watchPolicy, "10.0.0.0/9"))
		w.until("the good policy", func() bool { return strings.HasSuffix(w.text(), "ms\n") && strings.Contains(w.text(), "stay") })
		w.stop()
		<-w.code
		if n := strings.Count(w.text(), "would not hold"); n != 1 {
			t.Errorf("%v: said %d times", target, n)
		}
		putFiles(t, dir, watchFiles())
	}
}

// TestWatchMended: once inputs are what they were before an error, that is said,
// though no bundle is written then.
func TestWatchMended(t *testing.T) {
	good := fmt.Sprintf(watchPolicy, "10.0.0.0/8")
	for name, bad := range map[string]string{
		"invalid": fmt.Sprintf(watchPolicy, "none"),
		"refused": strings.Replace(good, "{action: allow, to: [{cidr: 10.0.0.0/8}]}", "{action: deny, to: [{service: {name: nothing}}]}", 1),
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			putFiles(t, dir, watchFiles())
			w := startWatch(t, dir, "-i", "DIR/in", "--all", "--out-dir", "DIR/out")
			w.put("in/policy.yaml", bad)
			w.until("the error", func() bool { return strings.Contains(w.text(), "stay as they are") })
			w.put("in/policy.yaml", good)
			w.until("the end of it", func() bool { return strings.HasSuffix(w.text(), "that is mended, and no bundle changes\n") })
			w.stop()
			<-w.code
		})
	}
}
