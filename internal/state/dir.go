//go:build linux

package state

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// maxFile is the largest file that is read back, in bytes: a bundle with its
// manifest (see bundle.MaxTotal and bundle.MaxManifest) and room for headers.
const maxFile = 1<<30 + 128<<20

// dir is an open directory. Names are single path components; none is followed
// if it is a symbolic link.
type dir struct {
	fd   int
	path string // for messages
}

// openDir opens path, making it and its parents if create is set. The directory
// itself must not be a link and must belong to this user; other users lose what
// access they had.
func openDir(path string, create bool) (*dir, error) {
	if create {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return nil, err
		}
		if err := unix.Mkdir(path, 0o700); err != nil && !errors.Is(err, unix.EEXIST) {
			return nil, &os.PathError{Op: "mkdir", Path: path, Err: err}
		}
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	return checkDir(fd, path, err)
}

// sub opens, or makes, a directory in d.
func (d *dir) sub(name string, create bool) (*dir, error) {
	path := filepath.Join(d.path, name)
	if create {
		if err := unix.Mkdirat(d.fd, name, 0o700); err != nil && !errors.Is(err, unix.EEXIST) {
			return nil, &os.PathError{Op: "mkdir", Path: path, Err: err}
		}
	}
	fd, err := unix.Openat(d.fd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	return checkDir(fd, path, err)
}

func checkDir(fd int, path string, err error) (*dir, error) {
	if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return nil, fmt.Errorf("%s is a link or no directory", path)
	}
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return nil, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	if int(st.Uid) != os.Geteuid() {
		unix.Close(fd)
		return nil, fmt.Errorf("%s belongs to user %d, not to %d", path, st.Uid, os.Geteuid())
	}
	if st.Mode&0o077 != 0 {
		if err := unix.Fchmod(fd, 0o700); err != nil {
			unix.Close(fd)
			return nil, &os.PathError{Op: "chmod", Path: path, Err: err}
		}
	}
	return &dir{fd, path}, nil
}

func (d *dir) close() error { return unix.Close(d.fd) }

func (d *dir) open(name string, flags int) (*os.File, error) {
	path := filepath.Join(d.path, name)
	fd, err := unix.Openat(d.fd, name, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// read returns the content of a regular file.
func (d *dir) read(name string) ([]byte, error) {
	f, err := d.open(name, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxFile {
		return nil, fmt.Errorf("%s is no regular file of at most %d bytes", f.Name(), int64(maxFile))
	}
	return io.ReadAll(io.LimitReader(f, maxFile))
}

// optional is read, nil where there is no such file.
func (d *dir) optional(name string) ([]byte, error) {
	data, err := d.read(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return data, err
}

// write makes name hold data, or leaves it as it was: the data is written
// beside, synced, and renamed.
func (d *dir) write(name string, data []byte) error {
	tmp := name + ".tmp"
	f, err := d.open(tmp, unix.O_WRONLY|unix.O_CREAT) // not truncated: that would give up reserved space
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Truncate(int64(len(data))), f.Sync())
	if err = errors.Join(err, f.Close()); err != nil {
		d.remove(tmp)
		return firstError(err)
	}
	return d.rename(tmp, name)
}

// reserve takes size bytes of disk for a later write of name. Where the file
// system cannot, it does nothing.
func (d *dir) reserve(name string, size int64) error {
	f, err := d.open(name+".tmp", unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC)
	if err != nil {
		return err
	}
	defer f.Close()
	err = unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, size)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return nil
	}
	if err != nil {
		return &os.PathError{Op: "reserve space for", Path: filepath.Join(d.path, name), Err: err}
	}
	return nil
}

func (d *dir) rename(from, to string) error {
	if err := unix.Renameat(d.fd, from, d.fd, to); err != nil {
		return &os.PathError{Op: "rename", Path: filepath.Join(d.path, to), Err: err}
	}
	return d.sync()
}

func (d *dir) sync() error {
	if err := unix.Fsync(d.fd); err != nil {
		return &os.PathError{Op: "sync", Path: d.path, Err: err}
	}
	return nil
}

// remove removes a file. That it is not there is no error.
func (d *dir) remove(name string) error {
	if err := unix.Unlinkat(d.fd, name, 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return &os.PathError{Op: "remove", Path: filepath.Join(d.path, name), Err: err}
	}
	return nil
}

// names lists the directory, sorted.
func (d *dir) names() ([]string, error) {
	f, err := d.open(".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	entries, err := f.ReadDir(-1)
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, err
}

// firstError returns the first of joined errors: what follows a failed write is
// noise.
func firstError(err error) error {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		return firstError(many.Unwrap()[0])
	}
	return err
}
