//go:build !linux && !darwin && !freebsd && !windows

package procid

import (
	"os"
	"time"
)

// Boot is the time since the process started: these systems have no clock
// here that is known to count sleep, and callers compare it with the wall clock.
func (SystemClock) Boot() time.Duration { return time.Since(started) }

// Awake is the same.
func (SystemClock) Awake() time.Duration { return time.Since(started) }

// Self knows the pid alone, from which nothing is concluded.
func (System) Self() ID { return ID{PID: os.Getpid()} }

// Dead is never sure here: the age rule of INTEROP §3 decides.
func (System) Dead(ID) bool { return false }
