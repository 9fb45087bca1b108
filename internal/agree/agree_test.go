package agree

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// Sizes of TestAgree. The number of sets is that of TRAFFICPOLICY_AGREE_SETS, or
// this times TRAFFICPOLICY_SOAK.
const (
	agreeSets    = 2000
	agreePackets = 200
)

// kept is where cases are kept that readings disagreed about once.
const kept = "../../testdata/agree"

// TestAgree draws policy sets and packets and asks every reading about each. What
// they disagree about is shrunk and kept.
func TestAgree(t *testing.T) {
	readings := allReadings(t)
	ctx := t.Context()
	sets, begin := 0, time.Now()
	want := Number(t, "TRAFFICPOLICY_AGREE_SETS", agreeSets*soak(t))
	for seed := uint64(Number(t, "TRAFFICPOLICY_AGREE_SEED", 0)); sets < want; seed++ {
		c := Draw(seed)
		n, m, err := Check(ctx, c, readings, agreePackets)
		if err != nil {
			t.Fatalf("seed %d: %v\n%s%s", seed, err, c.PolicyYAML(), c.InventoryYAML())
		}
		if m != nil {
			small, m := Smallest(ctx, c, readings, agreePackets, m)
			path, err := m.Keep(small).Write(kept, fmt.Sprintf("seed-%d", seed))
			t.Fatalf("seed %d: %v\nkept as %s (%v)", seed, m, path, err)
		}
		if n > 0 {
			sets++
		}
	}
	t.Logf("%d policy sets, %d packets each, %d readings: %.0f sets a minute",
		sets, agreePackets, 1+len(readings), float64(sets)/time.Since(begin).Minutes())
}

// TestKept judges again what was disagreed about.
func TestKept(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join(kept, "*.txtar"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no case is kept in %s: %v", kept, err)
	}
	readings := allReadings(t)
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			k, err := Read(path)
			if err != nil {
				t.Fatal(err)
			}
			s, err := k.Load(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			m, err := s.Compare(readings, k.Packets)
			if err != nil {
				t.Fatal(err)
			}
			if m != nil {
				t.Error(m)
			}
		})
	}
}

// TestDisagreement: a reading that gets one port wrong is found out, and what is
// kept of it is small, is read back as it was written, and shows it again.
func TestDisagreement(t *testing.T) {
	wrong := Reading{"a wrong reading", func(s *Set) (Judge, error) {
		judge, err := readSpace(s)
		return func(p Packet) (Verdict, error) {
			if p.L4 == model.L4Of(model.TCP, 443) {
				return Verdict{Action: model.Reject}, nil
			}
			return judge(p)
		}, err
	}}
	ctx := context.Background()
	for seed := uint64(0); ; seed++ {
		c := Draw(seed)
		_, m, err := Check(ctx, c, []Reading{wrong}, agreePackets)
		if err != nil {
			t.Fatal(err)
		}
		if m == nil {
			continue
		}
		small, m := Smallest(ctx, c, []Reading{wrong}, agreePackets, m)
		if n := len(small.Policies); n > 1 {
			t.Errorf("%d policies are left, want 1", n)
		}
		want := m.Keep(small)
		path, err := want.Write(t.TempDir(), "case")
		if err != nil {
			t.Fatal(err)
		}
		got, err := Read(path)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); d != "" {
			t.Errorf("read back otherwise (-written +read):\n%s", d)
		}
		s, err := got.Load(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := s.Compare([]Reading{wrong}, got.Packets); err != nil || again == nil {
			t.Errorf("the kept case shows nothing: %v", err)
		}
		return
	}
}
