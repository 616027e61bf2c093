package fsys

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Stat follows links.
func (OS) Stat(name string) (Info, error) { return statx(unix.AT_FDCWD, name, 0) }

// Lstat does not.
func (OS) Lstat(name string) (Info, error) {
	return statx(unix.AT_FDCWD, name, unix.AT_SYMLINK_NOFOLLOW)
}

// Stat describes the open file.
func (f file) Stat() (Info, error) {
	i, err := statx(int(f.Fd()), "", unix.AT_EMPTY_PATH)
	if err != nil {
		return i, pathErr("stat", f.Name(), errors.Unwrap(err))
	}
	return i, nil
}

func statx(fd int, name string, flags int) (Info, error) {
	var st unix.Statx_t
	var err error
	for {
		err = unix.Statx(fd, name, flags|unix.AT_NO_AUTOMOUNT, unix.STATX_BASIC_STATS|unix.STATX_BTIME, &st)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return Info{}, pathErr("stat", name, err)
	}
	i := Info{
		Mode:    mode(uint32(st.Mode)),
		Size:    int64(st.Size),
		ModTime: time.Unix(st.Mtime.Sec, int64(st.Mtime.Nsec)),
		Dev:     uint64(st.Dev_major)<<32 | uint64(st.Dev_minor),
		Ino:     st.Ino,
		Nlink:   uint64(st.Nlink),
		UID:     int(st.Uid),
		GID:     int(st.Gid),
	}
	if st.Mask&unix.STATX_BTIME != 0 {
		i.BirthTime = time.Unix(st.Btime.Sec, int64(st.Btime.Nsec))
	}
	i.MountRoot = st.Attributes_mask&unix.STATX_ATTR_MOUNT_ROOT != 0 && st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0
	return i, nil
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

func renameNoReplace(from, to string) error {
	return unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
}

// futimens by way of /proc-free utimensat(fd, NULL): x/sys has no direct call.
func futimens(fd int, ts unix.Timespec) error {
	return utimensat(fd, &[2]unix.Timespec{ts, ts})
}

// Datasync is fdatasync(2).
func (f file) Datasync() error {
	for {
		err := unix.Fdatasync(int(f.Fd()))
		if !errors.Is(err, unix.EINTR) {
			return pathErr("fdatasync", f.Name(), err)
		}
	}
}

// Preallocate reserves blocks beyond the end of the file.
func (f file) Preallocate(size int64) error {
	for {
		err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, size)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS):
			return pathErr("fallocate", f.Name(), ErrUnsupported)
		}
		return pathErr("fallocate", f.Name(), err)
	}
}

// CopyAttrs copies every extended attribute; on Linux the access list
// (system.posix_acl_access) and the SELinux label (security.selinux) are such.
func (f file) CopyAttrs(from File) error {
	src, ok := from.(file)
	if !ok {
		return fmt.Errorf("%s: %w", f.Name(), ErrUnsupported)
	}
	names, err := listxattr(int(src.Fd()))
	if err != nil {
		if notHere(err) {
			return nil
		}
		return pathErr("listxattr", src.Name(), err)
	}
	for _, name := range names {
		buf := make([]byte, 64<<10)
		n, err := unix.Fgetxattr(int(src.Fd()), name, buf)
		if err != nil {
			if notHere(err) {
				continue
			}
			return pathErr("getxattr "+name, src.Name(), err)
		}
		err = unix.Fsetxattr(int(f.Fd()), name, buf[:n], 0)
		// Namespaces other than user's own (security.*, trusted.*) may be
		// readable and yet not ours to set; the system sets those by its own
		// rules on the new file. A lost access list would narrow access, never
		// widen it, but it is the user's: report that one.
		if err != nil && (strings.HasPrefix(name, "user.") || strings.HasPrefix(name, "system.posix_acl")) {
			return pathErr("setxattr "+name, f.Name(), err)
		}
	}
	return nil
}

func notHere(err error) bool {
	return errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.ENODATA) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM)
}

func listxattr(fd int) ([]string, error) {
	for size := 4 << 10; ; size *= 4 {
		buf := make([]byte, size)
		n, err := unix.Flistxattr(fd, buf)
		if errors.Is(err, unix.ERANGE) && size < 1<<20 {
			continue
		}
		if err != nil {
			return nil, err
		}
		return strings.FieldsFunc(string(buf[:n]), func(r rune) bool { return r == 0 }), nil
	}
}

// kinds are the magic numbers of statfs(2) that matter or are worth a name.
var kinds = map[int64]Kind{
	unix.NFS_SUPER_MAGIC:       {"nfs", true},
	unix.SMB_SUPER_MAGIC:       {"smb", true},
	unix.SMB2_SUPER_MAGIC:      {"smb2", true},
	unix.CIFS_SUPER_MAGIC:      {"cifs", true},
	unix.V9FS_MAGIC:            {"9p", true},
	unix.FUSE_SUPER_MAGIC:      {"fuse", true},
	unix.AFS_SUPER_MAGIC:       {"afs", true},
	unix.CODA_SUPER_MAGIC:      {"coda", true},
	0x786f4256:                 {"vboxsf", true},
	0x00c36400:                 {"ceph", true},
	0x0bd00bd0:                 {"lustre", true},
	unix.EXT4_SUPER_MAGIC:      {"ext4", false},
	unix.XFS_SUPER_MAGIC:       {"xfs", false},
	unix.BTRFS_SUPER_MAGIC:     {"btrfs", false},
	unix.TMPFS_MAGIC:           {"tmpfs", false},
	unix.OVERLAYFS_SUPER_MAGIC: {"overlay", false},
	0x2fc12fc1:                 {"zfs", false},
	unix.F2FS_SUPER_MAGIC:      {"f2fs", false},
}

// Kind asks statfs(2).
func (OS) Kind(name string) (Kind, error) {
	var st unix.Statfs_t
	for {
		err := unix.Statfs(name, &st)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return Kind{}, &os.PathError{Op: "statfs", Path: name, Err: err}
		}
		break
	}
	if k, ok := kinds[int64(st.Type)&0xffffffff]; ok {
		return k, nil
	}
	return Kind{Name: fmt.Sprintf("%#x", uint32(st.Type))}, nil
}
