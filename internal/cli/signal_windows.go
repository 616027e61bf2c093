package cli

import (
	"os"
	"syscall"
)

// deadly: Ctrl-C, Ctrl-Break, and the end of the console or the session.
var deadly = []os.Signal{os.Interrupt, syscall.SIGTERM}

var passed []os.Signal

// reachedBoth: the console tells every process that is attached to it.
func reachedBoth(os.Signal) bool { return true }

func endedBy(*os.ProcessState) (signal int, ok bool) { return 0, false }

// dieOf: Windows has no death by signal; the code is the shells'.
func dieOf(sig os.Signal) int {
	if n, ok := sig.(syscall.Signal); ok {
		return exitSignal + int(n)
	}
	return exitBug
}
