package fsys

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/windows"
)

// alone opens a file as a scanner may: nobody else gets it until close.
func alone(t *testing.T, path string) (close func()) {
	t.Helper()
	p, err := windows.UTF16PtrFromString(path)
	if err != nil {
		t.Fatal(err)
	}
	h, err := windows.CreateFile(p, windows.GENERIC_READ, 0, nil, windows.OPEN_EXISTING, windows.FILE_ATTRIBUTE_NORMAL, 0)
	if err != nil {
		t.Fatal(err)
	}
	return func() { windows.CloseHandle(h) }
}

// FAILURES F9, by the system itself: what its errors are, and that they pass.
func TestSharingViolation(t *testing.T) {
	dir := t.TempDir()
	path, other := filepath.Join(dir, "file"), filepath.Join(dir, "other")
	create(t, path, "content").Close()
	create(t, other, "successor").Close()
	for _, c := range []struct {
		op   string
		call func(FS) error
	}{
		{"OpenFile", func(disk FS) error {
			f, err := disk.OpenFile(path, os.O_RDWR, 0)
			if err == nil {
				f.Close()
			}
			return err
		}},
		{"Rename", func(disk FS) error { return disk.Rename(other, path) }},
		{"Remove", func(disk FS) error { return disk.Remove(path) }},
	} {
		release := alone(t, path)
		err := c.call(OS{})
		if err == nil || !passing(c.op, err) {
			t.Errorf("%s of a file that somebody keeps: %v", c.op, err)
		}
		timer := time.AfterFunc(30*time.Millisecond, release)
		if err := c.call(System()); err != nil {
			t.Errorf("%s of a file that somebody kept: %v", c.op, err)
		}
		timer.Stop()
	}
}

// What one may not do is no passing trouble, except where a file is replaced.
func TestPassing(t *testing.T) {
	denied := &fs.PathError{Op: "open", Err: windows.ERROR_ACCESS_DENIED}
	if passing("OpenFile", denied) || passing("RenameNoReplace", denied) || !passing("Rename", denied) {
		t.Error("access denied")
	}
	if passing("Rename", windows.ERROR_FILE_NOT_FOUND) || passing("Rename", errors.New("other")) {
		t.Error("any error passes")
	}
}
