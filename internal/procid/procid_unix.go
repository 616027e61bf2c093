//go:build linux || darwin || freebsd

package procid

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

func clock(id int32) time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(id, &ts); err != nil {
		return time.Since(started)
	}
	return time.Duration(ts.Nano())
}

// gone asks the kernel whether there is no process pid at all.
func gone(pid int) bool { return errors.Is(unix.Kill(pid, 0), unix.ESRCH) }
