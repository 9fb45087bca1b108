package nftables

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/compiler"
)

func TestCheckAccepts(t *testing.T) {
	for _, p := range []*compiler.Program{sample(), samplePod(), sampleUnknown(), {Target: compiler.Target{Node: "n"}}, {Target: compiler.Target{Pod: "a/b"}}} {
		emit(t, p)
	}
	for seed := range uint64(300) {
		a, err := Emit(randomProgram(rand.New(rand.NewPCG(seed, 2))))
		if err != nil {
			t.Fatal(err)
		}
		if err := Check(a.Files); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
	}
}

// TestCheckRefuses changes one thing in a payload; TAG stands for the tag.
func TestCheckRefuses(t *testing.T) {
	good := emit(t, sample())
	pods, err := ReadPods(good.Files[3].Data)
	if err != nil {
		t.Fatal(err)
	}
	const add = "add rule inet trafficpolicy TAGbroken "
	for _, tt := range []struct {
		name, file, line string // appended to the file
		want             string
	}{
		{"include", ObjectsFile, `include "/etc/passwd"`, `"include" is not one of add, flush`},
		{"variable", ObjectsFile, `define x = 1`, `"define" is not one of`},
		{"comment", ObjectsFile, `# nothing`, "character '#'"},
		{"delete", ObjectsFile, `delete table inet trafficpolicy`, `"delete" is not one of`},
		{"flush ruleset", ObjectsFile, `flush ruleset`, `"ruleset" is not one of`},
		{"list", ObjectsFile, `list ruleset`, `"list" is not one of`},
		{"two commands", ObjectsFile, add + `drop; flush ruleset`, "begins no statement"},
		{"another table", ObjectsFile, `add table inet filter`, `"inet" stands where "inet trafficpolicy" should`},
		{"another family", ObjectsFile, `add chain ip trafficpolicy TAGx`, `"ip" stands where`},
		{"the table again", ObjectsFile, `add table inet trafficpolicy`, "belongs to the skeleton"},
		{"foreign chain", ObjectsFile, `add chain inet trafficpolicy input`, `"input" is no name of ours`},
		{"another generation", ObjectsFile, `add chain inet trafficpolicy tp_000000000000_x`, `does not begin with TAG`},
		{"base chain", ObjectsFile, `add chain inet trafficpolicy TAGx { type filter hook input priority 0; policy accept; }`, "is a base chain"},
		{"base chain that drops", SkeletonFile, `add chain inet trafficpolicy tp_x { type filter hook input priority 0; policy drop; }`, `"; policy accept ; }"`},
		{"nat chain", SkeletonFile, `add chain inet trafficpolicy tp_x { type nat hook input priority 0; policy accept; }`, `"type filter hook"`},
		{"device", SkeletonFile, `add chain inet trafficpolicy tp_x { type filter hook ingress device "eth0" priority 0; policy accept; }`, `"ingress" is not one of`},
		{"early priority", SkeletonFile, `add chain inet trafficpolicy tp_x { type filter hook input priority -400; policy accept; }`, "no number from"},
		{"chain twice", ObjectsFile, `add chain inet trafficpolicy TAGbroken`, "is made twice"},
		{"rule of the skeleton", ObjectsFile, `add rule inet trafficpolicy tp_forward accept`, "does not begin with TAG"},
		{"accept in the skeleton", SkeletonFile, `add rule inet trafficpolicy tp_forward accept`, "does more than to look"},
		{"drop of a device", SkeletonFile, `add rule inet trafficpolicy tp_forward oifname "eth0" accept`, "does more than to look"},
		{"elements in the skeleton", SkeletonFile, `add element inet trafficpolicy tp_to4 { 1.2.3.4 : return }`, "it adds elements"},
		{"goto a foreign chain", ObjectsFile, add + `goto input`, `"input" is no name of ours`},
		{"goto the skeleton", ObjectsFile, add + `goto tp_forward`, "does not begin with TAG"},
		{"goto nowhere", ObjectsFile, add + `goto TAGnone`, "there is no chain"},
		{"foreign counter", ObjectsFile, `add counter inet trafficpolicy tp_other`, "is no counter of a rule"},
		{"no counter", ObjectsFile, add + `counter name "tp_r_0000000000000000"`, "there is no counter"},
		{"anonymous counter", ObjectsFile, add + `counter`, "begins no statement"},
		{"nat", ObjectsFile, add + `dnat to 1.2.3.4`, "begins no statement"},
		{"mark", ObjectsFile, add + `meta mark set 1`, "begins no statement"},
		{"queue", ObjectsFile, add + `queue num 0`, "begins no statement"},
		{"dup", ObjectsFile, add + `dup to 1.2.3.4`, "begins no statement"},
		{"log without a group", ObjectsFile, add + `log prefix "x"`, "ends where \"group\" should stand"},
		{"behind a verdict", ObjectsFile, add + `accept drop`, "follows a verdict"},
		{"empty rule", ObjectsFile, strings.TrimRight(add, " "), "the rule is empty"},
		{"no set", ObjectsFile, add + `ip saddr @TAGnone accept`, "nothing to look into"},
		{"set as a map", ObjectsFile, add + `ip saddr vmap @TAGnode4`, "nothing to look into"},
		{"another type", ObjectsFile, add + `ip6 saddr @TAGnode4 accept`, "whose keys are ipv4_addr"},
		{"parts", ObjectsFile, add + `ip saddr @TAGself4 accept`, "keys of 2 parts, not 1"},
		{"element of another type", ObjectsFile, `add element inet trafficpolicy TAGnode4 { fd00::1 }`, "is no key of"},
		{"interval in a set", ObjectsFile, `add element inet trafficpolicy TAGnode4 { 1.1.1.1-1.1.1.2 }`, "is no key of"},
		{"element with a verdict", ObjectsFile, `add element inet trafficpolicy TAGnode4 { 1.1.1.1 : drop }`, "is not of the form"},
		{"accept in a map", ObjectsFile, `add element inet trafficpolicy TAGmap4_0 { 1.1.1.1 : accept }`, "a map holds accept"},
		{"element of the skeleton", ObjectsFile, `add element inet trafficpolicy tp_to4 { 1.1.1.1 : return }`, "does not begin with TAG"},
		{"dynamic set", ObjectsFile, add + `update @TAGnode4 { ip saddr }`, "nothing to put"},
		{"control character", ObjectsFile, add + "drop\r", "has no place"},
		{"NUL", ObjectsFile, add + "drop\x00", "has no place"},
		{"not ASCII", ObjectsFile, add + `drop comment "é"`, "no quoted text has"},
		{"quote", ObjectsFile, add + `drop comment "x`, "not closed"},
		{"escape", ObjectsFile, add + `drop comment "x\"`, "no quoted text has"},
		{"shell", ObjectsFile, add + "drop `id`", "has no place"},
		{"line continued", ObjectsFile, add + `drop \`, "has no place"},
		{"long line", ObjectsFile, add + strings.Repeat("x", 64<<10), "longer than"},
		{"rule in the switch", SwitchFile, add + `drop`, "does more than to empty and fill"},
		{"flush of a chain", SwitchFile, `flush chain inet trafficpolicy tp_forward`, "is emptied"},
		{"fill of this generation", SwitchFile, `add element inet trafficpolicy TAGnode4 { 1.1.1.1 }`, "not of the skeleton"},
		{"fill of nothing", SwitchFile, `flush map inet trafficpolicy tp_none`, "there is no set"},
		{"no newline", SwitchFile, "flush map", "does not end"},
		{"pods", PodsFile, "{}", "pods.json"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			replace := func(s string) string { return strings.ReplaceAll(s, "TAG", "tp_"+pods.Tag+"_") }
			var files []bundle.File
			for _, f := range good.Files {
				f.Data = bytes.Clone(f.Data)
				if f.Name == tt.file {
					f.Data = append(f.Data, replace(tt.line)...)
					if tt.name != "no newline" {
						f.Data = append(f.Data, '\n')
					}
				}
				files = append(files, f)
			}
			err := Check(files)
			if err == nil || !strings.Contains(err.Error(), replace(tt.want)) {
				t.Errorf("Check = %v, want %q", err, replace(tt.want))
			}
		})
	}
}

func TestCheckFiles(t *testing.T) {
	good := emit(t, sample()).Files
	if err := Check(good[:3]); err == nil {
		t.Error("three files pass")
	}
	if err := Check([]bundle.File{good[1], good[0], good[2], good[3]}); err == nil {
		t.Error("another order passes")
	}
	for _, change := range [][2]string{
		{`"scope": "node"`, `"scope": "all"`}, {`_src_0"`, `_src_9"`}, {`_node4"`, `_node6"`}, {`"schema": 1`, `"schema": 2`},
	} {
		files := append([]bundle.File(nil), good...)
		files[3].Data = bytes.Replace(files[3].Data, []byte(change[0]), []byte(change[1]), 1)
		if bytes.Equal(files[3].Data, good[3].Data) {
			t.Fatalf("%s is not in pods.json", change[0])
		}
		if err := Check(files); err == nil {
			t.Errorf("pods.json with %s passes", change[1])
		}
	}
}

// FuzzCheck holds Check to: no panic, and every line that passes is one that
// nothing in nft's language but our own commands begins with.
func FuzzCheck(f *testing.F) {
	// Short seeds: what the fuzzer finds of long ones it spends its time on shortening.
	p := Pods{Schema: podsSchema, Tag: placeholder, Scope: "pod", NodeSets: [2]string{gen("node4"), gen("node6")}, Pods: []Pod{}}
	data, err := p.encode()
	if err != nil {
		f.Fatal(err)
	}
	pods := bundle.File{Name: PodsFile, Data: data}
	f.Add([]byte("add table inet trafficpolicy\nadd map inet trafficpolicy tp_m { type ipv4_addr : verdict; }\n"),
		[]byte("add chain inet trafficpolicy "+gen("a")+"\n"+
			"add set inet trafficpolicy "+gen("node4")+" { type ipv4_addr; }\nadd set inet trafficpolicy "+gen("node6")+" { type ipv6_addr; }\n"+
			"add rule inet trafficpolicy "+gen("a")+" ip saddr @"+gen("node4")+" drop\n"),
		[]byte("flush map inet trafficpolicy tp_m\nadd element inet trafficpolicy tp_m { 1.2.3.4 : goto "+gen("a")+" }\n"))
	f.Fuzz(func(t *testing.T, skeleton, objects, turn []byte) {
		files := []bundle.File{{Name: SkeletonFile, Data: skeleton}, {Name: ObjectsFile, Data: objects}, {Name: SwitchFile, Data: turn}, pods}
		if Check(files) != nil {
			return
		}
		for _, file := range files[:3] {
			for line := range strings.Lines(string(file.Data)) {
				if !strings.HasPrefix(line, "add ") && !strings.HasPrefix(line, "flush ") || !strings.Contains(line, " inet trafficpolicy") || strings.ContainsAny(line, "\\$'`") {
					t.Errorf("passes: %q", line)
				}
			}
		}
	})
}
