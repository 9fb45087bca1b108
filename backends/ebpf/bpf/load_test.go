//go:build linux

package bpf_test

import (
	"regexp"
	"strconv"
	"testing"
	"time"

	ciliumebpf "github.com/cilium/ebpf"

	"github.com/trafficpolicy/trafficpolicy/backends/ebpf/bpf"
)

// Bounds of what the verifier may cost. Kernels before 5.15 differ from newer ones
// by less than the room that is left to the limit of a million.
const (
	maxVerified     = 200_000 // instructions of one program
	maxVerification = 2 * time.Second
)

var processed = regexp.MustCompile(`processed (\d+) insns`)

// TestLoad: the verifier accepts every program, at a cost that leaves room.
func TestLoad(t *testing.T) {
	require(t)
	begin := time.Now()
	i, err := bpf.Load(bpf.Options{Programs: ciliumebpf.ProgramOptions{LogLevel: ciliumebpf.LogLevelStats}})
	if err != nil {
		t.Fatalf("%+v", err)
	}
	defer i.Close()
	took := time.Since(begin)
	for s := range bpf.Slots {
		m := processed.FindStringSubmatch(i.Program(s).VerifierLog)
		if m == nil {
			t.Fatalf("no count in the verifier's log: %s", i.Program(s).VerifierLog)
		}
		n, _ := strconv.Atoi(m[1])
		t.Logf("%s: %d instructions verified %s", i.Program(s), n, regexp.MustCompile("verification time.*").FindString(i.Program(s).VerifierLog))
		if n > maxVerified {
			t.Errorf("%s: the verifier looked at %d instructions, more than %d", i.Program(s), n, maxVerified)
		}
	}
	t.Logf("loaded in %v", took)
	if took > maxVerification {
		t.Errorf("loading took %v, more than %v", took, maxVerification)
	}
}
