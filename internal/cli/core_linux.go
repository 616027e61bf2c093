package cli

import "golang.org/x/sys/unix"

// cores keeps our memory, and the tokens in it, out of core files (DESIGN §3.5)
// and from other processes of the user. RLIMIT_CORE would not: it does not hold
// for a core_pattern that is a pipe. What procid reads (/proc/self/ns, another
// process's /proc/PID/stat) stays open; execve lifts it, so that the command of
// exec is not concerned.
type cores struct{}

func (*cores) forbid() { _ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) }

// allow has nothing to do here.
func (*cores) allow() (forbid func()) { return func() {} }
