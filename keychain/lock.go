package keychain

import (
	"bytes"
	"context"
	"errors"
	"sync"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/internal/hold"
	"github.com/evercred/evercred/internal/ledger"
)

// Lock takes the guard of the item and the owner's locks. It waits until ctx
// ends.
//
// ErrLocked: somebody holds one. ErrUnsafe: one cannot be made. It does not ask
// whether there is an item. The lock is a Preparer.
func (s *Store) Lock(ctx context.Context) (evercred.Lock, error) { return s.take(ctx, true) }

// TryLock is Lock without waiting for anybody: ErrLocked at once.
func (s *Store) TryLock(ctx context.Context) (evercred.Lock, error) { return s.take(ctx, false) }

func (s *Store) take(ctx context.Context, wait bool) (_ evercred.Lock, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	h := &held{store: s}
	defer func() {
		if err != nil {
			err = errors.Join(err, h.Unlock())
		}
	}()
	h.guard, err = h.Take(ctx, s.Ledger(), s.item.String(), wait, s.seams.FS)
	if err != nil {
		return nil, err
	}
	if s.opts.Owner != nil {
		if h.Owner, err = s.opts.Owner.Lock(ctx, h.guard, wait); err != nil {
			h.Owner = nil
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = h
	return h, nil
}

// held is the lock of one Store while it is held.
type held struct {
	hold.Locks
	store *Store
	guard *ledger.Guard

	mu       sync.Mutex // held throughout a save
	released bool
}

var (
	_ evercred.Preparer = (*held)(nil)
	_ evercred.Settler  = (*held)(nil)
	_ evercred.Noter    = (*held)(nil)
)

func (s *Store) holding() *held {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held
}

// Guard is the guard of the item, in whose ledger the attempts are.
func (h *held) Guard() *ledger.Guard { return h.guard }

// Prepare does everything of a Save that may fail early (DESIGN §6.6): whether
// the successor will fit, whether the item is still old, whether its owner lets
// us write, and the key of the escrow.
func (h *held) Prepare(ctx context.Context, old evercred.Document) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.store
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := h.Check(); err != nil {
		return err
	}
	if err := s.fits(len(old.Bytes()) + spare); err != nil {
		return err
	}
	if err := s.still(ctx, old); err != nil {
		return err
	}
	if err := h.TryWrite(ctx, s.seams.Times.WriteWait/4); err != nil {
		return err
	}
	return s.makeKey(ctx)
}

// spare is by how much a successor may be longer than what it replaces: other
// digits, a deadline and scopes that the document did not have.
const spare = 128

// fits refuses a document that cannot be written without being cut.
func (s *Store) fits(size int) error {
	if err := s.item.check(); err != nil {
		return unsafeAt(evercred.ReasonCannotSave, "the item cannot be written", s.item, err)
	}
	most := s.item.MaxLine()
	if s.opts.AllowArgv {
		most = max(most, maxArgv/2)
	}
	if size > most {
		return tooLarge(s.item, size, most, s.opts.AllowArgv)
	}
	return nil
}

// still reports ErrConflict unless the item holds old.
func (s *Store) still(ctx context.Context, old evercred.Document) error {
	now, err := s.look(ctx)
	switch {
	case errors.Is(err, evercred.ErrNotFound):
		return conflict(s.item, "the item is gone")
	case err != nil:
		return err
	case old.IsZero() || !bytes.Equal(now, old.Bytes()):
		return conflict(s.item, "the item changed meanwhile")
	}
	return nil
}

// Settle has nothing to do: what the keychain has taken, it has written itself.
func (h *held) Settle(ctx context.Context) error { return ctx.Err() }

// Unlock releases in reverse. It waits for a save.
func (h *held) Unlock() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.released {
		return nil
	}
	h.released = true
	h.store.mu.Lock()
	if h.store.held == h {
		h.store.held = nil
	}
	h.store.mu.Unlock()
	return h.Release()
}
