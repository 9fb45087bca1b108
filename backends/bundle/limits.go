package bundle

import "fmt"

// Limits of what Open takes and Write writes, inclusive, in bytes but for MaxFiles.
const (
	MaxManifest = 64 << 20
	MaxFile     = 512 << 20
	MaxTotal    = 1 << 30 // all files together
	MaxFiles    = 16
	maxName     = 64
)

// LimitError says that what was compiled does not fit in a bundle. The program
// itself is valid.
type LimitError struct {
	What string // what there is too much of, as "bytes of manifest.json"
	Have int64
	Max  int64
	Hint string // what to do
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("the bundle needs %d %s, more than %d: %s", e.Have, e.What, e.Max, e.Hint)
}

// limits are those of one bundle; tests lower them.
type limits struct{ manifest, file, total int64 }

var realLimits = limits{MaxManifest, MaxFile, MaxTotal}

// check returns a *LimitError for the first limit that a manifest of so many bytes
// or its files exceed.
func (l limits) check(manifest int64, files []FileInfo) error {
	const fewer = "compile for fewer pods (--pod), or join rules of one action into one with several peers"
	if manifest > l.manifest {
		return &LimitError{"bytes of " + ManifestName, manifest, l.manifest, fewer}
	}
	var total int64
	for _, f := range files {
		if f.Size > l.file {
			return &LimitError{"bytes of " + f.Name, f.Size, l.file, fewer}
		}
		if total += f.Size; total > l.total {
			return &LimitError{"bytes of files together", total, l.total, fewer}
		}
	}
	return nil
}
