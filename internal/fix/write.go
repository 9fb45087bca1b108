package fix

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
)

// Write writes the files of the plan, each in one step: links are followed, and
// modes kept. All are prepared before the first is replaced; should replacing
// one fail, those before it get back what they held.
func (p *Plan) Write() (err error) {
	staged := make([]stagedFile, 0, len(p.Files))
	defer func() {
		for _, s := range staged {
			s.discard()
		}
	}()
	for i := range p.Files {
		s, err := p.Files[i].stage(p.Files[i].New)
		if err != nil {
			return fmt.Errorf("nothing was changed: %s: %w", p.Files[i].Path, err)
		}
		staged = append(staged, s)
	}
	for i, s := range staged {
		if err := s.replace(); err != nil {
			return p.undo(i, fmt.Errorf("%s: %w", p.Files[i].Path, err))
		}
	}
	return nil
}

// undo gives the first n files their old text, since err has kept another from
// being written.
func (p *Plan) undo(n int, err error) error {
	for i := range slices.Backward(p.Files[:n]) {
		s, failed := p.Files[i].prepare(p.Files[i].Old)
		if failed == nil {
			failed = s.replace()
		}
		if failed != nil {
			return fmt.Errorf("%w; %s is changed already and could not be put back: %w", err, p.Files[i].Path, failed)
		}
	}
	return fmt.Errorf("nothing was changed: %w", err)
}

// stage prepares a file to hold text, provided it is still what was looked at and
// may be written.
func (f *File) stage(text []byte) (stagedFile, error) {
	now, err := os.OpenFile(f.real, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer now.Close()
	held := new(bytes.Buffer)
	if _, err := held.ReadFrom(now); err != nil {
		return nil, err
	}
	if !bytes.Equal(held.Bytes(), f.Old) {
		return nil, errors.New("it was changed meanwhile")
	}
	return f.prepare(text)
}

// stagedFile is a file beside the one that it is to replace.
type stagedFile interface {
	replace() error // in one step
	discard()       // no more after replace
}
