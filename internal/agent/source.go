//go:build linux

package agent

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/internal/loader"
)

// source is a bundle, or a directory of bundles, that somebody else writes. It is asked
// for its state twice a second rather than watched: that sees a file that was renamed over,
// a link that was put elsewhere and a file system over the network alike.
type source struct {
	path, node string
	// trusted are the keys of which one must have signed a bundle; nil asks for none.
	trusted *bundle.Keyring

	last   mark      // at the last look
	done   mark      // what needs no look any more
	failed mark      // what was good and could not be applied, to be tried again
	retry  time.Time // then
	rest   time.Time // no look before: a directory may be large
	// manifests of the files of a directory, as far as they were read.
	manifests map[string]described
}

// mark tells states of a source apart.
type mark string

// described is what a file of a directory is.
type described struct {
	mark     mark
	name     string // of its node, empty where it is none of a node
	sequence uint64
	err      error
}

// trust sets the keys. Files that were refused, or taken, by others are looked at again.
func (s *source) trust(keys *bundle.Keyring) {
	if !slices.Equal(keys.Texts(), s.trusted.Texts()) {
		s.manifests, s.done = map[string]described{}, ""
	}
	s.trusted = keys
}

func newSource(path, node string) *source {
	return &source{path: path, node: node, manifests: map[string]described{}}
}

// markOf tells a file by where and when it was written, empty where it is none.
func markOf(path string) mark {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return ""
	}
	st := info.Sys().(*syscall.Stat_t)
	return mark(fmt.Sprint(st.Dev, st.Ino, info.Size(), st.Mtim, st.Ctim))
}

// state returns the source's mark. That it is not there is a state.
func (s *source) state() (mark, error) {
	info, err := os.Stat(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return "none", nil
	}
	if err != nil {
		return "", err
	}
	if !info.IsDir() {
		return markOf(s.path), nil
	}
	files, err := s.files()
	if err != nil {
		return "", err
	}
	h := sha256.New()
	for _, f := range files {
		fmt.Fprintln(h, f, markOf(f))
	}
	return mark(h.Sum(nil)), nil
}

// files returns the files of a directory that may be bundles: whatever ends in .tar.
func (s *source) files() ([]string, error) {
	entries, err := os.ReadDir(s.path)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".tar") && !strings.HasPrefix(e.Name(), ".") {
			files = append(files, filepath.Join(s.path, e.Name()))
		}
	}
	return files, nil
}

// pick returns the file to apply: the source itself or, of a directory, the one for the
// node with the highest sequence; empty where there is none.
func (s *source) pick() (string, error) {
	info, err := os.Stat(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	if !info.IsDir() {
		return s.path, nil
	}
	files, err := s.files()
	if err != nil {
		return "", err
	}
	seen := map[string]described{}
	best, broken := "", ""
	for _, f := range files {
		d := s.describe(f)
		seen[f] = d
		switch {
		case d.err != nil && broken == "":
			broken = f
		case d.name != s.node:
		case best == "" || cmp.Or(cmp.Compare(d.sequence, seen[best].sequence), strings.Compare(f, best)) > 0:
			best = f
		}
	}
	s.manifests = seen
	if best == "" && broken != "" {
		return "", fmt.Errorf("%s: %w", broken, seen[broken].err)
	}
	return best, nil
}

// describe reads the manifest of a file that has changed.
func (s *source) describe(path string) described {
	d := described{mark: markOf(path)}
	if old, ok := s.manifests[path]; ok && old.mark == d.mark {
		return old
	}
	f, err := openBundle(path)
	if err != nil {
		d.err = err
		return d
	}
	defer f.Close()
	m, err := bundle.ReadManifest(f, s.trusted)
	if err != nil {
		d.err = err
	} else if m.Scope == bundle.ScopeNode {
		d.name, d.sequence = m.Name, m.Sequence
	}
	return d
}

// openBundle opens a regular file; nothing else may block, or have an effect.
func openBundle(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		f.Close()
		return nil, fmt.Errorf("%s is no regular file", path)
	}
	return f, nil
}

// read reads and checks the bundle in a file, and returns its SHA-256 in hex. b is nil
// where that is handled, and the bundle is not read then. It takes memory for a file only
// once a trusted key has signed what it begins with.
func (s *source) read(backends loader.Backends, path, handled string) (b *loader.Bundle, digest string, err error) {
	f, err := openBundle(path)
	if err != nil {
		return nil, "", err
	}
	defer f.Close()
	if _, err := bundle.ReadManifest(f, s.trusted); err != nil {
		return nil, "", err
	}
	sum := sha256.New()
	if err := rewound(f, func(r io.Reader) error {
		_, err := io.Copy(sum, r)
		return err
	}); err != nil {
		return nil, "", err
	}
	if digest = hex.EncodeToString(sum.Sum(nil)); digest == handled {
		return nil, digest, nil
	}
	sum.Reset() // it may be another by now
	err = rewound(f, func(r io.Reader) error {
		b, err = backends.Read(io.TeeReader(r, sum), s.trusted)
		return err
	})
	return b, hex.EncodeToString(sum.Sum(nil)), err
}

// maxBundle is the size of the largest bundle that there can be: headers and padding
// are less than a MiB.
const maxBundle = bundle.MaxTotal + bundle.MaxManifest + 1<<20

// rewound has read a file from its beginning, as far as a bundle can be.
func rewound(f *os.File, read func(io.Reader) error) error {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return read(io.LimitReader(f, maxBundle+1))
}

// trySource looks at the source and applies what is new. A state counts when it was
// seen twice in a row, so that a file that is still being written is left alone; first
// takes it as it is.
func (a *Agent) trySource(ctx context.Context, now time.Time, first bool) {
	s := a.source
	if s.path == "" || now.Before(s.rest) && !first {
		return
	}
	state, err := s.state()
	s.rest = now.Add(sourceRest * time.Since(now))
	if err != nil {
		a.refusedSource(err)
		return
	}
	calm := state == s.last || first
	s.last = state
	if !calm || state == s.done || state == s.failed && now.Before(s.retry) {
		return
	}
	again, err := a.applySource(ctx)
	if again {
		s.failed, s.retry = state, now.Add(retryApply)
	} else {
		s.done, s.failed = state, ""
	}
	if ctx.Err() == nil {
		a.refusedSource(err)
	}
}

// refusedSource notes why the source is not in force, nil where nothing is wrong with it.
func (a *Agent) refusedSource(err error) {
	if a.health.source(err) && err != nil {
		a.o.Open.Log("warning: %s: %v (what is in force stays)", a.source.path, err)
	}
}

// applySource applies what the source has, if that was not dealt with. again says
// that the bundle is good and may be taken later.
func (a *Agent) applySource(ctx context.Context) (again bool, err error) {
	path, err := a.source.pick()
	if err != nil {
		return false, err
	}
	if path == "" {
		return false, fmt.Errorf("there is no bundle for node %q", a.o.Node)
	}
	b, digest, err := a.source.read(a.o.Backends, path, a.handled)
	if b == nil || err != nil {
		return unreadable(err), err
	}
	err = a.tending(ctx, true, func(l *loader.Loader) error {
		if err := a.alone(l); err != nil {
			return err
		}
		res, err := l.Apply(ctx, b, a.options(l))
		if err != nil {
			return err
		}
		a.handled = digest
		a.looked(ctx, l, res, nil)
		a.failed(ctx, a.follow(l))
		return a.write(l)
	})
	return err != nil && !errors.Is(err, loader.ErrSequence), err
}

// unreadable reports whether an error is one of reading, not of what was read.
func unreadable(err error) bool {
	own := (*bundle.Error)(nil)
	return errors.As(err, &own) && own.Reason == bundle.Unreadable || errors.As(err, new(*fs.PathError))
}

// options returns the flags for a new bundle.
func (a *Agent) options(l *loader.Loader) loader.ApplyOptions {
	o := a.o.Apply
	o.Node = a.o.Node
	if r := l.Record(); r != nil && len(o.Interfaces)+len(o.NodeAddrs) == 0 && o.MaxConnections == 0 {
		o.Options = r.Options
	}
	return o
}
