package claudecode

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/internal/dirlock"
	"github.com/evercred/evercred/internal/ledger"
	"github.com/evercred/evercred/internal/seam"
)

// guarded is a storage directory whose guard we hold.
func guarded(t *testing.T) (dir string, g *ledger.Guard) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "claude")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	g, err := ledger.Open(dir, "doc", (*seam.Seams)(nil).Filled()).TryGuard()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Release() })
	return dir, g
}

func lockDir(t *testing.T, dir string, g *ledger.Guard) *held {
	t.Helper()
	l, err := newLocks(dir, nil).Lock(t.Context(), g, false)
	if err != nil {
		t.Fatal(err)
	}
	return l.(*held)
}

func stands(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// The names are a contract with another program (INTEROP §3).
func TestLockPaths(t *testing.T) {
	refresh, write := LockPaths("/home/u/.claude")
	if refresh != [2]string{"/home/u/.claude/.oauth_refresh.lock", "/home/u/.claude.lock"} && os.PathSeparator == '/' || filepath.Base(write) != ".storage-write.lock" {
		t.Errorf("%v %v", refresh, write)
	}
}

func TestLocksOfTheOwner(t *testing.T) {
	dir, g := guarded(t)
	l := lockDir(t, dir, g)
	refresh, write := LockPaths(dir)
	if !stands(refresh[0]) || !stands(refresh[1]) || stands(write) {
		t.Error("not the two refresh locks")
	}
	if err := l.Check(); err != nil || l.Notes() != nil {
		t.Errorf("%v %v", err, l.Notes())
	}
	w, err := l.LockWrite(t.Context())
	if err != nil || !stands(write) || w.Check() != nil {
		t.Errorf("the write lock: %v", err)
	}
	if err := w.Unlock(); err != nil || stands(write) || !stands(refresh[0]) {
		t.Errorf("the write lock is freed alone: %v", err)
	}
	if err := os.Mkdir(write, 0o755); err != nil { // the owner writes
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := l.LockWrite(ctx); !errors.Is(err, evercred.ErrLocked) || !errors.Is(err, dirlock.ErrHeld) {
		t.Errorf("held by the owner: %v", err)
	}
	if err := l.Unlock(); err != nil || stands(refresh[0]) || stands(refresh[1]) || !stands(write) {
		t.Errorf("freed: %v", err)
	}
}

// L4, L5: a lock that was taken from us is told, and the thief's stays.
func TestL4AStolenLockIsTold(t *testing.T) {
	dir, g := guarded(t)
	l := lockDir(t, dir, g)
	refresh, _ := LockPaths(dir)
	if err := errors.Join(os.Remove(refresh[0]), os.Mkdir(refresh[0], 0o755)); err != nil {
		t.Fatal(err)
	}
	var e *evercred.Error
	if err := l.Check(); !errors.Is(err, evercred.ErrLocked) || !errors.Is(err, dirlock.ErrLost) || !errors.As(err, &e) || !strings.Contains(e.What, "taken from us") || e.Where != dir {
		t.Errorf("%v", err)
	}
	if err := l.Unlock(); err != nil {
		t.Errorf("nothing is left to free, and yet: %v", err)
	}
	if !stands(refresh[0]) || stands(refresh[1]) {
		t.Error("the thief's lock was removed, or ours was kept")
	}
}

// A lock that cannot be freed is told: the next process has to know.
func TestALockThatCannotBeFreed(t *testing.T) {
	dir, g := guarded(t)
	l := lockDir(t, dir, g)
	refresh, _ := LockPaths(dir)
	i, err := os.Lstat(refresh[1])
	if err == nil {
		err = os.WriteFile(filepath.Join(refresh[1], "x"), nil, 0o600)
	}
	if err = errors.Join(err, os.Chtimes(refresh[1], i.ModTime(), i.ModTime())); err != nil {
		t.Fatal(err)
	}
	if err := l.Unlock(); err == nil || errors.Is(err, dirlock.ErrLost) {
		t.Errorf("%v", err)
	}
}

func TestLocksOfNoDirectory(t *testing.T) {
	dir, g := guarded(t)
	_, err := newLocks(filepath.Join(dir, "none"), nil).Lock(t.Context(), g, true)
	var e *evercred.Error
	if !errors.Is(err, evercred.ErrUnsafe) || !errors.Is(err, fs.ErrNotExist) || !errors.As(err, &e) || e.Reason != evercred.ReasonCannotLock {
		t.Errorf("%v", err)
	}
	newLocks(filepath.Join(dir, "none"), nil).Tidy(g) // nothing to do, and no harm
}

// What a dead process of ours left is taken over and told; and tidied where
// there is no login any more.
func TestLocksOfADeadProcess(t *testing.T) {
	dir, g := guarded(t)
	refresh, write := LockPaths(dir)
	old := time.Now().Add(-time.Hour)
	for _, path := range []string{refresh[0], refresh[1], write} {
		if err := errors.Join(os.Mkdir(path, 0o755), os.Chtimes(path, old, old)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := newLocks(dir, nil).Lock(t.Context(), g, false); !errors.Is(err, evercred.ErrLocked) {
		t.Errorf("not yet watched: %v", err)
	}
	newLocks(dir, nil).Tidy(g) // not of ours
	if !stands(refresh[0]) || !stands(refresh[1]) || !stands(write) {
		t.Error("another program's lock was removed")
	}
}
