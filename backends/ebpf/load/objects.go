//go:build linux

package load

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/cilium/ebpf"
)

// objects are maps and programs that are pinned together in one folder.
type objects struct {
	maps     map[string]*ebpf.Map
	programs map[string]*ebpf.Program
}

func newObjects() *objects {
	return &objects{maps: map[string]*ebpf.Map{}, programs: map[string]*ebpf.Program{}}
}

// create makes the maps and programs of a specification that are not among those
// given, which the programs use.
func create(spec *ebpf.CollectionSpec, given map[string]*ebpf.Map) (*objects, error) {
	c, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: given})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	o := newObjects()
	for name := range c.Maps {
		if given[name] == nil && name[0] != '.' { // the programs keep their .rodata
			o.maps[name] = c.DetachMap(name)
		}
	}
	for name := range c.Programs {
		o.programs[name] = c.DetachProgram(name)
	}
	return o, nil
}

// pin pins all in a new folder, in one step: it is made beside and renamed.
func (o *objects) pin(dir string) error {
	beside := filepath.Join(filepath.Dir(dir), newPrefix+filepath.Base(dir))
	err := removePins(beside)
	if err == nil {
		err = os.Mkdir(beside, 0o700)
	}
	for name, m := range o.maps {
		if err == nil {
			err = m.Pin(filepath.Join(beside, name))
		}
	}
	for name, p := range o.programs {
		if err == nil {
			err = p.Pin(filepath.Join(beside, name))
		}
	}
	if err == nil {
		err = os.Rename(beside, dir)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("pin in %s: %w", dir, err), removePins(beside))
	}
	return nil
}

// newPrefix begins the names of folders that are not complete.
const newPrefix = "new-"

// openObjects opens what is pinned in a folder. Missing is the error that wraps
// fs.ErrNotExist.
func openObjects(dir string, maps, programs []string) (*objects, error) {
	o := newObjects()
	for _, name := range maps {
		m, err := ebpf.LoadPinnedMap(filepath.Join(dir, name), nil)
		if err != nil {
			o.close()
			return nil, pinError(dir, name, err)
		}
		o.maps[name] = m
	}
	for _, name := range programs {
		p, err := ebpf.LoadPinnedProgram(filepath.Join(dir, name), nil)
		if err != nil {
			o.close()
			return nil, pinError(dir, name, err)
		}
		o.programs[name] = p
	}
	return o, nil
}

func pinError(dir, name string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return &fs.PathError{Op: "open pin", Path: filepath.Join(dir, name), Err: fs.ErrNotExist}
	}
	return fmt.Errorf("pin %s: %w", filepath.Join(dir, name), err)
}

func (o *objects) close() {
	for _, m := range o.maps {
		m.Close()
	}
	for _, p := range o.programs {
		p.Close()
	}
}
