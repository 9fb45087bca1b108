//go:build linux

package state

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
)

// Network namespaces end with the boot that made them, but what was in force
// then is what a node should start with. The folder of an earlier boot is
// therefore kept until the same target has a bundle in force again, or is
// removed; those of pods, whose namespaces are gone, only until the next commit
// of any target.

// Past is what an earlier boot has left of a target.
type Past struct {
	State           *State
	Bundle          []byte // in force then
	Learned, Memory []byte // as [Folder.Learned] and [Folder.Memory] return them
}

// Earlier returns what was last committed for a target in an earlier boot; nil if
// nothing is left. Of two boots, of which the later one was stopped before it dropped the
// other's, the highest sequence tells, since it never falls, and else the clock, which can
// have been put back.
func (f *Folder) Earlier(scope, name string) (*Past, error) {
	var best *Past
	err := f.older(func(folder string, d *dir, s *State) error {
		r := s.Current
		if r == nil || r.Scope != scope || r.Name != name {
			return nil
		}
		if best != nil && cmp.Or(cmp.Compare(s.MaxSequence, best.State.MaxSequence), r.Applied.Compare(best.State.Current.Applied)) <= 0 {
			return nil
		}
		p, err := (&Folder{dir: d, State: s}).past()
		if err == nil {
			best = p
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	return best, nil
}

func (f *Folder) past() (p *Past, err error) {
	p = &Past{State: f.State}
	if p.Bundle, err = f.Bundle(f.State.Current); err == nil {
		p.Learned, err = f.Learned()
	}
	if err == nil {
		p.Memory, err = f.Memory()
	}
	return p, err
}

// Earlier is Folder.Earlier where the namespace of key has no folder of its own.
func Earlier(dir string, key Key, scope, name string) (*Past, error) {
	root, err := openDir(dir, false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	defer root.close()
	return (&Folder{root: root, key: key}).Earlier(scope, name)
}

// older calls visit for the folder of each network namespace of another boot
// whose state can be read.
func (f *Folder) older(visit func(folder string, d *dir, s *State) error) error {
	names, err := f.root.names()
	if err != nil {
		return err
	}
	for _, name := range names {
		boot, ok := bootOf(name)
		if !ok || boot == f.key.Boot {
			continue
		}
		d, err := f.root.sub(name, false)
		if err != nil {
			continue
		}
		s, err := loadState(d, stateFile)
		if err != nil || s == nil {
			s = &State{}
		}
		err = visit(name, d, s)
		d.close()
		if err != nil {
			return err
		}
	}
	return nil
}

// DropEarlier removes the folders of earlier boots that the state in force
// supersedes.
func (f *Folder) DropEarlier() {
	if r := f.State.Current; r != nil {
		f.dropOlder(r.Scope, r.Name)
	}
}

func (f *Folder) dropOlder(scope, name string) {
	var drop []string
	f.older(func(folder string, _ *dir, s *State) error {
		r := s.Current
		if r == nil || r.Scope != "node" || r.Scope == scope && r.Name == name {
			drop = append(drop, folder)
		}
		return nil
	})
	for _, folder := range drop {
		eraseFolder(f.root, folder)
	}
}
