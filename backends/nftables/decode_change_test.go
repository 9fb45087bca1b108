package nftables

import (
	"bytes"
	"fmt"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/compiler/space"
)

// sameReading reports whether two readings decide alike.
func sameReading(a, b *space.Reading) bool {
	judge := func(x, y int32) space.Kind {
		if x == space.NoRule || y == space.NoRule {
			return space.Same // neither has one
		}
		p, q := a.Deciders[x], b.Deciders[y]
		if p.Rule != q.Rule || p.Action != q.Action || !slices.Equal(p.Policies, q.Policies) {
			return 1
		}
		return space.Same
	}
	if a.PodScope != b.PodScope || len(a.Subjects) != len(b.Subjects) || !slices.Equal(a.Nodes, b.Nodes) || !slices.Equal(a.Closed, b.Closed) || len(a.Names) != len(b.Names) {
		return false
	}
	for i := range a.Subjects {
		x, y := &a.Subjects[i], &b.Subjects[i]
		if x.Pod != y.Pod || x.Addr != y.Addr || len(space.CompareTables(x.Egress, y.Egress, judge))+len(space.CompareTables(x.Ingress, y.Ingress, judge)) > 0 {
			return false
		}
	}
	for name, addrs := range a.Names {
		if !slices.Equal(addrs, b.Names[name]) {
			return false
		}
	}
	return true
}

// changed is what became of an artifact that was changed.
type changed int

const (
	refused changed = iota
	differs
	alike
)

func (c changed) String() string {
	return [...]string{"refused", "read as something else", "read alike"}[c]
}

// changer changes files of an artifact.
type changer struct {
	t    *testing.T
	a    *bundle.Bundle
	want *space.Reading
}

func newChanger(t *testing.T, p *compiler.Program) *changer {
	t.Helper()
	a := emit(t, p)
	r, err := Decode(a.Files, &a.Manifest)
	if err != nil {
		t.Fatal(err)
	}
	return &changer{t, a, r}
}

// try decodes the artifact with other data in one file, and a manifest that counts
// what is there.
func (c *changer) try(file int, data string) (changed, error) {
	files := slices.Clone(c.a.Files)
	files[file].Data = []byte(data)
	m := c.a.Manifest
	m.Counts.Elements = 0
	for _, f := range files[:3] {
		for line := range strings.Lines(string(f.Data)) {
			if strings.HasPrefix(line, "add element ") {
				m.Counts.Elements += 1 + strings.Count(line, ",")
			}
		}
	}
	r, err := Decode(files, &m)
	switch {
	case err != nil:
		return refused, err
	case !sameReading(c.want, r):
		return differs, nil
	}
	return alike, nil
}

// reached returns the chains that packets can get to, or that a loader may send
// them to: by the names in the text alone.
func (c *changer) reached() map[string]bool {
	to := map[string][]string{}
	for _, f := range c.a.Files[:3] {
		for line := range strings.Lines(string(f.Data)) {
			if w := strings.Fields(line); w[1] == "rule" || w[1] == "element" {
				to[w[4]] = append(to[w[4]], targets.FindAllString(line, -1)...)
			}
		}
	}
	reached := map[string]bool{}
	var visit func(string)
	visit = func(name string) {
		name = strings.TrimPrefix(name, "@")
		if !reached[name] {
			reached[name] = true
			for _, next := range to[name] {
				visit(next)
			}
		}
	}
	for _, name := range []string{"tp_prerouting", "tp_forward", "tp_output", "tp_input"} {
		visit(name)
	}
	for _, name := range targets.FindAllString(string(c.a.Files[3].Data), -1) {
		visit(name)
	}
	return reached
}

var targets = regexp.MustCompile(`@?tp_[0-9a-z_]+`)

// subjectOf returns the name of what a command is about, "" for the table.
func subjectOf(line string) string {
	if w := strings.Fields(line); len(w) > 4 {
		return w[4]
	}
	return ""
}

// countsAlone matches rules that decide nothing.
var countsAlone = regexp.MustCompile(`^add rule \S+ \S+ \S+ (limit name "tp_log" )?counter name "[^"]*"( log .*| comment .*)?\n$`)

// TestDecodeWithout leaves out each line in turn. What packets meet without it is
// another thing unless it only counts, or no packet gets there.
func TestDecodeWithout(t *testing.T) {
	for name, p := range map[string]*compiler.Program{"node": sample(), "pod": samplePod(), "unknown": sampleUnknown()} {
		c := newChanger(t, p)
		reached := c.reached()
		for f, file := range c.a.Files[:3] {
			lines := strings.SplitAfter(strings.TrimSuffix(string(file.Data), "\n"), "\n")
			for i, line := range lines {
				got, _ := c.try(f, strings.Join(lines[:i], "")+strings.Join(lines[i+1:], "")+"\n")
				// Of a denial for both families one part may be used by none.
				harmless := countsAlone.MatchString(line) || !reached[subjectOf(line)] || strings.Contains(line, "meta nfproto ipv6 jump")
				if got == alike && !harmless {
					t.Errorf("%s: %s without %q: %s", name, file.Name, line, got)
				}
				if got != alike && countsAlone.MatchString(line) {
					t.Errorf("%s: %s without %q, which only counts: %s", name, file.Name, line, got)
				}
			}
		}
	}
}

// TestDecodeOther puts another word in the place of each that says something.
func TestDecodeOther(t *testing.T) {
	words := regexp.MustCompile(`\b(accept|drop|return|original|reply|saddr|daddr|tcp|udp|established|related|invalid|untracked|local|\d+)\b`)
	others := []string{"accept", "drop", "return", "original", "reply", "saddr", "daddr", "tcp", "udp", "related", "7"}
	for name, p := range map[string]*compiler.Program{"node": sample(), "pod": samplePod()} {
		c := newChanger(t, p)
		reached := c.reached()
		n := 0
		for f, file := range c.a.Files[:3] {
			lines := strings.SplitAfter(strings.TrimSuffix(string(file.Data), "\n"), "\n")
			for i, line := range lines {
				if !reached[subjectOf(line)] || countsAlone.MatchString(line) || strings.HasPrefix(line, "add limit") {
					continue
				}
				code, comment, _ := strings.Cut(line, " comment ")
				for _, at := range words.FindAllStringIndex(code, -1) {
					for range 3 {
						n++
						other := others[n%len(others)]
						if line[at[0]:at[1]] == other {
							continue
						}
						changed := line[:at[0]] + other + line[at[1]:]
						if got, _ := c.try(f, strings.Join(lines[:i], "")+changed+strings.Join(lines[i+1:], "")+"\n"); got == alike && !sameProtos(code, changed) {
							t.Errorf("%s: %s with %q for %q%.0s: %s", name, file.Name, changed, line, comment, got)
						}
					}
				}
			}
		}
		if n < 1000 {
			t.Errorf("%s: %d changes, want more", name, n)
		}
	}
}

// sameProtos reports whether a line names protocols that rules before it have
// taken already.
func sameProtos(line, changed string) bool {
	return strings.Contains(line, " != { tcp, udp, sctp,") && strings.Contains(changed, " != {")
}

// TestDecodeElements leaves out each element in turn.
func TestDecodeElements(t *testing.T) {
	for name, p := range map[string]*compiler.Program{"node": sample(), "pod": samplePod(), "unknown": sampleUnknown()} {
		c := newChanger(t, p)
		for f, file := range c.a.Files[:3] {
			for _, at := range regexp.MustCompile(`(?m)^(add element .*\{) (.*) \}$`).FindAllSubmatchIndex(file.Data, -1) {
				elements := strings.Split(string(file.Data[at[4]:at[5]]), ", ")
				for i := range elements {
					rest := slices.Delete(slices.Clone(elements), i, i+1)
					line := fmt.Sprintf("%s %s }", file.Data[at[2]:at[3]], strings.Join(rest, ", "))
					if len(rest) == 0 {
						line = ""
					}
					if got, _ := c.try(f, string(file.Data[:at[0]])+line+string(file.Data[at[1]:])); got == alike {
						t.Errorf("%s: %s: %q without %q: %s", name, file.Name, file.Data[at[2]:at[3]], elements[i], got)
					}
				}
			}
		}
	}
}

// TestDecodeSame: what nft does not care about is read alike.
func TestDecodeSame(t *testing.T) {
	c := newChanger(t, sampleUnknown())
	objects, turn := string(c.a.Files[1].Data), string(c.a.Files[2].Data)
	sorted := func(prefix string) func(string) string {
		return func(s string) string {
			var out, rest []string
			for line := range strings.Lines(s) {
				if strings.HasPrefix(line, prefix) {
					out = append(out, line)
				} else {
					rest = append(rest, line)
				}
			}
			slices.Sort(out)
			slices.Reverse(out)
			return strings.Join(slices.Concat(out, rest), "")
		}
	}
	for name, tt := range map[string]struct {
		file   int
		text   string
		change func(string) string
	}{
		"chains in another order": {1, objects, sorted("add chain ")},
		"elements in another order": {2, turn, func(s string) string {
			return regexp.MustCompile(`\{ (\S+ : goto \w+), (\S+ : goto \w+)`).ReplaceAllString(s, "{ $2, $1")
		}},
		"an element twice": {2, turn, func(s string) string { return s + "add element inet trafficpolicy tp_pods4 { 10.0.0.10 }\n" }},
		"comments and spaces": {1, objects, func(s string) string {
			return "# a text\n\n" + strings.ReplaceAll(s, " { ", " \t{  ") + "  # the end\n"
		}},
		"a rule twice":    {1, objects, func(s string) string { return regexp.MustCompile(`(?m)^(add rule .*)$`).ReplaceAllString(s, "$1\n$1") }},
		"another comment": {1, objects, func(s string) string { return strings.ReplaceAll(s, "#egress[0]", "#egress[9]") }},
		"jump for goto": {1, objects, func(s string) string {
			return regexp.MustCompile(`goto (\S+(broken|_[rd]_\w{16}))`).ReplaceAllString(s, "jump $1")
		}},
		"rules that no packet meets both of": {1, objects, func(s string) string {
			swap := regexp.MustCompile(`(?m)^(add rule \S+ \S+ \S+src_\d ip saddr .*\n)(add rule \S+ \S+ \S+src_\d ip6 saddr .*\n)`)
			s = swap.ReplaceAllString(s, "$2$1")
			swap = regexp.MustCompile(`(?m)^(add rule \S+ \S+ \S+check_\w+ ct state invalid .*\n)(add rule \S+ \S+ \S+check_\w+ ct state related .*\n)`)
			return swap.ReplaceAllString(s, "$2$1")
		}},
		"another log": {1, objects, func(s string) string { return strings.ReplaceAll(s, "snaplen 128", "snaplen 64") }},
		"a chain that nothing reaches": {1, objects, func(s string) string {
			name := regexp.MustCompile(`tp_[0-9a-f]{12}_`).FindString(s) + "extra"
			return s + "add chain inet trafficpolicy " + name + "\nadd rule inet trafficpolicy " + name + " accept\n"
		}},
		"an address as nft does not write it": {1, objects, func(s string) string {
			return strings.ReplaceAll(s, "ip6 saddr { fd00::10 }", "ip6 saddr fd00:0:0:0::0010")
		}},
		"a prefix as a range": {1, objects, func(s string) string {
			return strings.ReplaceAll(s, "ip6 daddr ff00::/8", "ip6 daddr ff00::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")
		}},
	} {
		changed := tt.change(tt.text)
		if changed == tt.text {
			t.Fatalf("%s: nothing was changed", name)
		}
		if got, err := c.try(tt.file, changed); got != alike {
			t.Errorf("%s: %s: %v", name, got, err)
		}
	}
}

// TestDecodeTag: another tag means the same, if it is one everywhere.
func TestDecodeTag(t *testing.T) {
	c := newChanger(t, sample())
	pods, err := ReadPods(c.a.Files[3].Data)
	if err != nil {
		t.Fatal(err)
	}
	files := slices.Clone(c.a.Files)
	for i := range files {
		files[i].Data = bytes.ReplaceAll(files[i].Data, []byte(pods.Tag), []byte("00aa00bb00cc"))
	}
	r, err := Decode(files, &c.a.Manifest)
	if err != nil || !sameReading(c.want, r) {
		t.Errorf("another tag: %v", err)
	}
	files[2] = c.a.Files[2]
	if _, err := Decode(files, &c.a.Manifest); err == nil {
		t.Error("a tag that differs between files was accepted")
	}
}

// TestDecodeRefuses appends to, or replaces in, one file. TAG stands for the
// prefix; each error names what is wrong.
func TestDecodeRefuses(t *testing.T) {
	c := newChanger(t, sampleUnknown())
	pods, err := ReadPods(c.a.Files[3].Data)
	if err != nil {
		t.Fatal(err)
	}
	tag := "tp_" + pods.Tag + "_"
	const add = "add rule inet trafficpolicy "
	for _, tt := range []struct {
		name     string
		file     int
		old, new string // old "" appends
		want     string
	}{
		{"a base chain more", 0, "", "add chain inet trafficpolicy tp_x { type filter hook input priority 0; policy accept; }", `chain "tp_x" is at hook "input", where the format has none`},
		{"another priority", 0, "hook prerouting priority -110", "hook prerouting priority -90", `is at hook "prerouting", priority -90, not at "prerouting", -110`},
		{"not emptied", 0, "flush chain inet trafficpolicy tp_forward\n", "", `chain "tp_forward" is not emptied first`},
		{"a map not emptied", 2, "flush map inet trafficpolicy tp_to6\n", "", `map "tp_to6" is not emptied first`},
		{"a set not emptied", 2, "flush set inet trafficpolicy tp_pods4\n", "", `set "tp_pods4" is not emptied first`},
		{"a rule of the skeleton", 1, "", add + "tp_forward accept", `"tp_forward", which is not of this generation, is changed before the switch`},
		{"an exemption", 1, "", add + "TAGcheck_to4 ip saddr 10.0.0.0/8 accept", `stands behind the chain's last rule`},
		{"a rule of nothing", 1, "", add + "TAGr_0000000000000000 accept", `there is no chain`},
		{"the loader's map", 2, "", `add element inet trafficpolicy tp_oif { "eth0" : goto TAGdst_0 }`, `map "tp_oif" is the loader's and has elements`},
		{"the other map of the loader", 2, "", `add element inet trafficpolicy tp_if { "eth0" : goto TAGsrc_0 }`, `map "tp_if" is the loader's and has elements`},
		{"somebody else's pair", 1, "", "add element inet trafficpolicy TAGself4 { 10.0.0.10 . 10.0.0.11 }", "are not of one governed pod"},
		{"an address nobody has", 2, "", "add element inet trafficpolicy tp_from4 { 10.9.9.9 : goto TAGfrom4_0 }", "4 of 5 governed addresses"},
		{"two lists", 2, "10.0.0.10 : goto TAGto4_0", "10.0.0.10 : goto TAGto4_1", "do"},
		{"overlap", 2, "10.0.0.14-10.0.0.98 : goto TAGunknown_from4", "10.0.0.13-10.0.0.98 : goto TAGunknown_from4", "overlap"},
		{"closed in one direction", 2, "10.0.0.14-10.0.0.98 : goto TAGunknown_to4, ", "", `map "tp_range_to4" closes other addresses`},
		{"a reply by another list", 1, add + "TAGto4_0 ct direction reply goto TAGlist_e4_0", add + "TAGto4_0 ct direction reply goto TAGlist_e4_1", "do not lead to the same lists"},
		{"the counter of another", 1, `counter name "tp_broken"`, `counter name "tp_nothing"`, `there is no counter "tp_nothing"`},
		{"foreign name", 1, "", add + "TAGlist_e4_0 ct original ip daddr @TAGnode4 accept", ""},
		{"delete", 1, "", "delete table inet trafficpolicy", "what belongs to the skeleton"},
		{"no line end", 1, "", "x", "the line does not end"},
		{"pods of another class", 3, `"deliver": "TAGdst_0"`, `"deliver": "TAGdst_1"`, `device of "default/a"`},
		{"an exemption before what is broken", 1, add + "TAGcheck_from6 icmpv6 type 134 goto TAGbroken\n" + add + "TAGcheck_from6 icmpv6 type { 130, 131, 132, 143 } ip6 daddr ff00::/8 accept\n" + add + "TAGcheck_from6 ct state invalid goto TAGbroken\n",
			add + "TAGcheck_from6 icmpv6 type 134 goto TAGbroken\n" + add + "TAGcheck_from6 ct state invalid goto TAGbroken\n" + add + "TAGcheck_from6 icmpv6 type { 130, 131, 132, 143 } ip6 daddr ff00::/8 accept\n", "stands where"},
		{"a class that is not there", 3, `"class": 1,`, `"class": 7,`, `pod "default/b" is of class 7, which the manifest does not have`},
		{"the class of another", 3, `"class": 1,`, `"class": 0,`, `pod "default/b" is of class 0, but what ends its ingress is the default deny of ["TrafficPolicy/default/b"]`},
		{"emptied too early", 1, "", "flush map inet trafficpolicy tp_to4", "what belongs to the skeleton"},
		{"emptied by the skeleton", 0, "", "flush map inet trafficpolicy tp_to4", "emptied before the switch"},
		{"filled too early", 0, "", "add element inet trafficpolicy tp_pods4 { 10.0.0.10 }", "filled before the switch"},
		{"made too late", 2, "", "add chain inet trafficpolicy TAGx", "does more than to empty and fill maps"},
		{"an address of another", 3, `"10.0.0.11"`, `"10.0.0.12"`, "belongs to"},
	} {
		data := string(c.a.Files[tt.file].Data)
		old, text := strings.ReplaceAll(tt.old, "TAG", tag), strings.ReplaceAll(tt.new, "TAG", tag)
		switch {
		case old != "" && !strings.Contains(data, old):
			t.Fatalf("%s: %q is not in the file", tt.name, old)
		case old != "":
			data = strings.Replace(data, old, text, 1)
		case text == "x":
			data += text
		default:
			data += text + "\n"
		}
		got, err := c.try(tt.file, data)
		if tt.want == "" {
			if got != alike {
				t.Errorf("%s: %s: %v", tt.name, got, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %s: %v, want %q", tt.name, got, err, tt.want)
		}
	}
}

// TestDecodeUpdateFirst: an update before the conditions of its rule is done whatever they
// say, so that packets could fill the set with any address.
func TestDecodeUpdateFirst(t *testing.T) {
	c := newChanger(t, samplePod())
	rule := regexp.MustCompile(`(add rule inet trafficpolicy \S+check_to6 )(icmpv6 type 135 .*)(update @\S+ { ip6 saddr })`)
	data := string(c.a.Files[1].Data)
	changed := rule.ReplaceAllString(data, "$1$3 $2")
	changed = strings.ReplaceAll(changed, " \n", "\n")
	if changed == data {
		t.Fatal("there is no such rule")
	}
	if got, err := c.try(1, changed); err == nil || !strings.Contains(err.Error(), "a condition follows an update") {
		t.Errorf("%s: %v", got, err)
	}
}

// TestDecodeDeep: chains that lead to one another without end are refused, and not followed
// until the stack is full.
func TestDecodeDeep(t *testing.T) {
	defer debug.SetMaxStack(debug.SetMaxStack(16 << 20))
	c := newChanger(t, sample())
	tag := regexp.MustCompile(`tp_[0-9a-f]{12}_`).FindString(string(c.a.Files[1].Data))
	for _, verdict := range []string{"jump", "goto"} {
		const chains = 100_000
		var b strings.Builder
		b.Write(c.a.Files[1].Data)
		for i := range chains + 1 {
			fmt.Fprintf(&b, "add chain inet trafficpolicy %sx%d\n", tag, i)
		}
		for i := range chains {
			fmt.Fprintf(&b, "add rule inet trafficpolicy %sx%d %s %[1]sx%[4]d\n", tag, i, verdict, i+1)
		}
		fmt.Fprintf(&b, "add rule inet trafficpolicy %sx%d drop\n", tag, chains)
		for _, from := range []string{"check_from4", "list_e4_0", "from4_0"} {
			end := fmt.Sprintf("add rule inet trafficpolicy %s%s jump %[1]sx0\n", tag, from)
			if got, err := c.try(1, b.String()+end); got == differs {
				t.Errorf("%s from %s: %s, %v", verdict, from, got, err)
			}
		}
	}
}

// TestDecodeLong: a chain that leads to chains about ports very often is refused, or read
// without filling the stack.
func TestDecodeLong(t *testing.T) {
	defer debug.SetMaxStack(debug.SetMaxStack(16 << 20))
	c := newChanger(t, sample())
	data := string(c.a.Files[1].Data)
	tag := regexp.MustCompile(`tp_[0-9a-f]{12}_`).FindString(data)
	rule := regexp.MustCompile(tag + `r_[0-9a-f]{16}`).FindString(data)
	var b strings.Builder
	add := func(format string, args ...any) {
		b.WriteString("add " + strings.ReplaceAll(fmt.Sprintf(format, args...), "TAG", "inet trafficpolicy "+tag) + "\n")
	}
	add("chain TAGp")
	add("chain TAGq")
	add("map TAGm { type inet_service : verdict; flags interval; }")
	for i := range 20 {
		add("element TAGm { %d : goto %s }", 1000+2*i, rule)
	}
	add("rule TAGq meta l4proto { tcp, icmp } ct protocol tcp ct original proto-dst vmap @%sm", tag)
	add("rule TAGq ct state untracked meta l4proto tcp th dport vmap @%sm", tag)
	for range 200_000 {
		add("rule TAGp jump %sq", tag)
	}
	add("rule TAGlist_e4_0 jump %sp", tag)
	first := strings.Index(data, "add rule inet trafficpolicy "+tag+"list_e4_0 ")
	if got, err := c.try(1, data[:first]+b.String()+data[first:]); err == nil || !strings.Contains(err.Error(), "too many distinct decisions") {
		t.Errorf("%s, %v", got, err)
	}
}

// TestDecodeManifest: a manifest that does not fit is refused.
func TestDecodeManifest(t *testing.T) {
	for name, change := range map[string]func(*bundle.Manifest){
		"pods":     func(m *bundle.Manifest) { m.Counts.Pods++ },
		"classes":  func(m *bundle.Manifest) { m.Counts.Classes++ },
		"policies": func(m *bundle.Manifest) { m.Counts.Policies-- },
		"rules":    func(m *bundle.Manifest) { m.Counts.Rules++ },
		"names":    func(m *bundle.Manifest) { m.Counts.Names-- },
		"elements": func(m *bundle.Manifest) { m.Counts.Elements++ },
		"scope":    func(m *bundle.Manifest) { m.Scope = bundle.ScopePod },
		"action":   func(m *bundle.Manifest) { m.Rules[0].Action = "reject" },
		"no rule":  func(m *bundle.Manifest) { m.Rules, m.Counts.Rules = m.Rules[1:], m.Counts.Rules-1 },
		"no default": func(m *bundle.Manifest) {
			m.Defaults = slices.DeleteFunc(m.Defaults, func(d bundle.Default) bool { return d.Class == 0 })
			m.Counts.Classes--
			m.Counts.Policies--
		},
		"no name":           func(m *bundle.Manifest) { m.Names, m.Counts.Names = m.Names[1:], m.Counts.Names-1 },
		"addresses":         func(m *bundle.Manifest) { m.Names[1].Addrs = m.Names[1].Addrs[:1] },
		"another direction": func(m *bundle.Manifest) { m.Defaults[0].Direction, m.Defaults[1].Direction = "ingress", "egress" },
	} {
		a := emit(t, sample())
		change(&a.Manifest)
		if _, err := Decode(a.Files, &a.Manifest); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// FuzzDecode: what is no artifact is an error, never a panic.
func FuzzDecode(f *testing.F) {
	manifests := map[string]*bundle.Bundle{}
	for _, p := range []*compiler.Program{samplePod(), sample()} {
		a := emit(f, p)
		manifests[a.Manifest.Name] = a
		f.Add(a.Manifest.Name, a.Files[0].Data, a.Files[1].Data, a.Files[2].Data, a.Files[3].Data)
	}
	f.Fuzz(func(t *testing.T, name string, skeleton, objects, turn, pods []byte) {
		a := manifests[name]
		if a == nil {
			return
		}
		r, err := Decode([]bundle.File{{Name: SkeletonFile, Data: skeleton}, {Name: ObjectsFile, Data: objects}, {Name: SwitchFile, Data: turn}, {Name: PodsFile, Data: pods}}, &a.Manifest)
		if (r == nil) == (err == nil) {
			t.Fatalf("reading %v, error %v", r, err)
		}
	})
}

// FuzzDecodeScript is the same of the bare script.
func FuzzDecodeScript(f *testing.F) {
	p := sample()
	script, err := Script(p)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(script)
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := DecodeScript(text, NewLegend(p))
		if (r == nil) == (err == nil) {
			t.Fatalf("reading %v, error %v", r, err)
		}
	})
}
