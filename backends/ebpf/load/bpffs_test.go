//go:build linux

package load

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestOwnFolder(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "target")
	if err := os.Mkdir(target, 0o777); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	file := filepath.Join(dir, "file")
	if err := errors.Join(os.Symlink(target, link), os.WriteFile(file, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		create bool
		ok     bool
	}{
		{"new", true, true}, {"new", false, true}, {"other", false, false},
		{"link", true, false}, {"link", false, false}, {"file", true, false},
	} {
		err := ownFolder(filepath.Join(dir, c.name), c.create)
		if (err == nil) != c.ok {
			t.Errorf("%s, create %t: %v", c.name, c.create, err)
		}
		if c.name == "other" && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("missing: %v", err)
		}
	}
	if err := os.Chmod(target, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := ownFolder(target, false); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(target); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(target, 12345, -1); err != nil {
			t.Fatal(err)
		}
		if ownFolder(target, true) == nil {
			t.Error("the folder of another user is taken")
		}
	}
}
