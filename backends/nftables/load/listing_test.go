//go:build linux

package load

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const listing = `table inet trafficpolicy {
	comment "x"
	counter tp_r_0000000000000001 {
	}

	counter tp_r_0000000000000002 {
		packets 0 bytes 0
	}

	counter tp_spoofed {
	}

	map tp_from4 {
		type ipv4_addr : verdict
		elements = { 10.0.0.2 : goto tp_aaaaaaaaaaaa_x, 10.0.0.1 : goto tp_aaaaaaaaaaaa_y,
			     10.0.0.3 : goto tp_aaaaaaaaaaaa_y }
	}

	set tp_aaaaaaaaaaaa_name4_00000000000000aa {
		type ipv4_addr
		flags timeout
		elements = { 1.1.1.1, 2.2.2.2 }
	}

	chain tp_aaaaaaaaaaaa_x {
		counter name "tp_r_0000000000000001" drop comment "a, { b }"
	}

	map tp_bbbbbbbbbbbb_m {
		type ipv4_addr : verdict
	}

	chain tp_bbbbbbbbbbbb_x {
		counter name "tp_r_0000000000000002" drop
	}

	chain tp_mark {
		return comment "generation 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef apply 7 prefix tp_aaaaaaaaaaaa_"
	}
}
`

func mustParse(t testing.TB, text string) []object {
	t.Helper()
	objects, err := parseListing(text)
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

func TestParseListing(t *testing.T) {
	objects := mustParse(t, listing)
	var keys []string
	for _, o := range objects {
		keys = append(keys, o.key())
	}
	want := []string{
		`table comment "x"`, "counter tp_r_0000000000000001", "counter tp_r_0000000000000002", "counter tp_spoofed", "map tp_from4",
		"set tp_aaaaaaaaaaaa_name4_00000000000000aa", "chain tp_aaaaaaaaaaaa_x", "map tp_bbbbbbbbbbbb_m", "chain tp_bbbbbbbbbbbb_x", "chain tp_mark",
	}
	if diff := cmp.Diff(want, keys); diff != "" {
		t.Errorf("objects (-want +got):\n%s", diff)
	}
	m, ok := findMark(objects)
	if !ok || m.apply != 7 || m.prefix != "tp_aaaaaaaaaaaa_" || !strings.HasPrefix(m.generation, "0123") {
		t.Errorf("mark %+v, %t", m, ok)
	}
	for _, text := range []string{"", "x", "table ip trafficpolicy {\n}\n", "table inet trafficpolicy {\n\tchain x {\n}\n", "table inet trafficpolicy {\nchain x {\n\t}\n}\n"} {
		if o, err := parseListing(text); err == nil {
			t.Errorf("%q was read as %v", text, o)
		}
	}
}

// The mark that is written is the mark that is read.
func TestMarkRoundTrip(t *testing.T) {
	m := mark{strings.Repeat("ab", 32), 1<<64 - 1, "tp_0123456789ab_"}
	lines := strings.Split(strings.TrimSpace(m.script()), "\n")
	_, rule, ok := strings.Cut(lines[2], markChain+" ")
	if got, found := findMark([]object{{kind: "chain", name: markChain, body: []string{rule}}}); !ok || !found || got != m {
		t.Errorf("%+v, %t", got, found)
	}
}

func TestDrifted(t *testing.T) {
	h := hold("1.0.6", mustParse(t, listing))
	for _, c := range []struct{ name, old, new, want string }{
		{"same", "", "", ""},
		{"order", "10.0.0.2 : goto tp_aaaaaaaaaaaa_x, 10.0.0.1 : goto tp_aaaaaaaaaaaa_y", "10.0.0.1 : goto tp_aaaaaaaaaaaa_y, 10.0.0.2 : goto tp_aaaaaaaaaaaa_x", ""},
		{"addresses of a name", ", 2.2.2.2", "", ""}, // nameDrift's
		{"type of a name's set", "flags timeout", "flags interval", "set tp_aaaaaaaaaaaa_name4_00000000000000aa was changed"},
		{"verdict", "10.0.0.2 : goto tp_aaaaaaaaaaaa_x", "10.0.0.2 : goto tp_aaaaaaaaaaaa_y", "map tp_from4 was changed"},
		{"comment", "a, { b }", "a, { c }", "chain tp_aaaaaaaaaaaa_x was changed"},
		{"removed", "\tmap tp_bbbbbbbbbbbb_m {\n\t\ttype ipv4_addr : verdict\n\t}\n", "", "map tp_bbbbbbbbbbbb_m is missing"},
		{"added", "\tchain tp_mark {", "\tchain tp_new {\n\t}\n\n\tchain tp_mark {", "chain tp_new was added"},
	} {
		text := strings.Replace(listing, c.old, c.new, 1)
		if got := strings.Join(h.compare("1.0.6", mustParse(t, text), nil), "; "); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	if got := h.compare("1.0.6", nil, nil); !slices.Equal(got, []string{"table inet trafficpolicy is missing"}) {
		t.Errorf("no table: %q", got)
	}
	if got := h.compare("1.0.9", mustParse(t, listing), nil); len(got) != 1 || !strings.Contains(got[0], "cannot be compared by nft 1.0.9") {
		t.Errorf("another nft: %q", got)
	}
}

func TestCleanupScript(t *testing.T) {
	objects := mustParse(t, listing)
	got := cleanupScript(objects, "tp_aaaaaaaaaaaa_", "")
	want := `flush chain inet trafficpolicy tp_bbbbbbbbbbbb_x
delete map inet trafficpolicy tp_bbbbbbbbbbbb_m
delete chain inet trafficpolicy tp_bbbbbbbbbbbb_x
delete counter inet trafficpolicy tp_r_0000000000000002
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("script (-want +got):\n%s", diff)
	}
	fresh := `add rule inet trafficpolicy tp_cccccccccccc_x counter name "tp_r_0000000000000002" drop`
	if got := cleanupScript(objects, "tp_cccccccccccc_", fresh); strings.Contains(got, "tp_r_0000000000000002") || !strings.Contains(got, "delete counter inet trafficpolicy tp_r_0000000000000001") {
		t.Errorf("with a rule that goes on counting:\n%s", got)
	}
}

func TestFreePrefix(t *testing.T) {
	objects := mustParse(t, listing)
	if got := freePrefix("tp_cccccccccccc_", objects); got != "tp_cccccccccccc_" {
		t.Errorf("nobody has it: %s", got)
	}
	if got := freePrefix("tp_aaaaaaaaaaaa_", objects); got == "tp_aaaaaaaaaaaa_" || generationName.FindString(got) != got {
		t.Errorf("taken: %s", got)
	}
}

func TestVersion(t *testing.T) {
	for out, want := range map[string]string{
		"nftables v1.0.6 (Lester Gooch #5)": "1.0.6", "nftables v1.1 (x)": "1.1", "nftables v2.0.0": "2.0.0",
		"nftables v1.0.5": "", "nftables v0.9.8": "", "nft": "", "": "",
	} {
		if got, err := checkVersion(out); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", out, got, err)
		}
	}
}

func FuzzListing(f *testing.F) {
	f.Add(listing)
	f.Fuzz(func(t *testing.T, text string) {
		objects, err := parseListing(text)
		if (objects == nil) == (err == nil) {
			t.Errorf("objects %v, error %v", objects, err)
		}
		for i := range objects {
			objects[i].digest()
		}
		deleteScript(objects)
	})
}
