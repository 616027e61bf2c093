//go:build unix

package cli

import (
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"
)

// TestForget: the signals of a command that ended are not ours to die of.
func TestForget(t *testing.T) {
	s := &session{signals: make(chan os.Signal, 16), pipe: make(chan os.Signal, 1)}
	s.listen()
	defer s.deafen()
	signal.Notify(s.signals, syscall.SIGWINCH)
	if err := syscall.Kill(os.Getpid(), syscall.SIGWINCH); err != nil {
		t.Fatal(err)
	}
	limit := time.After(10 * time.Second)
	ticks := time.NewTicker(time.Millisecond)
	defer ticks.Stop()
	for len(s.signals) == 0 {
		select {
		case <-ticks.C:
		case <-limit:
			t.Fatal("the signal did not come")
		}
	}
	s.forget()
	if err := s.deathBy(nil); err != nil {
		t.Errorf("after the command: %v", err)
	}
	if !s.isListening() {
		t.Error("the deadly ones would now kill us in mid-flight")
	}
}
