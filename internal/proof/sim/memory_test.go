package sim

import (
	"context"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/credtest"
)

// memoryStore is a store without a ledger as one process sees it.
type memoryStore struct {
	*credtest.Store
	p *process
}

func (s *memoryStore) Load(ctx context.Context) (d evercred.Document, err error) {
	if e := s.p.step("store", s.p.w.path, func() error { d, err = s.Store.Load(ctx); return nil }); e != nil {
		return d, &evercred.Error{Kind: evercred.ErrUnsafe, What: "load", Err: e}
	}
	return d, err
}

func (s *memoryStore) Probe(ctx context.Context, last evercred.Document) (changed bool, err error) {
	if e := s.p.step("store", s.p.w.path, func() error { changed, err = s.Store.Probe(ctx, last); return nil }); e != nil {
		return false, e
	}
	return changed, err
}

func (s *memoryStore) Save(ctx context.Context, old evercred.Document, data []byte) (d evercred.Document, err error) {
	e := s.p.step("store save", s.p.w.path, func() error {
		if d, err = s.Store.Save(ctx, old, data); err == nil {
			s.p.w.wrote(s.p.w.path, data, true)
		}
		return nil
	})
	if e != nil {
		return d, &evercred.Error{Kind: evercred.ErrUnsafe, What: "save", Err: e}
	}
	return d, err
}

func (s *memoryStore) Lock(ctx context.Context) (evercred.Lock, error) {
	l, err := s.Store.Lock(ctx)
	if err != nil {
		return nil, err
	}
	m := &memoryLock{l, s.p}
	if s.p.dead {
		m.Unlock()
		return nil, &evercred.Error{Kind: evercred.ErrUnsafe, What: "lock", Err: errDead}
	}
	s.p.held = m
	return m, nil
}

// memoryLock is freed when its process dies.
type memoryLock struct {
	evercred.Lock
	p *process
}

func (l *memoryLock) Check() error {
	if l.p.dead {
		return errDead
	}
	return l.Lock.Check()
}
