// Package fsys is the one seam between evercred and the file system. Ledger,
// durable save, dir lock and file store do nothing to a disk except through
// FS, so that a test can put faults, crashes and strange file systems under
// them.
//
// No path given to FS is followed at its last element unless the method says
// so, and opening never blocks: a FIFO or a device in the place of a file is
// returned at once for its mode to be looked at.
package fsys

import (
	"errors"
	"io"
	"io/fs"
	"time"
)

// Errors that callers tell apart, beside those of io/fs.
var (
	// ErrUnsupported: this file system or operating system cannot do that.
	ErrUnsupported = errors.New("not supported by this file system")
	// ErrWouldBlock: somebody else holds the lock.
	ErrWouldBlock = errors.New("lock is held")
)

// FS is a file system. It is safe for concurrent use.
type FS interface {
	// OpenFile opens a file with the flags of package os. On Unix it adds
	// O_CLOEXEC, O_NOFOLLOW and O_NONBLOCK.
	OpenFile(name string, flag int, perm fs.FileMode) (File, error)
	// OpenDir opens a directory to stat, stamp and sync it; never through a link.
	OpenDir(name string) (File, error)
	// Stat follows links; Lstat does not.
	Stat(name string) (Info, error)
	Lstat(name string) (Info, error)
	// ReadDir returns the names in a directory, sorted.
	ReadDir(name string) ([]string, error)
	Readlink(name string) (string, error)
	Mkdir(name string, perm fs.FileMode) error
	// Remove unlinks a file or link and never removes a directory.
	Remove(name string) error
	// Rmdir removes an empty directory and never anything else.
	Rmdir(name string) error
	// Rename replaces what stands at to.
	Rename(from, to string) error
	// RenameNoReplace fails with fs.ErrExist if something stands at to, and
	// with ErrUnsupported where the system has no such operation.
	RenameNoReplace(from, to string) error
	// Chown changes owner and group, not through a link. On Windows it does nothing.
	Chown(name string, uid, gid int) error
	// Kind says what sort of file system holds name (a directory or file that exists).
	Kind(name string) (Kind, error)
}

// File is an open file or directory.
type File interface {
	io.Reader
	io.Writer
	io.WriterAt
	io.Closer
	Name() string
	Stat() (Info, error)
	// Sync makes content and metadata durable, Datasync the content and what is
	// needed to find it. On a directory both make its entries durable.
	Sync() error
	Datasync() error
	Truncate(size int64) error
	Chmod(mode fs.FileMode) error
	Chown(uid, gid int) error
	// SetTime sets access and modification time through the descriptor.
	SetTime(t time.Time) error
	// Preallocate reserves space for size bytes without changing the file's
	// size. ErrUnsupported where that cannot be done; then nothing is reserved.
	Preallocate(size int64) error
	// TryLock takes the exclusive lock of the open file (flock, LockFileEx) or
	// returns ErrWouldBlock or ErrUnsupported at once. Closing frees it.
	TryLock() error
	// CopyAttrs gives the file the access list, label and extended attributes
	// of from. What the file system does not have is not an error.
	CopyAttrs(from File) error
}

// Info is what evercred wants to know of a file.
type Info struct {
	Mode      fs.FileMode
	Size      int64
	ModTime   time.Time
	BirthTime time.Time // zero: unknown
	Dev, Ino  uint64    // Ino 0: unknown
	Nlink     uint64
	UID, GID  int // -1 on Windows
	// MountRoot: the file is itself a mount point (a bind-mounted file).
	MountRoot bool
}

// SameFile reports whether a and b describe one file.
func SameFile(a, b Info) bool {
	return a.Dev == b.Dev && a.Ino == b.Ino && a.Ino != 0 && a.BirthTime.Equal(b.BirthTime)
}

// Kind is what a file system can be trusted with.
type Kind struct {
	Name string // "ext4", "nfs", "0x01021994"
	// Remote: times come from another clock or through a daemon (NFS, SMB, 9p,
	// FUSE): ages mean nothing, calls may hang, locks may be local only.
	Remote bool
}
