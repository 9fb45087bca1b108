package mutate

import (
	"fmt"
	"slices"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
)

// Mutation is a bundle with one change.
type Mutation struct {
	// Class says what kind of thing was changed, and where.
	Class string
	// What says what was done.
	What string
	// Same is set where the change means nothing by the way it was made.
	Same   bool
	Bundle *bundle.Bundle
}

func (m *Mutation) String() string { return fmt.Sprintf("%s: %s", m.Class, m.What) }

// withFile returns b with other content of one file.
func withFile(b *bundle.Bundle, name string, data []byte) *bundle.Bundle {
	out := &bundle.Bundle{Manifest: b.Manifest, Files: slices.Clone(b.Files)}
	for i := range out.Files {
		if out.Files[i].Name == name {
			out.Files[i].Data = data
		}
	}
	return recounted(out, b)
}

// withFiles returns b with every script changed by f.
func withFiles(b *bundle.Bundle, f func(name string, data []byte) []byte) *bundle.Bundle {
	out := &bundle.Bundle{Manifest: b.Manifest, Files: slices.Clone(b.Files)}
	for i := range out.Files {
		out.Files[i].Data = f(out.Files[i].Name, out.Files[i].Data)
	}
	return recounted(out, b)
}

// recounted has the manifest of a changed bundle count the elements of its scripts: the
// count is not to be what gives a change away.
func recounted(out, was *bundle.Bundle) *bundle.Bundle {
	out.Manifest.Counts.Elements += elements(out.Files) - elements(was.Files)
	return out
}

// elements counts those that the scripts among files add.
func elements(files []bundle.File) (n int) {
	for _, f := range files {
		if !strings.HasSuffix(f.Name, ".nft") {
			continue
		}
		for line := range strings.Lines(string(f.Data)) {
			if _, list, ok := strings.Cut(line, " { "); ok && strings.HasPrefix(line, "add element") {
				n += 1 + strings.Count(list, ",")
			}
		}
	}
	return n
}
