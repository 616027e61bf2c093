// Package keychain keeps a login in a generic-password item of macOS's
// keychain: an evercred.Store through /usr/bin/security and nothing else. Calls
// of the framework would change the item's access list, and its owner would
// then be asked for a password at every start (INTEROP §7).
//
// Our guard and ledger stand beside the directory that the login belongs to, as
// they do for a file: DIR/.evercred/keychain-XXXXXXXXXXXX, the digits being the
// first of the SHA-256 of service and account. The escrow is sealed; its key is
// an item of our own, service "evercred-escrow", made before the first grant.
//
// Written for macOS and tested elsewhere, with credtest.Security in the place of
// the program: it has not run on a Mac.
package keychain

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/internal/fsys"
	"github.com/evercred/evercred/internal/hold"
	"github.com/evercred/evercred/internal/ledger"
	"github.com/evercred/evercred/internal/seam"
)

// Options tune a Store. nil and every zero member mean the default.
type Options struct {
	// AllowArgv writes a document that is too long for the program's line buffer
	// as an argument, which other processes of the same user can see while the
	// write lasts. Without it such a login is not refreshed.
	AllowArgv bool
	// Env is the environment of the program, as in exec.Cmd; nil: none at all. It
	// finds the user's keychains by HOME. Secrets do not belong there.
	Env []string
	// Owner adds the locks of the program that owns the item; nil: it takes none.
	Owner OwnerLocks
	// Seams are for this module's own tests; leave it nil.
	Seams *seam.Seams
}

// OwnerLocks are the locks of the program that owns the item, taken under our
// guard, as for a file (INTEROP §3).
type OwnerLocks = hold.OwnerLocks

// Item names a generic password.
type Item struct{ Service, Account string }

// String is for messages: neither is a secret.
func (i Item) String() string {
	return fmt.Sprintf("keychain item %q of %q", i.Service, i.Account)
}

// escrowService is the service of our own items, which hold the keys that
// escrows are sealed with.
const escrowService = "evercred-escrow"

// Store is one item. It is safe for concurrent use; several Stores on one item,
// in one process or many, exclude each other by the guard. Every look at it
// starts a process.
type Store struct {
	item  Item
	dir   string // as it was given; its links are resolved at each use
	opts  Options
	seams seam.Seams
	tool  tool
	turn  chan struct{} // held by the Probe that may look

	mu   sync.Mutex
	held *held
	last look
	key  escrowKey
}

var (
	_ evercred.Store     = (*Store)(nil)
	_ evercred.TryLocker = (*Store)(nil)
	_ evercred.Prober    = (*Store)(nil)
)

// look is what is known of the last look at the item.
type look struct {
	at    time.Time
	noted fsys.Info // the ledger's memory then: other processes of ours note each grant there
	sum   digest
	err   error // why nothing was learned; noted and sum are then of the look before
}

// digest is the SHA-256 of a document; zero: of none, there was no item.
type digest [sha256.Size]byte

// New names the item and the directory beside which its ledger stands; it
// touches nothing.
func New(item Item, dir string, opts *Options) *Store {
	s := &Store{item: item, dir: dir, turn: make(chan struct{}, 1)}
	if opts != nil {
		s.opts = *opts
	}
	s.seams = s.opts.Seams.Filled()
	s.tool = tool{path: s.seams.Security, env: s.opts.Env, times: s.seams.Times}
	return s
}

// Load reads the item. ErrNotFound: there is none. ErrUnsafe: the keychain is
// locked (ReasonKeychainLocked), or it cannot be told whether there is one
// (ReasonKeychainFailed); neither means that nobody is logged in.
func (s *Store) Load(ctx context.Context) (evercred.Document, error) {
	data, err := s.look(ctx)
	if err != nil {
		return evercred.Document{}, err
	}
	return s.document(data), nil
}

func (s *Store) document(data []byte) evercred.Document {
	info := evercred.DocumentInfo{Place: s.item.String(), Tag: digest(sha256.Sum256(data))}
	if err := s.fits(len(data) + spare); err != nil {
		info.Notes = []string{"it is served and not refreshed: " + err.Error()}
	}
	return evercred.NewDocument(data, info)
}

// look reads the item and remembers that it did.
func (s *Store) look(ctx context.Context) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	// Both before: what changes during the read is news to the next Probe.
	l := look{at: s.seams.Clock.Now(), noted: s.noted()}
	data, err := s.tool.find(ctx, s.item)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err == nil:
		l.sum = sha256.Sum256(data)
	case !errors.Is(err, evercred.ErrNotFound): // nothing was learned
		l.noted, l.sum, l.err = s.last.noted, s.last.sum, err
	}
	s.last = l
	return data, err
}

// noted is the ledger's memory as a file; zero: there is none.
func (s *Store) noted() fsys.Info {
	info, err := s.Ledger().Noted()
	if err != nil {
		return fsys.Info{}
	}
	return info
}

// Probe reports whether the item changed since last was loaded. It looks at
// most every 30 s, and else knows what the last look saw (INTEROP §7), unless a
// process of ours has noted something about this login: who goes by the newer
// memory must not go by an older item, whose token would pass for a copy from a
// backup.
func (s *Store) Probe(ctx context.Context, last evercred.Document) (bool, error) {
	then, ok := last.Tag().(digest)
	if !ok {
		return true, ctx.Err()
	}
	select {
	case s.turn <- struct{}{}: // one look for all who ask at the same moment
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return false, ctx.Err()
	}
	if err := s.refresh(ctx); err != nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last.sum != then, nil
}

// refresh looks if it is time.
func (s *Store) refresh(ctx context.Context) error {
	noted := s.noted()
	s.mu.Lock()
	l := s.last
	s.mu.Unlock()
	every, age := s.seams.Times.KeychainProbe, s.seams.Clock.Now().Sub(l.at)
	news := noted.Ino != l.noted.Ino || !noted.ModTime.Equal(l.noted.ModTime)
	switch {
	case l.err != nil && age >= 0 && age < every/30:
		return l.err // a keychain that is locked is not asked all the time
	case !news && age >= 0 && age < every:
		return nil
	}
	if _, err := s.look(ctx); err != nil && !errors.Is(err, evercred.ErrNotFound) {
		return err
	}
	return nil
}

// Absent is the document that Probe compares with where there was no item. It
// is no document otherwise.
func (s *Store) Absent() evercred.Document {
	return evercred.NewDocument(nil, evercred.DocumentInfo{Place: s.item.String(), Tag: digest{}})
}

// Owns reports whether a document was loaded from a keychain item.
func (s *Store) Owns(d evercred.Document) bool {
	_, ok := d.Tag().(digest)
	return ok
}

// Ledger is the ledger of the item; its answers are sealed. It touches nothing.
func (s *Store) Ledger() *ledger.Ledger {
	dir := s.dir
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	return ledger.Open(dir, s.item.ledgerName(), s.seams).Sealed(s.escrow)
}

// LedgerOf is Ledger: an item has one place.
func (s *Store) LedgerOf(evercred.Document) *ledger.Ledger { return s.Ledger() }

// ledgerName is the folder in .evercred: the name of a file never begins so in
// the directories of the owners, and account names stay out of it.
func (i Item) ledgerName() string {
	sum := sha256.Sum256([]byte(i.Service + "\x00" + i.Account))
	return "keychain-" + hex.EncodeToString(sum[:6])
}

// Tidy removes what dead processes of ours left of the owner's locks beside an
// item that is gone. g is the guard of Ledger.
func (s *Store) Tidy(g *ledger.Guard) {
	if s.opts.Owner != nil {
		s.opts.Owner.Tidy(g)
	}
}
