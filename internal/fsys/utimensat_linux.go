package fsys

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// utimensat with a nil path sets the times of the descriptor itself, which
// x/sys does not offer: its wrappers all take a path, and a path can be
// replaced under us (INTEROP §3.2).
func utimensat(fd int, ts *[2]unix.Timespec) error {
	_, _, e := unix.Syscall6(unix.SYS_UTIMENSAT, uintptr(fd), 0, uintptr(unsafe.Pointer(ts)), 0, 0, 0)
	if e != 0 {
		return e
	}
	return nil
}
