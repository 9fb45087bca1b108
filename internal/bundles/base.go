package bundles

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Base is a directory that bundles are compared with. The index is enough: bundles
// that are not there are known by their digests.
type Base struct {
	Index  *Index
	Digest string // SHA-256 of the index's text, in hex
	dir    string
}

// OpenBase reads the index of dir, which must be there.
func OpenBase(dir string) (*Base, error) {
	x, text, err := ReadIndex(dir)
	if err == nil && x == nil {
		err = fmt.Errorf("%s has no %s: compile --all --out-dir writes one", dir, IndexName)
	}
	if err == nil && x.Since != "" {
		err = fmt.Errorf("%s has only what changed (--since), not the bundles of all nodes", dir)
	}
	if err != nil {
		return nil, err
	}
	return &Base{Index: x, Digest: Digest(text), dir: dir}, nil
}

// Holds reports whether the bundle of a node is data: the file's content decides, and where
// there is no file what the index says of it.
func (b *Base) Holds(node string, data []byte) (bool, error) {
	e := b.Index.Find(node)
	if e == nil {
		return false, nil
	}
	path := filepath.Join(b.dir, e.File)
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return e.Size == int64(len(data)) && e.SHA256 == Digest(data), nil
	}
	return fileIs(path, data)
}
