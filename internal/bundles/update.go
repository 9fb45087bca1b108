package bundles

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// stagingName is the directory, in that of the bundles, for what is not in place yet.
const stagingName = ".new"

// Update is a new state of a directory in the making. Until Commit the directory
// stays as it is; Close gives up what was not committed. Of two updates of one
// directory at once the second fails to begin (on Windows this is not seen).
type Update struct {
	dir  string
	lock *os.File
	old  *Index // nil where there was none
	text []byte // of old

	mu     sync.Mutex
	staged []string // file names
}

// Begin begins to update dir, which is made where it does not exist.
func Begin(dir string) (*Update, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	u := &Update{dir: dir, lock: lock}
	if err := u.begin(); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return u, nil
}

func (u *Update) begin() (err error) {
	if u.old, u.text, err = ReadIndex(u.dir); err != nil {
		return err
	}
	if err := os.RemoveAll(u.staging()); err != nil { // of a run that was killed
		return err
	}
	return os.Mkdir(u.staging(), 0o755)
}

func (u *Update) staging() string { return filepath.Join(u.dir, stagingName) }

// Close gives up what was not committed.
func (u *Update) Close() error {
	err := os.RemoveAll(u.staging())
	if u.lock != nil {
		err = errors.Join(err, u.lock.Close())
		u.lock = nil
	}
	return err
}

// Discard gives up what was Put since the last Commit.
func (u *Update) Discard() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	var errs []error
	for _, name := range u.staged {
		if err := os.Remove(filepath.Join(u.staging(), name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	u.staged = nil
	return errors.Join(errs...)
}

// Old returns the index of the directory as it was, nil where it had none.
func (u *Update) Old() *Index { return u.old }

// Holds reports whether the bundle of a node in the directory is data.
func (u *Update) Holds(node string, data []byte) (bool, error) {
	if u.old.Find(node) == nil {
		return false, nil
	}
	return fileIs(filepath.Join(u.dir, FileName(node)), data)
}

// fileIs reports whether a regular file is there and holds data.
func fileIs(path string, data []byte) (bool, error) {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil || !info.Mode().IsRegular() || info.Size() != int64(len(data)) {
		return false, err
	}
	now, err := os.ReadFile(path)
	return err == nil && bytes.Equal(now, data), err
}

// Put writes the new bundle of a node, beside the directory's. It is safe for
// concurrent use by different nodes.
func (u *Update) Put(node string, data []byte) error {
	name := FileName(node)
	if err := writeNew(filepath.Join(u.staging(), name), data); err != nil {
		return err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.staged = append(u.staged, name)
	return nil
}

// writeNew writes a file that is not there yet. It does not wait for the disk:
// thousands of bundles would wait for minutes. Whoever loses power while they are
// on their way finds bundles that are not what the index says, and the next update
// writes them again, as it compares with what the files hold.
func writeNew(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}

// Commit puts the bundles that were Put in place, removes those that the old index
// has and x has not, and last writes x, which says what the directory then holds.
// Where it fails in the middle each bundle is the old or the new one, whole; the
// old index is still there and its digests tell which are which. After a Commit
// the next may follow.
func (u *Update) Commit(ctx context.Context, x *Index) error {
	text, err := x.encode()
	if err != nil {
		return err
	}
	same := bytes.Equal(text, u.text)
	if !same {
		if err := writeNew(filepath.Join(u.staging(), IndexName), text); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil { // the last chance to leave everything as it was
		return err
	}
	slices.Sort(u.staged)
	for i, name := range u.staged {
		if err := os.Rename(filepath.Join(u.staging(), name), filepath.Join(u.dir, name)); err != nil {
			return fmt.Errorf("%d of %d bundles are in place, the index is the old one: %w", i, len(u.staged), err)
		}
	}
	if err := u.remove(x); err != nil {
		return err
	}
	if !same {
		if err := os.Rename(filepath.Join(u.staging(), IndexName), filepath.Join(u.dir, IndexName)); err != nil {
			return fmt.Errorf("all bundles are in place, the index is the old one: %w", err)
		}
	}
	u.old, u.text, u.staged = x, text, nil
	return nil
}

// remove removes the bundles that only the old index has.
func (u *Update) remove(x *Index) error {
	if u.old == nil {
		return nil
	}
	var errs []error
	for _, e := range u.old.Nodes {
		if x.Find(e.Node) != nil {
			continue
		}
		if err := os.Remove(filepath.Join(u.dir, e.File)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Digest returns SHA-256 in hex.
func Digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// SortEntries sorts entries as an index has them.
func SortEntries(entries []Entry) {
	slices.SortFunc(entries, func(a, b Entry) int { return strings.Compare(a.Node, b.Node) })
}
