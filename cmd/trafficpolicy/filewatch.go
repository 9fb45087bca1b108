package main

import (
	"context"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// settled is how long nothing must have happened to a file before it is read:
	// editors and kubectl write in steps.
	settled = 25 * time.Millisecond
	// longest is how long steps may go on before files are read all the same.
	longest = time.Second
	// pollEvery is how often files are looked at although nothing was heard of
	// them: network file systems do not tell, and links lead to directories that
	// are not watched.
	pollEvery = 2 * time.Second
	// pollShare bounds the time spent on that: a look that takes a second is taken
	// again after twenty.
	pollShare = 20
)

// fileWatch tells when files may have changed. It watches directories and not
// files, since files are replaced by renaming others over them, and a mounted
// ConfigMap by renaming a link above them.
type fileWatch struct {
	*command
	events *fsnotify.Watcher // nil where the system has none: files are looked at from time to time
	dirs   map[string]bool
	poll   time.Duration
}

func newFileWatch(c *command) *fileWatch {
	w := &fileWatch{command: c, dirs: map[string]bool{}, poll: pollEvery}
	events, err := fsnotify.NewWatcher()
	if err != nil {
		c.warnf("watch: %v: files are looked at every %s", err, pollEvery)
		return w
	}
	w.events = events
	return w
}

func (w *fileWatch) close() {
	if w.events != nil {
		w.events.Close()
	}
}

// follow watches what paths, files or directories, are in and lead to now.
func (w *fileWatch) follow(paths []string) {
	if w.events == nil {
		return
	}
	for _, path := range paths {
		w.add(filepath.Dir(path))
		real, err := filepath.EvalSymlinks(path)
		if err != nil {
			continue // it is gone, and may come again
		}
		w.add(filepath.Dir(real))
		filepath.WalkDir(real, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				w.add(path)
			}
			return nil // what cannot be read is for the reader of the files to say
		})
	}
	for _, dir := range w.events.WatchList() {
		w.dirs[dir] = true
	}
}

// add watches a directory.
func (w *fileWatch) add(dir string) {
	if w.dirs[dir] {
		return
	}
	if err := w.events.Add(dir); err == nil { // else looking at files from time to time is what remains
		w.dirs[dir] = true
	}
}

// wait returns true when files may have changed, and false when ctx ends.
func (w *fileWatch) wait(ctx context.Context) bool {
	poll := time.NewTimer(w.poll)
	defer poll.Stop()
	if w.events == nil {
		select {
		case <-ctx.Done():
			return false
		case <-poll.C:
			return true
		}
	}
	select {
	case <-ctx.Done():
		return false
	case <-poll.C:
		return true
	case e := <-w.events.Events:
		w.gone(e)
	case <-w.events.Errors: // events were lost: look at all files
		return true
	}
	return w.settle(ctx)
}

// gone forgets a directory that is no more, so that it is watched again when it
// comes back.
func (w *fileWatch) gone(e fsnotify.Event) {
	if e.Has(fsnotify.Remove) || e.Has(fsnotify.Rename) {
		delete(w.dirs, e.Name)
	}
}

// settle waits until nothing has happened for a while.
func (w *fileWatch) settle(ctx context.Context) bool {
	end := time.After(longest)
	for {
		select {
		case <-ctx.Done():
			return false
		case e := <-w.events.Events:
			w.gone(e)
		case <-end:
			return true
		case <-time.After(settled):
			return true
		}
	}
}

// pause says how long the last look took.
func (w *fileWatch) pause(took time.Duration) { w.poll = max(pollEvery, pollShare*took) }
