//go:build linux

package load

import (
	"context"
	"errors"
	"fmt"
)

// Rollback puts the bundle in force that was before the present one, with the
// flags that it was applied with. The present one is then the one before, so a
// second Rollback takes the first back. What sequence Apply asks for stays.
func (l *Loader) Rollback(ctx context.Context) (*Result, error) {
	s := l.state()
	if s.Previous == nil {
		return nil, errors.New("there is no bundle before the one in force")
	}
	data, err := l.folder.Bundle(s.Previous)
	if err != nil {
		return nil, err
	}
	b, err := Read(data)
	if err != nil {
		return nil, fmt.Errorf("stored %w", err)
	}
	return l.put(ctx, b, ApplyOptions{Options: s.Previous.Options, Node: s.Previous.Name}, s.Current)
}

// Again applies the bundle in force once more, with its flags; where nothing is
// in force, what was for that node in the last boot. It returns an error if
// there is neither.
func (l *Loader) Again(ctx context.Context, node string, dryRun bool) (*Result, error) {
	s := l.state()
	var data []byte
	var err error
	if s.Current != nil {
		data, err = l.folder.Bundle(s.Current)
	} else if s, data, err = l.folder.Earlier("node", node); err == nil && s == nil {
		err = fmt.Errorf("no bundle was ever in force for node %q", node)
	}
	if err != nil {
		return nil, err
	}
	b, err := Read(data)
	if err != nil {
		return nil, fmt.Errorf("stored %w", err)
	}
	return l.put(ctx, b, ApplyOptions{Options: s.Current.Options, Node: s.Current.Name, DryRun: dryRun}, nil)
}
