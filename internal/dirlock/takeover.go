package dirlock

import (
	"errors"
	"io/fs"

	"github.com/evercred/evercred/internal/fsys"
	"github.com/evercred/evercred/internal/seam"
)

// adopt takes over the dead lock that was seen, by setting its times: no moment
// passes in which the name is free, and a second one who tries the same is told
// by the time (INTEROP §3.3). errBusy: it is not as it was seen.
func (n *line) adopt(path string, seen fsys.Info) (*lock, error) {
	dir, err := n.FS.OpenDir(path)
	if err != nil {
		return nil, adoptError(path, err)
	}
	l := &lock{fs: n.FS, path: path, dir: dir, self: seen, time: n.time(1), grain: 1, found: seen.ModTime}
	if err := n.adoptOpen(l); err != nil {
		n.leave(l)
		dir.Close()
		return nil, err
	}
	return l, nil
}

func (n *line) adoptOpen(l *lock) error {
	if err := l.asFound(); err != nil {
		return err
	}
	if err := n.enter(l); err != nil {
		return &ImpossibleError{Path: l.path, Why: "record the stamp", Err: err}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	// Recording took its time: a holder that beat meanwhile is alive.
	if err := l.asFound(); err != nil {
		return err
	}
	changed, err := l.put(l.time)
	switch {
	case errors.Is(err, ErrLost): // somebody else's time: another of ours was faster
		return errBusy
	case err != nil:
		return adoptError(l.path, err)
	case changed:
		_ = n.record() // a better line; as with a beat, the lock counts for more
	}
	return nil
}

func (l *lock) asFound() error {
	i, err := l.dir.Stat()
	if err != nil {
		return adoptError(l.path, err)
	}
	if i.Nlink == 0 || !fsys.SameFile(i, l.self) || !i.ModTime.Equal(l.found) {
		return errBusy
	}
	return nil
}

// errDenied: the lock is dead but another user's (L3).
var errDenied = errors.New("not permitted to take the lock over")

func adoptError(path string, err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return errDenied
	case errors.Is(err, fs.ErrNotExist):
		return errBusy
	}
	return &ImpossibleError{Path: path, Why: "take over a dead lock", Err: err, place: notHere(err)}
}

// Tidy frees the locks at paths that a dead process of ours left. Nobody is kept
// waiting for the age at which its owner would call them dead.
func Tidy(book Book, s seam.Seams, paths ...string) { newLine(book, s).tidy(paths) }

// Tidy is Tidy while the locks of s are held.
func (s *Set) Tidy(paths ...string) { s.line.tidy(paths) }

func (n *line) tidy(paths []string) {
	for _, path := range paths {
		i, err := n.FS.Lstat(path)
		if err != nil || !i.Mode.IsDir() || !n.left(path, i) {
			continue
		}
		if l, err := n.adopt(path, i); err == nil {
			n.leave(l)
			l.remove()
		}
	}
}
