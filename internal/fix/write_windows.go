package fix

import (
	"os"
	"path/filepath"
)

type pendingFile struct{ from, to string }

func (p pendingFile) replace() error { return os.Rename(p.from, p.to) }
func (p pendingFile) discard()       { os.Remove(p.from) }

// prepare writes text to a file beside f. (renameio does not exist for Windows.)
func (f *File) prepare(text []byte) (stagedFile, error) {
	t, err := os.CreateTemp(filepath.Dir(f.real), "."+filepath.Base(f.real)+"*")
	if err != nil {
		return nil, err
	}
	_, err = t.Write(text)
	if failed := t.Close(); err == nil {
		err = failed
	}
	if err != nil {
		os.Remove(t.Name())
		return nil, err
	}
	return pendingFile{t.Name(), f.real}, nil
}
