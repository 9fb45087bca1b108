//go:build linux

package load

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/trafficpolicy/trafficpolicy/internal/state"
)

// Where pins are: below a BPF file system, one folder for each network namespace.
// What is pinned there outlives tploader, and nothing else keeps it.
const (
	bpffs    = "/sys/fs/bpf"
	bpffsOwn = "/run/trafficpolicy/bpf" // where there is no bpffs above
	pinRoot  = "trafficpolicy"
)

// pinFolder returns the folder of a network namespace, below an existing or, with
// create, a mounted BPF file system; an error that wraps fs.ErrNotExist if there is
// none.
func pinFolder(key state.Key, create bool) (string, error) {
	root, err := bpfRoot(create)
	if err != nil {
		return "", err
	}
	root = filepath.Join(root, pinRoot)
	dir := filepath.Join(root, fmt.Sprintf("netns-%d-%s", key.Cookie, key.Boot))
	for try := 0; ; try++ {
		if err = ownFolder(root, create); err == nil {
			err = ownFolder(dir, create)
		}
		// Another tploader may just have removed the folder around both.
		if !create || try == 10 || !errors.Is(err, fs.ErrNotExist) {
			return dir, err
		}
	}
}

// bpfRoot returns where a BPF file system is mounted.
func bpfRoot(create bool) (string, error) {
	for _, dir := range []string{bpffs, bpffsOwn} {
		if isBPF(dir) {
			return dir, nil
		}
	}
	if !create {
		return "", fs.ErrNotExist
	}
	dir := bpffs
	if _, err := os.Stat(dir); err != nil {
		dir = bpffsOwn
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return "", fmt.Errorf("folder for a BPF file system: %w", err)
		}
	}
	if err := unix.Mount("bpf", dir, "bpf", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=0700"); err != nil {
		return "", fmt.Errorf("mount a BPF file system on %s: %w", dir, err)
	}
	return dir, nil
}

func isBPF(dir string) bool {
	var st unix.Statfs_t
	return unix.Statfs(dir, &st) == nil && st.Type == unix.BPF_FS_MAGIC
}

// ownFolder makes sure that dir is a folder of this user that nobody else can look
// into. The file system may be open to everybody, as it is by default.
func ownFolder(dir string, create bool) error {
	if create {
		if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("folder for pins: %w", err)
		}
	}
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		return &fs.PathError{Op: "lstat", Path: dir, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR || int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("%s is no folder of user %d", dir, os.Geteuid())
	}
	if st.Mode&0o077 != 0 {
		if err := os.Chmod(dir, 0o700); err != nil {
			return fmt.Errorf("folder for pins: %w", err)
		}
	}
	return nil
}

// removePins removes a folder with all that is pinned below it. That it is not
// there is no error.
func removePins(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove pins: %w", err)
	}
	return nil
}

// removeFolder removes the folder of a network namespace, and the one around it
// where no other namespace has one.
func removeFolder(dir string) error {
	err := removePins(dir)
	os.Remove(filepath.Dir(dir)) // fails where it is not empty
	return err
}
