package ledger

import (
	"errors"
	"fmt"
	"time"
)

// Errors that callers tell apart with errors.Is. Everything else is the wrapped
// error of the file system.
var (
	// ErrHeld: somebody else holds the guard; see HeldError.
	ErrHeld = errors.New("another process holds the guard")
	// ErrNewer: a newer version wrote this, and it stays untouched; see NewerError.
	ErrNewer = errors.New("written by a newer version of evercred")
	// ErrOwner: something does not belong to the owner of the directory and
	// cannot be given to them; see OwnerError.
	ErrOwner = errors.New("belongs to another user than the directory")
	// ErrUnsupported: this file system has no locks.
	ErrUnsupported = errors.New("no file locks here")
	// ErrPlanted: a link or something else stands where ours should stand (S5).
	ErrPlanted = errors.New("not ours: something else stands in its place")
	// ErrLost: the guard was released, or its file was replaced.
	ErrLost = errors.New("the guard is no longer ours")
	// ErrReadOnly: this view of an attempt cannot be changed; take the guard.
	ErrReadOnly = errors.New("attempt seen without the guard")
)

// HeldError says who holds the guard. It matches ErrHeld and its cause.
type HeldError struct {
	Holder Holder    // zero: not known
	Since  time.Time // zero: not known
	Err    error     // why the waiting ended: the context's error; nil: there was none
}

func (e *HeldError) Error() string {
	if e.Holder.ID.PID == 0 {
		return ErrHeld.Error()
	}
	return fmt.Sprintf("process %d holds the guard since %s", e.Holder.ID.PID, e.Since.Format(time.RFC3339))
}

// Unwrap gives ErrHeld and the cause.
func (e *HeldError) Unwrap() []error {
	if e.Err == nil {
		return []error{ErrHeld}
	}
	return []error{ErrHeld, e.Err}
}

// NewerError names both versions (F11). It matches ErrNewer.
type NewerError struct {
	Have, Know int
	Path       string
}

func (e *NewerError) Error() string {
	return fmt.Sprintf("%s has format %d, this evercred knows %d", e.Path, e.Have, e.Know)
}

// Unwrap gives ErrNewer.
func (e *NewerError) Unwrap() error { return ErrNewer }

// OwnerError names the owners (F10). It matches ErrOwner and its cause.
type OwnerError struct {
	Path       string
	Have, Want int   // user ids
	Err        error // why it could not be given; nil: it was not tried
}

func (e *OwnerError) Error() string {
	return fmt.Sprintf("%s belongs to user %d, the directory to user %d", e.Path, e.Have, e.Want)
}

// Unwrap gives ErrOwner and the cause.
func (e *OwnerError) Unwrap() []error {
	if e.Err == nil {
		return []error{ErrOwner}
	}
	return []error{ErrOwner, e.Err}
}
