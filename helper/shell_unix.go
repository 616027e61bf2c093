//go:build unix

package helper

import (
	"context"
	"os/exec"
	"syscall"
	"time"

	"github.com/evercred/evercred/internal/procid"
)

// shell makes the command the leader of a process group, so that what it starts
// can be ended with it. In a group of its own it cannot read the terminal
// either: it would stop, and be ended in time.
func shell(ctx context.Context, line string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", line)
	cmd.SysProcAttr = procid.Apart()
	return cmd
}

// run runs the command. If its context ends first, the group gets SIGTERM, and
// SIGKILL after the grace.
func run(cmd *exec.Cmd) error {
	var kill *time.Timer
	cmd.Cancel = func() error {
		group := -cmd.Process.Pid
		kill = time.AfterFunc(cmd.WaitDelay, func() { syscall.Kill(group, syscall.SIGKILL) })
		return syscall.Kill(group, syscall.SIGTERM)
	}
	err := cmd.Run()
	// Wait has returned, and Cancel before it. The group's number is not given to
	// others as long as one of it lives; if none does, there is nothing to kill.
	if kill != nil && kill.Stop() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
	return err
}
