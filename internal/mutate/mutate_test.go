//go:build linux

package mutate

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/backends/ebpf"
	"github.com/trafficpolicy/trafficpolicy/backends/nftables"
	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/compiler/space"
	"github.com/trafficpolicy/trafficpolicy/internal/agree"
	"github.com/trafficpolicy/trafficpolicy/internal/netlab"
	"github.com/trafficpolicy/trafficpolicy/internal/synth"
	"github.com/trafficpolicy/trafficpolicy/model"
	"github.com/trafficpolicy/trafficpolicy/verify"
	"github.com/trafficpolicy/trafficpolicy/verify/simulate"
)

// How much is mutated: the corpus, and random policy sets, as many as
// TRAFFICPOLICY_MUTATE_SETS or these times TRAFFICPOLICY_SOAK; of each set some
// mutations of each kind. Where TRAFFICPOLICY_MUTATE_ALL=1 these are many more: all
// of the corpus.
const (
	randomSets   = 60
	ofRandom     = 12
	ofCorpus     = 250
	corpusPrefix = "corpus"
	allOfRandom  = 60
)

// sets yields the corpus with its cluster, for a node and for a pod, and random sets.
func sets(t *testing.T) iter.Seq2[string, *agree.Set] {
	return func(yield func(string, *agree.Set) bool) {
		for _, target := range []compiler.Target{{Node: "node-a"}, {Pod: "default/agent-pod"}} {
			if !yield(fmt.Sprintf(corpusPrefix+" %s%s", target.Node, target.Pod), corpus(t, target)) {
				return
			}
		}
		n := agree.Number(t, "TRAFFICPOLICY_MUTATE_SETS", randomSets*agree.Number(t, "TRAFFICPOLICY_SOAK", 1))
		for seed := uint64(agree.Number(t, "TRAFFICPOLICY_AGREE_SEED", 0)); n > 0; seed++ {
			s, err := agree.CaseOf(agree.Draw(seed)).Load(t.Context())
			if err == agree.ErrNothing {
				continue
			}
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if n--; !yield(fmt.Sprintf("seed %d", seed), s) {
				return
			}
		}
	}
}

// corpus compiles the guide's own examples.
func corpus(t *testing.T, target compiler.Target) *agree.Set {
	t.Helper()
	in, err := compiler.Load(t.Context(), compiler.LoadOptions{
		Policies:  []string{filepath.FromSlash("../../testdata/corpus")},
		Inventory: []string{filepath.FromSlash("../../testdata/cluster/small.yaml")},
	})
	if err != nil {
		t.Fatal(err)
	}
	o := compiler.Options{Resolve: map[string][]netip.Addr{
		"rds-xxx.aliyuncs.com": {netip.MustParseAddr("10.88.0.3")}, "api.aliyun.com": {netip.MustParseAddr("203.0.113.80"), netip.MustParseAddr("2001:db8::80")},
	}}
	s, err := agree.Compile(t.Context(), in, o, target)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// few passes on some of all mutations of a set.
func few[M any](t *testing.T, name string, r *rand.Rand, all iter.Seq[M]) iter.Seq[M] {
	n, whole := ofRandom, agree.Number(t, "TRAFFICPOLICY_MUTATE_ALL", 0) > 0
	switch {
	case strings.HasPrefix(name, corpusPrefix) && whole:
		return all
	case strings.HasPrefix(name, corpusPrefix):
		n = ofCorpus
	case whole:
		n = allOfRandom
	}
	list := slices.Collect(all)
	r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return slices.Values(list[:min(n, len(list))])
}

// reread returns what comes out when a bundle is written, with digests of what it
// holds now, and read again.
func reread(b *bundle.Bundle) (*bundle.Bundle, error) {
	var text bytes.Buffer
	if err := bundle.Write(&text, b.Manifest, b.Files); err != nil {
		return nil, err
	}
	return bundle.Read(&text)
}

// reading is what a verifier understands of a bundle.
func reading(b *bundle.Bundle) (*space.Reading, error) {
	if b.Manifest.Backend == bundle.NFTables {
		return nftables.Decode(b.Files, &b.Manifest)
	}
	return ebpf.DecodeBundle(b)
}

// ask has the verifier judge a bundle, as the verify command does.
func ask(ctx context.Context, p *compiler.Program, b *bundle.Bundle) (Outcome, string) {
	o, why := askPayload(ctx, p, b)
	if o != Accepted {
		return o, why
	}
	if m := &b.Manifest; m.Name != p.Target.Node+p.Target.Pod {
		return Refused, "for another target"
	} else if misfits := m.Misfits(p); len(misfits) > 0 {
		return Differs, misfits[0]
	}
	return Accepted, ""
}

// askPayload is ask but for what the manifest says of the policies.
func askPayload(ctx context.Context, p *compiler.Program, b *bundle.Bundle) (Outcome, string) {
	b, err := reread(b)
	if err != nil {
		return Refused, err.Error()
	}
	r, err := reading(b)
	if err != nil {
		return Refused, err.Error()
	}
	e, err := verify.Artifact(ctx, p, r, verify.EquivalenceOptions{Most: 1})
	switch {
	case err != nil:
		return Refused, err.Error()
	case !e.Equivalent && len(e.Differences) == 0:
		return Accepted, "" // says so and shows nothing: that does not count
	case !e.Equivalent:
		return Differs, e.Differences[0].Message
	}
	return Accepted, ""
}

// finish fails the test for every wrong answer.
func finish(t *testing.T, s *Score) {
	t.Helper()
	t.Logf("\n%s", s)
	for _, w := range s.Wrong {
		t.Error(w)
	}
	if total := s.Total(); total.Changed == 0 {
		t.Error("no mutation changed a decision")
	}
}

// TestPolicies: an artifact of other policies is told from one of these exactly
// where the walk over the source rules decides a packet otherwise.
func TestPolicies(t *testing.T) {
	score := &Score{}
	for name, s := range sets(t) {
		r := rand.New(rand.NewPCG(uint64(len(name)), 7))
		a, err := ebpf.Emit(s.Program)
		if err != nil {
			t.Fatal(err)
		}
		type change struct {
			what     string
			policies []*model.Policy
		}
		all := func(yield func(change) bool) {
			for what, policies := range Policies(s.Input.Policies) {
				if !yield(change{what, policies}) {
					return
				}
			}
		}
		for c := range few(t, name, r, all) {
			in := &compiler.Input{Policies: c.policies, Inventory: s.Input.Inventory}
			p, err := compiler.Compile(t.Context(), in, compiler.CompileOptions{Options: s.Options, Target: s.Program.Target, AllowUnresolved: true, AllowEmpty: true, SkipBroken: true})
			if err != nil {
				t.Fatalf("%s, %s: %v", name, c.what, err)
			}
			m := &Mutation{Class: "policies", What: name + ", " + c.what, Bundle: a}
			changed := sourceDiffers(s, in, p)
			m.Same = !changed
			o, why := askPayload(t.Context(), p, a)
			score.Add(m, o, changed, why)
		}
	}
	finish(t, score)
}

// sourceDiffers reports whether the policies of in decide a packet of a pod otherwise than those of
// s do, by trying one of every region that either has.
func sourceDiffers(s *agree.Set, in *compiler.Input, p *compiler.Program) bool {
	pods := func(p *compiler.Program) (out []string) {
		for _, pod := range p.Pods {
			out = append(out, pod.Ref)
		}
		return out
	}
	if !slices.Equal(pods(s.Program), pods(p)) {
		return true
	}
	names := map[string][]netip.Addr{}
	for _, n := range append(slices.Clone(s.Program.Names), p.Names...) {
		names[n.Name] = n.Addrs
	}
	both := append(slices.Clone(s.Input.Policies), in.Policies...)
	var addrs []netip.Addr
	for _, a := range synth.Addresses(in.Inventory, both, names) {
		addrs = append(addrs, a, a.Next(), a.Prev())
	}
	addrs = append(addrs, netip.IPv4Unspecified(), netip.IPv6Unspecified())
	slices.SortFunc(addrs, netip.Addr.Compare)
	addrs = slices.Compact(addrs)
	points := append(synth.Points(both), 0, model.L4UDP, model.L4SCTP, model.L4Last)
	o := s.Options
	o.Resolve = nil // names may have any address, as a node may learn it
	before, after := simulate.New(s.Input, o), simulate.New(in, o)
	type judged struct {
		x, y *simulate.Walk // pods of the same policies share them
		six  bool
	}
	done := map[judged]bool{}
	for _, pod := range in.Inventory.Pods {
		if !slices.Contains(pods(p), pod.Ref()) {
			continue
		}
		for _, d := range model.Directions {
			x := before.Walk(before.Select(pod.Namespace, pod.Labels), d)
			y := after.Walk(after.Select(pod.Namespace, pod.Labels), d)
			if key := (judged{x, y, len(pod.IPs) > 0 && pod.IPs[0].Is6()}); len(pod.IPs) == 1 && done[key] {
				continue
			} else {
				done[key] = true
			}
			for _, a := range addrs {
				if !a.IsValid() || !slices.ContainsFunc(pod.IPs, func(ip netip.Addr) bool { return ip.Is4() == a.Is4() }) {
					continue
				}
				for _, sets := range namesOf(names) {
					for _, at := range points {
						if decision(x.Decide(a, at, sets), x) != decision(y.Decide(a, at, sets), y) {
							return true
						}
					}
				}
			}
		}
	}
	return false
}

// decision is who decides, and how: a default deny is that of all who select the pod.
func decision(d simulate.Decision, w *simulate.Walk) string {
	switch d.Reason {
	case simulate.ByRule:
		return fmt.Sprint(d.Action, d.Rule)
	case simulate.DefaultDeny:
		var policies []string
		for _, p := range w.Policies {
			policies = append(policies, p.Ref())
		}
		return fmt.Sprint("default deny ", policies)
	}
	return "no policy"
}

// namesOf returns every choice of the names that may have an address.
func namesOf(names map[string][]netip.Addr) (out []func(model.Atom) bool) {
	list := slices.Sorted(maps.Keys(names))
	for bits := range 1 << len(list) {
		out = append(out, func(a model.Atom) bool {
			for i, name := range list {
				if a == model.Atom("fqdn "+name) {
					return bits>>i&1 == 1
				}
			}
			return false
		})
	}
	return out
}

// TestGraph: what the verifier accepts of a changed graph decides as before, in the
// kernel; tables and manifests are accepted as they are alone.
func TestGraph(t *testing.T) {
	if os.Geteuid() != 0 {
		netlab.Lacking(t, "needs root: it loads eBPF programs")
	}
	programs, err := agree.NewPrograms()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(programs.Close)
	score := &Score{}
	for name, s := range sets(t) {
		r := rand.New(rand.NewPCG(uint64(len(name)), 7))
		a := sealed(t, ebpf.Emit, s.Program)
		packets := s.Packets(r, 100)
		for m := range few(t, name, r, Graph(a, r)) {
			o, why := ask(t.Context(), s.Program, m.Bundle)
			score.Add(m, o, o == Differs || o == Accepted && otherwise(s, programs, m, packets), why)
		}
		for m := range few(t, name, r, Tables(a)) {
			o, why := ask(t.Context(), s.Program, m.Bundle)
			score.Add(m, o, o == Differs || o == Accepted && otherwise(s, programs, m, packets), why)
		}
		for m := range few(t, name, r, Manifests(a)) {
			o, why := ask(t.Context(), s.Program, m.Bundle)
			score.Add(m, o, !m.Same && !orderOnly(m), why)
		}
	}
	finish(t, score)
}

// TestScript: a change of a script that decides any packet otherwise is refused or
// shown with a packet, and one that means nothing is accepted.
func TestScript(t *testing.T) {
	score := &Score{}
	for name, s := range sets(t) {
		r := rand.New(rand.NewPCG(uint64(len(name)), 7))
		a := sealed(t, nftables.Emit, s.Program)
		if o, why := ask(t.Context(), s.Program, a); o != Accepted {
			t.Fatalf("%s: what was emitted was not accepted: %s", name, why)
		}
		list := scenarios(s, r, 60)
		want, err := decisions(a, list)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for m := range few(t, name, r, Scripts(a, r)) {
			got, err := decisions(m.Bundle, list)
			changed := err == nil && !slices.Equal(got, want) // the kernel takes it, and a packet fares otherwise
			o, why := ask(t.Context(), s.Program, m.Bundle)
			m.What = name + ", " + m.What
			if changed && o == Accepted {
				m.What += " (" + firstOther(list, want, got) + ")"
			}
			score.Add(m, o, changed, why)
		}
		for m := range few(t, name, r, Tables(a)) {
			o, why := ask(t.Context(), s.Program, m.Bundle)
			score.Add(m, o, !orderOnly(m), why)
		}
		for _, m := range SameScripts(a, r) {
			if got, err := decisions(m.Bundle, list); err != nil || !slices.Equal(got, want) {
				t.Errorf("%s: %s changes a decision: %v %s", name, m, err, firstOther(list, want, got))
			}
			o, why := ask(t.Context(), s.Program, m.Bundle)
			score.Add(m, o, false, why)
		}
	}
	finish(t, score)
}

// orderOnly reports whether a change of a table may mean nothing: another order of
// pods or addresses, or numbers that are for people: of a class, of elements.
func orderOnly(m *Mutation) bool {
	return strings.HasSuffix(m.What, "swapped with the next") || strings.Contains(m.What, ".Class is one") || strings.Contains(m.What, ".Counts.Elements")
}

// firstOther shows the first scenario that ends otherwise.
func firstOther(list []scenario, want, got []string) string {
	for i := range got {
		if got[i] != want[i] {
			return fmt.Sprintf("%v %s %+v: %q, was %q", list[i].hooks, list[i].chain, list[i].packet, got[i], want[i])
		}
	}
	return ""
}

// otherwise reports whether the programs decide one of the packets otherwise with a
// changed artifact, or take another address for the node's.
func otherwise(s *agree.Set, programs *agree.Programs, m *Mutation, packets []agree.Packet) bool {
	x, err := s.Compare([]agree.Reading{programs.Of(m.Bundle)}, packets)
	if x != nil || err != nil {
		m.What += fmt.Sprintf(" (%v %v)", x, err)
		return true
	}
	tables, err := ebpf.ReadTables(m.Bundle.File(ebpf.TablesFile))
	if err != nil {
		return true
	}
	governed := func(a netip.Addr) bool {
		return slices.ContainsFunc(s.Program.Pods, func(p compiler.ProgramPod) bool {
			return slices.ContainsFunc(p.Addrs, func(b netip.Addr) bool { return a.Is4() == b.Is4() })
		})
	}
	for _, pair := range [][2][]netip.Addr{{s.Program.NodeAddrs, tables.NodeAddrs}, {tables.NodeAddrs, s.Program.NodeAddrs}} {
		for _, a := range pair[0] {
			if governed(a) && !slices.Contains(pair[1], a) {
				return true
			}
		}
	}
	return false
}

// sealed returns an artifact with its manifest as it is written.
func sealed(t *testing.T, emit func(*compiler.Program) (*bundle.Bundle, error), p *compiler.Program) *bundle.Bundle {
	t.Helper()
	a, err := emit(p)
	if err != nil {
		t.Fatal(err)
	}
	if a.Manifest, err = a.Manifest.Seal(a.Files); err != nil {
		t.Fatal(err)
	}
	return a
}
