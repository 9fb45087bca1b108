//go:build linux

package state

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// ErrNone says that there is no folder for the network namespace.
var ErrNone = errors.New("nothing is applied")

// OpenOptions say how to open a folder.
type OpenOptions struct {
	Dir    string // the state directory
	Key    Key
	Create bool // make what is missing, instead of ErrNone
	// Waiting, if not nil, is called once if another process has the lock.
	Waiting func()
	// Wait is how long to wait for it; then the error says who is in the way.
	Wait time.Duration
	// Damaged opens a folder whose files cannot be read as empty.
	Damaged bool
}

// Open opens and locks the folder of a network namespace. It returns an error
// that wraps ErrNone if there is none.
func Open(ctx context.Context, o OpenOptions) (*Folder, error) {
	root, err := openDir(o.Dir, o.Create)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNone
	}
	if err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	f, err := open(ctx, root, o)
	if err != nil {
		root.close()
		if errors.Is(err, fs.ErrNotExist) {
			return nil, ErrNone
		}
		return nil, fmt.Errorf("state directory: %w", err)
	}
	return f, nil
}

func open(ctx context.Context, root *dir, o OpenOptions) (*Folder, error) {
	d, err := lockSub(ctx, root, o)
	if err != nil {
		return nil, err
	}
	f := &Folder{root: root, dir: d, key: o.Key}
	var err1, err2 error
	f.State, err1 = loadState(d, stateFile)
	f.Next, err2 = loadState(d, nextFile)
	if err := errors.Join(err1, err2); err != nil && !o.Damaged {
		d.close()
		return nil, err
	}
	if f.State == nil {
		f.State = &State{}
	}
	return f, nil
}

// lockSub opens the folder and locks it. A folder that was removed while this
// process waited for its lock is opened anew.
func lockSub(ctx context.Context, root *dir, o OpenOptions) (*dir, error) {
	deadline := time.Now().Add(o.Wait)
	told := false
	for {
		d, err := root.sub(o.Key.folder(), o.Create)
		if err != nil {
			return nil, err
		}
		err = unix.Flock(d.fd, unix.LOCK_EX|unix.LOCK_NB)
		if err == nil && root.holds(o.Key.folder(), d) {
			return d, nil
		}
		d.close()
		if err != nil && !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, &os.PathError{Op: "lock", Path: d.path, Err: err}
		}
		if err == nil {
			continue
		}
		if !told && o.Waiting != nil {
			o.Waiting()
			told = true
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("another tploader is at work in this network namespace (it holds the lock of %s)", d.path)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// ErrAgent says that another agent keeps the network namespace.
var ErrAgent = errors.New("another agent keeps this network namespace")

// Agent takes the lock that one agent at a time has, beside the folder's own, which
// it gives up between two changes. held is what an earlier call returned, nil if none was:
// it is returned again while it is the lock of this folder, which may have been
// removed and made anew since. It returns an error that wraps ErrAgent where another
// process has the lock.
func (f *Folder) Agent(held *os.File) (*os.File, error) {
	fresh, err := f.dir.open(agentLock, unix.O_RDWR|unix.O_CREAT)
	if err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	if held != nil {
		a, err1 := held.Stat()
		b, err2 := fresh.Stat()
		if err1 == nil && err2 == nil && os.SameFile(a, b) {
			return held, fresh.Close()
		}
	}
	err = unix.Flock(int(fresh.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = ErrAgent
	}
	if err != nil {
		fresh.Close()
		return nil, fmt.Errorf("%s: %w", fresh.Name(), err)
	}
	if held != nil {
		held.Close()
	}
	return fresh, nil
}

// HasAgent reports whether a process has the lock that Agent takes.
func (f *Folder) HasAgent() bool {
	lock, err := f.dir.open(agentLock, unix.O_RDWR)
	if err != nil {
		return false
	}
	defer lock.Close()
	return errors.Is(unix.Flock(int(lock.Fd()), unix.LOCK_SH|unix.LOCK_NB), unix.EWOULDBLOCK)
}

// holds reports whether name in d still is the open directory sub.
func (d *dir) holds(name string, sub *dir) bool {
	var a, b unix.Stat_t
	return unix.Fstat(sub.fd, &a) == nil &&
		unix.Fstatat(d.fd, name, &b, unix.AT_SYMLINK_NOFOLLOW) == nil &&
		a.Ino == b.Ino && a.Dev == b.Dev
}

func (d *dir) removeDir(name string) error {
	if err := unix.Unlinkat(d.fd, name, unix.AT_REMOVEDIR); err != nil {
		return &os.PathError{Op: "remove", Path: d.path + "/" + name, Err: err}
	}
	return nil
}

// Lock returns the folder's lock as a file. Whoever inherits it, such as a child
// process, shares the lock: it is given up when the last has closed it.
func (f *Folder) Lock() (*os.File, error) {
	fd, err := unix.FcntlInt(uintptr(f.dir.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "duplicate lock of", Path: f.dir.path, Err: err}
	}
	return os.NewFile(uintptr(fd), f.dir.path), nil
}
