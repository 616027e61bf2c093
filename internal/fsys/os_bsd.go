//go:build darwin || freebsd

package fsys

import (
	"io/fs"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// noAttr: the attribute does not exist.
const noAttr = unix.ENOATTR

// Stat follows links.
func (OS) Stat(name string) (Info, error) {
	return stat(name, func(st *unix.Stat_t) error { return unix.Stat(name, st) })
}

// Lstat does not.
func (OS) Lstat(name string) (Info, error) {
	return stat(name, func(st *unix.Stat_t) error { return unix.Lstat(name, st) })
}

// Stat describes the open file.
func (f file) Stat() (Info, error) {
	return stat(f.Name(), func(st *unix.Stat_t) error { return unix.Fstat(int(f.Fd()), st) })
}

// stat leaves MountRoot false: darwin has no mounts of single files, and on
// FreeBSD (nullfs) only the device numbers of file and folder tell.
func stat(name string, call func(*unix.Stat_t) error) (Info, error) {
	var st unix.Stat_t
	if err := call(&st); err != nil {
		return Info{}, pathErr("stat", name, err)
	}
	return Info{
		Mode:      mode(uint32(st.Mode)),
		Size:      st.Size,
		ModTime:   when(st.Mtim),
		BirthTime: birth(st.Btim),
		Dev:       uint64(st.Dev),
		Ino:       st.Ino,
		Nlink:     uint64(st.Nlink),
		UID:       int(st.Uid),
		GID:       int(st.Gid),
	}, nil
}

func when(ts unix.Timespec) time.Time { return time.Unix(ts.Unix()) }

// birth is zero where the file system does not keep it (it says 0 or -1).
func birth(ts unix.Timespec) time.Time {
	if ts.Sec <= 0 {
		return time.Time{}
	}
	return when(ts)
}

// futimens keeps microseconds only: that is what futimes(2) takes.
func futimens(fd int, ts unix.Timespec) error {
	tv := unix.NsecToTimeval(ts.Nano())
	return unix.Futimes(fd, []unix.Timeval{tv, tv})
}

// Datasync is fsync: on darwin os.File.Sync asks for F_FULLFSYNC, without which
// nothing is sure to have left the drive's cache.
func (f file) Datasync() error { return f.Sync() }

// dropInherited has nothing to do: access lists are no attributes here.
func dropInherited(int, []string) error { return nil }

// Kind asks statfs(2).
func (OS) Kind(name string) (Kind, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(name, &st); err != nil {
		return Kind{}, &fs.PathError{Op: "statfs", Path: name, Err: err}
	}
	kind := unix.ByteSliceToString(st.Fstypename[:])
	return Kind{Name: kind, Remote: remote(kind)}, nil
}

func remote(kind string) bool {
	switch kind {
	case "nfs", "smbfs", "afpfs", "webdav", "ftp", "9p", "p9fs", "virtiofs", "AppleVirtIOFS", "vmhgfs":
		return true
	}
	return strings.Contains(kind, "fuse") // osxfuse, macfuse, fusefs, fusefs.sshfs
}
