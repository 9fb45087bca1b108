package bundle

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
)

// hostile is an input that somebody made to do harm, as large as the limits allow
// or without an end.
type hostile struct {
	name   string
	input  func() io.Reader
	reason Reason
	read   int64 // at most so many bytes of it are read
}

// maxHostile is what refusing a bundle may allocate, in bytes, all in all.
const maxHostile = 100 << 20

// endless repeats a text.
type endless struct {
	text []byte
	at   int
}

func (e *endless) Read(p []byte) (n int, err error) {
	for n < len(p) {
		c := copy(p[n:], e.text[e.at:])
		n, e.at = n+c, (e.at+c)%len(e.text)
	}
	return n, nil
}

func repeat(text string) io.Reader {
	return &endless{text: bytes.Repeat([]byte(text), 1+1<<12/len(text))}
}

// entryOf is an entry whose content is the first size bytes of content.
func entryOf(name string, size int64, content io.Reader) io.Reader {
	var h bytes.Buffer
	if err := tar.NewWriter(&h).WriteHeader(header(name, size)); err != nil {
		panic(err)
	}
	pad := (blockSize - size%blockSize) % blockSize
	return io.MultiReader(&h, io.LimitReader(content, size), io.LimitReader(repeat("\x00"), pad))
}

// tarOf is what archive/tar writes for headers with small contents, without the end.
func tarOf(headers ...*tar.Header) io.Reader {
	var b bytes.Buffer
	tw := tar.NewWriter(&b)
	for _, h := range headers {
		if err := tw.WriteHeader(h); err != nil {
			panic(err)
		}
		if h.Typeflag == tar.TypeReg {
			io.CopyN(tw, repeat("x"), h.Size)
		}
	}
	tw.Flush()
	return &b
}

// with replaces bytes of the first header and mends its checksum.
func with(r io.Reader, at int, text string) io.Reader {
	b, _ := io.ReadAll(r)
	copy(b[at:], text)
	copy(b[148:], "        ")
	sum := 0
	for _, c := range b[:blockSize] {
		sum += int(c)
	}
	copy(b[148:], fmt.Sprintf("%06o\x00 ", sum))
	return bytes.NewReader(b)
}

func hostiles(t testing.TB) []hostile {
	whole := pack(t, testManifest(), testFiles)
	manifest, envelope := testEnvelope(t, testSigner(1))
	small := int64(len(manifest)) + 4*blockSize // manifest, and the headers around it
	manifestEntry := func() io.Reader {
		return entryOf(ManifestName, int64(len(manifest)), bytes.NewReader(manifest))
	}
	// text is a bundle whose manifest has the largest size and begins with head, then
	// has text again and again; read bytes of it are read.
	text := func(name, head, text string, read int64) hostile {
		return hostile{name, func() io.Reader {
			return entryOf(ManifestName, MaxManifest, io.MultiReader(strings.NewReader(head), repeat(text)))
		}, BadManifest, read}
	}
	// laidOut is one that is laid out as it should be: elements again and again in so
	// many lists and objects, which end.
	laidOut := func(name, head, element, tail string) hostile {
		n := (MaxManifest - len(head) - len(tail)) / len(element)
		return hostile{name, func() io.Reader {
			size := int64(len(head) + n*len(element) + len(tail))
			return entryOf(ManifestName, size, io.MultiReader(
				strings.NewReader(head), io.LimitReader(repeat(element), int64(n*len(element))), strings.NewReader(tail)))
		}, BadManifest, MaxManifest + 2*blockSize}
	}
	// second has something else where the first file should stand.
	second := func(name string, reason Reason, r func() io.Reader) hostile {
		return hostile{name, func() io.Reader { return io.MultiReader(manifestEntry(), r()) }, reason, small}
	}
	file := func(name string, size int64) *tar.Header { return header(name, size) }
	link := func(typ byte) func() io.Reader {
		return func() io.Reader {
			return tarOf(&tar.Header{Typeflag: typ, Name: "skeleton.nft", Linkname: "/etc/passwd", Format: tar.FormatUSTAR})
		}
	}
	wrong := bytes.Replace(manifest, []byte(`"rules": 2,`), []byte(`"rules": 3,`), 1)
	const early, whole64 = 1<<20 + blockSize, MaxManifest + 2*blockSize // bytes
	const begun = "{\n  \"schema\": 1,\n  \"tool\": \"\",\n"
	return []hostile{
		{"zeros", func() io.Reader { return repeat("\x00") }, NotBundle, blockSize},
		{"noise", func() io.Reader { return repeat("noise") }, NotBundle, blockSize},
		{"entries without end", func() io.Reader {
			var one bytes.Buffer
			io.Copy(&one, entryOf("a", 0, nil))
			return &endless{text: one.Bytes()}
		}, NotBundle, blockSize},
		{"manifests without end", func() io.Reader {
			var one bytes.Buffer
			io.Copy(&one, manifestEntry())
			return &endless{text: one.Bytes()}
		}, BadEntry, small},
		second("entries without end behind a manifest", BadEntry, func() io.Reader {
			var one bytes.Buffer
			io.Copy(&one, entryOf("a", 0, nil))
			return &endless{text: one.Bytes()}
		}),
		{"a file without end behind the last", func() io.Reader {
			return io.MultiReader(bytes.NewReader(whole[:len(whole)-2*blockSize]), entryOf("more.nft", 8<<30-1, repeat("x")))
		}, BadEntry, int64(len(whole))},
		{"bytes without end behind the end", func() io.Reader {
			return io.MultiReader(bytes.NewReader(whole), repeat("\x00"))
		}, Trailing, int64(len(whole)) + 1},
		second("parent", BadEntry, func() io.Reader { return tarOf(file("../skeleton.nft", 0)) }),
		second("absolute", BadEntry, func() io.Reader { return tarOf(file("/etc/passwd", 0)) }),
		second("symbolic link", BadEntry, link(tar.TypeSymlink)),
		second("hard link", BadEntry, link(tar.TypeLink)),
		second("fifo", BadEntry, link(tar.TypeFifo)),
		{"the same name twice", func() io.Reader {
			e := func() io.Reader {
				return entryOf("skeleton.nft", int64(len(testFiles[0].Data)), bytes.NewReader(testFiles[0].Data))
			}
			return io.MultiReader(manifestEntry(), e(), e())
		}, BadEntry, small + 4*blockSize},
		{"wrong counts", func() io.Reader { return entryOf(ManifestName, int64(len(wrong)), bytes.NewReader(wrong)) }, BadManifest, small},

		// Extensions of the format announce more than there is, or repeat without end.
		{"pax header", func() io.Reader {
			return io.MultiReader(with(tarOf(file("x", 0)), 156, "x"), repeat("30 mtime=1350244992.023960108\n"))
		}, BadEntry, blockSize},
		{"pax headers without end", func() io.Reader {
			var one bytes.Buffer
			h := with(tarOf(file("x", 12)), 156, "x")
			io.Copy(&one, h)
			copy(one.Bytes()[blockSize:], "12 size=1e9\n")
			return &endless{text: one.Bytes()}
		}, BadEntry, blockSize},
		{"long name", func() io.Reader { return io.MultiReader(with(tarOf(file("x", 0)), 156, "L"), repeat("x")) }, BadEntry, blockSize},
		{"sparse file", func() io.Reader {
			return with(with(tarOf(file(ManifestName, 0)), 156, "S"), 257, "ustar  \x00")
		}, BadEntry, 2 * blockSize},
		{"size in base 256", func() io.Reader {
			return io.MultiReader(with(tarOf(file(ManifestName, 0)), 124, "\x80\x00\x00\x00\x7f\xff\xff\xff\xff\xff\xff\xff"), repeat("x"))
		}, BadEntry, blockSize},

		// Sizes that are claimed.
		{"manifest too large", func() io.Reader { return entryOf(ManifestName, MaxManifest+1, repeat("{")) }, TooLarge, blockSize},
		{"manifest of zeros", func() io.Reader { return entryOf(ManifestName, MaxManifest, repeat("\x00")) }, BadManifest, 1<<20 + blockSize},
		second("envelope of ten million signatures", TooLarge, func() io.Reader {
			one := "    {\n      \"keyid\": \"" + strings.Repeat("0", 64) + "\",\n      \"sig\": \"" + strings.Repeat("A", 86) + "==\"\n    },\n"
			head := string(envelope[:bytes.Index(envelope, []byte("    {"))])
			return entryOf(SignatureName, int64(len(head)+10_000_000*len(one)), io.MultiReader(strings.NewReader(head), repeat(one)))
		}),
		{"envelope of brackets", func() io.Reader {
			return io.MultiReader(manifestEntry(), entryOf(SignatureName, MaxEnvelope, repeat("[")))
		}, BadEnvelope, small + MaxEnvelope + 2*blockSize},

		// Manifests as large as they may be.
		text("brackets", "", "[", early),
		text("objects in objects", "", `{"a":`, early),
		text("objects in objects, laid out", begun+"  \"rules\": [\n", "{\n", whole64),
		text("one string", begun+"  \"backend\": \"", "x", whole64),
		text("empty objects", begun+"  \"rules\": [\n", "    {},\n", whole64),
		text("empty lists", begun+"  \"rules\": [\n", "    [],\n", whole64),
		text("objects on a line", begun+"  \"rules\": [\n", "{},", whole64),
		laidOut("rules", begun+"  \"rules\": [\n", "    {\n      \"id\": \"\"\n    },\n", "    {\n      \"id\": \"\"\n    }\n  ]\n}\n"),
		laidOut("rules of another field", begun+"  \"rules\": [\n", "    {\n      \"\": 0\n    },\n", "    {\n      \"\": 0\n    }\n  ]\n}\n"),
		laidOut("files", begun+"  \"files\": [\n", "    {\n      \"name\": \"\"\n    },\n", "    {\n      \"name\": \"\"\n    }\n  ]\n}\n"),
		laidOut("default denies", begun+"  \"defaults\": [\n", "    {\n      \"id\": \"\"\n    },\n", "    {\n      \"id\": \"\"\n    }\n  ]\n}\n"),
		laidOut("addresses", begun+"  \"podAddrs\": [\n", "    \"::\",\n", "    \"::\"\n  ]\n}\n"),
		laidOut("rules that are null", begun+"  \"rules\": [\n", "    null,\n", "    null\n  ]\n}\n"),
		laidOut("policies", begun+"  \"defaults\": [\n    {\n      \"policies\": [\n", "        \"\",\n", "        \"\"\n      ]\n    }\n  ]\n}\n"),
		laidOut("one field", "{\n  \"schema\": 1,\n", "  \"tool\": \"\",\n", "  \"tool\": \"\"\n}\n"),
	}
}

// TestHostile bounds what refusing a hostile bundle costs: bytes that are read, which
// is what its time follows, and memory.
func TestHostile(t *testing.T) {
	for _, h := range hostiles(t) {
		for name, trusted := range map[string]*Keyring{"": nil, ", signature wanted": ring(testSigner(2))} {
			in := &source{r: h.input()}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			b, err := Open(in, trusted)
			runtime.ReadMemStats(&after)
			var e *Error
			if !errors.As(err, &e) || b != nil {
				t.Errorf("%s%s: taken, error %v", h.name, name, err)
				continue
			}
			if e.Reason != h.reason && e.Reason != Unsigned {
				t.Errorf("%s%s: reason %d %q, want %d", h.name, name, e.Reason, err, h.reason)
			}
			if in.n > h.read {
				t.Errorf("%s%s: %d bytes read, want at most %d", h.name, name, in.n, h.read)
			}
			if n := after.TotalAlloc - before.TotalAlloc; n > maxHostile {
				t.Errorf("%s%s: %d bytes allocated", h.name, name, n)
			}
			if len(err.Error()) > 500 {
				t.Errorf("%s%s: the error has %d bytes", h.name, name, len(err.Error()))
			}
		}
	}
}

// BenchmarkHostile says how long refusing each takes.
func BenchmarkHostile(b *testing.B) {
	for _, h := range hostiles(b) {
		b.Run(strings.ReplaceAll(h.name, " ", "-"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Open(h.input(), nil); err == nil {
					b.Fatal("taken")
				}
			}
		})
	}
}
