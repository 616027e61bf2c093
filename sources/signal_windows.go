package sources

import (
	"os"
	"os/exec"
	"syscall"
)

// alone gives a command a process group of its own: a Ctrl-C that is meant for us
// must not end an owner in the middle of its refresh.
func alone(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP}
}

// terminate does nothing: Windows has no way to ask, only to kill.
func terminate(*os.Process) {}
