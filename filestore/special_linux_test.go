package filestore

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/evercred/evercred"
	"golang.org/x/sys/unix"
)

// F6: a FIFO, a socket or a device never blocks, and is never opened.
func TestLoadNeverBlocks(t *testing.T) {
	dir := t.TempDir()
	fifo, sock, device := filepath.Join(dir, "fifo"), filepath.Join(dir, "s"), filepath.Join(dir, "device")
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	for _, err := range []error{unix.Mkfifo(fifo, 0o600), unix.Bind(fd, &unix.SockaddrUnix{Name: sock}), os.Symlink("/dev/zero", device)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for path, kind := range map[string]string{fifo: "FIFO", sock: "socket", device: "device"} {
		_, err := New(path, nil).Load(t.Context())
		wants(t, kind, err, evercred.ErrUnsafe, evercred.ReasonUnreadable)
		if err != nil && !strings.Contains(err.Error(), kind) {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

// F3: a file that alone is a mount point is served, refused a save, and saved
// in place if that is allowed. The child has a mount namespace of its own.
func TestFileMount(t *testing.T) {
	dir, path := home(t)
	outside := filepath.Join(dir, "outside.json")
	write(t, outside, strange)
	if err := os.Chown(outside, alice, alice); err != nil {
		t.Fatal(err)
	}
	privately(t, path, func() error { return unix.Mount(outside, path, "", unix.MS_BIND, "") })
	first, all := child(t, path, 0)
	if first != "prepare file-mount" || !strings.Contains(all, "mount point") {
		t.Errorf("not allowed: %s", all)
	}
	if textOf(t, outside) != strange {
		t.Error("written all the same")
	}
	before, _ := os.Stat(outside)
	if first, all := child(t, path, 0, childVar+"_ALLOW=1"); first != "saved" {
		t.Errorf("allowed: %s", all)
	}
	after, _ := os.Stat(outside)
	if got := textOf(t, outside); strings.TrimRight(got, " \n") != successor || len(got) != len(strange) || !os.SameFile(before, after) {
		t.Errorf("%q", got)
	}
	tidy(t, dir, "doc.json", "outside.json")
}

// F4, F5, with a real disk: a full and a read-only file system, an immutable
// file. Each is found before the grant.
func TestRealDisks(t *testing.T) {
	dir, _ := home(t)
	privately(t, dir, func() error { return unix.Mount("tmpfs", dir, "tmpfs", 0, "size=256k,mode=755") })
	path := filepath.Join(dir, "doc.json")
	write(t, path, strange)
	if first, all := child(t, path, 0); first != "saved" {
		t.Fatalf("the setting is wrong: %s", all)
	}
	write(t, path, strange)
	full, err := os.Create(filepath.Join(dir, "full"))
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = full.Write(make([]byte, 4096))
	}
	full.Close()
	if first, all := child(t, path, 0); first != "lock cannot-lock" && first != "prepare cannot-save" || !strings.Contains(all, "no space left") {
		t.Errorf("full: %s", all)
	}
	if err := os.Remove(full.Name()); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	if first, all := child(t, path, 0); first != "lock cannot-lock" || !strings.Contains(all, "read-only file system") {
		t.Errorf("read-only: %s", all)
	}
	if textOf(t, path) != strange {
		t.Error("written all the same")
	}
}

func TestImmutable(t *testing.T) {
	dir, path := home(t)
	if first, all := child(t, path, 0); first != "saved" {
		t.Fatalf("the setting is wrong: %s", all)
	}
	for _, name := range []string{path, dir} {
		if err := immutable(name, true); err != nil {
			t.Skipf("no immutable files here: %v", err)
		}
		first, all := child(t, path, 0)
		if err := immutable(name, false); err != nil {
			t.Fatal(err)
		}
		if first != "prepare permissions" {
			t.Errorf("%s is immutable: %s", name, all)
		}
	}
	tidy(t, dir, "doc.json")
}

const immutableFlag = 0x10 // FS_IMMUTABLE_FL of linux/fs.h

func immutable(name string, on bool) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	flags, err := unix.IoctlGetInt(int(f.Fd()), unix.FS_IOC_GETFLAGS)
	if err != nil {
		return err
	}
	flags &^= immutableFlag
	if on {
		flags |= immutableFlag
	}
	return unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, flags)
}

// privately mounts something at target where nobody else sees it, until the
// test ends.
func privately(t *testing.T, target string, mount func() error) {
	t.Helper()
	runtime.LockOSThread() // and never unlocked: the thread ends with the test
	err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS)
	if err == nil {
		err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	}
	if err == nil {
		err = mount()
	}
	if errors.Is(err, syscall.EPERM) {
		t.Skip("mounts are not permitted here")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(target, unix.MNT_DETACH) })
}

// F5: attributes and access list are kept; with Private the list's mask is
// closed, so that nobody named in it can read the new document.
func TestAttributesAreKept(t *testing.T) {
	le := binary.LittleEndian
	list := le.AppendUint32(nil, 2)
	for _, e := range [][3]uint32{{1, 6, ^uint32(0)}, {2, 4, bob}, {4, 0, ^uint32(0)}, {0x10, 4, ^uint32(0)}, {0x20, 0, ^uint32(0)}} {
		list = le.AppendUint32(le.AppendUint16(le.AppendUint16(list, uint16(e[0])), uint16(e[1])), e[2])
	}
	for _, private := range []bool{false, true} {
		dir := t.TempDir()
		v := saving{dir: dir, path: filepath.Join(dir, "doc.json")}
		write(t, v.path, strange)
		for name, value := range map[string][]byte{"user.note": []byte("kept"), "system.posix_acl_access": list} {
			if err := unix.Setxattr(v.path, name, value, 0); err != nil {
				t.Skipf("%s: %v", name, err)
			}
		}
		v.prepare(t, &Options{Private: private})
		if _, err := v.save(t); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 1024)
		n, err := unix.Getxattr(v.path, "user.note", buf)
		if err != nil || string(buf[:n]) != "kept" {
			t.Errorf("user.note: %q, %v", buf[:max(n, 0)], err)
		}
		n, err = unix.Getxattr(v.path, "system.posix_acl_access", buf)
		if err != nil || n != len(list) {
			t.Fatalf("access list: %d bytes, %v", n, err)
		}
		want := uint16(4)
		if private {
			want = 0
		}
		if mask := le.Uint16(buf[4+3*8+2:]); mask != want {
			t.Errorf("private %v: the mask is %d, want %d", private, mask, want)
		}
	}
}

// R7, S6: a process that is killed while the new document is on disk under its
// temporary name leaves the old document, and the next one clears the copy away.
func TestKilledDuringSave(t *testing.T) {
	dir, path := home(t)
	first, all := child(t, path, alice, childVar+"_KILL=1")
	if !strings.Contains(all, "killed") {
		t.Fatalf("%s %s", first, all)
	}
	if textOf(t, path) != strange {
		t.Error("the document changed")
	}
	left, err := filepath.Glob(filepath.Join(dir, ".evercred", "doc.json", "tmp-save-*"))
	if err != nil || len(left) != 1 || textOf(t, left[0]) != successor {
		t.Fatalf("the setting is wrong: %v, %v", left, err)
	}
	if i, _ := os.Stat(left[0]); i.Mode() != 0o600 {
		t.Errorf("the copy has %v", i.Mode())
	}
	if first, all := child(t, path, alice); first != "saved" {
		t.Errorf("the next one: %s", all)
	}
	tidy(t, dir, "doc.json")
}
