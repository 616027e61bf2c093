// Package hold is what the lock of every store with a ledger is made of: our
// guards and, under them, the locks of the program that owns the login
// (DESIGN §6.3).
package hold

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/internal/fsys"
	"github.com/evercred/evercred/internal/ledger"
)

// OwnerLocks are the locks of the program that owns the login, taken under our
// guard and in its presence only (INTEROP §3).
type OwnerLocks interface {
	// Lock takes those that cover looking, granting and saving. It waits until
	// ctx ends, or, unless wait, for nobody. ErrLocked: held by another.
	// ErrUnsafe: one cannot be made.
	Lock(ctx context.Context, g *ledger.Guard, wait bool) (OwnerLock, error)
	// Tidy frees what dead processes of ours left of those locks.
	Tidy(g *ledger.Guard)
}

// OwnerLock is held from the second look at the store until after the save. It
// may be an evercred.Noter.
type OwnerLock interface {
	evercred.Lock
	// LockWrite takes the one that covers a single write, waiting until ctx ends
	// or as long as the owner's protocol bears.
	LockWrite(ctx context.Context) (evercred.Lock, error)
}

// Guard is one guard and whose it is, for messages.
type Guard struct {
	*ledger.Guard
	Path string
}

// Locks are held, or being taken. The zero value holds nothing.
type Locks struct {
	Guards []Guard   // in the order in which they were taken
	Owner  OwnerLock // nil: the owner has none
}

// Take adds the guard of a ledger. path is the login that it speaks of.
func (l *Locks) Take(ctx context.Context, book *ledger.Ledger, path string, wait bool, disk fsys.FS) (*ledger.Guard, error) {
	take := book.TryGuard
	if wait {
		take = func() (*ledger.Guard, error) { return book.Guard(ctx) }
	}
	g, err := take()
	if err != nil {
		return nil, Unlockable(disk, path, err)
	}
	l.Guards = append(l.Guards, Guard{g, path})
	return g, nil
}

// Check reports ErrLocked if any of the locks is no longer ours.
func (l *Locks) Check() error {
	if err := l.CheckGuards(); err != nil {
		return err
	}
	if l.Owner != nil {
		return l.Owner.Check()
	}
	return nil
}

// CheckGuards is Check without the owner's locks.
func (l *Locks) CheckGuards() error {
	for _, g := range l.Guards {
		if err := g.Check(); err != nil {
			return lost(g.Path, err)
		}
	}
	return nil
}

// Notes are what the owner's locks have to tell.
func (l *Locks) Notes() []string {
	if n, ok := l.Owner.(evercred.Noter); ok {
		return n.Notes()
	}
	return nil
}

// ForWrite takes the owner's write lock. check is asked at the last moment
// before the write, and release called after it.
//
// The owner's refresh locks are not asked for: if one was stolen after the
// request had left, the answer is saved all the same, by compare-and-swap
// (FAILURES L4). Whether it may leave is asked by Check before.
func (l *Locks) ForWrite(ctx context.Context) (check func() error, release func(), err error) {
	if err := l.CheckGuards(); err != nil {
		return nil, nil, err
	}
	if l.Owner == nil {
		return l.CheckGuards, func() {}, nil
	}
	write, err := l.Owner.LockWrite(ctx)
	if err != nil {
		return nil, nil, err
	}
	check = func() error {
		if err := l.CheckGuards(); err != nil {
			return err
		}
		return write.Check()
	}
	// One that cannot be released is found by its next user; the save is done,
	// or has failed for its own reason.
	return check, func() { _ = write.Unlock() }, nil
}

// TryWrite takes the owner's write lock and gives it back: what is in its way
// must be found out before anything is spent (FAILURES L3).
func (l *Locks) TryWrite(ctx context.Context, within time.Duration) error {
	if l.Owner == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	w, err := l.Owner.LockWrite(ctx)
	if err != nil {
		return err
	}
	return w.Unlock()
}

// Release gives everything back, the last first.
func (l *Locks) Release() error {
	var errs []error
	if l.Owner != nil {
		errs = append(errs, l.Owner.Unlock())
	}
	for _, g := range slices.Backward(l.Guards) {
		errs = append(errs, g.Release())
	}
	return errors.Join(errs...)
}
