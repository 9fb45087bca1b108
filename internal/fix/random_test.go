package fix

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/internal/synth"
	"github.com/trafficpolicy/trafficpolicy/model"
	"github.com/trafficpolicy/trafficpolicy/verify"
	"github.com/trafficpolicy/trafficpolicy/verify/oracle"
)

func soakFactor(t *testing.T) int {
	s := os.Getenv("TRAFFICPOLICY_SOAK")
	n, err := strconv.Atoi(s)
	if err != nil && s != "" {
		t.Fatalf("TRAFFICPOLICY_SOAK: %v", err)
	}
	return max(n, 1)
}

// TestRandom fixes random policies, written in random styles, and holds with the
// oracle that no packet of any pod has another verdict, that nothing dead is
// left, and that nothing but what was removed is gone from the texts.
func TestRandom(t *testing.T) {
	removed := 0
	for seed := range uint64(300 * soakFactor(t)) {
		c := synth.Dense(seed)
		n, err := checkFix(t, c)
		if err != nil {
			small := synth.Shrink(c, func(c *synth.Cluster) bool { _, err := checkFix(t, c); return err != nil })
			_, err = checkFix(t, small)
			t.Fatalf("seed %d: %v\n%s", seed, err, small.PolicyYAML())
		}
		removed += n
	}
	if removed < 300 {
		t.Errorf("%d things were removed, which is too few to tell", removed)
	}
}

func checkFix(t *testing.T, c *synth.Cluster) (removed int, err error) {
	s := &styler{Rand: rand.New(rand.NewPCG(c.Seed, 0x6669))}
	path := filepath.Join(t.TempDir(), "p.yaml")
	text, err := s.write(c.PolicyYAML())
	if err != nil {
		return 0, err
	}
	if err := os.WriteFile(path, text, 0o644); err != nil {
		return 0, err
	}
	o := compiler.Options{IsolateByDirection: c.Seed%3 == 0, Resolve: c.Resolve}
	load := compiler.LoadOptions{Policies: []string{path}}
	before, err := compiler.Load(t.Context(), load)
	if err != nil {
		return 0, err
	}
	p, err := planOf(t.Context(), load, o)
	if err != nil {
		return 0, err
	}
	if err := p.Write(); err != nil {
		return 0, err
	}
	after, err := compiler.Load(t.Context(), load)
	if err != nil {
		return 0, err
	}
	if len(after.Policies) != len(c.Policies) || len(after.Copies) > 0 {
		return 0, fmt.Errorf("%d policies and %d copies are left of %d", len(after.Policies), len(after.Copies), len(c.Policies))
	}
	in := oracle.Input{Policies: after.Policies, Peers: oracle.Known{}, Families: model.Families[:], IsolateByDirection: o.IsolateByDirection}
	if d, err := oracle.Diff(before.Policies, in); err != nil || len(d) > 0 {
		return 0, fmt.Errorf("%v: another verdict for %v\n%s\n---\n%s", err, d, text, read(t, path))
	}
	left, err := verify.Removable(t.Context(), after.Policies, o)
	if err != nil {
		return 0, err
	}
	if again, err := planOf(t.Context(), load, compiler.Options{Families: compiler.FamiliesDual}); err != nil || len(again.Removed) > 0 || len(left) > 0 {
		return 0, fmt.Errorf("%v: dead is still %v; removed again %v\n%s\n---\n%s", err, left, again.Removed, text, read(t, path))
	}
	for i := range p.Files {
		if err := onlyCut(p.Files[i].Old, p.Files[i].New); err != nil {
			return 0, err
		}
	}
	return len(p.Removed), nil
}

var emptyRules = regexp.MustCompile(`(\brules["']?): \[\]`)

// onlyCut holds that b is a with parts taken out, but for a list that is empty now.
func onlyCut(a, b []byte) error {
	b = emptyRules.ReplaceAll(b, []byte("$1:"))
	for _, c := range b {
		i := bytes.IndexByte(a, c)
		if i < 0 {
			return errors.New("there is more than there was")
		}
		a = a[i+1:]
	}
	return nil
}

// styler writes policies in styles that people and programs use.
type styler struct {
	*rand.Rand
	comments int
}

func (s *styler) often(percent int) bool { return s.IntN(100) < percent }

// write returns a stream of documents in another style, some of them twice.
func (s *styler) write(stream string) ([]byte, error) {
	var roots []*yaml.Node
	for dec := yaml.NewDecoder(strings.NewReader(stream)); ; {
		var n yaml.Node
		if dec.Decode(&n) != nil {
			break
		}
		roots = append(roots, n.Content[0])
		if s.often(15) {
			roots = append(roots, n.Content[0])
		}
	}
	if s.often(20) {
		items := &yaml.Node{Kind: yaml.SequenceNode, Content: roots}
		list := &yaml.Node{Kind: yaml.MappingNode}
		for _, kv := range [][2]string{{"apiVersion", "v1"}, {"kind", "List"}} {
			list.Content = append(list.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: kv[0]}, &yaml.Node{Kind: yaml.ScalarNode, Value: kv[1]})
		}
		list.Content = append(list.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: "items"}, items)
		roots = []*yaml.Node{list}
	}
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2 + s.IntN(3))
	flow := s.IntN(60)
	for _, r := range roots {
		s.style(r, flow, false)
		if err := enc.Encode(r); err != nil {
			return nil, err
		}
	}
	if len(roots) > 0 {
		if err := enc.Close(); err != nil {
			return nil, err
		}
	}
	if s.often(20) {
		return bytes.ReplaceAll(out.Bytes(), []byte("\n"), []byte("\r\n")), nil
	}
	return out.Bytes(), nil
}

// style gives the nodes below n styles and comments at random, the same tree each
// time: what stands there twice stays the same.
func (s *styler) style(n *yaml.Node, flow int, inside bool) {
	n.HeadComment, n.LineComment = "", ""
	if n.Kind == yaml.ScalarNode {
		if n.Tag == "!!str" && s.often(30) { // what is quoted may have to be
			n.Style = []yaml.Style{yaml.SingleQuotedStyle, yaml.DoubleQuotedStyle}[s.IntN(2)]
		}
		return
	}
	if n.Style = 0; inside || s.often(flow) {
		n.Style, inside = yaml.FlowStyle, true
	}
	for i, c := range n.Content {
		s.style(c, flow, inside)
		if n.Kind == yaml.MappingNode && i%2 == 0 {
			continue
		}
		if n.Kind == yaml.SequenceNode && !inside && s.often(20) {
			c.HeadComment = s.comment()
		}
		if c.Kind == yaml.ScalarNode && !inside && s.often(10) {
			c.LineComment = s.comment()
		}
	}
}

func (s *styler) comment() string {
	s.comments++
	return fmt.Sprintf("# comment %d: it's [a, {\"trap\"", s.comments)
}
