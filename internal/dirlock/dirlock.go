// Package dirlock takes the directory locks of npm's proper-lockfile as Claude
// Code uses them (INTEROP §3), without ever harming a holder that lives.
//
// Such a lock is a directory that mkdir makes, its holder stamps with the time
// every few seconds, and rmdir frees. Its other users take a lock with an old
// time for dead and remove it without looking whose it is, so a name alone
// proves nothing. Ours bear a stamp (inode, birth time and a time with a random
// part), are beaten through an open descriptor, are looked at again once the
// race for them has settled, and are removed only while they bear that stamp.
//
// Whoever calls this package already holds our own kernel guard of the login:
// at most one process of ours contends (DESIGN §6.3).
package dirlock

import (
	"context"
	"time"

	"github.com/evercred/evercred/internal/ledger"
	"github.com/evercred/evercred/internal/seam"
)

// Spec is a lock to be taken.
type Spec struct {
	Path string
	// Stale is the age at which its users call it dead; 0: StaleAge.
	Stale time.Duration
	// Optional: go on without it where it cannot be made. Busy is not impossible.
	Optional bool
	// Brief: it is held for milliseconds over a compare-and-swap, so a fresh one
	// needs no settling. One that was taken over settles all the same.
	Brief bool
}

// Book is the ledger as the locks need it. Record is called from the goroutine
// that beats, while any other method may be running; no method runs twice at once.
type Book interface {
	// Staging is a private directory, usually on the file system of the locks,
	// where a lock is made and stamped before it gets its name.
	Staging() string
	// Random is the part below a millisecond, in nanoseconds, of our stamps.
	Random() int64
	// Previous is the line that the holder of the guard before us left, and
	// whether that process is surely dead.
	Previous() (h ledger.Holder, dead bool)
	// Record writes our holder line with these stamps, atomically.
	Record(stamps []ledger.Stamp) error
	// Sights are what we and others of ours saw of other programs' locks.
	Sights() []ledger.Sight
	SetSights([]ledger.Sight) error
	// BootID names this boot; empty: unknown, and sights of other processes are void.
	BootID() string
	// Own gives what we created the owner and group of the login's directory.
	Own(path string) error
}

// Acquire takes the locks in order and waits for busy ones until ctx ends. They
// beat until Release.
//
// Errors: ErrHeld (a *HeldError says by whom, and wraps ctx's cause) or
// ErrImpossible (an *ImpossibleError says why; at once).
func Acquire(ctx context.Context, book Book, s seam.Seams, specs ...Spec) (*Set, error) {
	return newLine(book, s).acquire(ctx, specs, true)
}

// Try is Acquire without waiting for anybody; only its own settling takes time.
func Try(ctx context.Context, book Book, s seam.Seams, specs ...Spec) (*Set, error) {
	return newLine(book, s).acquire(ctx, specs, false)
}

// Acquire takes further locks while those of s are held. Both sets share one
// holder line; the further set is released first.
func (s *Set) Acquire(ctx context.Context, specs ...Spec) (*Set, error) {
	return s.line.acquire(ctx, specs, true)
}
