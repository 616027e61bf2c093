package helper

import (
	"context"
	"os/exec"
	"syscall"
)

// shell hands the line to cmd as it is: package os would quote it in a way that
// cmd does not understand.
func shell(ctx context.Context, line string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "cmd")
	cmd.SysProcAttr = &syscall.SysProcAttr{CmdLine: `cmd /d /s /c "` + line + `"`}
	return cmd
}

// run runs the command. If its context ends first, the shell is ended.
func run(cmd *exec.Cmd) error { return cmd.Run() }
