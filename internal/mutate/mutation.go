package mutate

import (
	"fmt"
	"slices"

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
	return out
}

// withFiles returns b with every script changed by f.
func withFiles(b *bundle.Bundle, f func(name string, data []byte) []byte) *bundle.Bundle {
	out := &bundle.Bundle{Manifest: b.Manifest, Files: slices.Clone(b.Files)}
	for i := range out.Files {
		out.Files[i].Data = f(out.Files[i].Name, out.Files[i].Data)
	}
	return out
}
