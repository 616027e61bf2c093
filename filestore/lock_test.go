package filestore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/internal/fsys"
	"github.com/evercred/evercred/internal/fsys/faulty"
	"github.com/evercred/evercred/internal/hold"
	"github.com/evercred/evercred/internal/ledger"
)

func tryLock(t *testing.T, s *Store) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	l, err := s.Lock(ctx)
	if err == nil {
		l.Unlock()
	}
	return err
}

func TestLockExcludesAndNamesItsHolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "doc.json")
	write(t, path, "{}")
	a, b := New(path, nil), New(path, nil)
	h := lock(t, a)
	err := tryLock(t, b)
	wants(t, "held", err, evercred.ErrLocked, evercred.ReasonLocked)
	_, terr := b.TryLock(t.Context())
	wants(t, "TryLock", terr, evercred.ErrLocked, evercred.ReasonLocked)
	if err != nil && !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
		t.Errorf("the message does not name the holder: %v", err)
	}
	if err := h.Check(); err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := h.Unlock(); err != nil {
			t.Error(err)
		}
	}
	wants(t, "after Unlock", h.Check(), evercred.ErrLocked, evercred.ReasonLocked)
	if err := tryLock(t, b); err != nil {
		t.Error(err)
	}
	l, err := b.TryLock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Unlock(); err != nil {
		t.Error(err)
	}
}

// F12: a document behind a link has the guards of both directories, whoever
// takes which first; and two documents of one directory have a guard each.
func TestLockOfLinks(t *testing.T) {
	one, two := t.TempDir(), t.TempDir()
	for _, c := range [][2]string{{one, two}, {two, one}} { // either order of names
		file, link := filepath.Join(c[0], "doc.json"), filepath.Join(c[1], "link.json")
		write(t, file, "{}")
		if err := os.Symlink(file, link); err != nil {
			t.Skip(err)
		}
		h := lock(t, New(link, nil))
		if len(h.Guards) != 2 || !slices.IsSortedFunc(h.Guards, func(a, b hold.Guard) int { return strings.Compare(a.Path, b.Path) }) {
			t.Errorf("guards %v", h.Guards)
		}
		if got, want := h.Guard().Path(), New(link, nil).Ledger().Path(); got != want {
			t.Errorf("the guard is of %s, the ledger is %s", got, want)
		}
		if got, want := h.near.Path(), filepath.Join(filepath.Dir(h.place.near), ".evercred", "link.json"); got != want {
			t.Errorf("the owner's locks are beside %s, want %s", got, want)
		}
		wants(t, "through the target", tryLock(t, New(file, nil)), evercred.ErrLocked, evercred.ReasonLocked)
		// The owner replaces the link by a file (INTEROP §2): whoever opens that
		// must still wait for us.
		if err := os.Remove(link); err != nil {
			t.Fatal(err)
		}
		write(t, link, "{}")
		wants(t, "in the link's place", tryLock(t, New(link, nil)), evercred.ErrLocked, evercred.ReasonLocked)
		neighbour := filepath.Join(c[0], "other.json")
		write(t, neighbour, "{}")
		if err := tryLock(t, New(neighbour, nil)); err != nil {
			t.Errorf("another document of the directory: %v", err)
		}
		if err := h.Unlock(); err != nil {
			t.Error(err)
		}
		if err := os.Remove(link); err != nil {
			t.Fatal(err)
		}
	}
}

// A link that is turned elsewhere while we wait: the lock is of where it leads
// when it is held.
func TestLockFollowsTheLinkAsItIs(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "link.json")
	write(t, filepath.Join(dir, "a.json"), "{}")
	write(t, filepath.Join(dir, "b.json"), "{}")
	if err := os.Symlink("a.json", link); err != nil {
		t.Skip(err)
	}
	turned := false
	disk := &faulty.FS{Under: fsys.OS{}}
	disk.Fail = func(c faulty.Call) error {
		if c.Op == "File.TryLock" && !turned {
			turned = true
			if err := errors.Join(os.Remove(link), os.Symlink("b.json", link)); err != nil {
				t.Error(err)
			}
		}
		return nil
	}
	h := lock(t, New(link, &Options{Seams: on(disk)}))
	if filepath.Base(h.place.target) != "b.json" || !turned {
		t.Errorf("locked %s", h.place.target)
	}
	if err := tryLock(t, New(filepath.Join(dir, "a.json"), nil)); err != nil {
		t.Errorf("the first target is still locked: %v", err)
	}
}

func TestLockOfNothing(t *testing.T) {
	dir := t.TempDir()
	wants(t, "no file", tryLock(t, New(filepath.Join(dir, "doc.json"), nil)), evercred.ErrNotFound, evercred.ReasonNoFile)
	if names, _ := (fsys.OS{}).ReadDir(dir); len(names) != 0 {
		t.Errorf("made %v", names)
	}
}

// L6, L8, F10, F11: what stands in the way of the guard is told apart.
func TestLockThatCannotBeMade(t *testing.T) {
	for name, c := range map[string]struct {
		disk   fsys.FS
		reason evercred.Reason
	}{
		"read-only":         {failing("Mkdir", syscall.EROFS), evercred.ReasonCannotLock},
		"full":              {failing("Mkdir", syscall.ENOSPC), evercred.ReasonCannotLock},
		"no permission":     {failing("Mkdir", syscall.EACCES), evercred.ReasonPermissions},
		"no locks":          {failing("File.TryLock", fsys.ErrUnsupported), evercred.ReasonCannotLock},
		"no locks over NFS": {kindFS{failing("File.TryLock", fsys.ErrUnsupported), fsys.Kind{Name: "nfs", Remote: true}}, evercred.ReasonNetworkFS},
	} {
		path := filepath.Join(t.TempDir(), "doc.json")
		write(t, path, "{}")
		wants(t, name, tryLock(t, New(path, &Options{Seams: on(c.disk)})), evercred.ErrUnsafe, c.reason)
	}
}

func failing(op string, err error) fsys.FS {
	return &faulty.FS{Under: fsys.OS{}, Fail: func(c faulty.Call) error {
		if c.Op == op {
			return err
		}
		return nil
	}}
}

// F11: a newer ledger stays untouched.
func TestNewerLedger(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "doc.json")
	write(t, path, "{}")
	if err := os.Mkdir(filepath.Join(dir, ".evercred"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, ".evercred", "VERSION"), "99\n")
	err := tryLock(t, New(path, nil))
	wants(t, "newer", err, evercred.ErrUnsafe, evercred.ReasonNewerLedger)
	if err != nil && !strings.Contains(err.Error(), "99") {
		t.Errorf("the message does not name the version: %v", err)
	}
	if names, _ := (fsys.OS{}).ReadDir(filepath.Join(dir, ".evercred")); !slices.Equal(names, []string{"VERSION"}) {
		t.Errorf("made %v", names)
	}
}

// owner notes what happens to its locks.
type owner struct {
	log  []string
	fail map[string]error // by what is in the log
}

func (o *owner) note(what string) error {
	o.log = append(o.log, what)
	return o.fail[what]
}

func (o *owner) Lock(_ context.Context, g *ledger.Guard, wait bool) (OwnerLock, error) {
	if err := g.Check(); err != nil {
		return nil, err
	}
	what := "lock"
	if !wait {
		what = "try lock"
	}
	if err := o.note(what); err != nil {
		return nil, err
	}
	return ownerLock{o, ""}, nil
}

func (o *owner) Tidy(*ledger.Guard) { o.note("tidy") }

type ownerLock struct {
	o    *owner
	what string
}

func (l ownerLock) Check() error    { return l.o.note("check" + l.what) }
func (l ownerLock) Unlock() error   { return l.o.note("unlock" + l.what) }
func (l ownerLock) Notes() []string { return []string{"taken over"} }

func (l ownerLock) LockWrite(context.Context) (evercred.Lock, error) {
	return ownerLock{l.o, " write"}, l.o.note("lock write")
}

var errBusy = &evercred.Error{Kind: evercred.ErrLocked, Reason: evercred.ReasonLocked, What: "the owner is at it"}

// The owner's locks are taken under the guard and given back before it; its
// write lock is held around the save alone.
func TestOwnerLocks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "doc.json")
	write(t, path, strange)
	o := &owner{}
	s := New(path, &Options{Owner: o})
	h := lock(t, s)
	old := load(t, s)
	if err := h.Prepare(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	o.log = nil
	if !slices.Equal(h.Notes(), []string{"taken over"}) {
		t.Errorf("notes %q", h.Notes())
	}
	if _, err := s.Save(t.Context(), old, []byte(successor)); err != nil {
		t.Fatal(err)
	}
	if want := []string{"lock write", "check write", "unlock write"}; !slices.Equal(o.log, want) {
		t.Errorf("a save: %v, want %v", o.log, want)
	}
	o.log = nil
	for range 2 {
		if err := h.Unlock(); err != nil {
			t.Error(err)
		}
	}
	if !slices.Equal(o.log, []string{"unlock"}) {
		t.Errorf("unlocking twice: %v", o.log)
	}
}

// L4: an owner's refresh lock that was stolen after the request had left does
// not keep the answer from being saved.
func TestL4AStolenLockDoesNotStopTheSave(t *testing.T) {
	path := filepath.Join(t.TempDir(), "doc.json")
	write(t, path, strange)
	o := &owner{fail: map[string]error{}}
	s := New(path, &Options{Owner: o})
	h := lock(t, s)
	old := load(t, s)
	o.fail["check"] = errBusy
	if err := h.Check(); !errors.Is(err, evercred.ErrLocked) {
		t.Errorf("the theft is not seen: %v", err)
	}
	if _, err := s.Save(t.Context(), old, []byte(successor)); err != nil {
		t.Error(err)
	}
}

// In the early window nobody waits (INTEROP §4).
func TestTryLockDoesNotWait(t *testing.T) {
	path := filepath.Join(t.TempDir(), "doc.json")
	write(t, path, strange)
	o := &owner{}
	l, err := New(path, &Options{Owner: o}).TryLock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(o.log, []string{"try lock"}) {
		t.Errorf("%v", o.log)
	}
	_, err = New(path, nil).TryLock(t.Context())
	wants(t, "a second one", err, evercred.ErrLocked, evercred.ReasonLocked)
	if err := l.Unlock(); err != nil {
		t.Error(err)
	}
}

func TestOwnerLocksThatFail(t *testing.T) {
	for _, step := range []string{"lock write", "check write"} {
		path := filepath.Join(t.TempDir(), "doc.json")
		write(t, path, strange)
		o := &owner{fail: map[string]error{}}
		s := New(path, &Options{Owner: o})
		lock(t, s)
		old := load(t, s)
		o.fail[step] = errBusy
		_, err := s.Save(t.Context(), old, []byte(successor))
		wants(t, step, err, evercred.ErrLocked, evercred.ReasonLocked)
		if textOf(t, path) != strange {
			t.Errorf("%s: saved all the same", step)
		}
		tidy(t, filepath.Dir(path), "doc.json")
	}
	path := filepath.Join(t.TempDir(), "doc.json")
	write(t, path, strange)
	o := &owner{fail: map[string]error{"lock": errBusy, "try lock": errBusy}}
	wants(t, "lock", tryLock(t, New(path, &Options{Owner: o})), evercred.ErrLocked, evercred.ReasonLocked)
	if err := tryLock(t, New(path, nil)); err != nil {
		t.Errorf("the guard was kept: %v", err)
	}
	_, err := New(path, &Options{Owner: o}).TryLock(t.Context())
	wants(t, "TryLock", err, evercred.ErrLocked, evercred.ReasonLocked)
	if slices.Contains(o.log, "unlock") {
		t.Error("a lock that was not given was released")
	}
}

// L4: a guard that was taken away is noticed before a save.
func TestStolenGuard(t *testing.T) {
	path := filepath.Join(t.TempDir(), "doc.json")
	write(t, path, strange)
	s := New(path, nil)
	h := lock(t, s)
	old := load(t, s)
	if err := os.Remove(filepath.Join(h.main.Staging(), "guard")); err != nil {
		t.Fatal(err)
	}
	wants(t, "Check", h.Check(), evercred.ErrLocked, evercred.ReasonLocked)
	wants(t, "Prepare", h.Prepare(t.Context(), old), evercred.ErrLocked, evercred.ReasonLocked)
	_, err := s.Save(t.Context(), old, []byte(successor))
	wants(t, "Save", err, evercred.ErrLocked, evercred.ReasonLocked)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) || textOf(t, path) != strange {
		t.Error("saved all the same")
	}
}
