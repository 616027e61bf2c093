//go:build unix

package ledger

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/evercred/evercred/internal/fsys"
	"github.com/evercred/evercred/internal/fsys/faulty"
)

const nobody = 65534

func TestReadingCreatesNothingAndIsCheap(t *testing.T) {
	dir := quick(t)
	disk := &faulty.FS{Under: fsys.OS{}}
	l := Open(dir, "doc", on(disk))
	m, err := l.Memory()
	must(t, err)
	pending, err := l.Pending()
	must(t, err)
	if n := len(disk.Calls()); n != 2 {
		t.Errorf("%d calls of the file system, want 2: %v", n, disk.Calls())
	}
	exists, err := l.Exists()
	must(t, err)
	records, err := l.Attempts()
	must(t, err)
	history, err := l.History()
	must(t, err)
	_, held, err := l.Holder()
	must(t, err)
	if m.Version != 0 || pending || exists || records != nil || history != nil || held {
		t.Error("an absent ledger says something")
	}
	if got := tree(t, dir); got != "" {
		t.Errorf("reading left\n%s", got)
	}
}

func TestModesAndContents(t *testing.T) {
	old := syscall.Umask(0)
	defer syscall.Umask(old)
	dir := quick(t)
	l := Open(dir, "doc", real())
	g := hold(t, l)
	must(t, g.SetMemory(Memory{Print: "p"}))
	r, err := g.Begin(Intent{})
	must(t, err)
	id := r.Intent().ID
	want := strings.ReplaceAll(`drwx------ .evercred
-rw------- .evercred/.gitignore
-rw------- .evercred/VERSION
drwx------ .evercred/doc
-rw------- .evercred/doc/attempt-ID.open
-rw------- .evercred/doc/guard
-rw------- .evercred/doc/holder
-rw------- .evercred/doc/memory
`, "ID", id)
	if got := tree(t, dir); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	must(t, r.Close("saved", "", time.Now()))
	want = strings.ReplaceAll(want, ".open", ".closed")
	if got := tree(t, dir); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	for name, want := range map[string]string{"VERSION": "1\n", ".gitignore": "*\n"} {
		if got, err := os.ReadFile(filepath.Join(dir, ".evercred", name)); string(got) != want {
			t.Errorf("%s: %q %v", name, got, err)
		}
	}
	if g.Staging() != l.Path() || l.Path() != filepath.Join(dir, ".evercred", "doc") {
		t.Errorf("staging %s, path %s", g.Staging(), l.Path())
	}
	if exists, err := l.Exists(); !exists || err != nil {
		t.Error(exists, err)
	}
}

func TestWideFolderIsMended(t *testing.T) { // S5
	dir := quick(t)
	must(t, os.Mkdir(filepath.Join(dir, ".evercred"), 0o700))
	must(t, os.Chmod(filepath.Join(dir, ".evercred"), 0o777))
	hold(t, Open(dir, "doc", real()))
	if got := tree(t, dir); !strings.HasPrefix(got, "drwx------ .evercred\n") {
		t.Errorf("got\n%s", got)
	}
}

func TestSweep(t *testing.T) {
	dir := quick(t)
	l := Open(dir, "doc", real())
	must(t, hold(t, l).Release())
	write(t, filepath.Join(l.Path(), "tmp-1"), "a secret")
	must(t, os.Symlink("/etc/passwd", filepath.Join(l.Path(), "tmp-2")))
	must(t, os.Mkdir(filepath.Join(l.Path(), "lock-1"), 0o700))
	write(t, filepath.Join(l.Path(), "other"), "not ours")
	hold(t, l)
	got, err := fsys.OS{}.ReadDir(l.Path())
	if fmt.Sprint(got) != "[guard holder other]" {
		t.Errorf("%v %v", got, err)
	}
}

func TestPlanted(t *testing.T) { // S5
	for _, name := range []string{".evercred", ".evercred/doc", ".evercred/doc/guard", ".evercred/VERSION", ".evercred/doc/memory", ".evercred/doc/holder"} {
		for what, plant := range map[string]func(path, target string) error{
			"link":          func(path, target string) error { return os.Symlink(target, path) },
			"dangling link": func(path, target string) error { return os.Symlink(target+"/none", path) },
			"FIFO":          func(path, _ string) error { return syscall.Mkfifo(path, 0o600) },
			"directory":     func(path, _ string) error { return os.Mkdir(path, 0o700) },
		} {
			if what == "directory" && (name == ".evercred" || name == ".evercred/doc") {
				continue // that is what belongs there
			}
			t.Run(name+" "+what, func(t *testing.T) {
				dir, victim := t.TempDir(), t.TempDir()
				path := filepath.Join(dir, name)
				must(t, os.MkdirAll(filepath.Dir(path), 0o700))
				must(t, plant(path, victim))
				l := Open(dir, "doc", real())
				g, err := l.TryGuard()
				if err == nil {
					_, err = g.Memory()
					g.Release()
				}
				if err == nil {
					t.Error("accepted")
				}
				if got := tree(t, victim); got != "" {
					t.Errorf("written through the link:\n%s", got)
				}
			})
		}
	}
}

func TestPlantedAttemptIsCorruptAndClosable(t *testing.T) { // S5
	dir := quick(t)
	victim := filepath.Join(t.TempDir(), "victim")
	write(t, victim, "keep me")
	l := Open(dir, "doc", real())
	g := hold(t, l)
	must(t, os.Symlink(victim, filepath.Join(l.Path(), "attempt-20200101T000000.000000000Z-x.open")))
	records, err := g.Attempts()
	must(t, err)
	if len(records) != 1 || !records[0].Corrupt() || records[0].HasAnswer() {
		t.Fatalf("%v", records)
	}
	if err := records[0].Append([]byte("x")); err == nil {
		t.Error("written through the link")
	}
	must(t, records[0].Close("corrupt", "", time.Now()))
	if got, err := os.ReadFile(victim); string(got) != "keep me" {
		t.Errorf("%q %v", got, err)
	}
	if pending, err := l.Pending(); pending || err != nil {
		t.Error(pending, err)
	}
}

func TestNewerLedgerIsUntouched(t *testing.T) { // F11
	dir := quick(t)
	write(t, filepath.Join(dir, ".evercred/VERSION"), "2\n")
	must(t, os.Chmod(filepath.Join(dir, ".evercred"), 0o755))
	before := tree(t, dir)
	l := Open(dir, "doc", real())
	_, guardErr := l.TryGuard()
	_, listErr := l.Attempts()
	for what, err := range map[string]error{"TryGuard": guardErr, "Attempts": listErr} {
		var e *NewerError
		if !errors.Is(err, ErrNewer) || !errors.As(err, &e) || e.Have != 2 || e.Know != 1 || !strings.Contains(err.Error(), "format 2") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if after := tree(t, dir); after != before {
		t.Errorf("before\n%safter\n%s", before, after)
	}
}

func TestNewerRecordsAreUntouched(t *testing.T) { // F11
	newerAttempt, err := header(Intent{Version: 2, ID: "20200101T000000.000000000Z-x"})
	must(t, err)
	for name, content := range map[string]string{
		"memory": `{"version":2,"print":{"strange":true}}`,
		"holder": `{"version":9}`,
		"attempt-20200101T000000.000000000Z-x.open": string(newerAttempt),
	} {
		t.Run(name, func(t *testing.T) {
			dir := quick(t)
			path := filepath.Join(dir, ".evercred/doc", name)
			write(t, path, content)
			l := Open(dir, "doc", real())
			g, err := l.TryGuard()
			if err == nil {
				defer g.Release()
				_, err = g.Memory()
			}
			if err == nil {
				_, err = g.Attempts()
			} else if g != nil {
				if err := g.SetMemory(Memory{}); !errors.Is(err, ErrNewer) {
					t.Errorf("SetMemory: %v", err)
				}
				if err := g.SetSights(nil); !errors.Is(err, ErrNewer) {
					t.Errorf("SetSights: %v", err)
				}
			}
			if !errors.Is(err, ErrNewer) {
				t.Errorf("%v, want ErrNewer", err)
			}
			if got, _ := os.ReadFile(path); string(got) != content {
				t.Errorf("now %q", got)
			}
			if pending, err := l.Pending(); pending || err != nil {
				t.Errorf("Pending: %v %v", pending, err)
			}
		})
	}
}

func TestCorruptRecordsAreNotInTheWay(t *testing.T) {
	for _, content := range []string{"", "\x00\x00\x00", "[]", `{"version":"1"}`, `{"version":0}`, `{"version":1,"spent":7}`} {
		dir := quick(t)
		l := Open(dir, "doc", real())
		write(t, filepath.Join(l.Path(), "memory"), content)
		write(t, filepath.Join(l.Path(), "holder"), content)
		g := hold(t, l)
		m, err := g.Memory()
		if err != nil || !m.Corrupt || m.Spent != nil {
			t.Errorf("%q: %+v %v", content, m, err)
		}
		if h, dead := g.Previous(); h.ID.PID != 0 || dead {
			t.Errorf("%q: previous %+v", content, h)
		}
		must(t, g.SetMemory(Memory{Print: "p"}))
		if m, err := g.Memory(); err != nil || m.Corrupt || m.Print != "p" {
			t.Errorf("%q: after SetMemory %+v %v", content, m, err)
		}
	}
}

// TestRootGivesAllToTheOwner is F10: sudo, or a container's root.
func TestRootGivesAllToTheOwner(t *testing.T) {
	needRoot(t)
	dir := quick(t)
	must(t, os.Chown(dir, nobody, nobody))
	l := Open(dir, "doc", real())
	g := hold(t, l)
	must(t, g.SetMemory(Memory{Print: "p"}))
	must(t, g.Record([]Stamp{{Path: "lock"}}))
	a, err := g.Begin(Intent{})
	must(t, err)
	b, err := g.Begin(Intent{})
	must(t, err)
	must(t, errors.Join(a.Append([]byte("x")), b.Close("saved", "", time.Now())))
	lock := filepath.Join(g.Staging(), "lock-1")
	must(t, os.Mkdir(lock, 0o700))
	must(t, g.Own(lock))
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if i, serr := (fsys.OS{}).Lstat(path); serr != nil || i.UID != nobody || i.GID != nobody {
			t.Errorf("%s belongs to %d:%d (%v)", path, i.UID, i.GID, serr)
		}
		return err
	}))
}

func TestWhatCannotBeGivenIsNotLeft(t *testing.T) { // F10
	needRoot(t)
	dir := quick(t)
	must(t, os.Chown(dir, nobody, nobody))
	for _, op := range []string{"Chown", "File.Chown"} {
		disk := &faulty.FS{Under: fsys.OS{}, Fail: func(c faulty.Call) error {
			if c.Op == op {
				return syscall.EPERM
			}
			return nil
		}}
		_, err := Open(dir, "doc", on(disk)).TryGuard()
		var e *OwnerError
		if !errors.Is(err, ErrOwner) || !errors.As(err, &e) || e.Have != 0 || e.Want != nobody {
			t.Errorf("%s: %v, want ErrOwner", op, err)
		}
		must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if i, _ := (fsys.OS{}).Lstat(path); i.UID != nobody {
				t.Errorf("%s: left %s of user %d", op, path, i.UID)
			}
			return err
		}))
	}
}

// TestOtherUser: a process of another user than the directory's (F10).
func TestOtherUser(t *testing.T) {
	needRoot(t)
	binary := public(t)
	evercred := func(dir string) string { return filepath.Join(dir, ".evercred") }
	for name, c := range map[string]struct {
		prepare func(t *testing.T, dir string)
		want    string
	}{
		"directory of root, writable by all": {func(t *testing.T, dir string) {
			must(t, os.Chmod(dir, 0o777))
		}, "owner"},
		"own directory": {func(t *testing.T, dir string) {
			must(t, os.Chown(dir, nobody, nobody))
		}, "ok"},
		"own directory, group of which the user is no member": {func(t *testing.T, dir string) {
			must(t, os.Chown(dir, nobody, 0))
		}, "ok"},
		"empty leftover of root": {func(t *testing.T, dir string) {
			must(t, os.Chown(dir, nobody, nobody))
			must(t, os.Mkdir(evercred(dir), 0o700))
		}, "ok"},
		"full leftover of root": {func(t *testing.T, dir string) {
			must(t, os.Chown(dir, nobody, nobody))
			write(t, filepath.Join(evercred(dir), "doc", "guard"), "")
			must(t, os.Chmod(evercred(dir), 0o755))
		}, "owner"},
		"guard of root": {func(t *testing.T, dir string) {
			write(t, filepath.Join(evercred(dir), "doc", "guard"), "")
			write(t, filepath.Join(evercred(dir), "VERSION"), "1\n")
			for _, path := range []string{dir, evercred(dir), filepath.Join(evercred(dir), "doc"), filepath.Join(evercred(dir), "VERSION")} {
				must(t, os.Chown(path, nobody, nobody))
			}
		}, "owner"},
		"newer": {func(t *testing.T, dir string) {
			write(t, filepath.Join(evercred(dir), "VERSION"), "3")
			must(t, os.Chmod(evercred(dir), 0o755))
			must(t, os.Chmod(filepath.Join(evercred(dir), "VERSION"), 0o644))
		}, "newer"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(filepath.Dir(binary), strings.ReplaceAll(name, " ", "-"))
			must(t, os.Mkdir(dir, 0o755))
			c.prepare(t, dir)
			before := tree(t, dir)
			if got := start(t, binary, "try", dir, nobody).line(t); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
			if after := tree(t, dir); c.want != "ok" && after != before {
				t.Errorf("before\n%safter\n%s", before, after)
			}
		})
	}
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root to act as another user")
	}
}

// public copies the test binary to where any user can run it.
func public(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "evercred-ledger-test-")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o755))
	b, err := os.ReadFile(self(t))
	must(t, err)
	path := filepath.Join(dir, "child")
	must(t, os.WriteFile(path, b, 0o755))
	return path
}

// TestEveryCallMayFail is F4: whichever call fails, there is an error or all is
// well; nothing staged is left; and the next process is not hindered.
func TestEveryCallMayFail(t *testing.T) {
	work := func(l *Ledger) error {
		g, err := l.TryGuard()
		if err != nil {
			return err
		}
		defer g.Release()
		if err := g.SetMemory(Memory{Spent: []string{"s"}}); err != nil {
			return err
		}
		if _, err := g.Attempts(); err != nil {
			return err
		}
		r, err := g.Begin(Intent{Refresh: "r"})
		if err != nil {
			return err
		}
		if err := errors.Join(r.MarkSending(time.Now()), r.Append([]byte("answer")), r.Finish(time.Now())); err != nil {
			return err
		}
		if pending, err := l.Pending(); !pending || err != nil {
			return fmt.Errorf("an answer was kept and is not pending: %w", err)
		}
		return r.Close("saved", "n", time.Now())
	}
	disk := &faulty.FS{Under: fsys.OS{}}
	must(t, work(Open(quick(t), "doc", on(disk))))
	calls := len(disk.Calls())
	if calls < 60 {
		t.Fatalf("only %d calls", calls)
	}
	failed := 0
	for n := range calls {
		dir := quick(t)
		disk := &faulty.FS{Under: fsys.OS{}}
		var at faulty.Call
		disk.Fail = func(c faulty.Call) error {
			if c.N != n {
				return nil
			}
			at = c
			return syscall.ENOSPC
		}
		if work(Open(dir, "doc", on(disk))) != nil {
			failed++
		}
		if at.Op == "" {
			t.Fatalf("call %d was not reached", n)
		}
		if err := work(Open(dir, "doc", real())); err != nil {
			t.Errorf("after %s of %s failed, the next process: %v", at.Op, at.Path, err)
		}
		if got := tree(t, dir); strings.Contains(got, "tmp-") {
			t.Errorf("after %s of %s failed:\n%s", at.Op, at.Path, got)
		}
	}
	if failed < calls/2 {
		t.Errorf("only %d of %d failures were reported", failed, calls)
	}
}
