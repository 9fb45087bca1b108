//go:build !windows

package fix

import (
	"os"
	"syscall"

	"github.com/google/renameio/v2"
)

type pendingFile struct{ *renameio.PendingFile }

func (p pendingFile) replace() error { return p.CloseAtomicallyReplace() }
func (p pendingFile) discard()       { p.Cleanup() }

// prepare writes text to a file beside f, of the same mode and, as far as may be,
// the same owner.
func (f *File) prepare(text []byte) (stagedFile, error) {
	p, err := renameio.NewPendingFile(f.real, renameio.WithExistingPermissions())
	if err != nil {
		return nil, err
	}
	if _, err := p.Write(text); err != nil {
		p.Cleanup()
		return nil, err
	}
	if of, ok := f.info.Sys().(*syscall.Stat_t); ok && (int(of.Uid) != os.Geteuid() || int(of.Gid) != os.Getegid()) {
		if p.Chown(int(of.Uid), int(of.Gid)) == nil {
			err = p.Chmod(f.info.Mode()) // which chown takes bits away from
		}
	}
	if err != nil {
		p.Cleanup()
		return nil, err
	}
	return pendingFile{p}, nil
}
