// Package filestore keeps a login in one file: an evercred.Store over any
// document that another program owns, with our guard and ledger beside it
// (DESIGN §6).
//
// Reading creates nothing. Whatever stands in the file's place (a directory, a
// FIFO, a loop of links, 64 MiB) is an error at once and stays untouched.
package filestore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/internal/fsys"
	"github.com/evercred/evercred/internal/hold"
	"github.com/evercred/evercred/internal/ledger"
	"github.com/evercred/evercred/internal/seam"
)

// Options tune a Store. nil and every zero member mean the default.
type Options struct {
	// MaxSize is the largest document in bytes that is read or written: 16 MB by default.
	MaxSize int64
	// AllowFileMount permits saving to a file that is itself a mount point, such
	// as a single file mounted into a container. Neither our guard nor the owner's
	// locks reach the other side, and a reader may meet half a save (FAILURES F3).
	AllowFileMount bool
	// Private takes the permissions of group and others away with each save.
	Private bool
	// Strict refuses to load a file that is a link, or that group or others may
	// access, for owners whose own clients refuse it (INTEROP §6).
	Strict bool
	// Owner adds the locks of the program that owns the file; nil: it takes none.
	Owner OwnerLocks
	// Seams are for this module's own tests; leave it nil.
	Seams *seam.Seams
}

// OwnerLocks are the locks of the program that owns the file, taken under our
// guard and in its presence only (INTEROP §3). The guard is the one beside the
// path that was given to New, where the owner looks for its locks, too.
type OwnerLocks = hold.OwnerLocks

// OwnerLock is held from the second look at the file until after the save. It
// may be an evercred.Noter.
type OwnerLock = hold.OwnerLock

const defaultMaxSize = 16_000_000

// Store is one file. It is safe for concurrent use; several Stores on one file,
// in one process or many, exclude each other by the guard.
type Store struct {
	path  string
	opts  Options
	seams seam.Seams
	disk  fsys.FS

	mu   sync.Mutex
	held *held
}

var (
	_ evercred.Store     = (*Store)(nil)
	_ evercred.TryLocker = (*Store)(nil)
	_ evercred.Prober    = (*Store)(nil)
)

// New names the file; it touches nothing. A relative path is taken from the
// directory of the moment of each call.
func New(path string, opts *Options) *Store {
	s := &Store{path: path}
	if opts != nil {
		s.opts = *opts
	}
	if s.opts.MaxSize <= 0 {
		s.opts.MaxSize = defaultMaxSize
	}
	s.seams = s.opts.Seams.Filled()
	s.disk = s.seams.FS
	return s
}

// Ledger is the ledger of the file that the path leads to; where it leads
// nowhere, of the path itself. It touches nothing.
func (s *Store) Ledger() *ledger.Ledger {
	p, err := s.locate()
	if err != nil {
		return s.ledger(s.path)
	}
	return s.ledger(p.target)
}

// LedgerOf is the ledger of the file that doc was read from, without looking
// where the path leads now; of a zero doc it is Ledger's.
func (s *Store) LedgerOf(doc evercred.Document) *ledger.Ledger {
	if doc.IsZero() {
		return s.Ledger()
	}
	return s.ledger(doc.Place())
}

func (s *Store) ledger(path string) *ledger.Ledger {
	return ledger.Open(filepath.Dir(path), filepath.Base(path), s.seams)
}

// Tidy removes what dead processes of ours left beside a document that is gone:
// the owner's locks, and the redo record. g is the guard of Ledger.
func (s *Store) Tidy(g *ledger.Guard) {
	if _, _, found, err := g.Redo(); found && err == nil {
		_ = g.ClearRedo() // what cannot be removed is found again by the next look
	}
	if s.opts.Owner != nil {
		s.opts.Owner.Tidy(g)
	}
}

// Load reads the file. ErrNotFound: there is none, or a link leads nowhere.
// ErrUnsafe: it cannot be read, is no regular file, or is too large; or it breaks
// the rules of Options.Strict.
func (s *Store) Load(ctx context.Context) (evercred.Document, error) {
	if err := ctx.Err(); err != nil {
		return evercred.Document{}, err
	}
	p, err := s.locate()
	if err != nil {
		return evercred.Document{}, err
	}
	if s.opts.Strict && p.near != p.target {
		return evercred.Document{}, unsafeAt(evercred.ReasonLink, "the file is a link, and its owner accepts none", s.path, nil)
	}
	c, err := s.read(p.target)
	if err != nil {
		return evercred.Document{}, err
	}
	if s.opts.Strict && c.info.Mode.Perm()&0o077 != 0 {
		return evercred.Document{}, unsafeAt(evercred.ReasonExposed, fmt.Sprintf("other users of this machine may access the file (mode %04o; its owner accepts none such: chmod 600 it)", c.info.Mode.Perm()), p.target, nil)
	}
	c.data = s.whole(p.target, c)
	return s.document(p.target, c), nil
}

// Probe is one stat: it reports whether the file is another one, or has another
// size or time, than when last was loaded.
func (s *Store) Probe(ctx context.Context, last evercred.Document) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	then, ok := last.Tag().(fsys.Info)
	if !ok {
		return true, nil
	}
	now, err := s.disk.Stat(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, unreadable(s.path, err)
	}
	return now.Ino != then.Ino || now.Dev != then.Dev || now.Size != then.Size || !now.ModTime.Equal(then.ModTime), nil
}

// content is what a file held, and the file's description from before the
// reading, so that a change during it is noticed by the next Probe.
type content struct {
	data []byte
	info fsys.Info
}

func (s *Store) document(target string, c content) evercred.Document {
	return evercred.NewDocument(c.data, evercred.DocumentInfo{
		Place:    target,
		Modified: c.info.ModTime,
		Notes:    s.notes(target, c.info),
		Tag:      c.info,
	})
}

func (s *Store) read(target string) (content, error) {
	f, info, err := s.open(target)
	if err != nil {
		return content{}, err
	}
	defer f.Close()
	return s.readFrom(f, info)
}

// open opens a regular file. What it is, is asked first: opening a device may
// do something. It is asked of the descriptor again: it may have been exchanged.
func (s *Store) open(target string) (fsys.File, fsys.Info, error) {
	info, err := s.disk.Lstat(target)
	if err == nil {
		err = regular(info)
	}
	if err != nil {
		return nil, info, unreadable(target, err)
	}
	f, err := s.disk.OpenFile(target, os.O_RDONLY, 0)
	if err != nil {
		return nil, info, unreadable(target, err)
	}
	info, err = f.Stat()
	if err == nil {
		err = regular(info)
	}
	if err != nil {
		f.Close()
		return nil, info, unreadable(target, err)
	}
	return f, info, nil
}

func regular(info fsys.Info) error {
	if info.Mode.IsRegular() {
		return nil
	}
	return &notFile{info.Mode.Type()}
}

// readFrom reads f from its start; a file that grows meanwhile does not make it
// read without end.
func (s *Store) readFrom(f fsys.File, info fsys.Info) (content, error) {
	if info.Size > s.opts.MaxSize {
		return content{}, tooLarge(f.Name(), s.opts.MaxSize)
	}
	buf := bytes.NewBuffer(make([]byte, 0, info.Size+bytes.MinRead))
	n, err := buf.ReadFrom(io.LimitReader(f, s.opts.MaxSize+1))
	if err != nil {
		return content{}, unreadable(f.Name(), err)
	}
	if n > s.opts.MaxSize {
		return content{}, tooLarge(f.Name(), s.opts.MaxSize)
	}
	return content{buf.Bytes(), info}, nil
}
