package credtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/evercred/evercred"
)

// memory is the place of a Store, as a wrapper shows it.
func memory(s *Store, wrap func(*Store) evercred.Store) Place {
	return Place{Open: func() evercred.Store { return wrap(s) }, Write: s.Set, Read: s.Bytes}
}

func TestMemoryStore(t *testing.T) {
	TestStore(t, func(t *testing.T) Place {
		return memory(NewStore(nil), func(s *Store) evercred.Store { return s })
	})
}

// badStore is a Store with one mistake.
type badStore struct {
	*Store
	load   func(context.Context) (evercred.Document, error)
	save   func(context.Context, evercred.Document, []byte) (evercred.Document, error)
	lock   func(context.Context) (evercred.Lock, error)
	probed func(bool) bool
}

func (b badStore) Load(ctx context.Context) (evercred.Document, error) {
	if b.load != nil {
		return b.load(ctx)
	}
	return b.Store.Load(ctx)
}

func (b badStore) Save(ctx context.Context, old evercred.Document, data []byte) (evercred.Document, error) {
	if b.save != nil {
		return b.save(ctx, old, data)
	}
	return b.Store.Save(ctx, old, data)
}

func (b badStore) Lock(ctx context.Context) (evercred.Lock, error) {
	if b.lock != nil {
		return b.lock(ctx)
	}
	return b.Store.Lock(ctx)
}

func (b badStore) Probe(ctx context.Context, last evercred.Document) (bool, error) {
	changed, err := b.Store.Probe(ctx, last)
	if b.probed != nil {
		changed = b.probed(changed)
	}
	return changed, err
}

// badLock is a lock with one mistake.
type badLock struct {
	evercred.Lock
	check, unlock, prepare func() error
}

func (b badLock) Check() error {
	if b.check != nil {
		return b.check()
	}
	return b.Lock.Check()
}

func (b badLock) Unlock() error {
	if b.unlock != nil {
		return b.unlock()
	}
	return b.Lock.Unlock()
}

func (b badLock) Prepare(context.Context, evercred.Document) error {
	if b.prepare != nil {
		return b.prepare()
	}
	return nil
}

func withLock(s *Store, spoil func(evercred.Lock) badLock) badStore {
	return badStore{Store: s, lock: func(ctx context.Context) (evercred.Lock, error) {
		l, err := s.Lock(ctx)
		if err != nil {
			return nil, err
		}
		return spoil(l), nil
	}}
}

// blindly saves without comparing.
func blindly(s *Store, data []byte) (evercred.Document, error) {
	s.Set(data)
	return s.Load(context.Background())
}

// mistake is a bad store and the check that must find it.
type mistake struct {
	name, check string
	wrap        func(*Store) evercred.Store
}

func mistakes() []mistake {
	return []mistake{
		{"gives old bytes", "Load/sees what the owner writes", func(s *Store) evercred.Store {
			var once sync.Once
			var d evercred.Document
			var err error
			return badStore{Store: s, load: func(ctx context.Context) (evercred.Document, error) {
				once.Do(func() { d, err = s.Load(ctx) })
				return d, err
			}}
		}},
		{"gives other bytes", "Load/gives the bytes", func(s *Store) evercred.Store {
			return badStore{Store: s, load: func(ctx context.Context) (evercred.Document, error) {
				d, err := s.Load(ctx)
				return evercred.NewDocument(bytes.ToUpper(d.Bytes()), evercred.DocumentInfo{}), err
			}}
		}},
		{"says EOF of nothing", "Load/nothing is ErrNotFound", func(s *Store) evercred.Store {
			return badStore{Store: s, load: func(context.Context) (evercred.Document, error) {
				return evercred.Document{}, os.ErrNotExist
			}}
		}},
		{"does not save", "Save/replaces and reads back", func(s *Store) evercred.Store {
			return badStore{Store: s, save: func(_ context.Context, _ evercred.Document, data []byte) (evercred.Document, error) {
				return evercred.NewDocument(data, evercred.DocumentInfo{}), nil
			}}
		}},
		{"does not read back", "Save/replaces and reads back", func(s *Store) evercred.Store {
			return badStore{Store: s, save: func(ctx context.Context, old evercred.Document, data []byte) (evercred.Document, error) {
				_, err := s.Save(ctx, old, data)
				return old, err
			}}
		}},
		{"overwrites", "Save/a changed document is a conflict", func(s *Store) evercred.Store {
			return badStore{Store: s, save: func(_ context.Context, _ evercred.Document, data []byte) (evercred.Document, error) {
				return blindly(s, data)
			}}
		}},
		{"overwrites and says conflict", "Save/a changed document is a conflict", func(s *Store) evercred.Store {
			return badStore{Store: s, save: func(ctx context.Context, old evercred.Document, data []byte) (evercred.Document, error) {
				d, err := s.Save(ctx, old, data)
				s.Set(data)
				return d, err
			}}
		}},
		{"speaks of the document", "Save/a changed document is a conflict", func(s *Store) evercred.Store {
			return badStore{Store: s, save: func(ctx context.Context, old evercred.Document, data []byte) (evercred.Document, error) {
				d, err := s.Save(ctx, old, data)
				if err != nil {
					err = fmt.Errorf("%w: have %s", err, s.Bytes())
				}
				return d, err
			}}
		}},
		{"revives", "Save/a removed document stays removed", func(s *Store) evercred.Store {
			return badStore{Store: s, save: func(_ context.Context, _ evercred.Document, data []byte) (evercred.Document, error) {
				return blindly(s, data)
			}}
		}},
		{"compares versions, not bytes", "Save/the same bytes again are no conflict", func(s *Store) evercred.Store {
			return badStore{Store: s, save: func(ctx context.Context, old evercred.Document, data []byte) (evercred.Document, error) {
				if changed, _ := s.Probe(ctx, old); changed {
					return evercred.Document{}, evercred.ErrConflict
				}
				return s.Save(ctx, old, data)
			}}
		}},
		{"keeps the caller's bytes", "Save/documents are snapshots", func(s *Store) evercred.Store {
			var kept []byte
			return badStore{Store: s,
				save: func(ctx context.Context, old evercred.Document, data []byte) (evercred.Document, error) {
					kept = data
					return s.Save(ctx, old, data)
				},
				load: func(ctx context.Context) (evercred.Document, error) {
					if kept != nil {
						return evercred.NewDocument(kept, evercred.DocumentInfo{}), nil
					}
					return s.Load(ctx)
				}}
		}},
		{"truncates first", "Save/a reader sees whole documents", truncating()},
		{"locks nothing", "Lock/excludes every handle", func(s *Store) evercred.Store {
			return badStore{Store: s, lock: func(context.Context) (evercred.Lock, error) { return free{}, nil }}
		}},
		{"locks a handle only", "Lock/excludes every handle", func(s *Store) evercred.Store {
			own := NewStore(nil)
			return badStore{Store: s, lock: own.Lock}
		}},
		{"ignores an ended context", "Lock/an ended context gets no lock", func(s *Store) evercred.Store {
			return badStore{Store: s, lock: func(context.Context) (evercred.Lock, error) { return s.Lock(context.Background()) }}
		}},
		{"fails in a way of its own", "Lock/the context bounds the wait", func(s *Store) evercred.Store {
			return badStore{Store: s, lock: func(ctx context.Context) (evercred.Lock, error) {
				l, err := s.Lock(ctx)
				if err != nil {
					err = errors.New("busy")
				}
				return l, err
			}}
		}},
		{"checks nothing", "Lock/Check tells whose it is", func(s *Store) evercred.Store {
			return withLock(s, func(l evercred.Lock) badLock { return badLock{Lock: l, check: func() error { return nil }} })
		}},
		{"is never its own", "Lock/Check tells whose it is", func(s *Store) evercred.Store {
			return withLock(s, func(l evercred.Lock) badLock {
				return badLock{Lock: l, check: func() error { return evercred.ErrLocked }}
			})
		}},
		{"unlocks whatever there is", "Lock/Unlock is idempotent and frees nothing of others", func(s *Store) evercred.Store {
			return withLock(s, func(l evercred.Lock) badLock {
				return badLock{Lock: l, unlock: func() error { s.Steal(); return nil }}
			})
		}},
		{"unlocks once only", "Lock/Unlock is idempotent and frees nothing of others", func(s *Store) evercred.Store {
			return withLock(s, func(l evercred.Lock) badLock {
				return badLock{Lock: l, unlock: func() error {
					if err := l.Check(); err != nil {
						return err
					}
					return l.Unlock()
				}}
			})
		}},
		{"loses changes", "Lock/read, change, save under it loses nothing", losing()},
		{"sees no change", "Probe/tells a change", func(s *Store) evercred.Store {
			return badStore{Store: s, probed: func(bool) bool { return false }}
		}},
		{"sees changes everywhere", "Probe/tells a change", func(s *Store) evercred.Store {
			return badStore{Store: s, probed: func(bool) bool { return true }}
		}},
		{"blanks when it prepares", "Prepare/then Save", func(s *Store) evercred.Store {
			return withLock(s, func(l evercred.Lock) badLock {
				return badLock{Lock: l, prepare: func() error { s.Set([]byte("{}")); return nil }}
			})
		}},
		{"cannot prepare", "Prepare/then Save", func(s *Store) evercred.Store {
			return withLock(s, func(l evercred.Lock) badLock {
				return badLock{Lock: l, prepare: func() error { return evercred.ErrUnsafe }}
			})
		}},
	}
}

func TestBadStoresFail(t *testing.T) {
	for _, m := range mistakes() {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			if r := run(t, m.check, m.wrap); !r.failed {
				t.Errorf("the check %q passes", m.check)
			}
		})
	}
}

// truncating stops in its first save, with half a document, until a reader met it.
func truncating() func(*Store) evercred.Store {
	half, met := make(chan struct{}), make(chan struct{})
	var save, look sync.Once
	return func(s *Store) evercred.Store {
		return badStore{Store: s,
			save: func(_ context.Context, _ evercred.Document, data []byte) (evercred.Document, error) {
				save.Do(func() {
					s.Set(data[:3])
					close(half)
					<-met
				})
				return blindly(s, data)
			},
			load: func(ctx context.Context) (evercred.Document, error) {
				d, err := s.Load(ctx)
				select {
				case <-half:
					look.Do(func() { d, err = s.Load(ctx); close(met) })
				default:
				}
				return d, err
			}}
	}
}

// losing has no lock, and its first reader goes on when a second one has read
// the same document.
func losing() func(*Store) evercred.Store {
	var loads atomic.Int32
	second := make(chan struct{})
	return func(s *Store) evercred.Store {
		return badStore{Store: s,
			lock: func(context.Context) (evercred.Lock, error) { return free{}, nil },
			save: func(_ context.Context, _ evercred.Document, data []byte) (evercred.Document, error) {
				return blindly(s, data)
			},
			load: func(ctx context.Context) (evercred.Document, error) {
				d, err := s.Load(ctx)
				switch loads.Add(1) {
				case 1:
					<-second
				case 2:
					close(second)
				}
				return d, err
			}}
	}
}

// free is the lock of nobody.
type free struct{}

func (free) Check() error  { return nil }
func (free) Unlock() error { return nil }

// run runs one check on a wrapped store, as if TestStore did.
func run(t *testing.T, name string, wrap func(*Store) evercred.Store) *recorder {
	t.Helper()
	for _, c := range storeChecks() {
		if c.name == name {
			s := NewStore(nil)
			return record(t, func(t testing.TB) { c.run(t, memory(s, wrap)) })
		}
	}
	t.Fatalf("there is no check %q", name)
	return nil
}

// A store without the optional interfaces passes, and the checks say so.
func TestOptionalInterfacesAreSkipped(t *testing.T) {
	type plain struct{ evercred.Store }
	for _, name := range []string{"Probe/tells a change", "Prepare/then Save"} {
		if r := run(t, name, func(s *Store) evercred.Store { return plain{s} }); r.failed || !r.skipped {
			t.Errorf("%s: failed %v, skipped %v: %s", name, r.failed, r.skipped, r.text())
		}
	}
}

// No check is there that no mistake fails.
func TestEveryCheckCanFail(t *testing.T) {
	for _, c := range storeChecks() {
		if !slices.ContainsFunc(mistakes(), func(m mistake) bool { return m.check == c.name }) {
			t.Errorf("no bad store fails %q", c.name)
		}
	}
}
