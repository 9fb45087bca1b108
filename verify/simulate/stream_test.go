package simulate

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// TestStreamOrder holds that answers come in the order of the flows, one each,
// across batches and with lines in between that cannot be read.
func TestStreamOrder(t *testing.T) {
	const n = 10*batchSize + 7
	var in bytes.Buffer
	in.WriteString("src,dst,port\n")
	for i := range n {
		if i%100 == 99 {
			in.WriteString("bad\n")
			continue
		}
		fmt.Fprintf(&in, "default/a,8.0.%d.%d,80\n", i/256, i%256)
	}
	var out bytes.Buffer
	s := New(world(allow(cidr("8.0.0.0/24"))), compiler.Options{})
	sum, err := s.Stream(context.Background(), &in, &out, nil)
	if err != nil {
		t.Fatal(err)
	}
	if want := (Summary{Flows: n, Unread: n / 100, Allowed: 254, Denied: n - n/100 - 254}); sum != want {
		t.Errorf("summary %+v, want %+v", sum, want)
	}
	sc := bufio.NewScanner(&out)
	for i := range n {
		var got struct {
			Dst  End
			Line int
		}
		if !sc.Scan() {
			t.Fatalf("output ends after %d of %d lines", i, n)
		}
		if err := json.Unmarshal(sc.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf("8.0.%d.%d", i/256, i%256)
		if i%100 == 99 {
			want = ""
		}
		if got.Dst.IP != want || (want == "") != (got.Line == i+2) {
			t.Fatalf("line %d answers %s", i+1, sc.Text())
		}
	}
}

// TestStreamAnswersAtOnce holds that a flow written to a pipe is answered before
// the next is written.
func TestStreamAnswersAtOnce(t *testing.T) {
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	done := make(chan error, 1)
	go func() {
		_, err := New(world(), compiler.Options{}).Stream(context.Background(), inR, outW, nil)
		outW.Close()
		done <- err
	}()
	out := bufio.NewScanner(outR)
	for i := range 3 {
		fmt.Fprintf(inW, `{"src":"default/a","dst":"8.8.8.%d","port":1}`+"\n", i)
		if !out.Scan() || !strings.Contains(out.Text(), fmt.Sprintf("8.8.8.%d", i)) {
			t.Fatalf("flow %d is answered by %q", i, out.Text())
		}
	}
	inW.Close()
	if err := <-done; err != nil || out.Scan() {
		t.Errorf("ends with error %v and %q", err, out.Text())
	}
}

// TestStreamEnds holds that a stream ends when it is told to or when its output
// fails, also while it waits for input that does not come.
func TestStreamEnds(t *testing.T) {
	s := New(world(), compiler.Options{})
	inR, inW := io.Pipe()
	defer inW.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if _, err := s.Stream(ctx, inR, io.Discard, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want the context's", err)
	}
	in := strings.NewReader("src,dst,port\n" + strings.Repeat("default/a,8.8.8.8,80\n", 3*batchSize))
	if _, err := s.Stream(context.Background(), in, failing{}, nil); !errors.Is(err, errFull) {
		t.Errorf("error %v, want that of the output", err)
	}
}

var errFull = errors.New("no space left")

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errFull }

// TestStreamMemory holds that a stream is not held in memory.
func TestStreamMemory(t *testing.T) {
	s := New(world(allow(cidr("8.0.0.0/8"))), compiler.Options{})
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, most := heap(), uint64(0)
	out := writerFunc(func(b []byte) (int, error) {
		if most == 0 { // once, in the midst: a collection takes long
			most = heap()
		}
		return len(b), nil
	})
	in := io.MultiReader(strings.NewReader("src,dst,port\n"), io.LimitReader(repeat("default/a,8.8.8.8,00080\n"), 24*50_000))
	sum, err := s.Stream(context.Background(), in, out, nil)
	if err != nil || sum.Allowed != 50_000 {
		t.Fatalf("%+v, %v", sum, err)
	}
	if grown := int64(most) - int64(before); grown > 32<<20 {
		t.Errorf("the heap grew by %d MiB", grown>>20)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// repeat is a line without end.
type repeat string

func (r repeat) Read(b []byte) (int, error) {
	n := 0
	for n+len(r) <= len(b) {
		n += copy(b[n:], r)
	}
	if n == 0 {
		return 0, io.ErrShortBuffer
	}
	return n, nil
}

// crowd is an input with a thousand pods under ten policies of ten rules each.
func crowd() *compiler.Input {
	in := &compiler.Input{Inventory: &model.Inventory{}, InventoryGiven: true}
	for i := range 10 {
		p := &model.Policy{Kind: model.TrafficPolicy, Namespace: "default", Name: fmt.Sprint("p", i), Priority: i + 1, Egress: &model.Section{}, Ingress: &model.Section{}}
		for j := range 10 {
			r := allow(model.Peer{CIDR: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i), byte(j), 0}), 24)})
			r.Ports = []model.Port{{Proto: model.TCP, First: 80, Last: 90}}
			p.Egress.Rules = append(p.Egress.Rules, r)
			p.Ingress.Rules = append(p.Ingress.Rules, r)
		}
		in.Policies = append(in.Policies, p)
	}
	for i := range 1000 {
		in.Inventory.Pods = append(in.Inventory.Pods, &model.Pod{
			Namespace: "default", Name: fmt.Sprint("pod", i), PodMeta: model.PodMeta{Enrolled: true},
			IPs: []netip.Addr{netip.AddrFrom4([4]byte{10, byte(i / 100), byte(i / 10 % 10), byte(i)})},
		})
	}
	return in
}

// BenchmarkJudge is one flow between two pods, both governed by a hundred rules.
func BenchmarkJudge(b *testing.B) {
	s := New(crowd(), compiler.Options{})
	for i := range b.N {
		f := Flow{Src: fmt.Sprint("default/pod", i%1000), Dst: fmt.Sprint("default/pod", (i*7)%1000), Port: 85, HasPort: true}
		if _, err := s.Judge(f); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkStream is the same from CSV to JSON.
func BenchmarkStream(b *testing.B) {
	s := New(crowd(), compiler.Options{})
	var in bytes.Buffer
	in.WriteString("src,dst,proto,port\n")
	for i := range b.N {
		fmt.Fprintf(&in, "default/pod%d,default/pod%d,tcp,85\n", i%1000, (i*7)%1000)
	}
	b.ResetTimer()
	if _, err := s.Stream(context.Background(), &in, io.Discard, nil); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "flows/s")
}

// TestDecideDoesNotAllocate holds the cheap call to its name.
func TestDecideDoesNotAllocate(t *testing.T) {
	in := crowd()
	s := New(in, compiler.Options{})
	a := netip.MustParseAddr("10.9.9.9")
	if n := testing.AllocsPerRun(100, func() { s.Decide(in.Inventory.Pods[0], model.Egress, a, model.L4Of(model.TCP, 85), nil) }); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}
