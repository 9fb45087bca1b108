package simulate_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/model"
	"github.com/trafficpolicy/trafficpolicy/verify/simulate"
)

// TestSemantics runs testdata/semantics/*.txtar: what docs/semantics.md says,
// sentence by sentence, from YAML to verdict. An archive holds
//
//	policies.yaml   read as -f
//	inventory.yaml  read as -i, as is inventory.json; without either cluster.yaml beside the archives is
//	findings        instead of packets, or beside them: the findings of reading
//	                it, as CODE FILE:LINE, below comments likewise
//	options         --isolation=direction, --enrollment=all, --families=dual,
//	                --resolve=NAME=IP[,IP], no-inventory; one a line
//	packets         a line for each packet, below a comment that names the
//	                section (or CLI, for docs/cli.md) and quotes what it shows:
//
//	# 4: "first rule ... whose peer and ports match"
//	SRC DST PROTO[/PORT] VERDICT EGRESS INGRESS
//
// VERDICT is allow, deny or reject; EGRESS and INGRESS are the reason, or
// POLICY#egress[I].to[J] for a rule. After "mixed" alone the cases follow,
// indented: VERDICT EGRESS INGRESS when CONDITION. After "error" stands a part of
// its text. A comment goes on in the next line if that starts with "#  ".
func TestSemantics(t *testing.T) {
	files, err := filepath.Glob("testdata/semantics/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no archives: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) { runArchive(t, file) })
	}
}

func runArchive(t *testing.T, file string) {
	ar, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	text := map[string]string{}
	for _, f := range ar.Files {
		text[f.Name] = string(f.Data)
		if err := os.WriteFile(filepath.Join(dir, f.Name), f.Data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	load := compiler.LoadOptions{Policies: []string{filepath.Join(dir, "policies.yaml")}, Inventory: []string{"testdata/semantics/cluster.yaml"}}
	var own []string
	for _, name := range []string{"inventory.yaml", "inventory.json"} {
		if _, ok := text[name]; ok {
			own = append(own, filepath.Join(dir, name))
		}
	}
	if own != nil {
		load.Inventory = own
	}
	o := archiveOptions(t, text["options"], &load)
	in, err := compiler.Load(context.Background(), load)
	if err != nil {
		t.Fatal(err)
	}
	checkFindings(t, in.Findings, text["findings"])
	sim := simulate.New(in, o)
	for _, g := range packetGroups(t, text["packets"]) {
		t.Run(g.name, func(t *testing.T) {
			for _, p := range g.packets {
				p.check(t, sim)
			}
		})
	}
}

// checkFindings compares findings with the lines of want; with none, there must
// be no error among them.
func checkFindings(t *testing.T, findings []model.Finding, want string) {
	t.Helper()
	if want == "" {
		for _, f := range findings {
			if f.Severity == model.Error {
				t.Errorf("%s: %s [%s]", f.Pos(), f.Message, f.Code)
			}
		}
		return
	}
	var got, lines []string
	for _, f := range findings {
		got = append(got, fmt.Sprintf("%s %s:%d", f.Code, filepath.Base(f.File), f.Line))
	}
	for line := range strings.Lines(want) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			lines = append(lines, line)
		}
	}
	if diff := cmp.Diff(lines, got); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
}

func archiveOptions(t *testing.T, text string, load *compiler.LoadOptions) (o compiler.Options) {
	t.Helper()
	o.Resolve = map[string][]netip.Addr{}
	for _, line := range strings.Fields(text) {
		name, value, _ := strings.Cut(line, "=")
		switch name {
		case "no-inventory":
			load.Inventory = nil
		case "--isolation":
			o.IsolateByDirection = value == "direction"
		case "--enrollment":
			o.AllEnrolled = value == "all"
		case "--families":
			o.Families = map[string]compiler.FamilyMode{"ipv4": compiler.FamiliesIPv4, "dual": compiler.FamiliesDual}[value]
		case "--resolve":
			fqdn, addrs, _ := strings.Cut(value, "=")
			for _, a := range strings.Split(addrs, ",") {
				o.Resolve[fqdn] = append(o.Resolve[fqdn], netip.MustParseAddr(a))
			}
		default:
			t.Fatalf("option %q", line)
		}
	}
	return o
}

// packetGroup is the packets below one comment.
type packetGroup struct {
	name    string
	packets []packetCase
}

// packetCase is one line, with the cases of a mixed verdict.
type packetCase struct {
	flow simulate.Flow
	want []string
}

func packetGroups(t *testing.T, text string) []packetGroup {
	t.Helper()
	var groups []packetGroup
	comment := false
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.TrimSpace(line) == "":
		case strings.HasPrefix(line, "#  ") && comment:
			groups[len(groups)-1].name += " " + strings.TrimSpace(line[1:])
		case strings.HasPrefix(line, "# "):
			section, _, _ := strings.Cut(line[2:], ": ")
			if !slices.Contains([]string{"1", "2", "3", "4", "5", "6", "CLI"}, section) {
				t.Fatalf("comment names no section: %s", line)
			}
			groups = append(groups, packetGroup{name: line[2:]})
		case strings.HasPrefix(line, "  "):
			g := &groups[len(groups)-1]
			p := &g.packets[len(g.packets)-1]
			p.want = append(p.want, strings.Join(strings.Fields(line), " "))
		default:
			g := &groups[len(groups)-1]
			g.packets = append(g.packets, packetLine(t, line))
		}
		comment = strings.HasPrefix(line, "#")
	}
	for _, g := range groups {
		if len(g.packets) == 0 {
			t.Fatalf("no packet below: %s", g.name)
		}
	}
	return groups
}

func packetLine(t *testing.T, line string) packetCase {
	t.Helper()
	f := strings.Fields(line)
	if len(f) < 4 {
		t.Fatalf("packet is not SRC DST PROTO[/PORT] VERDICT ...: %s", line)
	}
	p := packetCase{flow: simulate.Flow{Src: f[0], Dst: f[1]}, want: []string{strings.Join(f[3:], " ")}}
	proto, port, ok := strings.Cut(f[2], "/")
	p.flow.Proto, p.flow.HasPort = proto, ok
	if ok {
		n, err := simulate.ParsePort(port)
		if err != nil {
			t.Fatal(err)
		}
		p.flow.Port = n
	}
	return p
}

func (p *packetCase) check(t *testing.T, sim *simulate.Simulator) {
	t.Helper()
	got := answer(sim, p.flow)
	if part, ok := strings.CutPrefix(p.want[0], "error "); ok && strings.HasPrefix(got, "error ") && strings.Contains(got, part) {
		return
	}
	if want := strings.Join(p.want, "\n  "); got != want {
		t.Errorf("%s %s %s/%d\n got %s\nwant %s", p.flow.Src, p.flow.Dst, p.flow.Proto, p.flow.Port, got, want)
	}
}

// answer spells a result as the archives do.
func answer(sim *simulate.Simulator, f simulate.Flow) string {
	r, err := sim.Judge(f)
	if err != nil {
		return "error " + err.Error()
	}
	if r.Verdict != simulate.Mixed {
		return spell(r)
	}
	lines := []string{"mixed"}
	for i := range r.Cases {
		lines = append(lines, spell(&r.Cases[i])+" when "+r.Cases[i].Condition)
	}
	return strings.Join(lines, "\n  ")
}

func spell(r *simulate.Result) string {
	verdict := string(r.Verdict)
	if r.Reject {
		verdict = "reject"
	}
	return fmt.Sprintf("%s %s %s", verdict, spellSide(r.Egress, "to"), spellSide(r.Ingress, "from"))
}

func spellSide(s *simulate.Side, list string) string {
	if s.Reason != simulate.ByRule {
		return string(s.Reason)
	}
	name := s.Rule[strings.LastIndexByte(s.Rule, '/')+1:]
	if s.Peer == nil {
		return name
	}
	return fmt.Sprintf("%s.%s[%d]", name, list, *s.Peer)
}
