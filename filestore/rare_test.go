//go:build unix

package filestore

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/internal/crash"
	"github.com/evercred/evercred/internal/fsys"
	"github.com/evercred/evercred/internal/fsys/faulty"
	"github.com/evercred/evercred/internal/ledger"
)

// acting is an owner that does something while its locks are taken.
type acting struct {
	owner
	act func()
}

func (o *acting) Lock(ctx context.Context, g *ledger.Guard, wait bool) (OwnerLock, error) {
	o.act()
	return o.owner.Lock(ctx, g, wait)
}

// The file goes while its locks are taken: they are given back.
func TestLockOfAFileThatGoes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "doc.json")
	write(t, path, strange)
	o := &acting{act: func() { os.Remove(path) }}
	wants(t, "gone", tryLock(t, New(path, &Options{Owner: o})), evercred.ErrNotFound, evercred.ReasonNoFile)
	if got := strings.Join(o.log, ","); got != "lock,unlock" {
		t.Errorf("the owner's locks: %s", got)
	}
	write(t, path, strange)
	if err := tryLock(t, New(path, nil)); err != nil {
		t.Errorf("the guard was kept: %v", err)
	}
}

func TestNotesOfNoOwner(t *testing.T) {
	path := filepath.Join(t.TempDir(), "doc.json")
	write(t, path, strange)
	h := lock(t, New(path, nil))
	if notes := h.Notes(); notes != nil {
		t.Errorf("%v", notes)
	}
	if h.Guard() == nil || h.Guard().Check() != nil {
		t.Error("no guard")
	}
}

func TestPrepareOfOneWhoHasGone(t *testing.T) {
	v := prepared(t, strange, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := v.held.Prepare(ctx, v.old); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if _, err := v.save(t); err != nil {
		t.Errorf("what was prepared before: %v", err)
	}
}

// What an earlier Prepare left and cannot be removed stops the next.
func TestPrepareThatCannotBeGivenUp(t *testing.T) {
	disk := &faulty.FS{Under: fsys.OS{}}
	v := prepared(t, strange, &Options{Seams: on(disk)})
	disk.Fail = func(c faulty.Call) error {
		if c.Op == "Remove" {
			return syscall.EIO
		}
		return nil
	}
	if err := v.held.Prepare(t.Context(), v.old); !errors.Is(err, evercred.ErrUnsafe) || !errors.Is(err, syscall.EIO) {
		t.Errorf("%v", err)
	}
}

// L3: the owner's write lock is asked for before anything is spent.
func TestPrepareAsksForTheWriteLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "doc.json")
	write(t, path, strange)
	o := &owner{fail: map[string]error{}}
	s := New(path, &Options{Owner: o})
	h := lock(t, s)
	o.log = nil
	if err := h.Prepare(t.Context(), load(t, s)); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(o.log, ","); got != "check,lock write,unlock write" {
		t.Errorf("asked for %s", got)
	}
	o.fail["lock write"] = errBusy
	if err := h.Prepare(t.Context(), load(t, s)); !errors.Is(err, evercred.ErrLocked) {
		t.Errorf("busy: %v", err)
	}
	delete(o.fail, "lock write")
	o.fail["unlock write"] = syscall.EIO
	if err := h.Prepare(t.Context(), load(t, s)); !errors.Is(err, syscall.EIO) {
		t.Errorf("cannot be freed: %v", err)
	}
	o.fail = map[string]error{"check": errBusy}
	if err := h.Prepare(t.Context(), load(t, s)); !errors.Is(err, evercred.ErrLocked) {
		t.Errorf("the refresh lock is lost: %v", err)
	}
}

// A lock that is lost between the write of the new file and its rename.
func TestLostAtTheLastMoment(t *testing.T) {
	for name, lose := range map[string]func(v saving, o *owner){
		"the guard":      func(v saving, _ *owner) { os.Remove(filepath.Join(v.held.Guard().Path(), "guard")) },
		"the write lock": func(_ saving, o *owner) { o.fail = map[string]error{"check write": errBusy} },
	} {
		t.Run(name, func(t *testing.T) {
			o := &owner{}
			v := prepared(t, strange, &Options{Owner: o})
			crash.Set(func(p crash.Point) {
				if p == crash.DuringSave {
					lose(v, o)
				}
			})
			defer crash.Set(nil)
			if _, err := v.save(t); !errors.Is(err, evercred.ErrLocked) || textOf(t, v.path) != strange {
				t.Errorf("%v, and %q", err, textOf(t, v.path))
			}
		})
	}
}

// strangeFile is a disk on which the document is what the test says, and cannot
// be opened for writing.
type strangeFile struct {
	fsys.FS
	path   string
	change func(*fsys.Info)
	write  error // of opening it for writing
}

func (d *strangeFile) OpenFile(name string, flag int, perm fs.FileMode) (fsys.File, error) {
	if name == d.path && flag&(os.O_WRONLY|os.O_RDWR) != 0 && d.write != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: d.write}
	}
	f, err := d.FS.OpenFile(name, flag, perm)
	if err != nil || name != d.path || d.change == nil {
		return f, err
	}
	return strangeStat{f, d.change}, nil
}

type strangeStat struct {
	fsys.File
	change func(*fsys.Info)
}

func (f strangeStat) Stat() (fsys.Info, error) {
	i, err := f.File.Stat()
	f.change(&i)
	return i, err
}

// What a rename could not do is found before anything is spent, and what it can
// do is not refused.
func TestReplaceable(t *testing.T) {
	mount := func(i *fsys.Info) { i.MountRoot = true }
	linked := func(i *fsys.Info) { i.Nlink = 2 }
	for name, c := range map[string]struct {
		mode   fs.FileMode
		change func(*fsys.Info)
		write  error
		allow  bool
		reason evercred.Reason // empty: it can be prepared
	}{
		"a read-only file":                  {0o400, nil, syscall.EACCES, false, ""},
		"a file that others' rules protect": {0o600, nil, syscall.EACCES, false, evercred.ReasonPermissions},
		"an immutable file":                 {0o400, nil, syscall.EPERM, false, evercred.ReasonPermissions},
		"a read-only disk":                  {0o400, nil, syscall.EROFS, false, evercred.ReasonCannotSave},
		"F3 a mount point":                  {0o600, mount, nil, false, evercred.ReasonFileMount},
		"F3 a mount point, allowed":         {0o600, mount, nil, true, ""},
		"F3 allowed, and it is read-only":   {0o600, mount, syscall.EROFS, true, evercred.ReasonCannotSave},
		"F5 a hard link":                    {0o600, linked, nil, false, ""},
		"F5 a hard link that is read-only":  {0o600, linked, syscall.EACCES, false, evercred.ReasonPermissions},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "doc.json")
			write(t, path, strange)
			if err := os.Chmod(path, c.mode); err != nil {
				t.Fatal(err)
			}
			s := New(path, &Options{AllowFileMount: c.allow, Seams: on(&strangeFile{fsys.OS{}, path, c.change, c.write})})
			err := lock(t, s).Prepare(t.Context(), load(t, s))
			if c.reason == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wants(t, name, err, evercred.ErrUnsafe, c.reason)
			if c.write != nil && !errors.Is(err, c.write) {
				t.Errorf("without its cause: %v", err)
			}
		})
	}
}

// A document that is nearly as large as may be read is not refreshed: its
// successor might be larger.
func TestDocumentNearTheLimit(t *testing.T) {
	const limit = 64_000
	for size, want := range map[int]evercred.Reason{limit - limit/64: "", limit - limit/64 + 1: evercred.ReasonTooLarge} {
		path := filepath.Join(t.TempDir(), "doc.json")
		write(t, path, strings.Repeat("x", size))
		s := New(path, &Options{MaxSize: limit})
		err := lock(t, s).Prepare(t.Context(), load(t, s))
		if want != "" {
			wants(t, "too large", err, evercred.ErrUnsafe, want)
		} else if err != nil {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
	v := prepared(t, strange, &Options{MaxSize: 1000})
	if _, err := v.store.Save(t.Context(), v.old, make([]byte, 1001)); !errors.Is(err, evercred.ErrUnsafe) || textOf(t, v.path) != strange {
		t.Errorf("%v", err)
	}
	if _, err := v.store.Save(t.Context(), v.old, make([]byte, 1000)); err != nil {
		t.Errorf("exactly the limit: %v", err)
	}
}

// The file became a read-only one, a mount point or unreadable between Prepare
// and Save: what was prepared does not fit, and is given up.
func TestFileChangedItsKindBeforeTheSave(t *testing.T) {
	path := filepath.Join(t.TempDir(), "doc.json")
	write(t, path, strange)
	disk := &strangeFile{FS: fsys.OS{}, path: path}
	s := New(path, &Options{Seams: on(disk)})
	h := lock(t, s)
	old := load(t, s)
	for name, c := range map[string]func(*fsys.Info){
		"mount": func(i *fsys.Info) { i.MountRoot = true },
		"fifo":  func(i *fsys.Info) { i.Mode |= fs.ModeNamedPipe },
	} {
		disk.change = nil
		if err := h.Prepare(t.Context(), old); err != nil {
			t.Fatal(err)
		}
		disk.change = c
		if _, err := s.Save(t.Context(), old, []byte(successor)); !errors.Is(err, evercred.ErrUnsafe) || textOf(t, path) != strange {
			t.Errorf("%s: %v, and %q", name, err, textOf(t, path))
		}
		disk.change = nil
		if err := h.Unlock(); err != nil {
			t.Error(err)
		}
		tidy(t, filepath.Dir(path), "doc.json")
		h = lock(t, s)
	}
}

// What was prepared does not fit any more, and cannot be given up.
func TestSaveThatCannotGiveUpWhatWasPrepared(t *testing.T) {
	disk := &faulty.FS{Under: fsys.OS{}}
	v := prepared(t, strange, &Options{Seams: on(disk)})
	if err := os.Chmod(v.path, 0o640); err != nil {
		t.Fatal(err)
	}
	disk.Fail = func(c faulty.Call) error {
		if c.Op == "Remove" {
			return syscall.EIO
		}
		return nil
	}
	if _, err := v.save(t); !errors.Is(err, evercred.ErrUnsafe) || !errors.Is(err, syscall.EIO) || textOf(t, v.path) != strange {
		t.Errorf("%v", err)
	}
}

func TestAlike(t *testing.T) {
	a := fsys.Info{Mode: 0o600, Dev: 1, Ino: 2, UID: 3, GID: 4, Nlink: 1}
	if b := a; !alike(a, b) {
		t.Error("the same")
	}
	for name, change := range map[string]func(*fsys.Info){
		"mode": func(i *fsys.Info) { i.Mode = 0o640 }, "device": func(i *fsys.Info) { i.Dev++ }, "inode": func(i *fsys.Info) { i.Ino++ },
		"owner": func(i *fsys.Info) { i.UID++ }, "group": func(i *fsys.Info) { i.GID++ }, "links": func(i *fsys.Info) { i.Nlink++ },
		"mount": func(i *fsys.Info) { i.MountRoot = true },
	} {
		b := a
		if change(&b); alike(a, b) {
			t.Errorf("another %s counts as alike", name)
		}
	}
}

// Prepare and Save, whichever call fails, leave no descriptor open.
func TestNothingIsLeftOpen(t *testing.T) {
	open := func() int {
		names, _ := os.ReadDir("/proc/self/fd")
		return len(names)
	}
	if open() == 0 {
		t.Skip("descriptors cannot be counted here")
	}
	total := 0
	for n := -1; n < total; n++ {
		path := filepath.Join(t.TempDir(), "doc.json")
		write(t, path, strange)
		disk := &faulty.FS{Under: fsys.OS{}}
		s := New(path, &Options{Seams: on(disk)})
		before := open()
		l, err := s.Lock(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		old := load(t, s)
		disk.Reset()
		disk.Fail = func(c faulty.Call) error {
			if c.N == n && c.Op != "File.Close" {
				return syscall.EIO
			}
			return nil
		}
		perr := l.(*held).Prepare(t.Context(), old)
		_, serr := s.Save(t.Context(), evercred.NewDocument([]byte("another"), evercred.DocumentInfo{}), []byte(successor))
		_, err = s.Save(t.Context(), old, []byte(successor))
		if n < 0 {
			total = len(disk.Calls())
			if perr != nil || err != nil || !errors.Is(serr, evercred.ErrConflict) {
				t.Fatal(perr, serr, err)
			}
		}
		disk.Fail = nil
		if err := l.Unlock(); err != nil {
			t.Error(err)
		}
		if now := open(); now > before {
			t.Errorf("%v fails (%v, %v): %d descriptors left open", disk.Calls()[max(n, 0)], perr, err, now-before)
		}
	}
}
