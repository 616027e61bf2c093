package filestore

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/internal/durable"
	"github.com/evercred/evercred/internal/hold"
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
	hold.Locks
	store *Store
	place place
	near  *ledger.Guard
	main  *ledger.Guard

	mu       sync.Mutex // of what follows; held throughout a save
	prepared durable.Prepared
	released bool
}

var (
	_ evercred.Preparer = (*held)(nil)
	_ evercred.Settler  = (*held)(nil)
	_ evercred.Noter    = (*held)(nil)
)

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
		g, err := h.Take(ctx, s.ledger(path), path, wait, s.disk)
		if err != nil {
			return nil, err
		}
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
		h.Owner = owner
	}
	return h, nil
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
	return errors.Join(h.discard(), h.Release())
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
