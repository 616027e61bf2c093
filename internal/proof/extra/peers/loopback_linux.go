package peers

import (
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// loopback is a network of its own, with nothing in it but lo: what runs there
// can send to nobody else. It is the namespace of one thread, and whoever is
// started or listens from that thread belongs to it.
type loopback struct{ do chan func() }

func newLoopback() (*loopback, error) {
	n := &loopback{do: make(chan func())}
	up := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		err := alone()
		up <- err
		if err != nil {
			return
		}
		for f := range n.do {
			f()
		}
	}()
	if err := <-up; err != nil {
		return nil, fmt.Errorf("a network of loopback alone: %w", err)
	}
	return n, nil
}

// alone gives the thread a new network, whose lo is down at first.
func alone() error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return err
	}
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, lo)
}

// in runs f inside.
func (n *loopback) in(f func()) {
	done := make(chan struct{})
	n.do <- func() { defer close(done); f() }
	<-done
}

func (n *loopback) close() { close(n.do) }
