package dirlock

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/evercred/evercred/internal/fsys"
	"github.com/evercred/evercred/internal/ledger"
)

// lock is one lock directory that bears our stamp.
type lock struct {
	fs   fsys.FS
	path string
	// dir stays open: it pins the inode, and beats go through it, so that a
	// directory that took our lock's place is never touched.
	dir        fsys.File
	self       fsys.Info // who it is: inode and birth time
	time, prev time.Time // it bears one of the two
	grain      time.Duration
	found      time.Time // of a lock that was taken over: the time it bore; zero: we made it
	lost       bool
}

func (l *lock) stamp() ledger.Stamp {
	return ledger.Stamp{Path: l.path, Ino: l.self.Ino, Birth: l.self.BirthTime, Time: l.time, Prev: l.prev}
}

// ours looks at the path: the error matches ErrLost when somebody else's lock or
// none stands there, or its time is not of our setting. Any other error means
// that we could not look.
func (l *lock) ours() (fsys.Info, error) {
	if l.lost {
		return fsys.Info{}, lost(l.path, "is not ours any more")
	}
	i, err := l.fs.Lstat(l.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return i, lost(l.path, "is gone")
	case err != nil:
		return i, fmt.Errorf("look at our lock: %w", err)
	case !fsys.SameFile(i, l.self):
		return i, lost(l.path, "was replaced")
	case !l.bears(i):
		return i, lost(l.path, "bears a time that is not ours")
	}
	return i, nil
}

func (l *lock) bears(i fsys.Info) bool {
	return i.ModTime.Equal(l.time) || i.ModTime.Equal(l.prev)
}

// beat sets the time that stands in the holder line already. The look at the
// descriptor comes right before, since recording took its time.
func (l *lock) beat() error {
	i, err := l.dir.Stat()
	if err != nil {
		return fmt.Errorf("look at our lock: %w", err)
	}
	if i.Nlink == 0 || !l.bears(i) {
		return lost(l.path, "was taken from us")
	}
	_, err = l.put(l.time)
	return err
}

// put sets the time through the descriptor and reads back what the file system
// made of it; changed: that was not want. It needs line.mu once l is entered.
func (l *lock) put(want time.Time) (changed bool, err error) {
	if err := l.dir.SetTime(want); err != nil {
		return false, err
	}
	i, err := l.dir.Stat()
	if err != nil {
		return false, err
	}
	g, ok := grainOf(want, i.ModTime)
	if !ok {
		return false, lost(l.path, "bears another time than was set")
	}
	l.time, l.grain = i.ModTime, max(l.grain, g)
	return g != 1, nil
}

// remove frees the lock if it is still ours. Nothing stands between the look and
// the rmdir, since rmdir cannot be told whose directory it may remove (L5).
func (l *lock) remove() error {
	defer l.dir.Close()
	if _, err := l.ours(); err != nil {
		return err
	}
	err := l.fs.Rmdir(l.path)
	if errors.Is(err, fs.ErrNotExist) { // somebody's rmdir, as blind as ours, came between
		return lost(l.path, "is gone")
	}
	if err != nil && !l.found.IsZero() {
		// Somebody keeps something in it: leave it as we found it, old, rather
		// than looking alive.
		l.dir.SetTime(l.found)
	}
	if err != nil {
		return fmt.Errorf("free our lock: %w", err)
	}
	return nil
}

// grains are the steps in which file systems keep times: ext4 and its like, NTFS
// and SMB, microseconds, milliseconds, exFAT, HFS+ and ext3, FAT.
var grains = [...]time.Duration{1, 100, time.Microsecond, time.Millisecond, 10 * time.Millisecond, time.Second, 2 * time.Second}

// grainOf says how coarsely got keeps want; false: got is not what became of want.
func grainOf(want, got time.Time) (time.Duration, bool) {
	for _, g := range grains {
		if want.Truncate(g).Equal(got) {
			return g, true
		}
	}
	return 0, false
}
