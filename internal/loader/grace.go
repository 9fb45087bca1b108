//go:build linux

package loader

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// membarrierGlobal is MEMBARRIER_CMD_GLOBAL, which is synchronize_rcu
// (kernel/sched/membarrier.c).
const membarrierGlobal = 1

// Grace waits until no packet is any more on a path that it took before a
// switch. Where the kernel does not offer the barrier, or with one processor, for
// which it does nothing, a pause must do.
func Grace() {
	_, _, errno := unix.Syscall(unix.SYS_MEMBARRIER, membarrierGlobal, 0, 0)
	if errno != 0 || runtime.NumCPU() == 1 {
		time.Sleep(100 * time.Millisecond)
	}
}
