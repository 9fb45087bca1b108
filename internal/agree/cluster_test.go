package agree

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/yaml"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/backends/ebpf"
	"github.com/trafficpolicy/trafficpolicy/backends/nftables"
	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/internal/synth"
)

var backends = map[string]func(*compiler.Program) (*bundle.Bundle, error){"nftables": nftables.Emit, "ebpf": ebpf.Emit}

var lenient = compiler.CompileOptions{AllowUnresolved: true, AllowEmpty: true, SkipBroken: true}

// artifact returns the bytes of the bundle of one target, or why there is none.
func artifact(c *compiler.Compiler, t compiler.Target, emit func(*compiler.Program) (*bundle.Bundle, error)) string {
	p, err := c.Compile(context.Background(), t)
	if refusal := (*compiler.Refusal)(nil); errors.As(err, &refusal) {
		return "refused: " + refusal.Error()
	}
	if err != nil {
		return "error: " + err.Error()
	}
	return written(p, emit) + strings.Join(p.Warnings, "\n")
}

func written(p *compiler.Program, emit func(*compiler.Program) (*bundle.Bundle, error)) string {
	a, err := emit(p)
	if err != nil {
		return "error: " + err.Error()
	}
	var b bytes.Buffer
	if err := bundle.Write(&b, a.Manifest, a.Files); err != nil {
		return "error: " + err.Error()
	}
	return b.String()
}

// TestWholeCluster compiles clusters as a whole, several nodes at once with what
// classes share kept between them, and holds that each bundle is what it is where
// its node or pod is compiled alone; and that a pod is judged by the same lists
// alone as on its node.
func TestWholeCluster(t *testing.T) {
	for seed := range uint64(30 * soak(t)) {
		c := synth.Small(seed)
		if seed%3 == 2 {
			c = synth.Dense(seed)
		}
		m, _ := modeOf(c)
		m.inventory = true
		in, err := load(c, m)
		if err != nil {
			t.Fatal(err)
		}
		o := lenient
		o.Options = m.options
		whole := compiler.NewCompiler(in, o)
		var targets []compiler.Target
		for _, n := range whole.Nodes() {
			targets = append(targets, compiler.Target{Node: n})
		}
		for _, p := range in.Inventory.Pods {
			targets = append(targets, compiler.Target{Pod: p.Ref()})
		}
		for name, emit := range backends {
			got := make([]string, len(targets))
			var group errgroup.Group
			for i, target := range targets {
				group.Go(func() error {
					got[i] = artifact(whole, target, emit)
					return nil
				})
			}
			group.Wait()
			for i, target := range targets {
				if alone := artifact(compiler.NewCompiler(in, o), target, emit); got[i] != alone {
					t.Fatalf("seed %d: %s of %v differs where it is compiled alone", seed, name, target)
				}
			}
		}
		if err := sameLists(whole); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

// sameLists compares the nftables lists of each pod with those of its class on its node.
func sameLists(c *compiler.Compiler) error {
	for _, node := range c.Nodes() {
		p, err := c.Compile(context.Background(), compiler.Target{Node: node})
		if err != nil {
			continue // addresses that two pods claim
		}
		of := newScript(p)
		for _, pod := range p.Pods {
			q, err := c.Compile(context.Background(), compiler.Target{Pod: pod.Ref})
			if err != nil {
				return fmt.Errorf("%s: %w", pod.Ref, err)
			}
			alone := newScript(q)
			for _, chain := range []string{"from4", "from6", "to4", "to6"} {
				want := of.lists(fmt.Sprintf("%s_%d", chain, pod.Class))
				if got := alone.lists(chain + "_0"); len(want) != 2 || !slices.Equal(got, want) {
					return fmt.Errorf("%s on %s: %s has lists %q, alone %q", pod.Ref, node, chain, want, got)
				}
			}
		}
	}
	return nil
}

// script is what objects.nft says of each object of the generation.
type script map[string][]string // by name without the tag

var (
	command = regexp.MustCompile(`^add (?:rule|element) inet trafficpolicy tp_[0-9a-f]{12}_(\S+) (.*)$`)
	object  = regexp.MustCompile(`tp_[0-9a-f]{12}_([a-z0-9_]+)`)
	judging = regexp.MustCompile(`^(list|map|ports|raw|port|r|d)[a-z0-9]*_`) // objects that lists are made of
)

func newScript(p *compiler.Program) script {
	a, err := nftables.Emit(p)
	if err != nil {
		panic(err)
	}
	s := script{}
	for line := range strings.Lines(string(a.File(nftables.ObjectsFile))) {
		if m := command.FindStringSubmatch(strings.TrimSpace(line)); m != nil {
			s[m[1]] = append(s[m[1]], m[2])
		}
	}
	return s
}

// lists returns digests of the lists that a chain goes to.
func (s script) lists(chain string) []string {
	var out []string
	for _, line := range s[chain] {
		for _, m := range object.FindAllStringSubmatch(line, -1) {
			if strings.HasPrefix(m[1], "list_") {
				out = append(out, s.digest(m[1]))
			}
		}
	}
	return out
}

// digest stands for all that an object says, with what it leads to.
func (s script) digest(name string) string {
	h := sha256.New()
	for _, line := range s[name] {
		fmt.Fprintln(h, object.ReplaceAllStringFunc(line, func(full string) string {
			ref := object.FindStringSubmatch(full)[1]
			if judging.MatchString(ref) {
				return s.digest(ref)
			}
			return ref
		}))
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:8])
}

// TestUpdateIsFromScratch changes files of a cluster at random, and holds that
// bundles of a Compiler that was updated are those of a new one, and that those of
// nodes which the update says it does not touch are what they were.
func TestUpdateIsFromScratch(t *testing.T) {
	for seed := range uint64(10 * soak(t)) {
		w := newWorld(t, seed)
		var c *compiler.Compiler
		was := map[string]string{}
		for step := range 20 {
			if step > 0 {
				w.edit(step)
			}
			in, changed, err := w.cache.Load(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			w.checkInput(in)
			touched := &compiler.Touched{All: true}
			switch {
			case c == nil:
				c = compiler.NewCompiler(in, lenient)
			case changed:
				c, touched = c.Update(in)
			default:
				touched = &compiler.Touched{}
			}
			w.check(c, touched, was)
			if t.Failed() {
				t.Fatalf("seed %d, step %d: %v", seed, step, w.did)
			}
		}
	}
}

// world is a directory of files whose objects change.
type world struct {
	t       *testing.T
	rng     *rand.Rand
	dir     string
	pool    map[string][]string // texts that an object can have, by kind, namespace and name
	now     map[string][]string // objects of each file, as keys
	text    map[string]string   // of each object that is there
	cache   *compiler.InputCache
	options compiler.LoadOptions
	did     []string
}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{t: t, rng: rand.New(rand.NewPCG(seed, 0x77)), dir: t.TempDir(), pool: map[string][]string{}, now: map[string][]string{}, text: map[string]string{}}
	for i := range uint64(6) {
		c := synth.Small(100*seed + i)
		for doc := range strings.SplitSeq(c.PolicyYAML()+c.InventoryYAML(), "---\n") {
			if doc == "" {
				continue
			}
			var o struct {
				Kind     string
				Metadata struct{ Namespace, Name string }
			}
			if err := yaml.Unmarshal([]byte(doc), &o); err != nil {
				t.Fatal(err)
			}
			key := o.Kind + "/" + o.Metadata.Namespace + "/" + o.Metadata.Name
			w.pool[key] = append(w.pool[key], doc)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(w.pool)) {
		if w.rng.IntN(3) > 0 {
			w.set(key)
		}
	}
	for file := range w.now {
		w.write(file)
	}
	w.options = compiler.LoadOptions{Inventory: []string{w.dir}}
	cache, err := compiler.NewInputCache(w.options)
	if err != nil {
		t.Fatal(err)
	}
	w.cache = cache
	return w
}

// file returns the file of an object: some have many, some have one.
func (w *world) file(key string) string {
	sum := sha256.Sum256([]byte(key))
	return fmt.Sprintf("f%02d.yaml", sum[0]%12)
}

func (w *world) set(key string) {
	texts := w.pool[key]
	w.text[key] = texts[w.rng.IntN(len(texts))]
	if f := w.file(key); !slices.Contains(w.now[f], key) {
		w.now[f] = append(w.now[f], key)
	}
}

func (w *world) write(file string) {
	path := filepath.Join(w.dir, file)
	if len(w.now[file]) == 0 {
		if err := os.Remove(path); err != nil {
			w.t.Fatal(err)
		}
		delete(w.now, file)
		return
	}
	var b strings.Builder
	for range w.rng.IntN(3) {
		b.WriteString("# moves what follows\n")
	}
	for _, key := range w.now[file] {
		b.WriteString("---\n" + w.text[key])
	}
	if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

// edit changes, adds, removes or breaks some objects, mostly one; or writes the same again.
func (w *world) edit(step int) {
	keys := slices.Sorted(maps.Keys(w.pool))
	n := 1
	if w.rng.IntN(4) == 0 {
		n = 1 + w.rng.IntN(5)
	}
	for range n {
		key := keys[w.rng.IntN(len(keys))]
		f := w.file(key)
		switch _, there := w.text[key]; {
		case there && w.rng.IntN(3) == 0:
			w.did = append(w.did, fmt.Sprintf("%d: remove %s", step, key))
			delete(w.text, key)
			w.now[f] = slices.DeleteFunc(w.now[f], func(k string) bool { return k == key })
		case w.rng.IntN(20) == 0 && strings.HasPrefix(key, "Pod/"):
			w.did = append(w.did, fmt.Sprintf("%d: break %s", step, key))
			w.set(key)
			w.text[key] = strings.Replace(w.text[key], "status:", "status:\n  podIP: none", 1)
		default:
			w.did = append(w.did, fmt.Sprintf("%d: set %s", step, key))
			w.set(key)
		}
		w.write(f)
	}
}

// checkInput compares what the cache has read with what is read anew.
func (w *world) checkInput(in *compiler.Input) {
	want, err := compiler.Load(w.t.Context(), w.options)
	if err != nil {
		w.t.Fatal(err)
	}
	if diff := cmp.Diff(want.Findings, in.Findings); diff != "" {
		w.t.Errorf("findings: %s", diff)
	}
	if len(in.Policies) != len(want.Policies) || in.Files != want.Files || !maps.Equal(in.Skipped, want.Skipped) {
		w.t.Errorf("%d policies of %d files, want %d of %d", len(in.Policies), in.Files, len(want.Policies), want.Files)
	}
	if diff := cmp.Diff(want.Inventory.Broken, in.Inventory.Broken); diff != "" {
		w.t.Errorf("broken: %s", diff)
	}
}

// check compares c with a new Compiler, and with what was before.
func (w *world) check(c *compiler.Compiler, touched *compiler.Touched, was map[string]string) {
	in, err := compiler.Load(w.t.Context(), w.options)
	if err != nil {
		w.t.Fatal(err)
	}
	fresh := compiler.NewCompiler(in, lenient)
	if !slices.Equal(c.Nodes(), fresh.Nodes()) {
		w.t.Errorf("nodes %v, want %v", c.Nodes(), fresh.Nodes())
		return
	}
	targets := []compiler.Target{}
	for _, n := range fresh.Nodes() {
		targets = append(targets, compiler.Target{Node: n})
	}
	for _, p := range in.Inventory.Pods {
		targets = append(targets, compiler.Target{Pod: p.Ref()})
	}
	for name, emit := range backends {
		for _, target := range targets {
			got, want := artifact(c, target, emit), artifact(fresh, target, emit)
			if got != want {
				w.t.Errorf("%s of %v is not what it is from scratch", name, target)
			}
			key := name + target.Node
			if target.Node == "" {
				continue
			}
			if before, ok := was[key]; ok && !touched.Node(target.Node) && bundleOf(before) != bundleOf(got) {
				w.t.Errorf("%s of node %q changed, which the update does not say", name, target.Node)
			}
			was[key] = got
		}
	}
}

// bundleOf cuts off warnings, whose positions change with any line.
func bundleOf(artifact string) string {
	if i := strings.LastIndexByte(artifact, 0); i >= 0 {
		return artifact[:i+1]
	}
	return artifact
}
