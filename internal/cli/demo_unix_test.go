//go:build unix

package cli

import (
	"os"
	"syscall"
	"testing"
)

// A signal in the middle ends the children and leaves nothing behind.
func TestDemoInterrupted(t *testing.T) {
	p := playDemo(t, "none", true, func(n int) {
		if n == 4 {
			syscall.Kill(os.Getpid(), syscall.SIGINT)
		}
	})
	if p.code != -1 || p.stdout != "" {
		t.Errorf("code %d: %s%s", p.code, p.stdout, p.stderr)
	}
}
