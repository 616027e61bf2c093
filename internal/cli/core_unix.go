//go:build unix && !linux

package cli

import "golang.org/x/sys/unix"

// cores keeps our memory, and the tokens in it, out of core files (DESIGN
// §3.5). The hard limit stays, so that allow can go back to it.
type cores struct{ limit unix.Rlimit }

func (c *cores) forbid() {
	if unix.Getrlimit(unix.RLIMIT_CORE, &c.limit) != nil {
		return
	}
	none := c.limit
	none.Cur = 0
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &none)
}

// allow lets a command that is started now inherit the limit that we were given.
func (c *cores) allow() (forbid func()) {
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &c.limit)
	return c.forbid
}
