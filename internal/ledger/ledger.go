package ledger

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/evercred/evercred/internal/fsys"
	"github.com/evercred/evercred/internal/seam"
)

// The names in the folder.
const (
	rootName      = ".evercred"
	versionName   = "VERSION"
	ignoreName    = ".gitignore"
	guardName     = "guard"
	holderName    = "holder"
	memoryName    = "memory"
	attemptPrefix = "attempt-"
	openSuffix    = ".open"
	closedSuffix  = ".closed"
	stagePrefix   = "tmp-"
	lockPrefix    = "lock-"
)

// Ledger is the folder of one login, seen without the guard. It is safe for
// concurrent use, holds nothing open, and creates nothing but by TryGuard and
// Guard.
type Ledger struct {
	dir  string // of the document
	root string // dir/.evercred
	path string // dir/.evercred/NAME
	s    seam.Seams
	key  Key // nil: answers are kept in clear
}

// Open names the ledger of the document dir/name; dir is a real directory, not
// a link. It touches nothing. s is filled.
func Open(dir, name string, s seam.Seams) *Ledger {
	root := filepath.Join(dir, rootName)
	return &Ledger{dir: dir, root: root, path: filepath.Join(root, filepath.Base(name)), s: s}
}

// Path is the folder.
func (l *Ledger) Path() string { return l.path }

// Exists reports whether there is a folder.
func (l *Ledger) Exists() (bool, error) {
	i, err := l.s.FS.Lstat(l.path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && i.Mode.IsDir(), err
}

// Pending reports whether an open attempt holds an answer. One of a newer version
// cannot be recovered, so it is not pending; Attempts says why. Of one that cannot
// be read now, or whose key cannot be had now, that is not known: an error.
func (l *Ledger) Pending() (bool, error) {
	ids, err := l.list()
	if err != nil {
		return false, err
	}
	for _, id := range ids.open {
		if ids.closed[id] {
			continue
		}
		a, lerr := l.load(id)
		switch {
		case lerr == nil && !a.corrupt && a.HasAnswer():
			return true, nil
		case errors.Is(lerr, errTorn), errors.Is(lerr, fs.ErrNotExist), errors.Is(lerr, ErrNewer):
			// Begun or closed just now, or not ours to recover.
		case lerr != nil:
			err = lerr
		}
	}
	return false, err
}

// Remains reports whether anything is left that may hold a secret: an open
// attempt, even one whose closed record stands beside it, or a redo record. It
// reads nothing but the names.
func (l *Ledger) Remains() (bool, error) {
	ids, err := l.list()
	return len(ids.open) > 0 || ids.redo, err
}

// Attempts are the open attempts, oldest first, to look at only.
func (l *Ledger) Attempts() ([]Record, error) {
	if err := l.checkVersion(); err != nil {
		return nil, err
	}
	ids, err := l.list()
	if err != nil {
		return nil, err
	}
	var records []Record
	for _, id := range ids.open {
		a, err := l.load(id)
		switch {
		case ids.closed[id], errors.Is(err, errTorn), errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return nil, err
		}
		records = append(records, a)
	}
	return records, nil
}

// History is what remains of the closed attempts, oldest first. What cannot be
// understood is left out.
func (l *Ledger) History() ([]Closed, error) {
	ids, err := l.list()
	if err != nil {
		return nil, err
	}
	var history []Closed
	for _, id := range ids.history {
		c, ok, err := l.readClosed(id)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if ok {
			history = append(history, c)
		}
	}
	return history, nil
}

// listing is the attempts by their names; names sort by time.
type listing struct {
	open, history []string
	closed        map[string]bool
	staged        []string
	redo          bool
}

func (l *Ledger) list() (listing, error) {
	var ids listing
	names, err := l.s.FS.ReadDir(l.path)
	if errors.Is(err, fs.ErrNotExist) {
		return ids, nil
	}
	for _, name := range names {
		if strings.HasPrefix(name, stagePrefix) || strings.HasPrefix(name, lockPrefix) {
			ids.staged = append(ids.staged, name)
		}
		ids.redo = ids.redo || name == redoName
		id, ok := strings.CutPrefix(name, attemptPrefix)
		if !ok {
			continue
		}
		if id, ok := strings.CutSuffix(id, openSuffix); ok {
			ids.open = append(ids.open, id)
		}
		if id, ok := strings.CutSuffix(id, closedSuffix); ok {
			ids.history = append(ids.history, id)
			if ids.closed == nil {
				ids.closed = map[string]bool{}
			}
			ids.closed[id] = true
		}
	}
	return ids, err
}

func (l *Ledger) file(name string) string { return filepath.Join(l.path, name) }

// read returns at most limit bytes of a regular file.
func (l *Ledger) read(path string, limit int64) ([]byte, error) {
	f, err := l.s.FS.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := regular(f); err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, limit))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return b, nil
}

// regular refuses what is not a file: a FIFO or a device would block or lie (S5).
func regular(f fsys.File) error {
	i, err := f.Stat()
	if err == nil && !i.Mode.IsRegular() {
		err = fmt.Errorf("%s: %w", f.Name(), ErrPlanted)
	}
	return err
}
