//go:build unix

package anthropic

import (
	"testing"

	"golang.org/x/sys/unix"
)

func fifo(t *testing.T, path string) bool {
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return true
}
