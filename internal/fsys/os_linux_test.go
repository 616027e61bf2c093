package fsys

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// F6: whatever stands in the place of a file is opened, or refused, at once.
// (A call that blocked would hang the test.)
func TestOpenFileNeverBlocks(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := OS{}.OpenFile(fifo, os.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if i, err := f.Stat(); err != nil || i.Mode.Type() != fs.ModeNamedPipe {
		t.Errorf("%v, %v", i.Mode, err)
	}
	if f, err := (OS{}).OpenFile(fifo+"-", os.O_WRONLY, 0); err == nil {
		f.Close()
		t.Error("an absent file was opened")
	}
	if _, err := (OS{}).ReadDir(fifo); err == nil {
		t.Error("a FIFO was read as a directory")
	}
	if f, err := (OS{}).OpenDir(fifo); err == nil {
		f.Close()
		t.Error("a FIFO was opened as a directory")
	}
}

func TestStatOfSpecialFiles(t *testing.T) {
	dir := t.TempDir()
	sock := filepath.Join(dir, "s")
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: sock}); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o1777|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{sock, "/dev/null", dir} {
		want, err := os.Lstat(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := stats(t, name); got.Mode != want.Mode() {
			t.Errorf("%s: mode %v, want %v", name, got.Mode, want.Mode())
		}
	}
}

// acl is a POSIX access list in the kernel's form: version 2, then entries of
// tag, permissions and id (linux/posix_acl_xattr.h).
func acl(entries ...[3]uint32) []byte {
	b := binary.LittleEndian.AppendUint32(nil, 2)
	for _, e := range entries {
		b = binary.LittleEndian.AppendUint16(b, uint16(e[0]))
		b = binary.LittleEndian.AppendUint16(b, uint16(e[1]))
		b = binary.LittleEndian.AppendUint32(b, e[2])
	}
	return b
}

const (
	userObj, user, groupObj, mask, other = 0x01, 0x02, 0x04, 0x10, 0x20
	nobody                               = ^uint32(0)
)

// F5: access list and attributes are kept.
func TestCopyAttrs(t *testing.T) {
	dir := t.TempDir()
	from := create(t, filepath.Join(dir, "from"), "")
	to := create(t, filepath.Join(dir, "to"), "")
	set := func(name string, value []byte) {
		t.Helper()
		if err := unix.Setxattr(from.Name(), name, value, 0); err != nil {
			if errors.Is(err, unix.ENOTSUP) {
				t.Skipf("this file system has no %s", name)
			}
			t.Fatal(err)
		}
	}
	list := acl([3]uint32{userObj, 6, nobody}, [3]uint32{user, 4, 4242}, [3]uint32{groupObj, 0, nobody}, [3]uint32{mask, 4, nobody}, [3]uint32{other, 0, nobody})
	set("user.evercred", []byte("kept\x00as it is"))
	set(accessList, list)
	if err := to.CopyAttrs(from); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"user.evercred": "kept\x00as it is", accessList: string(list)} {
		buf := make([]byte, 1024)
		n, err := unix.Getxattr(to.Name(), name, buf)
		if err != nil || string(buf[:n]) != want {
			t.Errorf("%s is %q, %v; want %q", name, buf[:max(n, 0)], err, want)
		}
	}
}

// A folder's default access list must not widen the file that stands in for one
// without such a list (DESIGN §6.9: "never wider").
func TestCopyAttrsDropsInheritedAccess(t *testing.T) {
	dir := t.TempDir()
	from := create(t, filepath.Join(dir, "from"), "")
	staging := filepath.Join(dir, "staging")
	if err := os.Mkdir(staging, 0o700); err != nil {
		t.Fatal(err)
	}
	list := acl([3]uint32{userObj, 6, nobody}, [3]uint32{user, 6, 4242}, [3]uint32{groupObj, 6, nobody}, [3]uint32{mask, 6, nobody}, [3]uint32{other, 0, nobody})
	if err := unix.Setxattr(staging, "system.posix_acl_default", list, 0); err != nil {
		t.Skip(err)
	}
	to := create(t, filepath.Join(staging, "to"), "")
	if _, err := unix.Getxattr(to.Name(), accessList, make([]byte, 1024)); err != nil {
		t.Fatalf("the setting is wrong, nothing was inherited: %v", err)
	}
	if err := to.CopyAttrs(from); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Getxattr(to.Name(), accessList, make([]byte, 1024)); !errors.Is(err, unix.ENODATA) {
		t.Errorf("the inherited list is still there: %v", err)
	}
}

// F3: a bind mount of a single file, in a mount namespace of its own. The
// child also checks the way of kernels whose statx does not know mount roots.
func TestMountRoot(t *testing.T) {
	if dir := os.Getenv("EVERCRED_TEST_MOUNT"); dir != "" {
		mountChild(t, dir)
		return
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root to mount")
	}
	c := exec.Command(os.Args[0], "-test.run=^TestMountRoot$", "-test.v")
	c.Env = append(os.Environ(), "EVERCRED_TEST_MOUNT="+t.TempDir())
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	out, err := c.CombinedOutput()
	if errors.Is(err, syscall.EPERM) {
		t.Skip("mount namespaces are not permitted here")
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func mountChild(t *testing.T, dir string) {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Skip(err)
	}
	plain := create(t, filepath.Join(dir, "plain"), "")
	create(t, filepath.Join(dir, "mounted"), "").Close()
	if err := unix.Mount(plain.Name(), filepath.Join(dir, "mounted"), "", unix.MS_BIND, ""); err != nil {
		t.Skip(err)
	}
	mounted, err := OS{}.OpenFile(filepath.Join(dir, "mounted"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer mounted.Close()
	for f, want := range map[File]bool{plain: false, mounted: true} {
		i, err := f.Stat()
		if err != nil || i.MountRoot != want {
			t.Errorf("%s: %v, %v", f.Name(), i.MountRoot, err)
		}
		if got := mountRoot(int(f.(file).Fd())); got != want {
			t.Errorf("%s, by mount ids: %v", f.Name(), got)
		}
	}
	if i := stats(t, filepath.Join(dir, "mounted")); !i.MountRoot {
		t.Error("not seen by path")
	}
	err = OS{}.Rename(plain.Name(), filepath.Join(dir, "mounted"))
	if !errors.Is(err, unix.EBUSY) && !errors.Is(err, unix.EXDEV) {
		t.Errorf("rename over a mount point: %v", err)
	}
}
