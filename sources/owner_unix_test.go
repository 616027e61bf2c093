//go:build unix

package sources_test

import (
	"strconv"
	"syscall"
)

// alive reports whether a process that was started is still there; a zombie is not.
func alive(pid string) bool {
	n, err := strconv.Atoi(pid)
	return err == nil && syscall.Kill(n, 0) == nil
}
