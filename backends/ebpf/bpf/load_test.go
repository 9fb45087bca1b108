//go:build linux

package bpf_test

import (
	"regexp"
	"strconv"
	"strings"
	"testing"

	ciliumebpf "github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/trafficpolicy/trafficpolicy/backends/ebpf/bpf"
)

// maxVerified is how many instructions the verifier may look at in one program, of a
// million that it would: what older kernels recognise as seen before differs a little.
const maxVerified = 200_000

// lastHelper is the number of the last helper that Linux 5.15 has, bpf_task_pt_regs
// (include/uapi/linux/bpf.h at v5.15).
const lastHelper = 175

var (
	processed = regexp.MustCompile(`processed (\d+) insns`)
	took      = regexp.MustCompile(`verification time (\d+) usec`)
	depths    = regexp.MustCompile(`stack depth ([0-9+]+)`)
)

// TestLoad: the verifier accepts every program, at a cost that leaves room, and with a
// stack that older kernels accept too.
func TestLoad(t *testing.T) {
	require(t)
	spec, err := bpf.Spec(bpf.Options{})
	if err != nil {
		t.Fatal(err)
	}
	i, err := bpf.Load(bpf.Options{Programs: ciliumebpf.ProgramOptions{LogLevel: ciliumebpf.LogLevelStats}})
	if err != nil {
		t.Fatalf("%+v", err)
	}
	defer i.Close()
	for s, name := range map[bpf.Slot]string{
		bpf.SlotFromEther: "tp_from_ether", bpf.SlotToEther: "tp_to_ether", bpf.SlotFromIP: "tp_from_ip", bpf.SlotToIP: "tp_to_ip",
	} {
		log := i.Program(s).VerifierLog
		m, d := processed.FindStringSubmatch(log), depths.FindStringSubmatch(log)
		if m == nil || d == nil {
			t.Fatalf("%s: no figures in the verifier's log: %s", name, log)
		}
		t.Logf("%s: %s instructions verified (%s)", name, m[1], took.FindString(log))
		if n, _ := strconv.Atoi(m[1]); n > maxVerified {
			t.Errorf("%s: the verifier looked at %d instructions, more than %d", name, n, maxVerified)
		}
		for _, in := range spec.Programs[name].Instructions {
			if in.IsBuiltinCall() && in.Constant > lastHelper {
				t.Errorf("%s: helper %d is newer than Linux 5.15", name, in.Constant)
			}
		}
		f := frames(t, spec.Programs[name].Instructions, strings.Split(d[1], "+"))
		n, path := f.deepest(name)
		t.Logf("%s: %d bytes of stack, %v", name, n, path)
		if n > maxStack {
			t.Errorf("%s: %d bytes of stack on kernels before 6.11, more than %d: %v", name, n, maxStack, path)
		}
	}
}

// Before 6.11 the verifier rounds each frame up to 32 bytes (check_max_stack_depth in
// kernel/bpf/verifier.c), now to 16 where programs are compiled.
const (
	maxStack    = 512
	roundFrames = 32
)

// function is what one function of a program needs.
type function struct {
	frame int // bytes
	calls []string
}

type functions map[string]*function

// frames reads the functions of a program, whose frames the verifier gives in their
// order.
func frames(t *testing.T, insns asm.Instructions, sizes []string) functions {
	t.Helper()
	fs := functions{}
	var f *function
	for _, in := range insns {
		if name := in.Symbol(); name != "" {
			if len(fs) == len(sizes) {
				t.Fatalf("function %s has no frame in %v", name, sizes)
			}
			size, err := strconv.Atoi(sizes[len(fs)])
			if err != nil {
				t.Fatal(err)
			}
			f = &function{frame: max((size+roundFrames-1)/roundFrames*roundFrames, roundFrames)}
			fs[name] = f
		}
		if in.IsFunctionCall() {
			f.calls = append(f.calls, in.Reference())
		}
	}
	if len(fs) != len(sizes) {
		t.Fatalf("%d functions, %d frames", len(fs), len(sizes))
	}
	return fs
}

// deepest returns the most stack that calls below a function take, and the calls.
func (fs functions) deepest(name string) (n int, path []string) {
	for _, call := range fs[name].calls {
		if m, p := fs.deepest(call); m > n {
			n, path = m, p
		}
	}
	return n + fs[name].frame, append([]string{name}, path...)
}
