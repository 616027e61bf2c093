package durable

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/evercred/evercred/internal/crash"
	"github.com/evercred/evercred/internal/fsys"
	"github.com/evercred/evercred/internal/fsys/faulty"
)

// The faults of FAILURES F4 that a call can meet.
var faults = []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EIO, syscall.EROFS, syscall.EACCES, syscall.EMFILE}

// site is a document with its staging folder.
type site struct {
	dir, path, staging string
	disk               *faulty.FS
	ready              Prepared
}

const oldDocument, newDocument = `{"claudeAiOauth": {"refreshToken": "sk-ant-ort01-test-old"}}` + "\n", `{"claudeAiOauth": {"refreshToken": "sk-ant-ort01-test-new-and-longer"}}`

func newSite(t *testing.T, mode fs.FileMode) site {
	t.Helper()
	dir := t.TempDir()
	s := site{dir, filepath.Join(dir, "doc.json"), filepath.Join(dir, ".evercred"), &faulty.FS{Under: fsys.OS{}}, nil}
	if err := os.Mkdir(s.staging, 0o700); err != nil {
		t.Fatal(err)
	}
	s.write(t, oldDocument)
	if err := os.Chmod(s.path, mode); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s site) write(t *testing.T, content string) {
	t.Helper()
	if err := os.WriteFile(s.path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (s site) stage(keep fs.FileMode) (Prepared, error) {
	like, err := s.disk.OpenFile(s.path, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer like.Close()
	p, err := Stage(Plan{s.disk, rand.Reader, s.path, like, keep, s.staging, 1 << 15})
	if err != nil {
		return nil, err
	}
	return p, nil
}

func (s site) inPlace() (Prepared, error) {
	p, err := OpenInPlace(s.disk, s.path, 1<<15, nil)
	if err != nil {
		return nil, err
	}
	return p, nil
}

func (s site) content(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(s.path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func (s site) leftovers(t *testing.T) []string {
	t.Helper()
	names, err := fsys.OS{}.ReadDir(s.staging)
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func ok() error { return nil }

func TestReplace(t *testing.T) {
	s := newSite(t, 0o640)
	before, _ := os.Lstat(s.path)
	p, err := s.stage(0o777)
	if err != nil {
		t.Fatal(err)
	}
	if s.content(t) != oldDocument {
		t.Fatal("preparing changed the document")
	}
	os.SameFile(before, before) // Windows asks who it is only now
	checked := false
	r, err := p.Commit([]byte(newDocument), func() error {
		checked = true
		if s.content(t) != oldDocument {
			t.Error("the check came after the rename")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	after, _ := os.Lstat(s.path)
	switch {
	case !checked:
		t.Error("nobody checked")
	case s.content(t) != newDocument, string(r.Data) != newDocument, r.Info.Size != int64(len(newDocument)):
		t.Errorf("%q, read back %q, %+v", s.content(t), r.Data, r.Info)
	case after.Mode() != before.Mode():
		t.Errorf("mode became %v", after.Mode())
	case os.SameFile(before, after):
		t.Error("it was not replaced")
	case len(s.leftovers(t)) != 0:
		t.Errorf("left over: %v", s.leftovers(t))
	}
}

// F5: private before any content, and never wider afterwards.
func TestStagedFileIsPrivate(t *testing.T) {
	for _, c := range []struct{ mode, keep, want fs.FileMode }{
		{0o644, 0o700, 0o600},
		{0o644, 0o777, 0o644},
		{0o600, 0o777, 0o600},
		{0o400, 0o700, 0o400},
	} {
		s := newSite(t, c.mode)
		var atCreation fs.FileMode
		s.disk.Fail = func(call faulty.Call) error {
			if call.Op == "File.Stat" && strings.Contains(call.Path, prefix) && atCreation == 0 {
				i, _ := os.Lstat(call.Path)
				atCreation = i.Mode()
			}
			return nil
		}
		p, err := s.stage(c.keep)
		if err != nil {
			t.Fatal(err)
		}
		if atCreation != 0o600 {
			t.Errorf("created with %v", atCreation)
		}
		if _, err := p.Commit([]byte(newDocument), ok); err != nil {
			t.Fatal(err)
		}
		if i, _ := os.Lstat(s.path); i.Mode() != c.want {
			t.Errorf("%v with %v became %v, want %v", c.mode, c.keep, i.Mode(), c.want)
		}
	}
}

// F8: the content is on disk before its name is, and the name before Commit
// returns: that is the order of the calls.
func TestOrderOfSyncs(t *testing.T) {
	s := prepared(t, func(s site) (Prepared, error) { return s.stage(0o777) })
	if _, err := commit(s, newDocument); err != nil {
		t.Fatal(err)
	}
	temp := func(path string) bool { return strings.HasPrefix(filepath.Base(path), prefix) }
	inOrder(t, s.disk.Calls(),
		func(c faulty.Call) bool { return c.Op == "File.WriteAt" && temp(c.Path) },
		func(c faulty.Call) bool { return c.Op == "File.Sync" && temp(c.Path) },
		func(c faulty.Call) bool { return c.Op == "File.Read" && temp(c.Path) },
		func(c faulty.Call) bool { return c.Op == "File.Close" && temp(c.Path) },
		func(c faulty.Call) bool { return c.Op == "Rename" && c.Path == s.path },
		func(c faulty.Call) bool { return c.Op == "File.Sync" && c.Path == s.dir },
		func(c faulty.Call) bool { return c.Op == "File.Sync" && c.Path == s.staging },
		func(c faulty.Call) bool { return c.Op == "File.Read" && c.Path == s.path })
	s = prepared(t, site.inPlace)
	if _, err := commit(s, newDocument); err != nil {
		t.Fatal(err)
	}
	inOrder(t, s.disk.Calls(),
		func(c faulty.Call) bool { return c.Op == "File.WriteAt" },
		func(c faulty.Call) bool { return c.Op == "File.Sync" },
		func(c faulty.Call) bool { return c.Op == "OpenFile" },
		func(c faulty.Call) bool { return c.Op == "File.Read" })
}

func inOrder(t *testing.T, calls []faulty.Call, steps ...func(faulty.Call) bool) {
	t.Helper()
	for n, step := range steps {
		i := slices.IndexFunc(calls, step)
		if i < 0 {
			t.Errorf("step %d is missing or out of order", n)
			return
		}
		calls = calls[i+1:]
	}
}

// A file system that cannot sync a directory does not stand in the way; one
// that fails to, does, and is told.
func TestDirectoriesThatCannotBeSynced(t *testing.T) {
	for fault, borne := range map[error]bool{syscall.EINVAL: true, syscall.ENOTSUP: true, fsys.ErrUnsupported: true, syscall.EIO: false} {
		s := prepared(t, func(s site) (Prepared, error) { return s.stage(0o777) })
		s.disk.Fail = func(c faulty.Call) error {
			if c.Op == "File.Sync" && (c.Path == s.dir || c.Path == s.staging) {
				return fault
			}
			return nil
		}
		_, err := commit(s, newDocument)
		if borne && err != nil || !borne && !errors.Is(err, ErrUnsettled) {
			t.Errorf("%v: %v", fault, err)
		}
	}
}

// A staging folder on another device is refused before anything is made in it.
func TestOtherDevice(t *testing.T) {
	s := newSite(t, 0o600)
	like, err := s.disk.OpenFile(s.path, os.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer like.Close()
	far := farFS{s.disk, s.staging}
	if _, err := Stage(Plan{far, rand.Reader, s.path, like, 0o777, s.staging, 1 << 15}); !errors.Is(err, ErrDevice) {
		t.Error(err)
	}
	if left := s.leftovers(t); len(left) != 0 {
		t.Errorf("left over: %v", left)
	}
}

// farFS shows one directory on another device.
type farFS struct {
	fsys.FS
	far string
}

func (f farFS) OpenDir(name string) (fsys.File, error) {
	d, err := f.FS.OpenDir(name)
	if err == nil && name == f.far {
		d = farDir{d}
	}
	return d, err
}

type farDir struct{ fsys.File }

func (d farDir) Stat() (fsys.Info, error) {
	i, err := d.File.Stat()
	i.Dev++
	return i, err
}

func TestInPlace(t *testing.T) {
	for _, data := range []string{newDocument, `{}`, oldDocument, strings.TrimSpace(oldDocument)} {
		s := newSite(t, 0o600)
		other := filepath.Join(s.dir, "other")
		if err := os.Link(s.path, other); err != nil {
			t.Fatal(err)
		}
		p, err := s.inPlace()
		if err != nil {
			t.Fatal(err)
		}
		if s.content(t) != oldDocument {
			t.Fatal("preparing changed the document")
		}
		s.disk.Reset()
		r, err := p.Commit([]byte(data), ok)
		if err != nil {
			t.Fatal(err)
		}
		got := s.content(t)
		if strings.TrimRight(got, " \n") != strings.TrimSpace(data) || got != string(r.Data) || len(got) < len(oldDocument) {
			t.Errorf("%q, read back %q", got, r.Data)
		}
		if b, _ := os.ReadFile(other); string(b) != got {
			t.Errorf("the other name holds %q", b)
		}
		writes := 0
		for _, c := range s.disk.Calls() {
			if c.Op == "File.Truncate" {
				t.Error("truncated")
			}
			if c.Op == "File.WriteAt" || c.Op == "File.Write" {
				writes++
			}
		}
		if writes != 1 {
			t.Errorf("%d writes", writes)
		}
	}
}

func TestFit(t *testing.T) {
	for _, c := range []struct {
		data string
		size int
		want string
	}{
		{"{}", 2, "{}"},
		{"{}", 3, "{}\n"},
		{"{}", 6, "{}   \n"},
		{"{}\n", 6, "{}\n  \n"},
		{"{..}   \n", 6, "{..}  "},
		{"{......}  \n", 6, "{......}"},
		{"{}", 1, "{}"},
	} {
		data := []byte(c.data)
		if got := fit(data, c.size); string(got) != c.want {
			t.Errorf("fit(%q, %d) = %q, want %q", c.data, c.size, got, c.want)
		}
		if string(data) != c.data {
			t.Errorf("fit changed its argument: %q", data)
		}
	}
}

// F4: each fault at each call of preparing leaves the document as it was and
// nothing beside it.
func TestFaultsOfPreparing(t *testing.T) {
	eachWay(t, func(t *testing.T, prepare func(site) (Prepared, error)) {
		calls := record(t, newSite(t, 0o600), func(s site) error {
			p, err := prepare(s)
			if err == nil {
				p.Discard()
			}
			return err
		})
		for _, at := range calls {
			for _, fault := range faults {
				if at.Op == "File.Close" || at.Op == "Remove" {
					continue // of Discard, where nothing hangs on it
				}
				s := newSite(t, 0o600)
				s.disk.Fail = failAt(at, fault)
				p, err := prepare(s)
				if err == nil {
					p.Discard()
				}
				if !errors.Is(err, fault) {
					t.Errorf("%v at %v: %v", fault, at, err)
				}
				if s.content(t) != oldDocument || len(s.leftovers(t)) != 0 {
					t.Errorf("%v at %v: %q, %v", fault, at, s.content(t), s.leftovers(t))
				}
			}
		}
	})
}

// F4: each fault at each call of Commit leaves the old document, or the new one
// where the error says so; never a mixture, unless the error says so.
func TestFaultsOfCommit(t *testing.T) {
	eachWay(t, func(t *testing.T, prepare func(site) (Prepared, error)) {
		calls := record(t, prepared(t, prepare), func(s site) error {
			_, err := commit(s, newDocument)
			return err
		})
		for _, at := range calls {
			for _, fault := range faults {
				s := prepared(t, prepare)
				s.disk.Fail = failAt(at, fault)
				_, err := commit(s, newDocument)
				judge(t, s, fmt.Sprintf("%v at %v", fault, at), err, fault, at)
			}
		}
	})
}

// The same with every second write cut short without an error, as a full disk does.
func TestShortWrites(t *testing.T) {
	eachWay(t, func(t *testing.T, prepare func(site) (Prepared, error)) {
		for cut := range len(newDocument) {
			s := prepared(t, prepare)
			first := true
			s.disk.Short = func(_ faulty.Call, n int) int {
				if first {
					first = false
					return cut
				}
				return n
			}
			_, err := commit(s, newDocument)
			if err == nil || s.content(t) != oldDocument || len(s.leftovers(t)) != 0 {
				t.Fatalf("cut at %d: %v, %q, %v", cut, err, s.content(t), s.leftovers(t))
			}
		}
	})
}

// A disk that fails for good in the middle of a write in place: the error must
// say that the file may be torn.
func TestTornInPlaceIsTold(t *testing.T) {
	s := prepared(t, site.inPlace)
	broken := false
	s.disk.Fail = func(c faulty.Call) error {
		if broken {
			return syscall.EIO
		}
		return nil
	}
	s.disk.Short = func(_ faulty.Call, n int) int { broken = true; return n - 8 }
	_, err := commit(s, newDocument)
	if !errors.Is(err, ErrTorn) || !errors.Is(err, syscall.EIO) {
		t.Fatalf("%v", err)
	}
	if got := s.content(t); got == oldDocument || got == newDocument {
		t.Fatalf("the setting is wrong: %q is whole", got)
	}
}

// A disk that says yes and keeps something else is noticed before the rename,
// and after it.
func TestLyingDisk(t *testing.T) {
	for _, when := range []string{"File.Sync", "Rename"} {
		s := prepared(t, func(s site) (Prepared, error) { return s.stage(0o777) })
		s.disk.Fail = func(c faulty.Call) error {
			name := s.path
			if when == "File.Sync" {
				name = filepath.Join(s.staging, s.leftovers(t)[0])
			}
			if c.Op == "File.Sync" && (when == "File.Sync" || c.Path == s.dir) {
				f, err := os.OpenFile(name, os.O_WRONLY, 0)
				if err != nil {
					t.Fatal(err)
				}
				f.WriteAt([]byte("X"), 5)
				f.Close()
				s.disk.Fail = nil
			}
			return nil
		}
		_, err := commit(s, newDocument)
		if !errors.Is(err, errDiffers) {
			t.Errorf("%s: %v", when, err)
		}
		if when == "File.Sync" && s.content(t) != oldDocument {
			t.Errorf("a bad file was renamed: %q", s.content(t))
		}
	}
}

func TestOvertaken(t *testing.T) {
	s := prepared(t, func(s site) (Prepared, error) { return s.stage(0o777) })
	s.disk.Fail = func(c faulty.Call) error {
		if c.Op == "File.Sync" && c.Path == s.dir {
			os.Remove(s.path)
			s.write(t, `{"somebody": "else"}`)
		}
		return nil
	}
	if _, err := commit(s, newDocument); !errors.Is(err, ErrOvertaken) {
		t.Error(err)
	}
}

func TestCheckStopsTheWrite(t *testing.T) {
	stolen := errors.New("the lock was stolen")
	eachWay(t, func(t *testing.T, prepare func(site) (Prepared, error)) {
		s := newSite(t, 0o600)
		p, err := prepare(s)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Commit([]byte(newDocument), func() error { return stolen }); !errors.Is(err, stolen) {
			t.Error(err)
		}
		if s.content(t) != oldDocument || len(s.leftovers(t)) != 0 {
			t.Errorf("%q, %v", s.content(t), s.leftovers(t))
		}
		if err := p.Discard(); err != nil {
			t.Errorf("Discard after Commit: %v", err)
		}
	})
}

// S5: a link or file at our temporary name is refused and left alone.
func TestPlantedTemporaryName(t *testing.T) {
	s := newSite(t, 0o600)
	name := filepath.Join(s.staging, prefix+strings.Repeat("00", 8))
	victim := filepath.Join(s.dir, "victim")
	plant := map[string]func() error{
		"file":          func() error { return os.WriteFile(name, []byte("planted"), 0o666) },
		"link":          func() error { return os.Symlink(victim, name) },
		"dangling link": func() error { return os.Symlink(filepath.Join(s.dir, "absent"), name) },
		"directory":     func() error { return os.Mkdir(name, 0o700) },
	}
	if err := os.WriteFile(victim, []byte("victim"), 0o600); err != nil {
		t.Fatal(err)
	}
	for what, plant := range plant {
		if err := plant(); err != nil {
			t.Fatal(err)
		}
		like, err := s.disk.OpenFile(s.path, os.O_RDONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		_, err = Stage(Plan{s.disk, zeros{}, s.path, like, 0o777, s.staging, 1 << 15})
		like.Close()
		if !errors.Is(err, fs.ErrExist) {
			t.Errorf("%s: %v", what, err)
		}
		if b, _ := os.ReadFile(victim); string(b) != "victim" {
			t.Errorf("%s: the victim holds %q", what, b)
		}
		if _, err := os.Lstat(filepath.Join(s.dir, "absent")); err == nil {
			t.Errorf("%s: a file was made through the link", what)
		}
		if err := os.Remove(name); err != nil {
			t.Errorf("%s: it was removed: %v", what, err)
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// F7: a reader sees the old document or the new one, never a mixture, and never
// none.
func TestReadersSeeWholeDocuments(t *testing.T) {
	s := newSite(t, 0o600)
	documents := [][]byte{bytes.Repeat([]byte("a"), 60_000), bytes.Repeat([]byte("b"), 40_000)}
	s.write(t, string(documents[0]))
	var readers sync.WaitGroup
	stop := make(chan struct{})
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				b, err := os.ReadFile(s.path)
				if err != nil || !bytes.Equal(b, documents[0]) && !bytes.Equal(b, documents[1]) {
					t.Errorf("read %d bytes, %v", len(b), err)
					return
				}
			}
		})
	}
	for i := range 100 {
		p, err := s.stage(0o777)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Commit(documents[(i+1)%2], ok); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	readers.Wait()
}

// The crash point stands between the durable temporary file and the rename.
func TestCrashPointDuringSave(t *testing.T) {
	s := newSite(t, 0o600)
	p, err := s.stage(0o777)
	if err != nil {
		t.Fatal(err)
	}
	var seen string
	crash.Set(func(at crash.Point) {
		if at == crash.DuringSave {
			b, _ := os.ReadFile(filepath.Join(s.staging, s.leftovers(t)[0]))
			seen = string(b) + s.content(t)
		}
	})
	defer crash.Set(nil)
	if _, err := p.Commit([]byte(newDocument), ok); err != nil {
		t.Fatal(err)
	}
	if seen != newDocument+oldDocument {
		t.Errorf("%q", seen)
	}
}

// eachWay runs f for both ways to write.
func eachWay(t *testing.T, f func(*testing.T, func(site) (Prepared, error))) {
	t.Run("replace", func(t *testing.T) {
		f(t, func(s site) (Prepared, error) { return s.stage(0o777) })
	})
	t.Run("in place", func(t *testing.T) { f(t, site.inPlace) })
}

// record lists the calls of do.
func record(t *testing.T, s site, do func(site) error) []faulty.Call {
	t.Helper()
	s.disk.Reset()
	if err := do(s); err != nil {
		t.Fatal(err)
	}
	calls := s.disk.Calls()
	if len(calls) < 4 {
		t.Fatalf("only %d calls", len(calls))
	}
	return calls
}

// prepared is a site whose next write is prepared.
func prepared(t *testing.T, prepare func(site) (Prepared, error)) site {
	t.Helper()
	s := newSite(t, 0o600)
	p, err := prepare(s)
	if err != nil {
		t.Fatal(err)
	}
	s.ready = p
	s.disk.Reset()
	return s
}

func commit(s site, data string) (Result, error) { return s.ready.Commit([]byte(data), ok) }

// failAt fails the call with the number and name of at.
func failAt(at faulty.Call, fault error) func(faulty.Call) error {
	return func(c faulty.Call) error {
		if c.N == at.N && c.Op == at.Op {
			return fault
		}
		return nil
	}
}

func judge(t *testing.T, s site, what string, err, fault error, at faulty.Call) {
	t.Helper()
	got := s.content(t)
	switch {
	case err == nil: // only where nothing hangs on the call
		if at.Op != "File.Close" || got != newDocument {
			t.Errorf("%s: no error, %q", what, got)
		}
	case !errors.Is(err, fault):
		t.Errorf("%s: %v", what, err)
	case errors.Is(err, ErrTorn):
		t.Errorf("%s: torn by a single fault: %v", what, err)
	case errors.Is(err, ErrUnsettled):
		if got != newDocument {
			t.Errorf("%s: %v, and yet %q", what, err, got)
		}
	case got != oldDocument:
		t.Errorf("%s: %v, %q", what, err, got)
	}
	if left := s.leftovers(t); len(left) != 0 && at.Op != "Remove" {
		t.Errorf("%s: left over: %v", what, left)
	}
}
