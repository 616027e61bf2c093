package filestore

import (
	"bytes"
	"errors"
	"fmt"
	"io"
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
	"github.com/evercred/evercred/internal/seam"
)

// saving is a store whose lock is held, with a document loaded and prepared for.
type saving struct {
	dir, path string
	store     *Store
	held      *held
	old       evercred.Document
}

func prepared(t *testing.T, data string, opts *Options) saving {
	t.Helper()
	dir := t.TempDir()
	v := saving{dir: dir, path: filepath.Join(dir, "doc.json")}
	write(t, v.path, data)
	v.prepare(t, opts)
	return v
}

func (v *saving) prepare(t *testing.T, opts *Options) {
	t.Helper()
	v.store = New(v.path, opts)
	v.held = lock(t, v.store)
	v.old = load(t, v.store)
	if err := v.held.Prepare(t.Context(), v.old); err != nil {
		t.Fatal(err)
	}
}

func (v *saving) save(t *testing.T) (evercred.Document, error) {
	return v.store.Save(t.Context(), v.old, []byte(successor))
}

// F1: the bytes that are saved are the bytes that were given.
func TestSave(t *testing.T) {
	for _, data := range []string{strange, "", "\x00\xff", strings.Repeat("x", 100_000)} {
		v := prepared(t, successor, nil)
		if textOf(t, v.path) != successor {
			t.Fatal("Prepare changed the document")
		}
		d, err := v.store.Save(t.Context(), v.old, []byte(data))
		if err != nil {
			t.Fatal(err)
		}
		if textOf(t, v.path) != data || string(d.Bytes()) != data || d.Place() != v.old.Place() {
			t.Errorf("saved %d bytes, found %d, read back %d", len(data), len(textOf(t, v.path)), len(d.Bytes()))
		}
		if changed, err := v.store.Probe(t.Context(), d); changed || err != nil {
			t.Errorf("Probe after Save: %v, %v", changed, err)
		}
		if err := v.held.Unlock(); err != nil {
			t.Error(err)
		}
		tidy(t, v.dir, "doc.json")
	}
}

// A recovered answer is saved without a Prepare of this process (DESIGN §6.5).
func TestSaveWithoutPrepare(t *testing.T) {
	path := filepath.Join(t.TempDir(), "doc.json")
	write(t, path, strange)
	s := New(path, nil)
	lock(t, s)
	if _, err := s.Save(t.Context(), load(t, s), []byte(successor)); err != nil || textOf(t, path) != successor {
		t.Errorf("%v, %q", err, textOf(t, path))
	}
}

func TestSaveNeedsTheLock(t *testing.T) {
	v := prepared(t, strange, nil)
	other := New(v.path, nil)
	_, err := other.Save(t.Context(), v.old, []byte(successor))
	wants(t, "through another Store", err, evercred.ErrUnsafe, evercred.ReasonBug)
	if err := v.held.Unlock(); err != nil {
		t.Fatal(err)
	}
	_, err = v.save(t)
	wants(t, "after Unlock", err, evercred.ErrUnsafe, evercred.ReasonBug)
	wants(t, "Prepare after Unlock", v.held.Prepare(t.Context(), v.old), evercred.ErrLocked, evercred.ReasonLocked)
	if textOf(t, v.path) != strange {
		t.Error("saved all the same")
	}
}

func TestSaveRefusesWhatItCouldNotLoad(t *testing.T) {
	v := prepared(t, "{}", &Options{MaxSize: 20})
	_, err := v.save(t)
	wants(t, "too large", err, evercred.ErrUnsafe, evercred.ReasonTooLarge)
}

// The comparison is made at the start and at the last moment.
func TestSaveConflicts(t *testing.T) {
	for name, change := range map[string]func(v *saving) error{
		"other bytes": func(v *saving) error { return os.WriteFile(v.path, []byte(`{"somebody": "else"}`), 0o600) },
		"gone":        func(v *saving) error { return os.Remove(v.path) },
		"a link now": func(v *saving) error {
			return errors.Join(os.Rename(v.path, v.path+"2"), os.Symlink("doc.json2", v.path))
		},
		"never loaded":    func(v *saving) error { v.old = evercred.Document{}; return nil },
		"a dangling link": func(v *saving) error { return errors.Join(os.Remove(v.path), os.Symlink("absent", v.path)) },
	} {
		for _, when := range []crash.Point{"", crash.BeforeSave, crash.DuringSave} {
			if name == "never loaded" && when != "" {
				continue
			}
			v := prepared(t, strange, nil)
			if when == "" {
				if err := change(&v); err != nil {
					t.Fatal(err)
				}
			}
			crash.Set(func(at crash.Point) {
				if at == when {
					if err := change(&v); err != nil {
						t.Error(err)
					}
				}
			})
			_, err := v.save(t)
			crash.Set(nil)
			wants(t, fmt.Sprintf("%s at %q", name, when), err, evercred.ErrConflict, evercred.ReasonConflict)
			if b, err := os.ReadFile(v.path); err == nil && string(b) == successor {
				t.Errorf("%s at %q: written all the same", name, when)
			}
			v.held.Unlock()
			tidy(t, v.dir, "doc.json", "doc.json2")
		}
	}
}

func TestPrepareConflicts(t *testing.T) {
	v := prepared(t, strange, nil)
	write(t, v.path, `{"somebody": "else"}`)
	wants(t, "changed", v.held.Prepare(t.Context(), v.old), evercred.ErrConflict, evercred.ReasonConflict)
	if err := os.Remove(v.path); err != nil {
		t.Fatal(err)
	}
	wants(t, "gone", v.held.Prepare(t.Context(), v.old), evercred.ErrConflict, evercred.ReasonConflict)
}

// F2: the target is replaced, the link stays.
func TestSaveThroughALink(t *testing.T) {
	for _, absolute := range []bool{true, false} {
		dir, other := t.TempDir(), t.TempDir()
		file, link := filepath.Join(other, "doc.json"), filepath.Join(dir, "link.json")
		write(t, file, strange)
		to := file
		if !absolute {
			var err error
			if to, err = filepath.Rel(dir, file); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Symlink(to, link); err != nil {
			t.Skip(err)
		}
		v := saving{dir: dir, path: link}
		v.prepare(t, nil)
		if _, err := v.save(t); err != nil {
			t.Fatal(err)
		}
		if got, err := os.Readlink(link); err != nil || got != to {
			t.Errorf("the link became %q, %v", got, err)
		}
		if textOf(t, file) != successor {
			t.Error("the target is old")
		}
		v.held.Unlock()
		tidy(t, dir, "link.json")
		tidy(t, other, "doc.json")
	}
}

// F5: an open file is warned of, and the next save closes it, if asked to.
func TestModes(t *testing.T) {
	for _, c := range []struct {
		mode    fs.FileMode
		private bool
		want    fs.FileMode
		notes   int
	}{
		{0o600, true, 0o600, 0},
		{0o644, true, 0o600, 1},
		{0o666, false, 0o666, 1},
		{0o400, false, 0o400, 0},
		{0o640, false, 0o640, 1},
	} {
		dir := t.TempDir()
		v := saving{dir: dir, path: filepath.Join(dir, "doc.json")}
		write(t, v.path, strange)
		if err := os.Chmod(v.path, c.mode); err != nil {
			t.Fatal(err)
		}
		v.prepare(t, &Options{Private: c.private})
		if len(v.old.Notes()) != c.notes {
			t.Errorf("%v: %q", c.mode, v.old.Notes())
		}
		if _, err := v.save(t); err != nil {
			t.Fatal(err)
		}
		if i, _ := os.Stat(v.path); i.Mode() != c.want {
			t.Errorf("%v became %v, want %v", c.mode, i.Mode(), c.want)
		}
	}
}

// F5: a world-writable directory is warned of.
func TestWorldWritableDirectory(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "doc.json")
	write(t, path, "{}")
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if notes := load(t, New(path, nil)).Notes(); len(notes) != 1 || !strings.Contains(notes[0], "directory") {
		t.Errorf("%q", notes)
	}
}

// F5: a hard link is written in place, so that its other name sees the change.
func TestHardLink(t *testing.T) {
	for _, early := range []bool{true, false} { // before Prepare, or between it and Save
		dir := t.TempDir()
		v := saving{dir: dir, path: filepath.Join(dir, "doc.json")}
		other := filepath.Join(dir, "other.json")
		write(t, v.path, strange)
		link := func() {
			if err := os.Link(v.path, other); err != nil {
				t.Skip(err)
			}
		}
		if early {
			link()
		}
		v.prepare(t, nil)
		if early && (len(v.old.Notes()) != 1 || !strings.Contains(v.old.Notes()[0], "2 names")) {
			t.Errorf("%q", v.old.Notes())
		}
		if !early {
			link()
		}
		d, err := v.save(t)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{v.path, other} {
			got := textOf(t, path)
			if strings.TrimRight(got, " \n") != successor || got != string(d.Bytes()) {
				t.Errorf("%s holds %q, read back %q", path, got, d.Bytes())
			}
		}
		v.held.Unlock()
		tidy(t, dir, "doc.json", "other.json")
	}
}

// The owner replaced the file between Prepare and Save with the same bytes and
// another mode: the new one's mode counts.
func TestSaveFitsTheFileAsItIs(t *testing.T) {
	v := prepared(t, strange, nil)
	write(t, v.path+"2", strange)
	if err := errors.Join(os.Chmod(v.path+"2", 0o640), os.Rename(v.path+"2", v.path)); err != nil {
		t.Fatal(err)
	}
	if _, err := v.save(t); err != nil {
		t.Fatal(err)
	}
	if i, _ := os.Stat(v.path); i.Mode() != 0o640 {
		t.Errorf("mode %v", i.Mode())
	}
}

// F4: one fault a call, in each phase. Before the grant: nothing is spent.
// After it: the old document is still there, or the error says "half-way" and
// the new one is.
func TestFaults(t *testing.T) {
	for _, fault := range []error{syscall.ENOSPC, syscall.EIO, syscall.EROFS, syscall.EACCES} {
		for n := range faultAt(t, -1, fault) {
			faultAt(t, n, fault)
		}
	}
}

// faultAt fails the n-th call of Prepare and Save, and returns how many there are.
func faultAt(t *testing.T, n int, fault error) (calls int) {
	t.Helper()
	var at faulty.Call
	dir := t.TempDir()
	path := filepath.Join(dir, "doc.json")
	write(t, path, strange)
	disk := &faulty.FS{Under: fsys.OS{}}
	s := New(path, &Options{Seams: on(disk)})
	h := lock(t, s)
	old := load(t, s)
	disk.Reset()
	disk.Fail = func(c faulty.Call) error {
		if c.N != n || c.Op == "File.Close" {
			return nil
		}
		at = c
		return fault
	}
	err := h.Prepare(t.Context(), old)
	phase := "Prepare"
	if err == nil {
		phase = "Save"
		_, err = s.Save(t.Context(), old, []byte(successor))
	}
	calls = len(disk.Calls())
	disk.Fail = nil
	h.Unlock()
	got := textOf(t, path)
	what := fmt.Sprintf("%v at %s of %s (%s)", fault, at.Op, filepath.Base(at.Path), phase)
	switch {
	case err == nil && (at.Op == "" || at.Op == "Kind" || at.Op == "Stat"): // the last two only warn
		if got != successor {
			t.Errorf("%s: no error, and %q", what, got)
		}
	case !errors.Is(err, evercred.ErrUnsafe) || !errors.Is(err, fault):
		t.Errorf("%s: %v", what, err)
	case strings.Contains(err.Error(), "half-way"):
		if got != successor || phase != "Save" {
			t.Errorf("%s: %v, and %q", what, err, got)
		}
	case got != strange:
		t.Errorf("%s: %v, and %q", what, err, got)
	}
	if at.Op != "Remove" {
		tidy(t, dir, "doc.json")
	}
	return calls
}

// Something that a rename could not replace is found before the grant.
func TestPrepareFindsWhatCannotBeReplaced(t *testing.T) {
	for op, fault := range map[string]error{"Rmdir": syscall.EACCES, "OpenDir": syscall.EACCES, "File.Preallocate": syscall.ENOSPC} {
		path := filepath.Join(t.TempDir(), "doc.json")
		write(t, path, strange)
		disk := &faulty.FS{Under: fsys.OS{}}
		s := New(path, &Options{Seams: on(disk)})
		h := lock(t, s)
		disk.Fail = func(c faulty.Call) error {
			if c.Op == op {
				return fault
			}
			return nil
		}
		if err := h.Prepare(t.Context(), load(t, s)); !errors.Is(err, fault) || !errors.Is(err, evercred.ErrUnsafe) {
			t.Errorf("%s: %v", op, err)
		}
	}
}

// What Prepare made is what Save uses: a disk that takes no new file any more
// does not stop a save that was prepared.
func TestSaveMakesNothingAnew(t *testing.T) {
	disk := &faulty.FS{Under: fsys.OS{}}
	v := prepared(t, strange, &Options{Seams: on(disk)})
	disk.Fail = func(c faulty.Call) error {
		if c.Op == "File.Preallocate" || c.Op == "File.Chmod" {
			return syscall.ENOSPC
		}
		return nil
	}
	if _, err := v.save(t); err != nil || textOf(t, v.path) != successor {
		t.Errorf("%v, and %q", err, textOf(t, v.path))
	}
}

// A file system without preallocation is borne.
func TestNoPreallocation(t *testing.T) {
	v := prepared(t, strange, &Options{Seams: on(failing("File.Preallocate", fsys.ErrUnsupported))})
	if _, err := v.save(t); err != nil {
		t.Error(err)
	}
}

// S5: a link or file at our temporary name is refused, and nothing is spent.
func TestPlantedTemporaryFile(t *testing.T) {
	dir := t.TempDir()
	path, victim := filepath.Join(dir, "doc.json"), filepath.Join(dir, "victim")
	write(t, path, strange)
	write(t, victim, "victim")
	chance := &repeating{}
	s := New(path, &Options{Seams: &seam.Seams{Rand: chance}})
	h := lock(t, s)
	chance.fixed = true
	if err := os.Symlink(victim, filepath.Join(h.main.Staging(), "tmp-save-"+strings.Repeat("7f", 8))); err != nil {
		t.Skip(err)
	}
	err := h.Prepare(t.Context(), load(t, s))
	wants(t, "planted", err, evercred.ErrUnsafe, evercred.ReasonCannotSave)
	if !errors.Is(err, fs.ErrExist) || textOf(t, victim) != "victim" {
		t.Errorf("%v, the victim holds %q", err, textOf(t, victim))
	}
}

// repeating is chance until it is fixed.
type repeating struct {
	n     byte
	fixed bool
}

func (r *repeating) Read(p []byte) (int, error) {
	for i := range p {
		r.n++
		p[i] = r.n
		if r.fixed {
			p[i] = 0x7f
		}
	}
	return len(p), nil
}

var _ io.Reader = (*repeating)(nil)

// F7: while documents of different sizes replace each other, a reader gets one
// of them whole.
func TestReadersDuringSaves(t *testing.T) {
	v := prepared(t, strings.Repeat("a", 50_000), nil)
	stop, done := make(chan struct{}), make(chan error)
	go func() {
		reader := New(v.path, nil)
		for {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			d, err := reader.Load(t.Context())
			if err == nil && len(bytes.Trim(d.Bytes(), string(d.Bytes()[:1]))) != 0 {
				err = errors.New("a mixture")
			}
			if err != nil {
				done <- err
				return
			}
		}
	}()
	for i := range 50 {
		data := strings.Repeat(string(rune('b'+i%20)), 1+1000*(i%40))
		d, err := v.store.Save(t.Context(), v.old, []byte(data))
		if err != nil {
			t.Fatal(err)
		}
		v.old = d
	}
	close(stop)
	if err := <-done; err != nil {
		t.Error(err)
	}
}
