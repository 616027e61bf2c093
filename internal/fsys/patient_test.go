package fsys_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evercred/evercred/internal/fsys"
	"github.com/evercred/evercred/internal/fsys/faulty"
)

// errBusy stands for ERROR_SHARING_VIOLATION, and fs.ErrPermission for
// ERROR_ACCESS_DENIED, which passes only where a file is replaced.
var errBusy = errors.New("somebody has it open")

func passing(op string, err error) bool {
	return errors.Is(err, errBusy) || op == "Rename" && errors.Is(err, fs.ErrPermission)
}

// everyCall does one of each operation that is tried again.
func everyCall(disk fsys.FS, dir string) map[string]func() error {
	in := func(name string) string { return filepath.Join(dir, name) }
	with := func(do func(f fsys.File) error) func() error {
		return func() error {
			f, err := disk.OpenFile(in("file"), os.O_RDWR, 0)
			if err != nil {
				return err
			}
			defer f.Close()
			return do(f)
		}
	}
	return map[string]func() error{
		"OpenFile":        with(func(fsys.File) error { return nil }),
		"OpenDir":         func() error { d, err := disk.OpenDir(dir); return closed(d, err) },
		"Stat":            func() error { _, err := disk.Stat(in("file")); return err },
		"Lstat":           func() error { _, err := disk.Lstat(in("file")); return err },
		"ReadDir":         func() error { _, err := disk.ReadDir(dir); return err },
		"Mkdir":           func() error { return disk.Mkdir(in("new"), 0o700) },
		"Remove":          func() error { return disk.Remove(in("doomed")) },
		"Rmdir":           func() error { return disk.Rmdir(in("empty")) },
		"Rename":          func() error { return disk.Rename(in("from"), in("to")) },
		"RenameNoReplace": func() error { return disk.RenameNoReplace(in("from"), in("fresh")) },
		"File.Read":       with(func(f fsys.File) error { _, err := f.Read(make([]byte, 1)); return err }),
		"File.Write":      with(func(f fsys.File) error { _, err := f.Write([]byte("x")); return err }),
		"File.WriteAt":    with(func(f fsys.File) error { _, err := f.WriteAt([]byte("x"), 0); return err }),
		"File.Truncate":   with(func(f fsys.File) error { return f.Truncate(1) }),
		"File.CopyAttrs":  with(func(f fsys.File) error { return f.CopyAttrs(f) }),
	}
}

func closed(f fsys.File, err error) error {
	if err == nil {
		f.Close()
	}
	return err
}

func furnished(t *testing.T) string {
	dir := t.TempDir()
	for _, name := range []string{"file", "doomed", "from", "to"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "empty"), 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// counted is a disk on which op fails as long as fail says so.
func counted(op string, fail func(n int) error) (*faulty.FS, *int) {
	n := 0
	return &faulty.FS{Under: fsys.OS{}, Fail: func(c faulty.Call) error {
		if c.Op != op {
			return nil
		}
		n++
		return fail(n)
	}}, &n
}

// FAILURES F9: a sharing violation that passes is not seen; one that stays is an
// error after about a second; what is no sharing violation is one at once.
func TestPatient(t *testing.T) {
	for op := range everyCall(fsys.OS{}, "") {
		t.Run(op, func(t *testing.T) {
			for _, c := range []struct {
				name string
				fail func(n int) error
				want error
				n    int
				took time.Duration
			}{
				{"passes", func(n int) error { return only(n <= 3, errBusy) }, nil, 4, 14 * time.Millisecond},
				{"stays", func(int) error { return errBusy }, errBusy, 10, 1022 * time.Millisecond},
				{"is another error", func(int) error { return fs.ErrInvalid }, fs.ErrInvalid, 1, 0},
			} {
				synctest.Test(t, func(t *testing.T) {
					disk, n := counted(op, c.fail)
					began := time.Now()
					err := everyCall(fsys.Patient{FS: disk, Passing: passing}, furnished(t))[op]()
					if !errors.Is(err, c.want) || *n != c.n || time.Since(began) != c.took {
						t.Errorf("%s: %v after %d calls in %v; want %v after %d in %v", c.name, err, *n, time.Since(began), c.want, c.n, c.took)
					}
				})
			}
		})
	}
}

func only(yes bool, err error) error {
	if yes {
		return err
	}
	return nil
}

// "Access denied" is the name of a passing trouble only where a file is
// replaced; elsewhere it means what it says, and nobody waits.
func TestPatientIsToldTheOperation(t *testing.T) {
	for op, want := range map[string]int{"Rename": 2, "Remove": 1, "OpenFile": 1} {
		synctest.Test(t, func(t *testing.T) {
			disk, n := counted(op, func(n int) error { return only(n == 1, fs.ErrPermission) })
			_ = everyCall(fsys.Patient{FS: disk, Passing: passing}, furnished(t))[op]()
			if *n != want {
				t.Errorf("%s: %d calls, want %d", op, *n, want)
			}
		})
	}
}

// A write that moved some bytes and failed is not begun again, and the lock of a
// file is asked for once.
func TestPatientStartsNothingOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := furnished(t)
		disk, n := counted("File.TryLock", func(int) error { return errBusy })
		f, err := fsys.Patient{FS: disk, Passing: passing}.OpenFile(filepath.Join(dir, "file"), os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := f.TryLock(); !errors.Is(err, errBusy) || *n != 1 {
			t.Errorf("%v after %d calls", err, *n)
		}
		half := fsys.Patient{FS: halfWritten{}, Passing: passing}
		g, err := half.OpenFile("", 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := g.Write([]byte("ab")); n != 1 || !errors.Is(err, errBusy) {
			t.Errorf("%d, %v", n, err)
		}
	})
}

type halfWritten struct{ fsys.OS }

func (halfWritten) OpenFile(string, int, fs.FileMode) (fsys.File, error) { return &halfFile{}, nil }

type halfFile struct {
	fsys.File
	calls int
}

func (f *halfFile) Write([]byte) (int, error) {
	if f.calls++; f.calls > 1 {
		panic("a write was begun twice")
	}
	return 1, errBusy
}
