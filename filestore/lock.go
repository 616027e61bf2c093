package filestore

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/internal/durable"
	"github.com/evercred/evercred/internal/ledger"
)

// Lock takes the guard of the file, that of the link which leads to it if there
// is one (FAILURES F12), and the owner's locks. It waits until ctx ends.
//
// ErrLocked: somebody holds one. ErrUnsafe: one cannot be made. ErrNotFound:
// there is no file, and so nothing is made for it. The lock is a Preparer.
func (s *Store) Lock(ctx context.Context) (evercred.Lock, error) { return s.take(ctx, true) }

// TryLock is Lock without waiting for anybody: ErrLocked at once.
func (s *Store) TryLock(ctx context.Context) (evercred.Lock, error) { return s.take(ctx, false) }

func (s *Store) take(ctx context.Context, wait bool) (evercred.Lock, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		p, err := s.locate()
		if err != nil {
			return nil, err
		}
		h, err := s.lock(ctx, p, wait)
		if err != nil {
			return nil, err
		}
		now, err := s.locate()
		if err == nil && now == p {
			if err := h.mend(ctx); err != nil {
				return nil, errors.Join(err, h.Unlock())
			}
			s.hold(h)
			return h, nil
		}
		if err := errors.Join(err, h.Unlock()); err != nil {
			return nil, err
		}
	}
}

// held is the lock of one Store while it is held.
type held struct {
	store  *Store
	place  place
	guards []guard // in the order in which they were taken
	near   *ledger.Guard
	main   *ledger.Guard
	owner  OwnerLock // nil: the owner has none

	mu       sync.Mutex // of what follows; held throughout a save
	prepared durable.Prepared
	released bool
}

var (
	_ evercred.Preparer = (*held)(nil)
	_ evercred.Settler  = (*held)(nil)
	_ evercred.Noter    = (*held)(nil)
)

type guard struct {
	*ledger.Guard
	path string
}

// lock takes what p asks for. Two guards are taken in the order of their names
// by everybody, whichever is the link.
func (s *Store) lock(ctx context.Context, p place, wait bool) (_ *held, err error) {
	h := &held{store: s, place: p}
	defer func() {
		if err != nil {
			err = errors.Join(err, h.Unlock())
		}
	}()
	paths := []string{p.near, p.target}
	slices.Sort(paths)
	for _, path := range slices.Compact(paths) {
		g, err := s.guard(ctx, path, wait)
		if err != nil {
			return nil, s.unlockable(path, err)
		}
		h.guards = append(h.guards, guard{g, path})
		if path == p.near {
			h.near = g
		}
		if path == p.target {
			h.main = g
		}
	}
	if s.opts.Owner != nil {
		owner, err := s.opts.Owner.Lock(ctx, h.near, wait)
		if err != nil {
			return nil, err
		}
		h.owner = owner
	}
	return h, nil
}

func (s *Store) guard(ctx context.Context, path string, wait bool) (*ledger.Guard, error) {
	if wait {
		return s.ledger(path).Guard(ctx)
	}
	return s.ledger(path).TryGuard()
}

func (s *Store) hold(h *held) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = h
}

func (s *Store) holding() *held {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held
}

// Guard is the guard of the file itself, in whose ledger the attempts are.
func (h *held) Guard() *ledger.Guard { return h.main }

// Check reports ErrLocked if any of the locks is no longer ours.
func (h *held) Check() error {
	if err := h.checkGuards(); err != nil {
		return err
	}
	if h.owner != nil {
		return h.owner.Check()
	}
	return nil
}

func (h *held) checkGuards() error {
	for _, g := range h.guards {
		if err := g.Check(); err != nil {
			return lost(g.path, err)
		}
	}
	return nil
}

// Notes are what the owner's locks have to tell.
func (h *held) Notes() []string {
	if n, ok := h.owner.(evercred.Noter); ok {
		return n.Notes()
	}
	return nil
}

// Unlock gives up what was prepared and releases in reverse. It waits for a save.
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
	errs := []error{h.discard()}
	if h.owner != nil {
		errs = append(errs, h.owner.Unlock())
	}
	for _, g := range slices.Backward(h.guards) {
		errs = append(errs, g.Release())
	}
	return errors.Join(errs...)
}

// discard gives up what Prepare made, under mu.
func (h *held) discard() error {
	if h.prepared == nil {
		return nil
	}
	err := h.prepared.Discard()
	h.prepared = nil
	return err
}
