package dirlock

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evercred/evercred/internal/fsys"
	"github.com/evercred/evercred/internal/ledger"
	"github.com/evercred/evercred/internal/seam"
)

var _ Book = (*ledger.Guard)(nil)

// bench is a login's directory with our locks in it, on the real file system.
// Most tests run in a synctest bubble, with the times of the design unscaled.
type bench struct {
	t             *testing.T
	dir           string // holds both locks
	first, second string
	book          *notebook
	clock         *clock
	fs            *strangeFS
}

func newBench(t *testing.T) *bench {
	dir := t.TempDir()
	staging := filepath.Join(dir, "staging")
	must(t, os.Mkdir(staging, 0o700))
	return &bench{
		t: t, dir: dir,
		first:  filepath.Join(dir, ".oauth_refresh.lock"),
		second: filepath.Join(dir, "C.lock"),
		book:   &notebook{staging: staging, random: 123_456, boot: "this-boot"},
		clock:  &clock{began: time.Now().Add(-time.Hour)},
		fs:     &strangeFS{FS: fsys.OS{}},
	}
}

func (b *bench) seams() seam.Seams { return seam.Seams{Clock: b.clock, FS: b.fs} }

// both are the specs of the two refresh locks.
func (b *bench) both() []Spec { return []Spec{{Path: b.first}, {Path: b.second, Optional: true}} }

// within acquires with a bound.
func (b *bench) within(d time.Duration, specs ...Spec) (*Set, error) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	return Acquire(ctx, b.book, b.seams(), specs...)
}

// acquire must succeed; it returns how long it took.
func (b *bench) acquire(specs ...Spec) (*Set, time.Duration) {
	b.t.Helper()
	began := time.Now()
	set, err := b.within(time.Hour, specs...)
	must(b.t, err)
	return set, time.Since(began)
}

// plant makes a lock as another program does, with a time this long ago.
func (b *bench) plant(path string, age time.Duration) fsys.Info {
	b.t.Helper()
	must(b.t, os.Mkdir(path, 0o755))
	b.age(path, age)
	return b.info(path)
}

func (b *bench) age(path string, age time.Duration) {
	b.t.Helper()
	at := b.clock.Now().Add(-age).Truncate(time.Millisecond)
	must(b.t, os.Chtimes(path, at, at))
}

func (b *bench) info(path string) fsys.Info {
	b.t.Helper()
	i, err := fsys.OS{}.Lstat(path)
	must(b.t, err)
	return i
}

func (b *bench) absent(path string) {
	b.t.Helper()
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		b.t.Errorf("%s is there: %v", path, err)
	}
}

// beating keeps the lock's time moving as the CLI does, until the test calls stop.
func (b *bench) beating(path string, age time.Duration) (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-quit:
				return
			case <-time.After(5 * time.Second):
				b.age(path, age)
			}
		}
	}()
	return func() { close(quit); <-done }
}

// untouched fails if the lock is another one or bears another time.
func (b *bench) untouched(path string, was fsys.Info) {
	b.t.Helper()
	if is := b.info(path); !fsys.SameFile(is, was) || !is.ModTime.Equal(was.ModTime) {
		b.t.Errorf("%s was touched: %v became %v", path, was, is)
	}
}

// between fails if d is not in [min, max].
func between(t *testing.T, d, min, max time.Duration) {
	t.Helper()
	if d < min || d > max {
		t.Errorf("took %s, want %s to %s", d, min, max)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// notebook is a Book in memory.
type notebook struct {
	staging string
	random  int64
	boot    string

	mu       sync.Mutex
	prev     ledger.Holder
	dead     bool
	stamps   []ledger.Stamp
	sights   []ledger.Sight
	written  int // how often sights were
	onRecord hook[func([]ledger.Stamp) error]
	own      error
}

func (n *notebook) Staging() string { return n.staging }
func (n *notebook) Random() int64   { return n.random }
func (n *notebook) BootID() string  { return n.boot }

func (n *notebook) Previous() (ledger.Holder, bool) { return n.prev, n.dead }

func (n *notebook) Record(s []ledger.Stamp) error {
	if f := n.onRecord.get(); f != nil {
		if err := f(s); err != nil {
			return err
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.stamps = slices.Clone(s)
	return nil
}

func (n *notebook) recorded() []ledger.Stamp {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.stamps)
}

func (n *notebook) Sights() []ledger.Sight { return slices.Clone(n.sights) }

func (n *notebook) SetSights(s []ledger.Sight) error {
	n.sights, n.written = slices.Clone(s), n.written+1
	return nil
}

func (n *notebook) Own(string) error { return n.own }

// bequeath makes n the book of the next holder after one that died.
func (n *notebook) bequeath(dead bool) {
	n.prev = ledger.Holder{Random: n.random, Stamps: n.recorded()}
	n.prev.ID.PID = 4242
	n.dead, n.random = dead, n.random+7
}

// clock runs with package time and can be made to jump and to sleep.
type clock struct {
	mu            sync.Mutex
	began         time.Time
	jumped, slept time.Duration
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.jumped + c.slept)
}

func (c *clock) Boot() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Since(c.began) + c.slept
}

func (c *clock) Awake() time.Duration { return time.Since(c.began) }

// jump sets the wall clock; sleep suspends the machine.
func (c *clock) jump(d time.Duration)  { c.mu.Lock(); c.jumped += d; c.mu.Unlock() }
func (c *clock) sleep(d time.Duration) { c.mu.Lock(); c.slept += d; c.mu.Unlock() }

// hook is a function that a test may change while a lock beats.
type hook[F any] struct{ p atomic.Pointer[F] }

func (h *hook[F]) set(f F) { h.p.Store(&f) }

func (h *hook[F]) get() (f F) {
	if p := h.p.Load(); p != nil {
		f = *p
	}
	return f
}

// strangeFS is the real file system but for what a test puts in the way.
type strangeFS struct {
	fsys.FS
	kind      *fsys.Kind
	onMkdir   hook[func(name string) error]
	onRename  hook[func(from, to string) error]
	onRmdir   hook[func(name string) error]
	onSetTime hook[func(f fsys.File, t *time.Time) error]
}

func (s *strangeFS) Kind(name string) (fsys.Kind, error) {
	if s.kind != nil {
		return *s.kind, nil
	}
	return s.FS.Kind(name)
}

func (s *strangeFS) Mkdir(name string, perm fs.FileMode) error {
	if f := s.onMkdir.get(); f != nil {
		if err := f(name); err != nil {
			return &fs.PathError{Op: "mkdir", Path: name, Err: err}
		}
	}
	return s.FS.Mkdir(name, perm)
}

func (s *strangeFS) Rmdir(name string) error {
	if f := s.onRmdir.get(); f != nil {
		if err := f(name); err != nil {
			return &fs.PathError{Op: "rmdir", Path: name, Err: err}
		}
	}
	return s.FS.Rmdir(name)
}

func (s *strangeFS) RenameNoReplace(from, to string) error {
	if f := s.onRename.get(); f != nil {
		if err := f(from, to); err != nil {
			return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
		}
	}
	return s.FS.RenameNoReplace(from, to)
}

func (s *strangeFS) OpenDir(name string) (fsys.File, error) {
	f, err := s.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return strangeDir{f, s}, nil
}

type strangeDir struct {
	fsys.File
	fs *strangeFS
}

func (d strangeDir) SetTime(t time.Time) error {
	if f := d.fs.onSetTime.get(); f != nil {
		if err := f(d.File, &t); err != nil {
			return err
		}
	}
	return d.File.SetTime(t)
}
