package dirlock

import (
	"errors"
	"fmt"
	"strings"
)

// The sentinels.
var (
	// ErrHeld: somebody else holds a lock.
	ErrHeld = errors.New("lock is held by another process")
	// ErrImpossible: a lock cannot be made here; waiting is of no use.
	ErrImpossible = errors.New("lock cannot be made")
	// ErrLost: a lock that was ours is not any more.
	ErrLost = errors.New("lock was lost")
)

// errBusy ends one round of an acquisition; the next may do better.
var errBusy = errors.New("busy")

// HeldError says who is in the way.
type HeldError struct {
	// Holders are the busy locks as they were seen last; none: the time was over
	// before our own locks had settled.
	Holders []Holder
	// Err is why the waiting ended; nil: nobody waited.
	Err error
}

// Holder is a lock of somebody else.
type Holder struct {
	Report
	// Beats: its time moved while we watched. It is alive.
	Beats bool
	// Ours: an earlier process of ours stamped it, its pid is PID.
	Ours bool
	// Denied: the lock looks dead, but the system does not let us take it over.
	Denied bool
}

func (e *HeldError) Error() string {
	if len(e.Holders) == 0 {
		return "the time was over before the locks had settled"
	}
	parts := make([]string, len(e.Holders))
	for i, h := range e.Holders {
		parts[i] = h.String()
	}
	return strings.Join(parts, "; ")
}

// Is matches ErrHeld.
func (e *HeldError) Is(target error) bool { return target == ErrHeld }

// Unwrap gives why the waiting ended.
func (e *HeldError) Unwrap() error { return e.Err }

func (h Holder) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "lock %s is held", h.Path)
	switch {
	case h.Ours:
		fmt.Fprintf(&b, " by evercred, pid %d", h.PID)
	case h.PID != 0:
		fmt.Fprintf(&b, ", by pid %d as its owner file says", h.PID)
	}
	if h.Age < 0 {
		fmt.Fprintf(&b, ", its time lies %s in the future", rounded(-h.Age))
	} else {
		fmt.Fprintf(&b, ", its time is %s old", rounded(h.Age))
	}
	switch {
	case h.Beats:
		b.WriteString(", it beats")
	case h.Denied:
		fmt.Fprintf(&b, "; it looks dead but belongs to uid %d, which must remove it", h.UID)
	}
	return b.String()
}

// ImpossibleError says why a lock cannot be made.
type ImpossibleError struct {
	Path string
	// Why in words, where Err does not say it.
	Why string
	Err error
	// place: the fault lies with the lock's own place, not with our ledger or a
	// full disk. Without an optional lock we go on only then (INTEROP §3.2).
	place bool
}

func (e *ImpossibleError) Error() string {
	s := "cannot make the lock " + e.Path
	if e.Why != "" {
		s += ": " + e.Why
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Is matches ErrImpossible.
func (e *ImpossibleError) Is(target error) bool { return target == ErrImpossible }

// Unwrap gives the cause.
func (e *ImpossibleError) Unwrap() error { return e.Err }

// Missing is an optional lock that we went on without.
type Missing struct {
	Path string
	Err  error
}

func lost(path, how string) error { return fmt.Errorf("%w: %s %s", ErrLost, path, how) }
