//go:build unix

package cli

import (
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// deadly are the signals that would end us in the middle of a flight: those of
// DESIGN §4, and the one of a terminal that is closed.
var deadly = []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP}

// passed are those that exec passes on beside the deadly ones.
var passed = []os.Signal{syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH}

// reachedBoth reports whether a signal came from the terminal, which sends it
// to the whole foreground group, and so to the command as well. Nothing tells
// who sent a signal; but a group in the foreground gets these from the terminal
// as a rule, and one in the background never. (A command that made a group of
// its own and took the foreground leaves us in the background.)
func reachedBoth(sig os.Signal) bool {
	fromTerminals := []os.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGWINCH}
	if !slices.Contains(fromTerminals, sig) {
		return false
	}
	tty, err := os.Open("/dev/tty")
	if err != nil {
		return false // no terminal of ours
	}
	defer tty.Close()
	group, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}

// endedBy is the signal that ended a process.
func endedBy(state *os.ProcessState) (signal int, ok bool) {
	status, ok := state.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() {
		return 0, false
	}
	return int(status.Signal()), true
}

// dieOf ends this process by a signal, so that a shell sees a death by signal
// and ends its loop. It returns only if that is impossible.
func dieOf(sig os.Signal) int {
	n, ok := sig.(syscall.Signal)
	if !ok {
		return exitBug
	}
	if n != syscall.SIGPIPE { // which Go lets nobody die of, but for a write
		signal.Reset(n)
		if syscall.Kill(os.Getpid(), n) == nil {
			<-time.After(time.Second) // the signal may take another thread's time
		}
	}
	return exitSignal + int(n)
}
