package ledger

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/evercred/evercred/internal/fsys"
)

// Guard is the guard of one login, held: at most one open file of all processes
// of this machine holds it, and the kernel frees it when a process dies. It is
// safe for concurrent use.
type Guard struct {
	*folder
	guard    fsys.File
	previous Holder
	random   int64

	filing sync.Mutex // an attempt that is being begun looks like one that never was

	mu       sync.Mutex
	holder   Holder
	stamped  bool // Record noted a stamp at least once
	released bool
	attempts map[string]*Attempt // begun or seen in this tenure: one writer each
	files    []io.Closer         // of attempts
}

// errReplaced: the file that was locked is not the one at the path any more.
var errReplaced = errors.New("guard was replaced")

// TryGuard takes the guard or fails at once with a HeldError. It makes the
// folder if there is none.
func (l *Ledger) TryGuard() (*Guard, error) {
	return l.takeGuard(func(d *folder, f fsys.File) error {
		err := lock(f)
		if errors.Is(err, fsys.ErrWouldBlock) {
			return d.held(nil)
		}
		return err
	})
}

// Guard takes the guard, waiting for it until ctx ends: then a HeldError that
// wraps the context's error. It asks every LookMin to LookMax, because a kernel
// wait could not be ended.
func (l *Ledger) Guard(ctx context.Context) (*Guard, error) {
	return l.takeGuard(func(d *folder, f fsys.File) error {
		for {
			err := lock(f)
			if !errors.Is(err, fsys.ErrWouldBlock) {
				return err
			}
			pause := time.NewTimer(l.s.Jitter(l.s.Times.LookMin, l.s.Times.LookMax))
			select {
			case <-pause.C:
			case <-ctx.Done():
				pause.Stop()
				return d.held(ctx.Err())
			}
		}
	})
}

// takeGuard locks the guard by way of take and starts over as long as another
// file stands at its path afterwards: two processes that lock two files would
// both believe that they are alone.
func (l *Ledger) takeGuard(take func(*folder, fsys.File) error) (*Guard, error) {
	for range tries {
		d, err := l.make()
		if err != nil {
			return nil, fmt.Errorf("make %s: %w", l.path, err)
		}
		f, err := d.openGuard()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		err = take(d, f)
		if err == nil {
			err = d.same(f)
		}
		if err == nil {
			g := &Guard{folder: d, guard: f, attempts: map[string]*Attempt{}}
			if err = g.enter(); err == nil {
				return g, nil
			}
		}
		f.Close()
		if !errors.Is(err, errReplaced) {
			return nil, err
		}
	}
	return nil, fmt.Errorf("%s: %w", l.path, errAgain)
}

func lock(f fsys.File) error {
	err := f.TryLock()
	if errors.Is(err, fsys.ErrUnsupported) {
		return fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	return err
}

func (d *folder) openGuard() (fsys.File, error) {
	path := d.file(guardName)
	f, err := d.s.FS.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, d.explain(path, err)
	}
	i, err := f.Stat()
	switch {
	case err != nil:
	case !i.Mode.IsRegular():
		err = fmt.Errorf("%s: %w", path, ErrPlanted)
	default:
		err = d.owned(path, i)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// explain says why path cannot be opened, where looking at it tells more than
// the system did.
func (d *folder) explain(path string, err error) error {
	i, lerr := d.s.FS.Lstat(path)
	switch {
	case lerr != nil:
		return err
	case !i.Mode.IsRegular():
		return fmt.Errorf("%s: %w", path, ErrPlanted)
	case i.UID != d.owner.UID:
		return &OwnerError{Path: path, Have: i.UID, Want: d.owner.UID, Err: err}
	}
	return err
}

// same reports errReplaced unless f is the file at the guard's path.
func (d *folder) same(f fsys.File) error {
	there, err := d.s.FS.Lstat(d.file(guardName))
	if errors.Is(err, fs.ErrNotExist) {
		return errReplaced
	}
	if err != nil {
		return err
	}
	here, err := f.Stat()
	if err == nil && !fsys.SameFile(there, here) {
		err = errReplaced
	}
	return err
}

// enter begins a tenure: what earlier ones staged goes, our line comes.
func (g *Guard) enter() error {
	old, err := g.readHolder()
	if err != nil {
		return err
	}
	g.previous = old.leftover()
	if g.holder, err = g.newHolder(); err != nil {
		return err
	}
	g.random = g.holder.Random
	if len(g.previous.Stamps) > 0 {
		g.holder.Prior = &g.previous
	}
	if err := g.sweep(); err != nil {
		return err
	}
	return g.putHolder(g.holder)
}

// Check reports ErrLost unless the guard is still ours.
func (g *Guard) Check() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.check()
}

func (g *Guard) check() error {
	if g.released {
		return fmt.Errorf("%s: %w", g.path, ErrLost)
	}
	err := g.same(g.guard)
	if errors.Is(err, errReplaced) {
		return fmt.Errorf("%s: %w", g.path, ErrLost)
	}
	return err
}

// Release gives the guard back; releasing twice is releasing once. The guard is
// free even if it returns an error: then only the holder line is out of date.
func (g *Guard) Release() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.released {
		return nil
	}
	err := g.leave()
	g.released = true
	for _, f := range g.files {
		f.Close()
	}
	return errors.Join(err, g.guard.Close())
}

// alive reports ErrLost after Release, without looking at the disk.
func (g *Guard) alive() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.released {
		return fmt.Errorf("%s: %w", g.path, ErrLost)
	}
	return nil
}

// known is the attempt of this tenure with that ID; nil: none.
func (g *Guard) known(id string) *Attempt {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.attempts[id]
}

func (g *Guard) know(a *Attempt) *Attempt {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.attempts[a.intent.ID] = a
	return a
}

// keep makes Release close f.
func (g *Guard) keep(f io.Closer) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.files = append(g.files, f)
}

// Staging is the folder in which files and lock directories are prepared, under
// names that begin with "tmp-" and "lock-".
func (g *Guard) Staging() string { return g.path }

// BootID is the boot of this machine; empty: unknown.
func (g *Guard) BootID() string { return g.s.Procs.Self().Boot }

// Random is the sub-millisecond part, in nanoseconds, of every time that this
// holder stamps.
func (g *Guard) Random() int64 { return g.random }

// Previous is the holder before us whose stamps may still stand on locks, and
// whether its process is surely dead (L7b: never by its pid alone).
func (g *Guard) Previous() (h Holder, dead bool) {
	return g.previous, g.previous.ID.PID != 0 && g.s.Procs.Dead(g.previous.ID)
}

// Stamps are what Record noted last.
func (g *Guard) Stamps() []Stamp {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.holder.Stamps)
}

// Record notes the stamps that our locks bear or are about to bear.
func (g *Guard) Record(stamps []Stamp) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.check(); err != nil {
		return err
	}
	h := g.holder
	h.Stamps = slices.Clone(stamps)
	if err := g.putHolder(h); err != nil {
		return err
	}
	g.holder = h
	g.stamped = g.stamped || len(stamps) > 0
	return nil
}

// stampUnit is the coarsest granularity that still tells our stamps from
// others': NTFS counts in 100 ns.
const stampUnit = 100

// subMillisecond is random, never zero, and survives every such file system.
func (l *Ledger) subMillisecond() (int64, error) {
	var b [8]byte
	if _, err := io.ReadFull(l.s.Rand, b[:]); err != nil {
		return 0, fmt.Errorf("random: %w", err)
	}
	const n = uint64(time.Millisecond/stampUnit) - 1
	return stampUnit * int64(1+binary.LittleEndian.Uint64(b[:])%n), nil
}
