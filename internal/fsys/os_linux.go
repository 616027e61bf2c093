package fsys

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
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

// mountRoot tells on kernels before 5.8, whose statx does not, whether the open
// file is a mount point: then it lies in another mount than its folder. The
// device number would not do, a bind mount within one file system shares it
// (FAILURES F3).
func mountRoot(fd int) bool {
	name, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
	if err != nil {
		return false
	}
	dir, err := unix.Open(filepath.Dir(name), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(dir)
	own, beside := mountID(fd), mountID(dir)
	return own != "" && beside != "" && own != beside
}

// mountID is the mount that a descriptor lies in; empty: unknown.
func mountID(fd int) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", fd))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		if id, ok := strings.CutPrefix(line, "mnt_id:"); ok {
			return strings.TrimSpace(id)
		}
	}
	return ""
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
	switch {
	case st.Attributes_mask&unix.STATX_ATTR_MOUNT_ROOT != 0:
		i.MountRoot = st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0
	case name == "" && i.Mode.IsRegular():
		i.MountRoot = mountRoot(fd)
	}
	return i, nil
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

// noAttr: the attribute does not exist.
const noAttr = unix.ENODATA

// accessList is the attribute in which Linux keeps a file's POSIX access list.
const accessList = "system.posix_acl_access"

// copied reports whether an attribute belongs to the file's user, and not to
// its content (a hash or signature of the old bytes) or to the file system
// below (trusted.overlay.*, trusted.gfid), where a copy would be a lie.
func copied(name string) bool {
	switch name {
	case "security.ima", "security.evm", "security.capability":
		return false
	}
	return !strings.HasPrefix(name, "trusted.")
}

// required reports whether an attribute must not be lost. Labels (security.*)
// may be readable and yet not ours to set; the system then labels the new file
// by its own rules.
func required(name string) bool { return !strings.HasPrefix(name, "security.") }

// dropInherited takes away what a new file got from the default access list of
// its folder and the file it stands for does not have: it would widen access.
func dropInherited(fd int, have []string) error {
	if slices.Contains(have, accessList) {
		return nil
	}
	if err := unix.Fremovexattr(fd, accessList); err != nil && !absent(err) {
		return err
	}
	return nil
}

func listxattr(fd int) ([]string, error) {
	buf := make([]byte, 64<<10) // XATTR_LIST_MAX
	n, err := unix.Flistxattr(fd, buf)
	if err != nil {
		return nil, err
	}
	return strings.FieldsFunc(string(buf[:n]), func(r rune) bool { return r == 0 }), nil
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
