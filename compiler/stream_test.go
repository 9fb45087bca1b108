package compiler

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// podDump is the output of kubectl get pods -o json for n pods, made while it is
// read. Each pod has some 6 KB, as in a real cluster.
type podDump struct {
	n, next int
	buf     strings.Reader
	total   int64
}

func (d *podDump) Read(b []byte) (int, error) {
	for d.buf.Len() == 0 {
		text, ok := d.part()
		if !ok {
			return 0, io.EOF
		}
		d.buf.Reset(text)
	}
	n, err := d.buf.Read(b)
	d.total += int64(n)
	return n, err
}

// part returns the head, the next pod or the tail.
func (d *podDump) part() (string, bool) {
	i := d.next
	d.next++
	switch {
	case i == 0:
		return "{\n    \"apiVersion\": \"v1\",\n    \"items\": [\n", true
	case i <= d.n:
		return dumpedPod(i, i == d.n), true
	case i == d.n+1:
		return "    ],\n    \"kind\": \"List\",\n    \"metadata\": {\"resourceVersion\": \"\"}\n}\n", true
	}
	return "", false
}

func dumpedPod(i int, last bool) string {
	comma := ","
	if last {
		comma = ""
	}
	env := strings.Repeat(`{"name": "SOME_VARIABLE", "value": "some value of the application"}, `, 30)
	fields := strings.Repeat(`"f:name": {"f:more": {}}, `, 60)
	return fmt.Sprintf(`        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "annotations": {"network.alibabacloud.com/enable-network-policy-agent": "true", "network.alibabacloud.com/network-policy-mode": "traffic-policy"},
                "creationTimestamp": "2026-01-01T00:00:00Z",
                "labels": {"app": "app-%d", "pod-template-hash": "%x", "tier": "web"},
                "managedFields": [{"apiVersion": "v1", "fieldsV1": {%s"f:end": {}}, "manager": "kube-controller-manager"}],
                "name": "app-%d-%x", "namespace": "team-%d", "uid": "00000000-0000-0000-0000-%012d"
            },
            "spec": {
                "containers": [{"env": [%s{"name": "END", "value": ""}], "image": "registry.example/app:1", "name": "app", "ports": [{"containerPort": 8080, "name": "http", "protocol": "TCP"}], "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}],
                "nodeName": "node-%d",
                "volumes": [{"name": "a", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}]
            },
            "status": {
                "conditions": [{"lastTransitionTime": "2026-01-01T00:00:00Z", "status": "True", "type": "Ready"}],
                "phase": "Running", "podIP": "10.%d.%d.%d", "podIPs": [{"ip": "10.%d.%d.%d"}]
            }
        }%s
`, i%500, i%500, fields, i%500, i, i%100, i, env, i%1000, i>>16, i>>8&255, i&255, i>>16, i>>8&255, i&255, comma)
}

// A dump is read as a stream: what is kept are the pods, some hundred bytes each.
// TRAFFICPOLICY_SOAK reads the 50,000 pods of a full cluster, 300 MB.
func TestStreamMemory(t *testing.T) {
	n := 5000
	if os.Getenv("TRAFFICPOLICY_SOAK") != "" {
		n = 50_000
	}
	dump := &podDump{n: n}
	var in *Input
	var err error
	peak := peakHeap(func() {
		in, err = Load(context.Background(), LoadOptions{Inventory: []string{"-"}, Stdin: dump})
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(in.Inventory.Pods) != n || len(in.Findings) > 0 {
		t.Fatalf("%d pods and %d findings, want %d and none", len(in.Inventory.Pods), len(in.Findings), n)
	}
	t.Logf("%d MB read, at most %d MB of heap", dump.total>>20, peak>>20)
	if limit := int64(24<<20) + int64(n)*1500; int64(peak) > limit {
		t.Errorf("%d MB of heap for a dump of %d MB, want at most %d MB", peak>>20, dump.total>>20, limit>>20)
	}
}

func BenchmarkStream(b *testing.B) {
	for b.Loop() {
		dump := &podDump{n: 1000}
		if _, err := Load(context.Background(), LoadOptions{Inventory: []string{"-"}, Stdin: dump}); err != nil {
			b.Fatal(err)
		}
		b.SetBytes(dump.total)
	}
}

// What the scanner reads, and where, does not depend on how much of the text it
// gets at a time; nodes that were taken back are as good as new.
func TestJSONBuffers(t *testing.T) {
	dump, err := io.ReadAll(&podDump{n: 3})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		string(dump),
		"{\"a\": \"\u00e4\U0001f600\\u00e4\\ud83d\\ude00\\n\", \n \"\u00e4\": [1, -0.5e+3, true,\r\n\tnull, {}, [], \"\"]}",
		`{"a": "` + strings.Repeat("x", 5000) + `", "b": "` + strings.Repeat("\u00e4", 40) + `", "c": {"d": [[[1]]]}}`,
	} {
		read := func(size int) *yaml.Node {
			s := newJSONScanner(bufio.NewReaderSize(strings.NewReader(text), size))
			for range 2 * arenaChunk { // used before, with content
				n := s.nodes.take()
				n.Value, n.Content = "old", append(n.Content, n)
			}
			s.nodes.release(0)
			n, err := s.value()
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		want := placesOf(read(1 << 20))
		for _, size := range []int{16, 17, 100, 4096} {
			if got := placesOf(read(size)); got != want {
				t.Fatalf("with a buffer of %d bytes:\n%s\nwant\n%s", size, got, want)
			}
		}
		if !strings.HasPrefix(want, "1:1 !!map \"\"\n") || strings.Contains(want, "old") {
			t.Errorf("read %.200s", want)
		}
	}
}

// placesOf lists nodes with where they stand.
func placesOf(n *yaml.Node) string {
	var b strings.Builder
	var walk func(n *yaml.Node)
	walk = func(n *yaml.Node) {
		fmt.Fprintf(&b, "%d:%d %s %q\n", n.Line, n.Column, n.Tag, n.Value)
		for _, c := range n.Content {
			walk(c)
		}
	}
	walk(n)
	return b.String()
}
