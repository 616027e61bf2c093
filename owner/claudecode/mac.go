package claudecode

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/filestore"
	"github.com/evercred/evercred/internal/ledger"
	"github.com/evercred/evercred/keychain"
)

// itemOrFile is the login on macOS: the keychain item, and the file only while
// there is no such item (INTEROP §1). A file that an older version left behind
// never beats the item, and a keychain that is locked or does not answer is an
// error: it may hold the login.
type itemOrFile struct {
	item *keychain.Store
	file *filestore.Store
	// inFile: the last look found no item. It says whose ledger, lock and stat are
	// asked; what is read and what is saved asks the item itself.
	inFile atomic.Bool
}

var (
	_ evercred.Store     = (*itemOrFile)(nil)
	_ evercred.TryLocker = (*itemOrFile)(nil)
	_ evercred.Prober    = (*itemOrFile)(nil)
)

// Load reads the item; the file, if there is none.
func (s *itemOrFile) Load(ctx context.Context) (evercred.Document, error) {
	doc, err := s.item.Load(ctx)
	if !errors.Is(err, evercred.ErrNotFound) {
		if err == nil {
			s.inFile.Store(false)
		}
		return doc, err
	}
	s.inFile.Store(true)
	return s.file.Load(ctx)
}

// Probe asks where last came from. A file is asked at each call, the item, which
// may have appeared beside it, as seldom as it asks for (INTEROP §7).
func (s *itemOrFile) Probe(ctx context.Context, last evercred.Document) (bool, error) {
	appeared, err := s.item.Probe(ctx, s.itemPart(last))
	if err != nil || !s.ofFile(last) {
		return appeared, err
	}
	if appeared {
		return true, nil
	}
	return s.file.Probe(ctx, last)
}

// ofFile reports whether a document came from the file.
func (s *itemOrFile) ofFile(d evercred.Document) bool { return !s.item.Owns(d) }

// itemPart is what the item held when d was loaded.
func (s *itemOrFile) itemPart(d evercred.Document) evercred.Document {
	if s.ofFile(d) {
		return s.item.Absent()
	}
	return d
}

// Save goes where old came from. Into the file only while there is no item: one
// that appeared meanwhile is another login.
func (s *itemOrFile) Save(ctx context.Context, old evercred.Document, data []byte) (evercred.Document, error) {
	if !s.ofFile(old) {
		return s.item.Save(ctx, old, data)
	}
	if err := s.noItem(ctx); err != nil {
		return evercred.Document{}, err
	}
	return s.file.Save(ctx, old, data)
}

// noItem reports ErrConflict if there is an item.
func (s *itemOrFile) noItem(ctx context.Context) error {
	doc, err := s.item.Load(ctx)
	switch {
	case errors.Is(err, evercred.ErrNotFound):
		return nil
	case err != nil:
		return err
	}
	return moved(doc.Place())
}

func moved(place string) error {
	return &evercred.Error{Kind: evercred.ErrConflict, Reason: evercred.ReasonConflict, What: "the login moved between the file and the keychain", Where: place}
}

// Lock takes the lock of where the login was last seen. Prepare refuses to go on
// if it has moved.
func (s *itemOrFile) Lock(ctx context.Context) (evercred.Lock, error) {
	return s.take(ctx, s.item.Lock, s.file.Lock)
}

// TryLock is Lock without waiting for anybody.
func (s *itemOrFile) TryLock(ctx context.Context) (evercred.Lock, error) {
	return s.take(ctx, s.item.TryLock, s.file.TryLock)
}

func (s *itemOrFile) take(ctx context.Context, item, file func(context.Context) (evercred.Lock, error)) (evercred.Lock, error) {
	take, inFile := item, s.inFile.Load()
	if inFile {
		take = file
	}
	l, err := take(ctx)
	if err != nil {
		return nil, err
	}
	return &placeLock{l.(fullLock), s, inFile}, nil
}

// Ledger is that of where the login was last seen.
func (s *itemOrFile) Ledger() *ledger.Ledger {
	if s.inFile.Load() {
		return s.file.Ledger()
	}
	return s.item.Ledger()
}

// LedgerOf is that of where doc was found.
func (s *itemOrFile) LedgerOf(doc evercred.Document) *ledger.Ledger {
	if doc.IsZero() || !s.ofFile(doc) {
		return s.Ledger()
	}
	return s.file.LedgerOf(doc)
}

// Tidy is that of where the login was last seen.
func (s *itemOrFile) Tidy(g *ledger.Guard) {
	if s.inFile.Load() {
		s.file.Tidy(g)
		return
	}
	s.item.Tidy(g)
}

// fullLock is what the locks of both places are.
type fullLock interface {
	evercred.Lock
	evercred.Preparer
	evercred.Settler
	evercred.Noter
	Guard() *ledger.Guard
}

// placeLock is the lock of one of the two places.
type placeLock struct {
	fullLock
	store  *itemOrFile
	inFile bool
}

// Prepare refuses a document of the other place: under this lock it could not be
// saved. For the file, that there is no item is asked again.
func (l *placeLock) Prepare(ctx context.Context, old evercred.Document) error {
	if l.store.ofFile(old) != l.inFile {
		return moved(old.Place())
	}
	if l.inFile {
		if err := l.store.noItem(ctx); err != nil {
			return err
		}
	}
	return l.fullLock.Prepare(ctx, old)
}
