//go:build unix

package sources

import (
	"os"
	"os/exec"
	"syscall"
)

// alone gives a command a process group of its own: a Ctrl-C that is meant for us
// must not end an owner in the middle of its refresh.
func alone(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

func terminate(p *os.Process) { p.Signal(syscall.SIGTERM) }
