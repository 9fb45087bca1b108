package fix

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/internal/edit"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// realPath returns the path of the file that path leads to, without links.
func realPath(path string) (string, error) {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", err
	}
	return filepath.Abs(real)
}

// file returns the file at path, by whatever name, or why it cannot be changed.
func (m *maker) file(path string) (*File, error) {
	if path == compiler.StdinName {
		return nil, errors.New("standard input cannot be changed")
	}
	if m.copied(path) {
		return nil, errors.New("it was read from a compact inventory, which does not change with it")
	}
	real, err := realPath(path)
	if err != nil {
		return nil, err
	}
	if f := m.files[real]; f != nil {
		return f, nil
	}
	info, err := os.Stat(real)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, errors.New("it is not a regular file")
	case info.Mode().Perm()&0o222 == 0:
		return nil, errors.New("it is read-only")
	}
	text, err := os.ReadFile(real)
	if err != nil {
		return nil, err
	}
	f := &File{Path: path, Old: text, New: text, real: real, info: info}
	m.files[real] = f
	return f, nil
}

func sameFile(a, b *File) bool { return os.SameFile(a.info, b.info) }

// cut takes cs out of f, all or none. It reports whether it did.
func (m *maker) cut(f *File, cs []candidate) bool {
	var places []edit.Place
	for _, c := range cs {
		places = append(places, c.place)
	}
	text, err := f.parse()
	if err == nil {
		var after []byte
		if after, err = text.Remove(places); err == nil {
			f.New = after
			return true
		}
	}
	m.keep("%s stays as it is: %v", model.Printable(f.Path), err)
	return false
}

// parse returns what f holds, read once.
func (f *File) parse() (*edit.Text, error) {
	if f.text == nil {
		var err error
		if f.text, err = edit.Parse(f.Old); err != nil {
			return nil, err
		}
	}
	return f.text, nil
}
