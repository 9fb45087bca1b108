package main

import (
	"os"
	"path/filepath"
)

// replaceFile writes a file that takes the place of the one at path. (renameio
// does not exist for Windows, which has no rename that survives a crash.)
func replaceFile(path string, data []byte, perm os.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // in vain once it was renamed
	_, err = f.Write(data)
	if close := f.Close(); err == nil {
		err = close
	}
	if err == nil {
		err = os.Chmod(f.Name(), perm)
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	return err
}
