package fsys

import (
	"io/fs"
	"os"
	"slices"
	"sync/atomic"
)

// OS is the real file system.
type OS struct{}

var _ FS = OS{}

// standard is what Default returns instead of System; only tests set it.
var standard atomic.Pointer[FS]

// Default is the file system of everybody who was not given another.
func Default() FS {
	if f := standard.Load(); f != nil {
		return *f
	}
	return System()
}

// SetDefault puts f in the place of System. Only the guard of the tests calls it,
// so that no test reaches a real login by way of a default.
func SetDefault(f FS) { standard.Store(&f) }

// file adds to os.File what is not portable; those methods stand in the files
// of the systems.
type file struct{ *os.File }

// ReadDir returns the names in a directory, sorted.
func (o OS) ReadDir(name string) ([]string, error) {
	d, err := o.OpenDir(name)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.(file).Readdirnames(-1)
	slices.Sort(names)
	return names, err
}

// Readlink reads a symbolic link.
func (OS) Readlink(name string) (string, error) { return os.Readlink(name) }

// Mkdir makes a directory.
func (OS) Mkdir(name string, perm fs.FileMode) error { return os.Mkdir(name, perm) }
