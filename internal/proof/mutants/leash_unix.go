//go:build unix

package mutants

import (
	"os/exec"
	"syscall"
)

// leash gives a program a group of its own, so that none of its children
// outlives it.
func leash(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { unleash(cmd); return nil }
}

// unleash ends what is left of the group.
func unleash(cmd *exec.Cmd) {
	if cmd.Process != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
}
