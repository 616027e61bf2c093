package fsys

import (
	"io/fs"
	"time"
)

// Patient is a file system on which others keep a file to themselves for a
// moment, such as a virus scanner, an indexer or an owner that reads it on
// Windows (FAILURES F9). What fails for that reason is tried again for about a
// second, and its last error is the result. TryLock is not tried again: that a
// lock is held is its answer.
type Patient struct {
	FS
	// Passing reports whether a failure may be over in a moment, and had no effect.
	// op is the name of the method; those of a File begin with "File.".
	Passing func(op string, err error) bool
}

var _ FS = Patient{}

// The waits double from the first to the last and are 1.022 s together.
const firstWait, lastWait = 2 * time.Millisecond, 512 * time.Millisecond

func (p Patient) try(op string, call func() error) error {
	for wait := firstWait; ; wait *= 2 {
		err := call()
		if err == nil || wait > lastWait || !p.Passing(op, err) {
			return err
		}
		time.Sleep(wait)
	}
}

func tried[T any](p Patient, op string, call func() (T, error)) (value T, err error) {
	err = p.try(op, func() error {
		value, err = call()
		return err
	})
	return value, err
}

func (p Patient) open(op string, call func() (File, error)) (File, error) {
	f, err := tried(p, op, call)
	if err != nil {
		return nil, err
	}
	return patientFile{f, p}, nil
}

// OpenFile and the others are those of FS.
func (p Patient) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	return p.open("OpenFile", func() (File, error) { return p.FS.OpenFile(name, flag, perm) })
}

func (p Patient) OpenDir(name string) (File, error) {
	return p.open("OpenDir", func() (File, error) { return p.FS.OpenDir(name) })
}

func (p Patient) Stat(name string) (Info, error) {
	return tried(p, "Stat", func() (Info, error) { return p.FS.Stat(name) })
}

func (p Patient) Lstat(name string) (Info, error) {
	return tried(p, "Lstat", func() (Info, error) { return p.FS.Lstat(name) })
}

func (p Patient) ReadDir(name string) ([]string, error) {
	return tried(p, "ReadDir", func() ([]string, error) { return p.FS.ReadDir(name) })
}

func (p Patient) Mkdir(name string, perm fs.FileMode) error {
	return p.try("Mkdir", func() error { return p.FS.Mkdir(name, perm) })
}

func (p Patient) Remove(name string) error {
	return p.try("Remove", func() error { return p.FS.Remove(name) })
}

func (p Patient) Rmdir(name string) error {
	return p.try("Rmdir", func() error { return p.FS.Rmdir(name) })
}

func (p Patient) Rename(from, to string) error {
	return p.try("Rename", func() error { return p.FS.Rename(from, to) })
}

func (p Patient) RenameNoReplace(from, to string) error {
	return p.try("RenameNoReplace", func() error { return p.FS.RenameNoReplace(from, to) })
}

type patientFile struct {
	File
	p Patient
}

func (f patientFile) Read(b []byte) (int, error) {
	return f.transfer("File.Read", func() (int, error) { return f.File.Read(b) })
}

func (f patientFile) Write(b []byte) (int, error) {
	return f.transfer("File.Write", func() (int, error) { return f.File.Write(b) })
}

func (f patientFile) WriteAt(b []byte, off int64) (int, error) {
	return f.transfer("File.WriteAt", func() (int, error) { return f.File.WriteAt(b, off) })
}

// transfer starts nothing over that has moved a byte.
func (f patientFile) transfer(op string, call func() (int, error)) (n int, err error) {
	_ = f.p.try(op, func() error {
		if n, err = call(); n > 0 {
			return nil
		}
		return err
	})
	return n, err
}

func (f patientFile) Truncate(size int64) error {
	return f.p.try("File.Truncate", func() error { return f.File.Truncate(size) })
}

func (f patientFile) CopyAttrs(from File) error {
	if w, ok := from.(patientFile); ok {
		from = w.File
	}
	return f.p.try("File.CopyAttrs", func() error { return f.File.CopyAttrs(from) })
}
