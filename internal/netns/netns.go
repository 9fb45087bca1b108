//go:build linux

package netns

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// Enter moves the calling goroutine to the network namespace of the file path,
// such as /run/netns/NAME or /proc/PID/ns/net. The goroutine stays locked to
// its thread for good, because a thread that has changed its namespace must not
// go back to the scheduler; other goroutines stay in the namespace they were
// in. What the goroutine starts or opens from then on belongs to the new
// namespace: child processes, sockets, and files below /proc/sys/net.
func Enter(path string) error {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("network namespace: %w", err)
	}
	defer f.Close()
	runtime.LockOSThread()
	switch err := unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); {
	case err == nil:
		return nil
	case errors.Is(err, unix.EPERM):
		runtime.UnlockOSThread()
		return fmt.Errorf("enter network namespace %s: %w (it needs CAP_SYS_ADMIN)", path, err)
	case errors.Is(err, unix.EINVAL):
		runtime.UnlockOSThread()
		return fmt.Errorf("%s is no network namespace", path)
	default:
		runtime.UnlockOSThread()
		return fmt.Errorf("enter network namespace %s: %w", path, err)
	}
}

// Here reports whether the calling thread is in the network namespace of the file path.
func Here(path string) (bool, error) {
	var there, here unix.Stat_t
	if err := unix.Stat(path, &there); err != nil {
		return false, fmt.Errorf("network namespace: %w", &os.PathError{Op: "stat", Path: path, Err: err})
	}
	if err := unix.Stat("/proc/thread-self/ns/net", &here); err != nil {
		return false, fmt.Errorf("network namespace: %w", err)
	}
	return there.Dev == here.Dev && there.Ino == here.Ino, nil
}

// Cookie returns the number by which the kernel tells the calling thread's
// network namespace from all others of this boot: SO_NETNS_COOKIE, Linux 5.14.
// No two namespaces of one boot ever have the same.
func Cookie() (uint64, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("network namespace cookie: %w", err)
	}
	defer unix.Close(fd)
	cookie, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	if errors.Is(err, unix.ENOPROTOOPT) {
		return 0, errors.New("this kernel has no network namespace cookies (Linux 5.14 or later has)")
	}
	if err != nil {
		return 0, fmt.Errorf("network namespace cookie: %w", err)
	}
	return cookie, nil
}

// BootID returns the random name of this boot of the machine.
func BootID() (string, error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("boot id: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

// CanAdmin reports whether the calling thread has CAP_NET_ADMIN in its own user
// namespace. The kernel may still refuse where the network namespace belongs to
// another one.
func CanAdmin() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return true // let the kernel say so
	}
	return data[0].Effective&(1<<unix.CAP_NET_ADMIN) != 0
}
