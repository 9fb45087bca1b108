package compiler

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// Hostile input ends in a clear error, within seconds and maxHostileHeap.
const (
	maxHostileTime = time.Minute // no benchmark: what is quadratic takes far longer, a busy machine or the race detector does not
	maxHostileHeap = 512 << 20
)

const policyHead = "apiVersion: network.alibabacloud.com/v1alpha1\nkind: TrafficPolicy\nmetadata: {name: a}\n"

func TestHostile(t *testing.T) {
	large := maxDocument + maxDocument/4
	if os.Getenv("TRAFFICPOLICY_SOAK") != "" {
		large = 100 << 20
	}
	nested := func(open, inner, end string, n int) string {
		return strings.Repeat(open, n) + inner + strings.Repeat(end, n)
	}
	bomb := func() string {
		var b strings.Builder
		b.WriteString(policyHead + "x-a: &a0 [{cidr: 10.0.0.0/8}]\n")
		for i := 1; i < 40; i++ {
			fmt.Fprintf(&b, "x%d: &a%d [%s]\n", i, i, strings.Repeat(fmt.Sprintf("*a%d,", i-1), 10))
		}
		return b.String() + "spec: {priority: 1, selector: {}, egress: {rules: [{action: deny, to: *a39}]}}\n"
	}
	wideBomb := func() string { // peers times rules, which the schema allows
		return policyHead + "spec:\n  priority: 1\n  selector: {}\n  egress:\n    rules:\n" +
			"    - &r {action: deny, to: [&p {cidr: 10.0.0.0/8}" + strings.Repeat(",*p", 10000) + "]}\n" +
			strings.Repeat("    - *r\n", 10000)
	}
	listBomb := func() string {
		return "apiVersion: v1\nkind: List\nitems:\n- &a {apiVersion: v1, kind: Pod, metadata: {name: p}}\n- &l0 {apiVersion: v1, kind: List, items: [" +
			strings.Repeat("*a,", 1000) + "]}\n- {apiVersion: v1, kind: List, items: [" + strings.Repeat("*l0,", 10000) + "]}\n"
	}
	mergeBomb := func() string {
		var b strings.Builder
		b.WriteString(policyHead + "spec:\n  priority: 1\n  selector:\n    matchLabels:\n")
		b.WriteString("      a0: &a0 {k: v}\n")
		for i := 1; i < 30; i++ {
			fmt.Fprintf(&b, "      a%d: &a%d {<<: [%s]}\n", i, i, strings.Repeat(fmt.Sprintf("*a%d,", i-1), 10))
		}
		return b.String() + "      <<: *a29\n"
	}
	tests := []struct {
		name, ext string
		text      func() string
		want      string // in the message of a finding with code TP001
	}{
		{"alias bomb", "yaml", bomb, ""},
		{"alias bomb of peers", "yaml", wideBomb, "aliases make this document larger"},
		{"alias bomb of lists", "yaml", listBomb, "aliases make this document larger"},
		{"alias bomb of merges", "yaml", mergeBomb, "aliases make this document larger"},
		{"alias of itself", "yaml", func() string { return policyHead + "spec: &s {selector: *s, priority: 1}\n" }, ""},
		{"merge of itself", "yaml", func() string { return policyHead + "spec: &s {selector: {}, <<: *s}\n" }, "merge keys nest deeper"},
		{"list in itself", "yaml", func() string { return "&l\napiVersion: v1\nkind: List\nitems: [*l, *l]\n" }, ""},
		{"large: one document", "yaml", func() string {
			return policyHead + strings.Repeat("# 0123456789 0123456789 0123456789\nx: y\n", large/40)
		}, "larger than"},
		{"large: one line", "yaml", func() string { return policyHead + "x: " + strings.Repeat("x", large) }, "larger than"},
		{"large: a string", "json", func() string { return `{"apiVersion": "` + strings.Repeat("x", large) + `"}` }, "larger than"},
		{"large: one object", "json", func() string {
			return `{"apiVersion": "network.alibabacloud.com/v1alpha1", "kind": "TrafficPolicy", "spec": [` + strings.Repeat(`{"a":1},`, large/8) + `1]}`
		}, "more than"},
		{"large: items without kind", "json", func() string {
			return `{"items": [` + strings.Repeat(`{"metadata":{"name":"a"}},`, 5<<20/25) + `{}], "kind": "PodList"}`
		}, "items without kind"},
		{"values", "yaml", func() string { return policyHead + "spec: [" + strings.Repeat("a,", 7<<20) + "]" }, "more than"},
		{"values with colons", "yaml", func() string { return policyHead + "spec: {" + strings.Repeat("a:,", 5<<20) + "}" }, "more than"},
		{"dashes", "yaml", func() string { return policyHead + "spec:\n" + strings.Repeat("-\n", 7<<20) }, "more than"},
		{"values below the limit", "yaml", func() string { return policyHead + "spec: [" + strings.Repeat("a,", maxValues/2-1000) + "]" }, ""},
		{"depth of flow lists", "yaml", func() string { return policyHead + "spec: " + nested("[", "", "]", 10000) }, "deep"},
		{"depth of flow mappings", "yaml", func() string { return policyHead + "spec: " + nested("{a: ", "1", "}", 10000) }, "deep"},
		{"depth of dashes", "yaml", func() string { return policyHead + "spec:\n" + nested("- ", "a", "", 10000) }, "deep"},
		{"depth of blocks", "yaml", func() string {
			var b strings.Builder
			for i := range 3000 {
				b.WriteString(strings.Repeat(" ", i) + "a:\n")
			}
			return b.String()
		}, "deep"},
		{"depth of JSON", "json", func() string { return `{"spec": ` + nested("[", "", "]", 10000) + "}" }, "deeper"},
		{"depth of JSON objects", "json", func() string { return `{"spec": ` + nested(`{"a":`, "1", "}", 10000) + "}" }, "deeper"},
		{"depth of JSON without end", "json", func() string { return `{"spec": ` + strings.Repeat("[", 10<<20) }, "deeper"},
		{"depth of lists in JSON", "json", func() string { return nested(`{"kind":"List","items":[`, "", "]}", 10000) }, "deeper"},
		{"invalid UTF-8", "yaml", func() string { return policyHead + "spec: \"\xff\"\n" }, "byte 0xff is not UTF-8"},
		{"invalid UTF-8 in JSON", "json", func() string { return "{\"kind\": \"\xc3\"}" }, "not UTF-8"},
		{"NUL", "yaml", func() string { return policyHead + "spec: \x00\n" }, "NUL byte"},
		{"NUL in JSON", "json", func() string { return "{\"kind\": \"\x00\"}" }, "control character U+0000"},
		{"UTF-16 LE", "yaml", func() string { return "\xff\xfek\x00i\x00n\x00d\x00" }, "UTF-16"},
		{"UTF-16 BE", "json", func() string { return "\xfe\xff\x00{" }, "UTF-16"},
		{"UTF-16 without mark", "yaml", func() string { return "k\x00i\x00n\x00d\x00:\x00" }, "NUL byte"},
		{"many comments", "yaml", func() string { return strings.Repeat("#\n", 7<<20) + policyHead }, ""},
		{"many documents", "yaml", func() string { return strings.Repeat("---\n", 3<<20) }, ""},
		{"many quotes", "yaml", func() string { return policyHead + "spec: " + strings.Repeat(`"`, 10<<20) }, "not YAML"},
		{"many questions", "yaml", func() string { return policyHead + "spec:\n" + strings.Repeat("? ", 500000) }, ""},
		{"many braces", "yaml", func() string { return policyHead + "spec: " + strings.Repeat("{", 1<<20) }, "depth"},
		{"many keys", "yaml", func() string {
			var b strings.Builder
			b.WriteString(policyHead + "spec:\n")
			for i := range 300000 {
				fmt.Fprintf(&b, "  k%d: v\n", i)
			}
			return b.String()
		}, ""},
		{"many labels", "json", func() string {
			var b strings.Builder
			b.WriteString(`{"apiVersion": "network.alibabacloud.com/v1alpha1", "kind": "TrafficPolicy", "metadata": {"name": "a"}, "spec": {"selector": {"matchLabels": {`)
			for i := range 300000 {
				fmt.Fprintf(&b, `"k%d": "v",`, i)
			}
			return b.String() + `"k": "v"}}}}`
		}, ""},
		{"tabs", "yaml", func() string { return strings.Repeat("\t", 10<<20) + "a: b" }, ""},
		{"one scalar of many lines", "yaml", func() string { return policyHead + "spec: a\n" + strings.Repeat(" b\n", 3<<20) }, ""},
		{"block scalar", "yaml", func() string { return policyHead + "spec: |\n" + strings.Repeat(" b\n", 3<<20) }, ""},
		{"anchors", "yaml", func() string {
			var b strings.Builder
			b.WriteString(policyHead + "spec: [")
			for i := range 300000 {
				fmt.Fprintf(&b, "&a%d x,", i)
			}
			return b.String() + "]"
		}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "in."+tt.ext)
			if err := os.WriteFile(file, []byte(tt.text()), 0o666); err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			var in *Input
			var err error
			peak := peakHeap(func() { in, err = Load(context.Background(), LoadOptions{Policies: []string{file}}) })
			if err != nil {
				t.Fatal(err)
			}
			took := time.Since(start)
			t.Logf("%v, %d MB, %d findings", took.Round(time.Millisecond), peak>>20, len(in.Findings))
			if took > maxHostileTime || peak > maxHostileHeap {
				t.Errorf("took %v and %d MB of heap, want at most %v and %d MB", took, peak>>20, maxHostileTime, maxHostileHeap>>20)
			}
			found := false
			for _, f := range in.Findings {
				found = found || f.Code == model.ParseError && strings.Contains(f.Message, tt.want)
			}
			if tt.want != "" && !found {
				t.Errorf("no finding TP001 with %q among %d, the first: %.300v", tt.want, len(in.Findings), in.Findings[:min(1, len(in.Findings))])
			}
		})
	}
}

// peakHeap runs f and returns the most heap that was in use, garbage included.
func peakHeap(f func()) uint64 {
	runtime.GC()
	debug.FreeOSMemory()
	done, stopped := make(chan struct{}), make(chan uint64)
	go func() {
		var peak uint64
		var m runtime.MemStats
		for {
			runtime.ReadMemStats(&m)
			peak = max(peak, m.HeapAlloc)
			select {
			case <-done:
				stopped <- peak
				return
			case <-time.After(2 * time.Millisecond):
			}
		}
	}()
	f()
	close(done)
	return <-stopped
}
