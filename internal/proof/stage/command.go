package stage

import (
	"bytes"
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Program is a built evercred.
type Program struct{ Path string }

// Outcome is what became of a process.
type Outcome struct {
	Code     int // -1: it died of Signal
	Signal   syscall.Signal
	Token    string // the standard output
	Messages string // the standard error
	Took     time.Duration
}

// Command prepares `evercred ARGS` on a login, with nothing of our environment.
func (p Program) Command(ctx context.Context, l *Login, args ...string) *exec.Cmd {
	args = append(args, "--config-dir", l.Dir, "--token-url", l.Endpoint.URL())
	cmd := exec.CommandContext(ctx, p.Path, args...)
	cmd.Env = []string{"HOME=" + filepath.Dir(l.Dir)}
	return cmd
}

// Run runs a command that Command made, perhaps with another program in front.
func Run(cmd *exec.Cmd) Outcome {
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	began := time.Now()
	err := cmd.Run()
	o := Outcome{Code: -1, Token: strings.TrimSpace(out.String()), Messages: errs.String(), Took: time.Since(began)}
	if s := cmd.ProcessState; s != nil {
		o.Code = s.ExitCode()
		if ws, ok := s.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			o.Signal = ws.Signal()
		}
	} else {
		o.Messages += err.Error()
	}
	return o
}
