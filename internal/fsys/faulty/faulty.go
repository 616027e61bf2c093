// Package faulty is a file system that fails on demand, for tests.
package faulty

import (
	"io/fs"
	"slices"
	"sync"
	"time"

	"github.com/evercred/evercred/internal/fsys"
)

// Call is one call of a method of fsys.FS or fsys.File.
type Call struct {
	N    int    // counted from 0 since the last Reset
	Op   string // the method's name; those of a File begin with "File."
	Path string
}

// FS hands calls on to Under, unless Fail has an error for them. Set the members
// before use; it is then safe for concurrent use if they are.
type FS struct {
	Under fsys.FS
	// Fail is asked before every call; nil never fails.
	Fail func(Call) error
	// Short, asked at a write that did not fail, says how many of its bytes
	// reach the disk; nil: all. A short write returns no error.
	Short func(c Call, n int) int

	mu    sync.Mutex
	calls []Call
}

var _ fsys.FS = (*FS)(nil)

// Reset starts counting anew.
func (f *FS) Reset() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = nil
}

// Calls lists the calls since the last Reset.
func (f *FS) Calls() []Call {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.calls)
}

func (f *FS) call(op, path string) (Call, error) {
	f.mu.Lock()
	c := Call{len(f.calls), op, path}
	f.calls = append(f.calls, c)
	f.mu.Unlock()
	if f.Fail == nil {
		return c, nil
	}
	if err := f.Fail(c); err != nil {
		return c, &fs.PathError{Op: op, Path: path, Err: err}
	}
	return c, nil
}

func (f *FS) file(u fsys.File, err error) (fsys.File, error) {
	if err != nil {
		return nil, err
	}
	return &file{u, f}, nil
}

// OpenFile and the others are those of fsys.FS.
func (f *FS) OpenFile(name string, flag int, perm fs.FileMode) (fsys.File, error) {
	if _, err := f.call("OpenFile", name); err != nil {
		return nil, err
	}
	return f.file(f.Under.OpenFile(name, flag, perm))
}

func (f *FS) OpenDir(name string) (fsys.File, error) {
	if _, err := f.call("OpenDir", name); err != nil {
		return nil, err
	}
	return f.file(f.Under.OpenDir(name))
}

func (f *FS) Stat(name string) (fsys.Info, error) {
	if _, err := f.call("Stat", name); err != nil {
		return fsys.Info{}, err
	}
	return f.Under.Stat(name)
}

func (f *FS) Lstat(name string) (fsys.Info, error) {
	if _, err := f.call("Lstat", name); err != nil {
		return fsys.Info{}, err
	}
	return f.Under.Lstat(name)
}

func (f *FS) ReadDir(name string) ([]string, error) {
	if _, err := f.call("ReadDir", name); err != nil {
		return nil, err
	}
	return f.Under.ReadDir(name)
}

func (f *FS) Readlink(name string) (string, error) {
	if _, err := f.call("Readlink", name); err != nil {
		return "", err
	}
	return f.Under.Readlink(name)
}

func (f *FS) Mkdir(name string, perm fs.FileMode) error {
	if _, err := f.call("Mkdir", name); err != nil {
		return err
	}
	return f.Under.Mkdir(name, perm)
}

func (f *FS) Remove(name string) error {
	if _, err := f.call("Remove", name); err != nil {
		return err
	}
	return f.Under.Remove(name)
}

func (f *FS) Rmdir(name string) error {
	if _, err := f.call("Rmdir", name); err != nil {
		return err
	}
	return f.Under.Rmdir(name)
}

func (f *FS) Rename(from, to string) error {
	if _, err := f.call("Rename", to); err != nil {
		return err
	}
	return f.Under.Rename(from, to)
}

func (f *FS) RenameNoReplace(from, to string) error {
	if _, err := f.call("RenameNoReplace", to); err != nil {
		return err
	}
	return f.Under.RenameNoReplace(from, to)
}

func (f *FS) Chown(name string, uid, gid int) error {
	if _, err := f.call("Chown", name); err != nil {
		return err
	}
	return f.Under.Chown(name, uid, gid)
}

func (f *FS) Kind(name string) (fsys.Kind, error) {
	if _, err := f.call("Kind", name); err != nil {
		return fsys.Kind{}, err
	}
	return f.Under.Kind(name)
}

// file closes and names without being asked about: a Close that failed would
// leak the descriptor in the test. Close errors are Fail's "File.Close" after
// the real close.
type file struct {
	u  fsys.File
	fs *FS
}

func (f *file) do(op string, do func() error) error {
	if _, err := f.fs.call("File."+op, f.u.Name()); err != nil {
		return err
	}
	return do()
}

func (f *file) Read(p []byte) (int, error) {
	if _, err := f.fs.call("File.Read", f.u.Name()); err != nil {
		return 0, err
	}
	return f.u.Read(p)
}

func (f *file) write(op string, p []byte, write func([]byte) (int, error)) (int, error) {
	c, err := f.fs.call("File."+op, f.u.Name())
	if err != nil {
		return 0, err
	}
	if f.fs.Short != nil {
		p = p[:f.fs.Short(c, len(p))]
	}
	return write(p)
}

func (f *file) Write(p []byte) (int, error) { return f.write("Write", p, f.u.Write) }

func (f *file) WriteAt(p []byte, off int64) (int, error) {
	return f.write("WriteAt", p, func(p []byte) (int, error) { return f.u.WriteAt(p, off) })
}

func (f *file) Close() error {
	err := f.u.Close()
	if _, failed := f.fs.call("File.Close", f.u.Name()); failed != nil {
		return failed
	}
	return err
}

func (f *file) Name() string { return f.u.Name() }

func (f *file) Stat() (i fsys.Info, err error) {
	err = f.do("Stat", func() error { i, err = f.u.Stat(); return err })
	return i, err
}

func (f *file) Sync() error     { return f.do("Sync", f.u.Sync) }
func (f *file) Datasync() error { return f.do("Datasync", f.u.Datasync) }
func (f *file) TryLock() error  { return f.do("TryLock", f.u.TryLock) }

func (f *file) Truncate(size int64) error {
	return f.do("Truncate", func() error { return f.u.Truncate(size) })
}

func (f *file) Chmod(mode fs.FileMode) error {
	return f.do("Chmod", func() error { return f.u.Chmod(mode) })
}

func (f *file) Chown(uid, gid int) error {
	return f.do("Chown", func() error { return f.u.Chown(uid, gid) })
}

func (f *file) SetTime(t time.Time) error {
	return f.do("SetTime", func() error { return f.u.SetTime(t) })
}

func (f *file) Preallocate(size int64) error {
	return f.do("Preallocate", func() error { return f.u.Preallocate(size) })
}

func (f *file) CopyAttrs(from fsys.File) error {
	if w, ok := from.(*file); ok {
		from = w.u
	}
	return f.do("CopyAttrs", func() error { return f.u.CopyAttrs(from) })
}
