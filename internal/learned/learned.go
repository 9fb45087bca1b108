// Package learned is the form in which a node remembers what domain names mean:
// the file learned.json of tploader's state directory.
package learned

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// FileName is the file's name, in the folder of a network namespace.
const FileName = "learned.json"

// schema is the version of the form.
const schema = 1

// Known is what domain names mean: addresses by name, unmapped, without zones.
type Known map[string][]netip.Addr

// File is the file. Its JSON form is a contract.
type File struct {
	Schema  int       `json:"schema"`
	Written time.Time `json:"written"` // when what it says last changed
	// Names has the addresses that the node learned of each name of the bundle in
	// force, beside those that the bundle has; sorted. Names without such are not there.
	Names Known `json:"names"`
}

// Write returns the text of a file.
func Write(written time.Time, names Known) ([]byte, error) {
	text, err := json.Marshal(File{schema, written, names})
	return append(text, '\n'), err
}

// Read reads the text of a file.
func Read(text []byte) (*File, error) {
	f := &File{}
	if err := json.Unmarshal(text, f); err != nil {
		return nil, fmt.Errorf("%s: %w", FileName, err)
	}
	if f.Schema != schema {
		return nil, fmt.Errorf("%s: schema %d is not %d: another version of tploader wrote it", FileName, f.Schema, schema)
	}
	for name, addrs := range f.Names {
		for _, a := range addrs {
			if !a.IsValid() || a.Zone() != "" || a.Is4In6() {
				return nil, fmt.Errorf("%s: %q of %s is no plain address", FileName, a, name)
			}
		}
	}
	if f.Names == nil {
		f.Names = Known{}
	}
	return f, nil
}

// Sorted returns the addresses in order, each once. It changes addrs.
func Sorted(addrs []netip.Addr) []netip.Addr {
	slices.SortFunc(addrs, netip.Addr.Compare)
	return slices.Compact(addrs)
}
