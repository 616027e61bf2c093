//go:build unix

package fsys

import (
	"errors"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// System is the real file system.
func System() FS { return OS{} }

// OpenFile opens a file; see FS.
func (OS) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	return open(name, flag, perm)
}

// OpenDir opens a directory; see FS.
func (OS) OpenDir(name string) (File, error) {
	return open(name, os.O_RDONLY|unix.O_DIRECTORY, 0)
}

// open asks the system itself, because package os would start its poller for a
// descriptor that does not block, and no regular file can be polled. What is
// not regular must not be read, and nobody here does.
func open(name string, flag int, perm fs.FileMode) (File, error) {
	for {
		fd, err := unix.Open(name, flag|unix.O_CLOEXEC|unix.O_NOFOLLOW|unix.O_NONBLOCK, uint32(perm.Perm()))
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return nil, pathErr("open", name, err)
		}
		if err := unix.SetNonblock(fd, false); err != nil {
			unix.Close(fd)
			return nil, pathErr("open", name, err)
		}
		return file{os.NewFile(uintptr(fd), name)}, nil
	}
}

// Remove unlinks a file or link.
func (OS) Remove(name string) error { return pathErr("unlink", name, unix.Unlink(name)) }

// Rmdir removes an empty directory.
func (OS) Rmdir(name string) error { return pathErr("rmdir", name, unix.Rmdir(name)) }

// Rename replaces what stands at to.
func (OS) Rename(from, to string) error { return os.Rename(from, to) }

// RenameNoReplace never replaces.
func (OS) RenameNoReplace(from, to string) error {
	err := renameNoReplace(from, to)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.EOPNOTSUPP) {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: ErrUnsupported}
	}
	if err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}

// Chown changes owner and group, not through a link.
func (OS) Chown(name string, uid, gid int) error { return os.Lchown(name, uid, gid) }

// SetTime sets both times through the descriptor.
func (f file) SetTime(t time.Time) error {
	ts, err := unix.TimeToTimespec(t)
	if err != nil {
		return pathErr("utimes", f.Name(), err)
	}
	return pathErr("utimes", f.Name(), futimens(int(f.Fd()), ts))
}

// TryLock is flock(2): it belongs to the open file, so two Sources of one
// process exclude each other too. POSIX record locks would not do that, and
// closing any other descriptor of the file would drop them.
func (f file) TryLock() error {
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EWOULDBLOCK):
			return pathErr("flock", f.Name(), ErrWouldBlock)
		case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.ENOTSUP), errors.Is(err, unix.ENOLCK), errors.Is(err, unix.EINVAL):
			return pathErr("flock", f.Name(), ErrUnsupported)
		}
		return pathErr("flock", f.Name(), err)
	}
}

// CopyAttrs copies the extended attributes; on Linux the access list and the
// SELinux label are among them. An access list of darwin or FreeBSD is not
// copied: these systems keep it elsewhere, and x/sys does not reach it.
func (f file) CopyAttrs(from File) error {
	src, ok := from.(file)
	if !ok {
		return pathErr("copy attributes", f.Name(), ErrUnsupported)
	}
	names, err := listxattr(int(src.Fd()))
	if err != nil && !absent(err) {
		return pathErr("listxattr", src.Name(), err)
	}
	if err := dropInherited(int(f.Fd()), names); err != nil {
		return pathErr("removexattr", f.Name(), err)
	}
	for _, name := range names {
		if !copied(name) {
			continue
		}
		if err := f.copyAttr(src, name); err != nil {
			return err
		}
	}
	return nil
}

func (f file) copyAttr(src file, name string) error {
	value := make([]byte, 64<<10) // XATTR_SIZE_MAX
	n, err := unix.Fgetxattr(int(src.Fd()), name, value)
	if err != nil {
		if absent(err) {
			return nil
		}
		return pathErr("getxattr "+name, src.Name(), err)
	}
	err = unix.Fsetxattr(int(f.Fd()), name, value[:n], 0)
	if err != nil && required(name) {
		return pathErr("setxattr "+name, f.Name(), err)
	}
	return nil
}

// absent: the file system has no such thing, or hides it from us.
func absent(err error) bool {
	return errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, noAttr) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM)
}

func mode(m uint32) fs.FileMode {
	r := fs.FileMode(m & 0o777)
	switch m & unix.S_IFMT {
	case unix.S_IFDIR:
		r |= fs.ModeDir
	case unix.S_IFLNK:
		r |= fs.ModeSymlink
	case unix.S_IFIFO:
		r |= fs.ModeNamedPipe
	case unix.S_IFSOCK:
		r |= fs.ModeSocket
	case unix.S_IFBLK:
		r |= fs.ModeDevice
	case unix.S_IFCHR:
		r |= fs.ModeDevice | fs.ModeCharDevice
	}
	for bit, as := range map[uint32]fs.FileMode{unix.S_ISUID: fs.ModeSetuid, unix.S_ISGID: fs.ModeSetgid, unix.S_ISVTX: fs.ModeSticky} {
		if m&bit != 0 {
			r |= as
		}
	}
	return r
}

func pathErr(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: name, Err: err}
}
