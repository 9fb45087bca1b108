package bundle

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var testFiles = []File{
	{"skeleton.nft", []byte("add table inet trafficpolicy\n")},
	{"objects.nft", bytes.Repeat([]byte("x"), 1300)},
	{"empty.txt", nil},
}

func testManifest() Manifest {
	return Manifest{
		Tool: "v1.0.0 (commit abc)", Backend: NFTables, Scope: ScopePod, Name: "default/a", Node: "node-1",
		PodAddrs: []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")},
		Sequence: 7,
		Rules: []Rule{
			{ID("GlobalTrafficPolicy/base#egress[0]"), "GlobalTrafficPolicy/base#egress[0]", "deny"},
			{ID("TrafficPolicy/default/a#egress[1]"), "TrafficPolicy/default/a#egress[1]", "reject"},
		},
		Defaults: []Default{
			{
				ID:    ID(DefaultName("egress", []string{"TrafficPolicy/default/a"})),
				Class: 0, Direction: "egress", Policies: []string{"TrafficPolicy/default/a"},
			},
			{
				ID:    ID(DefaultName("ingress", []string{"TrafficPolicy/default/a"})),
				Class: 0, Direction: "ingress", Policies: []string{"TrafficPolicy/default/a"},
			},
		},
		Names:  []KnownName{{ID("rds.example"), "rds.example", nil}},
		Counts: Counts{Pods: 1, Classes: 1, Policies: 1, Rules: 2, Names: 1, Elements: 3},
	}
}

// pack returns the bundle of m and files.
func pack(t testing.TB, m Manifest, files []File) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, m, files); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestRoundTrip(t *testing.T) {
	data := pack(t, testManifest(), testFiles)
	if again := pack(t, testManifest(), testFiles); !bytes.Equal(data, again) {
		t.Error("the same bundle has different bytes")
	}
	want, err := testManifest().Seal(testFiles)
	if err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]io.Reader{
		"whole":     bytes.NewReader(data),
		"one byte":  iotest.OneByteReader(bytes.NewReader(data)),
		"eof early": iotest.DataErrReader(bytes.NewReader(data)),
	} {
		got, err := Read(r)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		addrs := cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
		if d := cmp.Diff(&Bundle{Manifest: want, Files: testFiles}, got, addrs, cmpopts.EquateEmpty()); d != "" {
			t.Errorf("%s: (-want +got)\n%s", name, d)
		}
	}
}

func TestWriteRefuses(t *testing.T) {
	for name, change := range map[string]func(m *Manifest, f *[]File){
		"no file":         func(_ *Manifest, f *[]File) { *f = nil },
		"too many files":  func(_ *Manifest, f *[]File) { *f = make([]File, MaxFiles+1) },
		"path":            func(_ *Manifest, f *[]File) { *f = []File{{"a/b", nil}} },
		"parent":          func(_ *Manifest, f *[]File) { *f = []File{{"..", nil}} },
		"envelope":        func(_ *Manifest, f *[]File) { *f = []File{{SignatureName, nil}} },
		"manifest twice":  func(_ *Manifest, f *[]File) { *f = []File{{ManifestName, nil}} },
		"name twice":      func(_ *Manifest, f *[]File) { *f = []File{{"a", nil}, {"a", nil}} },
		"long name":       func(_ *Manifest, f *[]File) { *f = []File{{strings.Repeat("a", maxName+1), nil}} },
		"backend":         func(m *Manifest, _ *[]File) { m.Backend = "iptables" },
		"scope":           func(m *Manifest, _ *[]File) { m.Scope = "cluster" },
		"no target":       func(m *Manifest, _ *[]File) { m.Name = "" },
		"node with addrs": func(m *Manifest, _ *[]File) { m.Scope, m.Name = ScopeNode, "node-1" },
		"rule id":         func(m *Manifest, _ *[]File) { m.Rules[0].ID = ID("other") },
		"rule order":      func(m *Manifest, _ *[]File) { m.Rules[0], m.Rules[1] = m.Rules[1], m.Rules[0] },
		"rule twice":      func(m *Manifest, _ *[]File) { m.Rules[1] = m.Rules[0] },
		"action":          func(m *Manifest, _ *[]File) { m.Rules[0].Action = "drop" },
		"one default":     func(m *Manifest, _ *[]File) { m.Defaults = m.Defaults[:1] },
		"default order": func(m *Manifest, _ *[]File) {
			m.Defaults[0], m.Defaults[1] = m.Defaults[1], m.Defaults[0]
		},
		"default class": func(m *Manifest, _ *[]File) { m.Defaults[0].Class, m.Defaults[1].Class = 1, 1 },
		"classes":       func(m *Manifest, _ *[]File) { m.Counts.Classes++ },
		"policies":      func(m *Manifest, _ *[]File) { m.Counts.Policies-- },
		"rules":         func(m *Manifest, _ *[]File) { m.Counts.Rules++ },
		"names":         func(m *Manifest, _ *[]File) { m.Counts.Names-- },
		"pods":          func(m *Manifest, _ *[]File) { m.Counts.Pods = -1 },
		"elements":      func(m *Manifest, _ *[]File) { m.Counts.Elements = -1 },
		"default id":    func(m *Manifest, _ *[]File) { m.Defaults[0].Direction = "ingress" },
		"address order": func(m *Manifest, _ *[]File) {
			m.PodAddrs[0], m.PodAddrs[1] = m.PodAddrs[1], m.PodAddrs[0]
		},
		"mapped address": func(m *Manifest, _ *[]File) { m.PodAddrs = []netip.Addr{netip.MustParseAddr("::ffff:1.2.3.4")} },
	} {
		m, files := testManifest(), testFiles
		change(&m, &files)
		var b bytes.Buffer
		if err := Write(&b, m, files); err == nil {
			t.Errorf("%s: written", name)
		} else if b.Len() > 0 {
			t.Errorf("%s: %d bytes written before the error %v", name, b.Len(), err)
		}
	}
}

// archive makes a tar that Write would not.
func archive(t *testing.T, headers []tar.Header, bodies ...[]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	tw := tar.NewWriter(&b)
	for i, h := range headers {
		if err := tw.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := tw.Write(bodies[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestReadRefuses(t *testing.T) {
	whole := pack(t, testManifest(), testFiles)
	m, err := testManifest().Seal(testFiles)
	if err != nil {
		t.Fatal(err)
	}
	text, err := encodeManifest(&m)
	if err != nil {
		t.Fatal(err)
	}
	objects := bytes.Index(whole, []byte("xxxx"))
	// with is the bundle with a different manifest text.
	with := func(old, new string) []byte {
		changed := bytes.Replace(text, []byte(old), []byte(new), 1)
		if bytes.Equal(changed, text) {
			t.Fatalf("%q is not in the manifest", old)
		}
		return archive(t, []tar.Header{*header(ManifestName, int64(len(changed)))}, changed)
	}
	second := func(change func(*tar.Header)) []byte {
		h := *header("skeleton.nft", int64(len(testFiles[0].Data)))
		body := testFiles[0].Data
		change(&h)
		if h.Typeflag != tar.TypeReg {
			h.Size, body = 0, nil
		}
		return archive(t, []tar.Header{*header(ManifestName, int64(len(text))), h}, text, body)
	}
	tests := []struct {
		name   string
		data   []byte
		reason Reason
		text   string
	}{
		{"empty", nil, Empty, "bundle: the input is empty"},
		{"one byte", []byte("x"), Truncated, "bundle: it ends within the first 1 bytes"},
		{"text", bytes.Repeat([]byte("policy\n"), 200), NotBundle, "bundle: the input is no tar archive"},
		{"empty tar", archive(t, nil), NotBundle, "bundle: the input is no tar archive"},
		{"other first entry", archive(t, []tar.Header{*header("skeleton.nft", 0)}, nil), NotBundle, `bundle: its first entry is "skeleton.nft", not manifest.json`},
		{"cut in manifest", whole[:600], Truncated, "bundle: it ends within manifest.json"},
		{"cut in a file", whole[:objects+1000], Truncated, "bundle: it ends within objects.nft"},
		{"cut before the end", whole[:len(whole)-1024], Truncated, "bundle: it lacks the end of a tar"},
		{"cut in the end", whole[:len(whole)-1], Truncated, "bundle: it lacks the end of a tar"},
		{"half of the end", whole[:len(whole)-512], Truncated, "bundle: it lacks the end of a tar"},
		{"a byte more", append(bytes.Clone(whole), 0), Trailing, "bundle: something follows its end"},
		{"twice", append(bytes.Clone(whole), whole...), Trailing, "bundle: something follows its end"},
		{"changed byte", func() []byte {
			d := bytes.Clone(whole)
			d[objects]++
			return d
		}(), BadDigest, "bundle: objects.nft is not what the manifest says: it was damaged or changed"},
		{"newer schema", with(`"schema": 1`, `"schema": 2`), BadSchema,
			"bundle: it has schema 2 and this program reads schema 1: compiler and loader must be of one version"},
		{"no schema", with("\n  \"schema\": 1,", ""), BadManifest, "bundle: manifest.json does not begin with a schema"},
		{"unknown field", with(`"tool"`, `"extra": 1, "tool"`), BadManifest,
			"bundle: manifest.json is not in the form in which the compiler writes it"},
		{"repeated field", with(`"sequence": 7`, "\"sequence\": 6,\n  \"sequence\": 7"), BadManifest,
			"bundle: manifest.json is not in the form in which the compiler writes it"},
		{"generation", with(m.Generation, ID("x")), BadManifest,
			`bundle: manifest.json: generation "` + ID("x") + `" is not the digest of its files, ` + m.Generation},
		{"not JSON", with("{", "["), BadManifest, "bundle: manifest.json does not begin with a schema"},
		{"missing file", second(func(*tar.Header) {}), Truncated, "bundle: it ends before objects.nft"},
		{"out of order", second(func(h *tar.Header) { h.Name = "objects.nft" }), BadEntry,
			`bundle: entry "objects.nft" stands where the manifest has "skeleton.nft"`},
		{"repeated", second(func(h *tar.Header) { h.Name = "manifest.json" }), BadEntry,
			`bundle: entry "manifest.json" stands where the manifest has "skeleton.nft"`},
		{"parent", second(func(h *tar.Header) { h.Name = "../skeleton.nft" }), BadEntry,
			`bundle: entry "../skeleton.nft" has a name that no file of a bundle has`},
		{"absolute", second(func(h *tar.Header) { h.Name = "/etc/passwd" }), BadEntry,
			`bundle: entry "/etc/passwd" has a name that no file of a bundle has`},
		{"symlink", second(func(h *tar.Header) { h.Typeflag, h.Linkname = tar.TypeSymlink, "x" }), BadEntry,
			`bundle: entry "skeleton.nft" is no regular file`},
		{"hard link", second(func(h *tar.Header) { h.Typeflag, h.Linkname = tar.TypeLink, "x" }), BadEntry,
			`bundle: entry "skeleton.nft" is no regular file`},
		{"device", second(func(h *tar.Header) { h.Typeflag = tar.TypeChar }), BadEntry,
			`bundle: entry "skeleton.nft" is no regular file`},
		{"set-uid", second(func(h *tar.Header) { h.Mode = 0o4755 }), BadEntry,
			`bundle: entry "skeleton.nft" carries owner, mode, time or extensions that no bundle has`},
		{"dated", second(func(h *tar.Header) { h.ModTime = time.Unix(1, 0) }), BadEntry,
			`bundle: entry "skeleton.nft" carries owner, mode, time or extensions that no bundle has`},
		{"pax", second(func(h *tar.Header) {
			h.Format, h.PAXRecords = tar.FormatPAX, map[string]string{"comment": "x"}
		}), BadEntry, `bundle: an entry has extensions (PAX or GNU) that no bundle has`},
		{"unlisted entry", func() []byte {
			hs := []tar.Header{*header(ManifestName, int64(len(text)))}
			bodies := [][]byte{text}
			for _, f := range append(testFiles, File{"more.nft", nil}) {
				hs = append(hs, *header(f.Name, int64(len(f.Data))))
				bodies = append(bodies, f.Data)
			}
			return archive(t, hs, bodies...)
		}(), BadEntry, `bundle: entry "more.nft" is not in the manifest`},
	}
	for _, tt := range tests {
		b, err := Read(bytes.NewReader(tt.data))
		var e *Error
		if !errors.As(err, &e) || b != nil {
			t.Errorf("%s: Read returns a bundle %t, error %v", tt.name, b != nil, err)
			continue
		}
		if e.Reason != tt.reason || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: reason %d %q, want %d %q", tt.name, e.Reason, err, tt.reason, tt.text)
		}
	}
}

// A header may claim any size: what is allocated follows what arrives.
func TestReadClaimedSize(t *testing.T) {
	var b bytes.Buffer
	if err := tar.NewWriter(&b).WriteHeader(header(ManifestName, MaxManifest)); err != nil {
		t.Fatal(err)
	}
	data := b.Bytes()
	if n := testing.AllocsPerRun(1, func() { Read(bytes.NewReader(data)) }); n > 100 {
		t.Errorf("%v allocations", n)
	}
	var e *Error
	if _, err := Read(bytes.NewReader(data)); !errors.As(err, &e) || e.Reason != Truncated {
		t.Errorf("Read = %v", err)
	}
	b.Reset()
	if err := tar.NewWriter(&b).WriteHeader(header(ManifestName, MaxManifest+1)); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(&b); !errors.As(err, &e) || e.Reason != TooLarge {
		t.Errorf("Read = %v", err)
	}
}

func TestReadFailingStream(t *testing.T) {
	broken := errors.New("cable cut")
	data := pack(t, testManifest(), testFiles)
	for _, n := range []int{0, 100, 512, 600, len(data) - 1024, len(data)} {
		_, err := Read(io.MultiReader(bytes.NewReader(data[:n]), iotest.ErrReader(broken)))
		var e *Error
		if !errors.As(err, &e) || e.Reason != Unreadable || !errors.Is(err, broken) {
			t.Errorf("after %d bytes: %v", n, err)
		}
	}
}

// FuzzRead holds Read to: no panic, a bundle or an *Error, and a bundle that
// was read is written again as the same bytes.
func FuzzRead(f *testing.F) {
	// A short seed: what the fuzzer finds of a long one it spends its time on shortening.
	data := pack(f, Manifest{Backend: EBPF, Scope: ScopeNode, Name: "n", Node: "n"}, []File{{"a", []byte("x")}})
	f.Add(data)
	f.Add(data[:len(data)-600])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, in []byte) {
		b, err := Read(bytes.NewReader(in))
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || b != nil {
				t.Fatalf("Read = %v, %v", b, err)
			}
			return
		}
		if again, err := b.Bytes(); err != nil || !bytes.Equal(again, in) {
			t.Fatalf("written again it has other bytes, error %v", err)
		}
	})
}
