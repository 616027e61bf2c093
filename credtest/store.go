package credtest

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/evercred/evercred"
)

// Store is an evercred.Store in memory: the shortest one that keeps the
// contract, and an example to start from. It is safe for concurrent use. Its
// lock reaches every user of the same *Store, and so only this process.
type Store struct {
	lock chan *lock // holds the place of the lock's holder; one at a time

	mu       sync.Mutex
	data     []byte // nil: absent; never changed in place
	version  int
	modified time.Time
	holder   *lock
	saves    int
	failLoad func() error
	failSave func() error
}

var (
	_ evercred.Store  = (*Store)(nil)
	_ evercred.Prober = (*Store)(nil)
)

// NewStore returns a store that holds a copy of data; nil: it is empty.
func NewStore(data []byte) *Store {
	s := &Store{lock: make(chan *lock, 1)}
	s.Set(data)
	return s
}

// Set replaces the document behind evercred's back, as its owner would; nil
// removes it.
func (s *Store) Set(data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(data)
}

func (s *Store) put(data []byte) {
	s.data = bytes.Clone(data)
	s.version++
	s.modified = time.Now()
}

// Bytes is a copy of the document; nil: absent.
func (s *Store) Bytes() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Clone(s.data)
}

// Saves counts the successful calls of Save.
func (s *Store) Saves() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.saves
}

// FailLoad makes each Load ask f first; what f returns is Load's error, as
// ErrUnsafe unless it is of another kind. nil ends that. f may block, and may
// use the store.
func (s *Store) FailLoad(f func() error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failLoad = f
}

// FailSave does the same to Save, which then writes nothing.
func (s *Store) FailSave(f func() error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failSave = f
}

// Steal takes the lock away from its holder, as an owner does that believes it
// dead: the holder's Check fails from now on, and others can lock. It reports
// whether there was a holder.
func (s *Store) Steal() bool {
	s.mu.Lock()
	holder := s.holder
	s.mu.Unlock()
	return holder != nil && holder.release()
}

// Load implements evercred.Store.
func (s *Store) Load(ctx context.Context) (evercred.Document, error) {
	if err := s.refuse(ctx, func() func() error { return s.failLoad }); err != nil {
		return evercred.Document{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.document()
}

// document needs mu. The version is the tag by which Probe sees a change.
func (s *Store) document() (evercred.Document, error) {
	if s.data == nil {
		return evercred.Document{}, &evercred.Error{Kind: evercred.ErrNotFound, Reason: evercred.ReasonNoFile, What: "the store in memory is empty"}
	}
	return evercred.NewDocument(s.data, evercred.DocumentInfo{Place: "memory", Modified: s.modified, Tag: s.version}), nil
}

// Save implements evercred.Store.
func (s *Store) Save(ctx context.Context, old evercred.Document, data []byte) (evercred.Document, error) {
	if err := s.refuse(ctx, func() func() error { return s.failSave }); err != nil {
		return evercred.Document{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.data == nil || old.IsZero() || !bytes.Equal(s.data, old.Bytes()) {
		return evercred.Document{}, &evercred.Error{Kind: evercred.ErrConflict, Reason: evercred.ReasonConflict, What: "the store in memory changed meanwhile"}
	}
	s.put(slices.Concat([]byte{}, data))
	s.saves++
	return s.document()
}

// Probe implements evercred.Prober.
func (s *Store) Probe(ctx context.Context, last evercred.Document) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return last.Tag() != any(s.version), nil
}

// refuse gives the error of an ended context or of a hook, which is called
// without the store's mutex.
func (s *Store) refuse(ctx context.Context, hook func() func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	fail := hook()
	s.mu.Unlock()
	if fail == nil {
		return nil
	}
	err := fail()
	if err == nil || ofKind(err) {
		return err
	}
	return &evercred.Error{Kind: evercred.ErrUnsafe, What: "the store in memory was told to fail", Err: err}
}

// ofKind reports whether err says by itself what to do next.
func ofKind(err error) bool {
	return slices.ContainsFunc([]error{
		evercred.ErrNotFound, evercred.ErrUnsafe, evercred.ErrConflict, evercred.ErrLocked,
		context.Canceled, context.DeadlineExceeded,
	}, func(kind error) bool { return errors.Is(err, kind) })
}

// Lock implements evercred.Store.
func (s *Store) Lock(ctx context.Context) (evercred.Lock, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	l := &lock{store: s}
	select {
	case s.lock <- l:
	case <-ctx.Done():
		return nil, &evercred.Error{Kind: evercred.ErrLocked, Reason: evercred.ReasonLocked, What: "the store in memory is locked", Err: ctx.Err()}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.holder = l
	return l, nil
}

type lock struct{ store *Store }

// Check implements evercred.Lock.
func (l *lock) Check() error {
	l.store.mu.Lock()
	defer l.store.mu.Unlock()
	if l.store.holder != l {
		return &evercred.Error{Kind: evercred.ErrLocked, Reason: evercred.ReasonLocked, What: "the lock in memory is no longer ours"}
	}
	return nil
}

// Unlock implements evercred.Lock.
func (l *lock) Unlock() error {
	l.release()
	return nil
}

// release frees the lock if it is still l's.
func (l *lock) release() bool {
	l.store.mu.Lock()
	defer l.store.mu.Unlock()
	if l.store.holder != l {
		return false
	}
	l.store.holder = nil
	<-l.store.lock
	return true
}
