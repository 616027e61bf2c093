//go:build unix

package cli

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// writable asks whether we may make, replace and remove names in a directory.
func writable(dir string) error {
	err := unix.Faccessat(unix.AT_FDCWD, dir, unix.W_OK|unix.X_OK, unix.AT_EACCESS)
	if err != nil {
		return &fs.PathError{Op: "write to", Path: dir, Err: err}
	}
	return nil
}

// freeSpace is what we may still write to the disk of a directory, in bytes.
func freeSpace(dir string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, err
	}
	// The types of the two differ between systems.
	return int64(s.Bavail) * int64(s.Bsize), nil
}

// errChanged: somebody else is at work there.
var errChanged = errors.New("it changed meanwhile, or is not ours")

// openSame opens what e describes, and nothing that has taken its place.
func openSame(below *os.Root, e entry) (*os.File, error) {
	f, err := below.OpenFile(e.rel, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	var now unix.Stat_t
	err = unix.Fstat(int(f.Fd()), &now)
	file := now.Mode&unix.S_IFMT == unix.S_IFREG
	if err == nil && (uint64(now.Ino) != e.info.Ino || file != e.info.Mode.IsRegular() || file && now.Nlink != 1) {
		err = &fs.PathError{Op: "mend", Path: e.rel, Err: errChanged}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
