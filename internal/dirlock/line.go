package dirlock

import (
	"slices"
	"sync"
	"time"

	"github.com/evercred/evercred/internal/fsys"
	"github.com/evercred/evercred/internal/ledger"
	"github.com/evercred/evercred/internal/seam"
)

// line is our holder line: every lock that we hold or are about to make stands
// in it. mu guards the locks, their times, and the Book's Record.
type line struct {
	seam.Seams
	book  Book
	mu    sync.Mutex
	locks []*lock
}

func newLine(book Book, s seam.Seams) *line { return &line{Seams: s.Filled(), book: book} }

// enter writes l into the line, before l gets its name or our time.
func (n *line) enter(l *lock) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.locks = append(n.locks, l)
	return n.record()
}

// leave strikes l where mu is not held.
func (n *line) leave(l *lock) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.strike(l)
}

// strike needs mu. The next record drops l's stamp.
func (n *line) strike(l *lock) {
	n.locks = slices.DeleteFunc(n.locks, func(o *lock) bool { return o == l })
}

// record needs mu.
func (n *line) record() error {
	stamps := make([]ledger.Stamp, len(n.locks))
	for i, l := range n.locks {
		stamps[i] = l.stamp()
	}
	return n.book.Record(stamps)
}

// time is what a lock is stamped with now: the wall clock, and below the
// millisecond our random part (INTEROP §3.4), as far as the file system keeps it.
func (n *line) time(grain time.Duration) time.Time {
	return n.Clock.Now().Truncate(time.Millisecond).Add(time.Duration(n.book.Random())).Truncate(grain)
}

// left reports whether the lock is one that a dead process of ours left: the
// guard is ours, its holder is surely dead, and the lock bears its stamp with
// its random part (INTEROP §3.3). Whatever cannot be learned means no.
func (n *line) left(path string, i fsys.Info) bool {
	prev, dead := n.book.Previous()
	if !dead || !stamped(prev, path, i) {
		return false
	}
	part, random := int64(i.ModTime.Nanosecond())%1e6, prev.Random
	if part == 0 {
		// Kept by no file system that counts in milliseconds or more: then the
		// birth time has to tell this lock from another with its inode.
		return !i.BirthTime.IsZero()
	}
	return part == random || part == random-random%100 || part == random-random%1000
}

func stamped(h ledger.Holder, path string, i fsys.Info) bool {
	return slices.ContainsFunc(h.Stamps, func(s ledger.Stamp) bool {
		return s.Path == path && s.Ino == i.Ino && s.Ino != 0 && s.Birth.Equal(i.BirthTime) &&
			(i.ModTime.Equal(s.Time) || i.ModTime.Equal(s.Prev))
	})
}
