package filestore

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/internal/fsys"
	"github.com/evercred/evercred/internal/fsys/faulty"
)

const (
	tornOld = `{"claudeAiOauth":{"refreshToken":"sk-ant-ort01-test-aaaaaaaa"}}`
	tornNew = `{"claudeAiOauth":{"refreshToken":"sk-ant-ort01-test-bbbbbbbb"}}`
)

// torn lays a file with two names that a write in place was killed over, with
// content in it.
func torn(t *testing.T, content string) (dir, path string) {
	t.Helper()
	dir = t.TempDir()
	path = filepath.Join(dir, "doc.json")
	write(t, path, content)
	if err := os.Link(path, filepath.Join(dir, "other.json")); err != nil {
		t.Skip(err)
	}
	s := New(path, nil)
	h := lock(t, s)
	if err := errors.Join(h.main.SetRedo([]byte(tornOld), []byte(tornNew)), h.Unlock()); err != nil {
		t.Fatal(err)
	}
	return dir, path
}

func half() string {
	n := strings.Index(tornOld, "aaaa") + 4
	return tornNew[:n] + tornOld[n:]
}

func remains(t *testing.T, s *Store) bool {
	t.Helper()
	left, err := s.Ledger().Remains()
	if err != nil {
		t.Fatal(err)
	}
	return left
}

// F3, F5: half of a token that parses well. A look gets the new document and
// writes nothing; the lock makes the file whole, whoever else has it open.
func TestTornInPlace(t *testing.T) {
	dir, path := torn(t, half())
	o := &owner{}
	s := New(path, &Options{Owner: o})
	if got := load(t, s); string(got.Bytes()) != tornNew {
		t.Errorf("a look gets %q", got.Bytes())
	}
	if textOf(t, path) != half() || !remains(t, s) {
		t.Error("a look wrote")
	}
	h := lock(t, s)
	if want := []string{"lock", "lock write", "check", "check write", "unlock write"}; !slices.Equal(o.log, want) {
		t.Errorf("%v, want %v", o.log, want)
	}
	if textOf(t, path) != tornNew || textOf(t, filepath.Join(dir, "other.json")) != tornNew || remains(t, s) {
		t.Errorf("%q, redo record left: %v", textOf(t, path), remains(t, s))
	}
	old := load(t, s)
	if _, err := s.Save(t.Context(), old, []byte(tornOld)); err != nil || remains(t, s) {
		t.Errorf("%v, redo record left: %v", err, remains(t, s))
	}
	h.Unlock()
	tidy(t, dir, "doc.json", "other.json")
}

// What is whole, or somebody else's, is not touched.
func TestNothingToMend(t *testing.T) {
	for _, content := range []string{tornOld, tornNew, strange, "", strings.Replace(tornOld, "aaaaaaaa", "aaaabbbc", 1)} {
		_, path := torn(t, content)
		s := New(path, nil)
		if got := load(t, s); string(got.Bytes()) != content {
			t.Errorf("a look gets %q of %q", got.Bytes(), content)
		}
		if lock(t, s); textOf(t, path) != content || remains(t, s) {
			t.Errorf("%q became %q, redo record left: %v", content, textOf(t, path), remains(t, s))
		}
	}
}

// Nobody goes on from a torn file that cannot be mended; what it will hold is
// served all the same.
func TestTornAndNotMended(t *testing.T) {
	for name, c := range map[string]struct {
		fail func(faulty.Call) bool
		kind error
	}{
		"cannot be opened":  {func(c faulty.Call) bool { return c.Op == "File.Preallocate" }, evercred.ErrUnsafe},
		"cannot be written": {func(c faulty.Call) bool { return c.Op == "File.WriteAt" && filepath.Base(c.Path) == "doc.json" }, evercred.ErrUnsafe},
		"cannot be cleared": {func(c faulty.Call) bool { return c.Op == "Remove" && filepath.Base(c.Path) == "redo" }, evercred.ErrUnsafe},
		"unreadable record": {func(c faulty.Call) bool { return c.Op == "File.Read" && filepath.Base(c.Path) == "redo" }, evercred.ErrUnsafe},
		"unreadable file":   {func(c faulty.Call) bool { return c.Op == "File.Read" && filepath.Base(c.Path) == "doc.json" }, evercred.ErrUnsafe},
	} {
		_, path := torn(t, half())
		disk := &faulty.FS{Under: fsys.OS{}}
		s := New(path, &Options{Seams: on(disk)})
		disk.Fail = func(call faulty.Call) error {
			if c.fail(call) {
				return syscall.EIO
			}
			return nil
		}
		if err := tryLock(t, s); !errors.Is(err, c.kind) || !errors.Is(err, syscall.EIO) {
			t.Errorf("%s: %v", name, err)
		}
		disk.Fail = nil
		if got := load(t, s); string(got.Bytes()) != tornNew {
			t.Errorf("%s: then a look gets %q", name, got.Bytes())
		}
		if lock(t, s); textOf(t, path) != tornNew || remains(t, s) {
			t.Errorf("%s: not mended by the next: %q", name, textOf(t, path))
		}
	}
	_, path := torn(t, half())
	s := New(path, &Options{Owner: &owner{fail: map[string]error{"lock write": errBusy}}})
	if err := tryLock(t, s); !errors.Is(err, evercred.ErrLocked) || textOf(t, path) != half() {
		t.Errorf("while the owner writes: %v, %q", err, textOf(t, path))
	}
}

// A logout ends the redo record with the login.
func TestRedoEndsWithTheLogin(t *testing.T) {
	dir, path := torn(t, half())
	if err := errors.Join(os.Remove(path), os.Remove(filepath.Join(dir, "other.json"))); err != nil {
		t.Fatal(err)
	}
	s := New(path, nil)
	g, err := s.Ledger().TryGuard()
	if err != nil {
		t.Fatal(err)
	}
	defer g.Release()
	if s.Tidy(g); remains(t, s) {
		t.Error("it is left")
	}
}

// Whoever reads a file that is replaced asks for no redo record.
func TestNoRedoForOrdinaryFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "doc.json")
	write(t, path, strange)
	disk := &faulty.FS{Under: fsys.OS{}}
	load(t, New(path, &Options{Seams: on(disk)}))
	for _, c := range disk.Calls() {
		if strings.Contains(c.Path, ".evercred") {
			t.Errorf("%v", c)
		}
	}
}
