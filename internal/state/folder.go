//go:build linux

package state

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// Names of the files in a folder. Beside them are bundle-SHA256 and
// kernel-APPLY.json.
const (
	stateFile   = "state.json"
	nextFile    = "next.json"    // what stateFile will be once the kernel has switched
	learnedFile = "learned.json" // addresses of domain names that the kernel is to hold
	memoryFile  = "agent.json"   // what the agent remembers
	agentLock   = "agent.lock"   // which one agent at a time holds
)

// Key names the folder of one network namespace.
type Key struct {
	Cookie uint64 // of the namespace
	Boot   string // id of the boot that the cookie belongs to
}

func (k Key) folder() string { return fmt.Sprintf("netns-%d-%s", k.Cookie, k.Boot) }

// Folder is the folder of one network namespace, locked by this process.
type Folder struct {
	root, dir *dir
	key       Key
	// State is what was last committed. It is not to be changed in place.
	State *State
	// Next is what was prepared and neither committed nor abandoned, nil
	// without such: a writer was killed, and only the kernel knows whether it
	// had switched.
	Next *State
}

// Bundle returns a stored bundle.
func (f *Folder) Bundle(r *Record) ([]byte, error) {
	data, err := f.dir.read("bundle-" + r.Bundle)
	if err != nil {
		return nil, fmt.Errorf("stored bundle: %w", err)
	}
	if digest(data) != r.Bundle {
		return nil, fmt.Errorf("stored bundle %s/bundle-%s is damaged", f.dir.path, r.Bundle)
	}
	return data, nil
}

// Prepare stores next, its current bundle, and room for that many bytes of
// [Folder.SetKernel], so that the rest cannot fail for want of space. On an
// error the folder is as before.
func (f *Folder) Prepare(next *State, bundle []byte, kernelSize int64) error {
	err := f.prepare(next, bundle, kernelSize)
	if err != nil {
		f.dir.remove(nextFile)
		f.clean()
		return fmt.Errorf("state directory: %w", err)
	}
	return nil
}

func (f *Folder) prepare(next *State, bundle []byte, kernelSize int64) error {
	r := next.Current
	if d := digest(bundle); d != r.Bundle {
		return fmt.Errorf("bundle has digest %s, not %s", d, r.Bundle)
	}
	if _, err := f.Bundle(r); err != nil {
		if err := f.dir.write("bundle-"+r.Bundle, bundle); err != nil {
			return err
		}
	}
	if err := f.dir.reserve(kernelFile(r), kernelSize); err != nil {
		return err
	}
	text, err := next.encode()
	if err != nil {
		return err
	}
	if err := f.dir.write(nextFile, text); err != nil {
		return err
	}
	f.Next = next
	return nil
}

// Commit makes Next the state.
func (f *Folder) Commit() error {
	if err := f.dir.rename(nextFile, stateFile); err != nil {
		return fmt.Errorf("state directory: %w", err)
	}
	f.State, f.Next = f.Next, nil
	f.clean()
	return nil
}

// Abandon forgets Next.
func (f *Folder) Abandon() error {
	if err := f.dir.remove(nextFile); err != nil {
		return fmt.Errorf("state directory: %w", err)
	}
	f.Next = nil
	f.clean()
	return nil
}

// Kernel returns what SetKernel stored for r, nil if nothing.
func (f *Folder) Kernel(r *Record) ([]byte, error) { return f.dir.optional(kernelFile(r)) }

// SetKernel stores what the kernel holds when r is in force, in whatever form
// the backend compares it.
func (f *Folder) SetKernel(r *Record, data []byte) error {
	return f.set(kernelFile(r), data)
}

func kernelFile(r *Record) string { return fmt.Sprintf("kernel-%d.json", r.Apply) }

// Learned returns what SetLearned stored last, nil if nothing.
func (f *Folder) Learned() ([]byte, error) { return f.dir.optional(learnedFile) }

// SetLearned stores what domain names mean in this namespace. It belongs to no
// record: it is the same whichever bundle is in force.
func (f *Folder) SetLearned(data []byte) error { return f.set(learnedFile, data) }

// Memory returns what SetMemory stored last, nil if nothing.
func (f *Folder) Memory() ([]byte, error) { return f.dir.optional(memoryFile) }

// SetMemory stores what an agent remembers, in its own form.
func (f *Folder) SetMemory(data []byte) error { return f.set(memoryFile, data) }

func (f *Folder) set(name string, data []byte) error {
	if err := f.dir.write(name, data); err != nil {
		return fmt.Errorf("state directory: %w", err)
	}
	return nil
}

// clean removes what no state mentions. What cannot be removed now is tried
// again next time.
func (f *Folder) clean() {
	keep := map[string]bool{stateFile: true, nextFile: true, learnedFile: true, memoryFile: true, agentLock: true}
	for _, s := range []*State{f.State, f.Next} {
		if s == nil {
			continue
		}
		for _, r := range []*Record{s.Current, s.Previous} {
			if r != nil {
				keep["bundle-"+r.Bundle] = true
			}
		}
		if s.Current != nil {
			keep[kernelFile(s.Current)] = true
			keep[kernelFile(s.Current)+".tmp"] = s == f.Next
		}
	}
	names, _ := f.dir.names()
	for _, name := range names {
		if !keep[name] {
			f.dir.remove(name)
		}
	}
}

// Erase removes the folder and, of the same target, those of earlier boots,
// which would bring the policy back. The lock is gone with it.
func (f *Folder) Erase() error {
	if f.State.Current != nil {
		f.dropOlder(f.State.Current.Scope, f.State.Current.Name)
	}
	if err := eraseFolder(f.root, f.key.folder()); err != nil {
		return fmt.Errorf("state directory: %w", err)
	}
	return f.Close()
}

func eraseFolder(root *dir, name string) error {
	d, err := root.sub(name, false)
	if err != nil {
		return err
	}
	defer d.close()
	names, err := d.names()
	if err != nil {
		return err
	}
	for _, n := range names {
		if err := d.remove(n); err != nil {
			return err
		}
	}
	return root.removeDir(name)
}

// Close gives up the lock.
func (f *Folder) Close() error {
	return errors.Join(f.dir.close(), f.root.close())
}

// loadState reads one of the two state files, nil where it is not there.
func loadState(d *dir, name string) (*State, error) {
	data, err := d.optional(name)
	if data == nil || err != nil {
		return nil, err
	}
	s, err := decode(data)
	if err != nil {
		return nil, fmt.Errorf("%s/%s: %w (tploader remove clears it)", d.path, name, err)
	}
	return s, nil
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// parseFolder is the inverse of Key.folder up to the cookie.
func bootOf(folder string) (boot string, ok bool) {
	rest, ok := strings.CutPrefix(folder, "netns-")
	if !ok {
		return "", false
	}
	_, boot, ok = strings.Cut(rest, "-")
	return boot, ok
}
