package claudecode

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/filestore"
	"github.com/evercred/evercred/internal/dirlock"
	"github.com/evercred/evercred/internal/ledger"
	"github.com/evercred/evercred/internal/seam"
)

// The names of the owner's locks (INTEROP §3).
const (
	refreshLock = ".oauth_refresh.lock" // in the storage directory
	outerLock   = ".lock"               // behind the directory's own name
	writeLock   = ".storage-write.lock" // in the storage directory
)

// LockPaths are the owner's locks of the login in the real directory dir: the
// two that cover a refresh, in the order in which they are taken, and the one
// that covers a write.
func LockPaths(dir string) (refresh [2]string, write string) {
	return [2]string{filepath.Join(dir, refreshLock), dir + outerLock}, filepath.Join(dir, writeLock)
}

// locks are the lock protocol of Claude Code, taken under our own guard.
type locks struct {
	dir   string // as the path says; its links are resolved at each lock
	seams seam.Seams
}

var _ filestore.OwnerLocks = locks{}

func newLocks(dir string, s *seam.Seams) locks { return locks{dir, s.Filled()} }

// Lock takes the two refresh locks. The second alone may be missing: where it
// cannot be made (a read-only parent), the owner goes on with the first too [seen].
func (l locks) Lock(ctx context.Context, g *ledger.Guard, wait bool) (filestore.OwnerLock, error) {
	dir, err := filepath.EvalSymlinks(l.dir)
	if err != nil {
		return nil, explain(l.dir, err)
	}
	take := dirlock.Acquire
	if !wait {
		take = dirlock.Try
	}
	refresh, write := LockPaths(dir)
	set, err := take(ctx, g, l.seams,
		dirlock.Spec{Path: refresh[0], Stale: l.seams.Times.StaleAge},
		dirlock.Spec{Path: refresh[1], Stale: l.seams.Times.StaleAge, Optional: true})
	if err != nil {
		return nil, explain(dir, err)
	}
	set.Tidy(write) // of ours, if we were killed in a save: nobody else would look for it until the next
	return &held{set: set, dir: dir, write: dirlock.Spec{Path: write, Stale: l.seams.Times.StaleAgeWrite, Brief: true}, seams: l.seams}, nil
}

// Tidy frees what a dead process of ours left, where there is no login to lock
// any more: the owner would wait for it at its next login.
func (l locks) Tidy(g *ledger.Guard) {
	if dir, err := filepath.EvalSymlinks(l.dir); err == nil {
		refresh, write := LockPaths(dir)
		dirlock.Tidy(g, l.seams, write, refresh[1], refresh[0])
	}
}

// held is the refresh locks while they are ours.
type held struct {
	set   *dirlock.Set
	dir   string
	write dirlock.Spec
	seams seam.Seams
}

var _ evercred.Noter = (*held)(nil)

// Check asks for both.
func (h *held) Check() error {
	if err := h.set.Check(); err != nil {
		return explain(h.dir, err)
	}
	return nil
}

// Unlock frees what is still ours.
func (h *held) Unlock() error {
	err := h.set.Release()
	if errors.Is(err, dirlock.ErrLost) {
		return nil // there was nothing left to free, and nothing else was removed (L5)
	}
	return err
}

// LockWrite takes the write lock, for milliseconds (INTEROP §3).
func (h *held) LockWrite(ctx context.Context) (evercred.Lock, error) {
	ctx, cancel := context.WithTimeout(ctx, h.seams.Times.WriteWait)
	defer cancel()
	set, err := h.set.Acquire(ctx, h.write)
	if err != nil {
		return nil, explain(h.dir, err)
	}
	return &held{set: set, dir: h.dir, seams: h.seams}, nil
}

// Notes tell of locks that were taken over or done without.
func (h *held) Notes() []string {
	var notes []string
	for _, m := range h.set.Missing {
		notes = append(notes, fmt.Sprintf("going on without the lock %s, as its owner does: %v", m.Path, m.Err))
	}
	for _, path := range h.set.TakenOver() {
		notes = append(notes, "the lock "+path+", left by a dead process, was taken over")
	}
	return notes
}

// explain says what a lock's error means for the caller.
func explain(dir string, err error) error {
	e := &evercred.Error{Where: dir, Err: err}
	switch {
	case errors.Is(err, dirlock.ErrHeld):
		e.Kind, e.Reason, e.What = evercred.ErrLocked, evercred.ReasonLocked, "another process is refreshing this login"
	case errors.Is(err, dirlock.ErrLost):
		e.Kind, e.Reason, e.What = evercred.ErrLocked, evercred.ReasonLocked, "the refresh lock was taken from us"
	default:
		e.Kind, e.Reason, e.What = evercred.ErrUnsafe, evercred.ReasonCannotLock, "the owner's refresh lock cannot be made"
	}
	return e
}
