package fsys

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

// shareAll lets others read, write, rename and delete what we have open: the
// owners must not trip over us (DESIGN §3.4). Package os leaves out the last,
// and so the files are opened here.
const shareAll = windows.FILE_SHARE_READ | windows.FILE_SHARE_WRITE | windows.FILE_SHARE_DELETE

// OpenFile opens a file; see FS.
func (OS) OpenFile(name string, flag int, _ fs.FileMode) (File, error) {
	h, err := open(name, access(flag), disposition(flag), windows.FILE_FLAG_OPEN_REPARSE_POINT)
	if err != nil {
		return nil, pathErr("open", name, err)
	}
	switch surrogate, reparse := reparse(h); {
	case surrogate:
		windows.CloseHandle(h)
		return nil, pathErr("open", name, syscall.ELOOP)
	case reparse: // such as a file that lives in a cloud: its filter must see the open
		windows.CloseHandle(h)
		if h, err = open(name, access(flag), windows.OPEN_EXISTING, 0); err != nil {
			return nil, pathErr("open", name, err)
		}
	}
	return file{os.NewFile(uintptr(h), name)}, nil
}

// OpenDir opens a directory; see FS. The right to set its times is asked for,
// and done without where it is not given.
func (o OS) OpenDir(name string) (File, error) {
	const flags = windows.FILE_FLAG_BACKUP_SEMANTICS | windows.FILE_FLAG_OPEN_REPARSE_POINT
	h, err := open(name, windows.GENERIC_READ|windows.FILE_WRITE_ATTRIBUTES, windows.OPEN_EXISTING, flags)
	if errors.Is(err, windows.ERROR_ACCESS_DENIED) {
		h, err = open(name, windows.GENERIC_READ, windows.OPEN_EXISTING, flags)
	}
	if err != nil {
		return nil, pathErr("open", name, err)
	}
	i, err := info(h)
	if err != nil || !i.Mode.IsDir() {
		windows.CloseHandle(h)
		return nil, pathErr("open", name, errors.Join(err, syscall.ENOTDIR))
	}
	return file{os.NewFile(uintptr(h), name)}, nil
}

func access(flag int) uint32 {
	var a uint32
	switch flag & (os.O_RDONLY | os.O_WRONLY | os.O_RDWR) {
	case os.O_RDONLY:
		a = windows.GENERIC_READ
	case os.O_WRONLY:
		a = windows.GENERIC_WRITE
	default:
		a = windows.GENERIC_READ | windows.GENERIC_WRITE
	}
	if flag&os.O_APPEND != 0 {
		a = a&^windows.GENERIC_WRITE | windows.FILE_GENERIC_WRITE&^windows.FILE_WRITE_DATA
	}
	return a
}

func disposition(flag int) uint32 {
	switch {
	case flag&(os.O_CREATE|os.O_EXCL) == os.O_CREATE|os.O_EXCL:
		return windows.CREATE_NEW
	case flag&(os.O_CREATE|os.O_TRUNC) == os.O_CREATE|os.O_TRUNC:
		return windows.CREATE_ALWAYS
	case flag&os.O_CREATE != 0:
		return windows.OPEN_ALWAYS
	case flag&os.O_TRUNC != 0:
		return windows.TRUNCATE_EXISTING
	}
	return windows.OPEN_EXISTING
}

func open(name string, access, disposition, flags uint32) (h windows.Handle, err error) {
	p, err := windows.UTF16PtrFromString(name)
	if err != nil {
		return 0, err
	}
	return windows.CreateFile(p, access, shareAll, nil, disposition, windows.FILE_ATTRIBUTE_NORMAL|flags, 0)
}

// System is the real file system, with patience.
func System() FS { return Patient{FS: OS{}, Passing: passing} }

// passing are the errors of a file that somebody else has open, or a part of
// which is locked, mapped or just being deleted. Replacing such a file is
// "access denied", like what one may not do: there both are tried again.
func passing(op string, err error) bool {
	for _, cause := range []error{
		windows.ERROR_SHARING_VIOLATION, windows.ERROR_LOCK_VIOLATION,
		windows.ERROR_USER_MAPPED_FILE, windows.ERROR_DELETE_PENDING,
	} {
		if errors.Is(err, cause) {
			return true
		}
	}
	return op == "Rename" && errors.Is(err, windows.ERROR_ACCESS_DENIED)
}

// reparse tells whether h is a link or junction (a surrogate for another name),
// and whether it is a reparse point at all.
func reparse(h windows.Handle) (surrogate, reparse bool) {
	var tag struct{ Attributes, Tag uint32 }
	err := windows.GetFileInformationByHandleEx(h, windows.FileAttributeTagInfo, (*byte)(unsafe.Pointer(&tag)), uint32(unsafe.Sizeof(tag)))
	if err != nil || tag.Attributes&windows.FILE_ATTRIBUTE_REPARSE_POINT == 0 {
		return false, false
	}
	const nameSurrogate = 0x20000000 // IsReparseTagNameSurrogate of ntifs.h
	return tag.Tag&nameSurrogate != 0, true
}

// Stat follows links.
func (OS) Stat(name string) (Info, error) { return stat(name, 0) }

// Lstat does not.
func (OS) Lstat(name string) (Info, error) {
	return stat(name, windows.FILE_FLAG_OPEN_REPARSE_POINT)
}

func stat(name string, flags uint32) (Info, error) {
	h, err := open(name, windows.FILE_READ_ATTRIBUTES, windows.OPEN_EXISTING, windows.FILE_FLAG_BACKUP_SEMANTICS|flags)
	if err != nil {
		return Info{}, pathErr("stat", name, err)
	}
	defer windows.CloseHandle(h)
	i, err := info(h)
	return i, pathErr("stat", name, err)
}

// Stat describes the open file.
func (f file) Stat() (Info, error) {
	i, err := info(windows.Handle(f.Fd()))
	return i, pathErr("stat", f.Name(), err)
}

// info leaves BirthTime zero. The creation time is no mark of a file here: one
// that takes the place of another within 15 s is given the other's (file system
// tunneling). That an index was used again shows in the index itself: on NTFS
// its upper bits count the uses.
func info(h windows.Handle) (Info, error) {
	var d windows.ByHandleFileInformation
	if err := windows.GetFileInformationByHandle(h, &d); err != nil {
		return Info{}, err
	}
	return Info{
		Mode:    mode(h, d.FileAttributes),
		Size:    int64(d.FileSizeHigh)<<32 | int64(d.FileSizeLow),
		ModTime: time.Unix(0, d.LastWriteTime.Nanoseconds()),
		Dev:     uint64(d.VolumeSerialNumber),
		Ino:     uint64(d.FileIndexHigh)<<32 | uint64(d.FileIndexLow),
		Nlink:   uint64(d.NumberOfLinks),
		UID:     -1,
		GID:     -1,
	}, nil
}

// mode shows the owner's bits alone: who else may read is said by an access
// list, which bits cannot say.
func mode(h windows.Handle, attributes uint32) fs.FileMode {
	m := fs.FileMode(0o600)
	if attributes&windows.FILE_ATTRIBUTE_READONLY != 0 {
		m = 0o400
	}
	surrogate, _ := reparse(h)
	kind, _ := windows.GetFileType(h)
	switch {
	case surrogate:
		m |= fs.ModeSymlink
	case attributes&windows.FILE_ATTRIBUTE_DIRECTORY != 0:
		m = fs.ModeDir | 0o700
	case kind != windows.FILE_TYPE_DISK:
		m |= fs.ModeDevice
	}
	return m
}

// Remove unlinks a file or link.
func (OS) Remove(name string) error {
	p, err := windows.UTF16PtrFromString(name)
	if err == nil {
		err = windows.DeleteFile(p)
	}
	return pathErr("remove", name, err)
}

// Rmdir removes an empty directory; RemoveDirectory alone would also remove a junction.
func (o OS) Rmdir(name string) error {
	i, err := o.Lstat(name)
	if err != nil {
		return err
	}
	if !i.Mode.IsDir() {
		return pathErr("rmdir", name, syscall.ENOTDIR)
	}
	p, err := windows.UTF16PtrFromString(name)
	if err == nil {
		err = windows.RemoveDirectory(p)
	}
	return pathErr("rmdir", name, err)
}

// Rename is MoveFileEx and not ReplaceFile, which is made of several steps, may
// end between them with nothing at to, and does not write through. What
// ReplaceFile would keep of the old file, its access list, CopyAttrs has given
// to the new one before there was any content; MoveFileEx takes it along.
func (OS) Rename(from, to string) error {
	return move(from, to, windows.MOVEFILE_REPLACE_EXISTING)
}

// RenameNoReplace never replaces.
func (OS) RenameNoReplace(from, to string) error { return move(from, to, 0) }

func move(from, to string, flags uint32) error {
	f, err := windows.UTF16PtrFromString(from)
	if err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	t, err := windows.UTF16PtrFromString(to)
	if err == nil {
		err = windows.MoveFileEx(f, t, flags|windows.MOVEFILE_WRITE_THROUGH)
	}
	if err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}

// Chown does nothing: a new file belongs to whom the access list says.
func (OS) Chown(string, int, int) error { return nil }

// Chown does nothing.
func (f file) Chown(int, int) error { return nil }

// Sync flushes a file. A directory cannot be flushed: MOVEFILE_WRITE_THROUGH
// has made the rename durable.
func (f file) Sync() error {
	if i, err := f.Stat(); err != nil || i.Mode.IsDir() {
		return err
	}
	return f.File.Sync()
}

// Datasync is Sync.
func (f file) Datasync() error { return f.Sync() }

// SetTime sets both times by handle.
func (f file) SetTime(t time.Time) error {
	ft := windows.NsecToFiletime(t.UnixNano())
	return pathErr("set time", f.Name(), windows.SetFileTime(windows.Handle(f.Fd()), nil, &ft, &ft))
}

// Preallocate sets the allocation size, which is apart from the file's size;
// but one below it would cut the file.
func (f file) Preallocate(size int64) error {
	if i, err := f.Stat(); err != nil || i.Size >= size {
		return err
	}
	err := windows.SetFileInformationByHandle(windows.Handle(f.Fd()), windows.FileAllocationInfo, (*byte)(unsafe.Pointer(&size)), uint32(unsafe.Sizeof(size)))
	if unsupported(err) {
		err = ErrUnsupported
	}
	return pathErr("preallocate", f.Name(), err)
}

// TryLock is LockFileEx on one byte far behind any content: these locks are
// mandatory, and nobody shall be kept from reading.
func (f file) TryLock() error {
	at := windows.Overlapped{OffsetHigh: 1 << 30}
	err := windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, &at)
	switch {
	case errors.Is(err, windows.ERROR_LOCK_VIOLATION), errors.Is(err, windows.ERROR_IO_PENDING):
		err = ErrWouldBlock
	case unsupported(err):
		err = ErrUnsupported
	}
	return pathErr("lock", f.Name(), err)
}

func unsupported(err error) bool {
	return errors.Is(err, windows.ERROR_NOT_SUPPORTED) || errors.Is(err, windows.ERROR_INVALID_FUNCTION) || errors.Is(err, windows.ERROR_CALL_NOT_IMPLEMENTED)
}

// CopyAttrs copies the access list. It goes by name, because the handle would
// need a right that is not everybody's; f is a file of ours in a folder of ours.
func (f file) CopyAttrs(from File) error {
	src, ok := from.(file)
	if !ok {
		return pathErr("copy attributes", f.Name(), ErrUnsupported)
	}
	sd, err := windows.GetSecurityInfo(windows.Handle(src.Fd()), windows.SE_FILE_OBJECT, windows.DACL_SECURITY_INFORMATION)
	if err != nil {
		return pathErr("read access list", src.Name(), err)
	}
	dacl, _, err := sd.DACL()
	if err != nil {
		return pathErr("read access list", src.Name(), err)
	}
	control, _, err := sd.Control()
	if err != nil {
		return pathErr("read access list", src.Name(), err)
	}
	what := windows.SECURITY_INFORMATION(windows.DACL_SECURITY_INFORMATION | windows.UNPROTECTED_DACL_SECURITY_INFORMATION)
	if control&windows.SE_DACL_PROTECTED != 0 {
		what = windows.DACL_SECURITY_INFORMATION | windows.PROTECTED_DACL_SECURITY_INFORMATION
	}
	return pathErr("set access list", f.Name(), windows.SetNamedSecurityInfo(f.Name(), windows.SE_FILE_OBJECT, what, nil, nil, dacl, nil))
}

// Kind asks for the volume that holds name, which the system answers for a name
// that does not exist, too.
func (o OS) Kind(name string) (Kind, error) {
	if _, err := o.Stat(name); err != nil {
		return Kind{}, err
	}
	p, err := windows.UTF16PtrFromString(name)
	if err != nil {
		return Kind{}, pathErr("volume", name, err)
	}
	root := make([]uint16, windows.MAX_LONG_PATH)
	if err := windows.GetVolumePathName(p, &root[0], uint32(len(root))); err != nil {
		return Kind{}, pathErr("volume", name, err)
	}
	kind := make([]uint16, windows.MAX_PATH+1)
	if err := windows.GetVolumeInformation(&root[0], nil, 0, nil, nil, nil, &kind[0], uint32(len(kind))); err != nil {
		return Kind{}, pathErr("volume", name, err)
	}
	return Kind{Name: windows.UTF16ToString(kind), Remote: windows.GetDriveType(&root[0]) == windows.DRIVE_REMOTE}, nil
}

func pathErr(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: name, Err: err}
}
