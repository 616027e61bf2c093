//go:build unix

package ledger

import (
	"bytes"
	"errors"
	"os"
	"syscall"
	"testing"

	"github.com/evercred/evercred/internal/fsys"
	"github.com/evercred/evercred/internal/fsys/faulty"
)

func TestRedo(t *testing.T) {
	dir := quick(t)
	l := Open(dir, "doc", real())
	none := func() {
		t.Helper()
		if _, _, found, err := l.Redo(); found || err != nil {
			t.Errorf("found %v, %v", found, err)
		}
		if left, err := l.Remains(); left || err != nil {
			t.Errorf("remains %v, %v", left, err)
		}
	}
	none()
	g := hold(t, l)
	must(t, g.ClearRedo())
	must(t, g.SetRedo([]byte("first\n"), []byte("{}")))
	must(t, g.SetRedo([]byte("old\n"), []byte("{new}\n\n")))
	if old, data, found, err := l.Redo(); string(old) != "old\n" || string(data) != "{new}\n\n" || !found || err != nil {
		t.Errorf("%q %q %v %v", old, data, found, err)
	}
	if left, err := l.Remains(); !left || err != nil {
		t.Errorf("remains %v, %v", left, err)
	}
	if i, err := os.Stat(l.file(redoName)); err != nil || i.Mode() != 0o600 {
		t.Errorf("%v %v", i, err)
	}
	must(t, g.SetRedo([]byte("old"), nil))
	if old, data, found, err := l.Redo(); string(old) != "old" || len(data) != 0 || !found || err != nil {
		t.Errorf("an empty successor: %q %q %v %v", old, data, found, err)
	}
	must(t, g.ClearRedo())
	none()
	must(t, g.Release())
	if err := g.SetRedo(nil, nil); !errors.Is(err, ErrLost) {
		t.Errorf("after the release: %v", err)
	}
}

// A redo record with one byte changed, or cut anywhere, mends nothing; one of a
// newer version stays untouched.
func TestDamagedRedo(t *testing.T) {
	l := Open(quick(t), "doc", real())
	g := hold(t, l)
	must(t, g.SetRedo([]byte("old"), []byte("newer")))
	whole, err := os.ReadFile(l.file(redoName))
	must(t, err)
	look := func(b []byte) (data []byte, found bool, err error) {
		must(t, os.WriteFile(l.file(redoName), b, 0o600))
		_, data, found, err = l.Redo()
		return data, found, err
	}
	for n := range whole {
		bad := bytes.Clone(whole)
		bad[n] ^= 1
		for _, b := range [][]byte{whole[:n], bad} {
			data, found, err := look(b)
			if data != nil || !found && err == nil {
				t.Fatalf("byte %d of %q: %q %v %v", n, b, data, found, err)
			}
		}
	}
	newer := bytes.Replace(whole, []byte(`"version":1`), []byte(`"version":2`), 1)
	if data, found, err := look(newer); data != nil || found || !errors.Is(err, ErrNewer) {
		t.Errorf("newer: %q %v %v", data, found, err)
	}
	if data, _, err := look(whole); string(data) != "newer" || err != nil {
		t.Errorf("%q %v", data, err)
	}
}

// Nothing is written in place that its redo record does not precede.
func TestRedoThatCannotBeKept(t *testing.T) {
	disk := &faulty.FS{Under: fsys.OS{}}
	l := Open(quick(t), "doc", on(disk))
	g := hold(t, l)
	for _, op := range []string{"File.WriteAt", "File.Datasync", "Rename", "File.Sync"} {
		disk.Fail = func(c faulty.Call) error {
			if c.Op == op {
				return syscall.ENOSPC
			}
			return nil
		}
		if err := g.SetRedo([]byte("old"), []byte("new")); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%s: %v", op, err)
		}
	}
	disk.Fail = func(c faulty.Call) error {
		if c.Op == "OpenFile" || c.Op == "Remove" {
			return syscall.EIO
		}
		return nil
	}
	if _, _, found, err := l.Redo(); found || !errors.Is(err, syscall.EIO) {
		t.Errorf("Redo: %v %v", found, err)
	}
	if err := g.ClearRedo(); !errors.Is(err, syscall.EIO) {
		t.Errorf("ClearRedo: %v", err)
	}
	disk.Fail = nil
}

// What is half closed is not pending, and remains all the same.
func TestHalfClosedRemains(t *testing.T) {
	file, in, _, _ := written(t)
	l := Open(quick(t), "doc", real())
	write(t, l.openPath(in.ID), string(file))
	b, err := encode(Closed{Intent: in})
	must(t, err)
	write(t, l.closedPath(in.ID), string(b))
	if pending, err := l.Pending(); pending || err != nil {
		t.Errorf("pending %v, %v", pending, err)
	}
	if left, err := l.Remains(); !left || err != nil {
		t.Errorf("remains %v, %v", left, err)
	}
	if _, err := hold(t, l).Attempts(); err != nil {
		t.Error(err)
	}
	if left, err := l.Remains(); left || err != nil {
		t.Errorf("cleaned, remains %v, %v", left, err)
	}
}
