package dirlock

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/evercred/evercred/internal/crash"
	"github.com/evercred/evercred/internal/fsys"
)

// lockMode: nobody but the owner has business in a lock, and who may remove it
// is for the directory around it to say.
const lockMode fs.FileMode = 0o700

// staged begins the names in the staging directory.
const staged = "lock-"

// create puts a lock of ours at path; errBusy: somebody was faster.
//
// It is stamped and recorded before it gets its name, so that no unstamped lock
// of ours is left whenever we are killed (INTEROP §3.4, L6b).
func (n *line) create(path string) (*lock, error) {
	at, err := n.stagingName()
	if err != nil {
		return nil, &ImpossibleError{Path: path, Why: "no random name", Err: err}
	}
	l, err := n.mkdir(at, path)
	if err != nil {
		return nil, &ImpossibleError{Path: path, Why: "preparing it in the ledger failed", Err: err}
	}
	began := n.Clock.Boot()
	err = n.FS.RenameNoReplace(at, path)
	if err == nil {
		return l, n.afterRename(l, began)
	}
	n.undo(l, at)
	if errors.Is(err, fs.ErrExist) {
		return nil, errBusy
	}
	// Another file system, or one that cannot rename without replacing; if it is
	// anything else, mkdir will say the same more plainly.
	return n.createInPlace(path)
}

// createInPlace leaves a moment in which the lock stands unstamped; the age rule
// frees it if we are killed there.
func (n *line) createInPlace(path string) (*lock, error) {
	l, err := n.mkdir(path, path)
	switch {
	case err == nil:
		return l, nil
	case errors.Is(err, errBusy):
		return nil, errBusy
	}
	impossible := &ImpossibleError{Path: path, Err: err}
	if m := (*mkdirError)(nil); errors.As(err, &m) {
		impossible.Err, impossible.place = m.err, notHere(m.err)
	}
	return nil, impossible
}

// mkdirError tells a failure of mkdir itself from one of what follows it.
type mkdirError struct{ err error }

func (e *mkdirError) Error() string { return e.err.Error() }
func (e *mkdirError) Unwrap() error { return e.err }

// mkdir makes, opens, stamps and records the directory at, which is or will be
// the lock path.
func (n *line) mkdir(at, path string) (*lock, error) {
	err := n.FS.Mkdir(at, lockMode)
	switch {
	case errors.Is(err, fs.ErrExist):
		return nil, errBusy
	case err != nil:
		return nil, &mkdirError{err}
	}
	crash.At(crash.AfterMkdir)
	dir, err := n.FS.OpenDir(at)
	switch {
	case errors.Is(err, fs.ErrNotExist): // somebody took its fresh name for the dead lock that stood here
		return nil, errBusy
	case err != nil:
		n.FS.Rmdir(at)
		return nil, err
	}
	l := &lock{fs: n.FS, path: path, dir: dir}
	if err := n.prepare(l, at); err != nil {
		n.undo(l, at)
		return nil, err
	}
	return l, nil
}

func (n *line) prepare(l *lock, at string) error {
	if err := n.book.Own(at); err != nil {
		return fmt.Errorf("give the lock its owner: %w", err)
	}
	if _, err := l.put(n.time(1)); err != nil {
		return fmt.Errorf("stamp the lock: %w", err)
	}
	var err error
	if l.self, err = l.dir.Stat(); err != nil {
		return fmt.Errorf("read the stamp back: %w", err)
	}
	if err := n.enter(l); err != nil {
		return fmt.Errorf("record the stamp: %w", err)
	}
	return nil
}

// afterRename sets the stamp again where moving a directory counts as changing
// it (its ".." was rewritten). Only right after the move: if we were held up for
// long, the time may be that of somebody who took the lock over.
func (n *line) afterRename(l *lock, began time.Duration) error {
	i, err := l.dir.Stat()
	if err == nil && !i.ModTime.Equal(l.time) && n.Clock.Boot()-began < n.Times.StaleAge/10 {
		err = l.dir.SetTime(l.time)
	}
	if err != nil {
		n.undo(l, l.path)
		return &ImpossibleError{Path: l.path, Why: "stamp the lock", Err: err}
	}
	return nil
}

// undo removes a directory that we just made, unless it was replaced.
func (n *line) undo(l *lock, at string) {
	n.leave(l)
	mine, err := l.dir.Stat()
	if i, lerr := n.FS.Lstat(at); err == nil && lerr == nil && fsys.SameFile(i, mine) {
		n.FS.Rmdir(at)
	}
	l.dir.Close()
}

func (n *line) stagingName() (string, error) {
	var b [8]byte
	if _, err := io.ReadFull(n.Rand, b[:]); err != nil {
		return "", err
	}
	return filepath.Join(n.book.Staging(), staged+hex.EncodeToString(b[:])), nil
}

// sweep removes what dead processes of ours left in the staging directory: we
// hold the guard, so nobody else is making a lock there.
func (n *line) sweep() {
	names, _ := n.FS.ReadDir(n.book.Staging())
	for _, name := range names {
		if strings.HasPrefix(name, staged) {
			n.FS.Rmdir(filepath.Join(n.book.Staging(), name))
		}
	}
}
