package mounts

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"

	"golang.org/x/sys/unix"
)

// room is a mount namespace of its own. What is mounted in it nobody else sees,
// and all of it is gone when the room is closed and its last process has ended.
type room struct{ namespace *os.File }

func newRoom() (*room, error) {
	r := &room{}
	err := onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
			return fmt.Errorf("a mount namespace: %w", err)
		}
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			return fmt.Errorf("make its mounts private: %w", err)
		}
		var err error
		r.namespace, err = os.Open("/proc/thread-self/ns/mnt")
		return err
	})
	return r, err
}

// in runs f, and every process that f starts, in the room.
func (r *room) in(f func() error) error {
	return onThread(func() error {
		if err := errors.Join(unix.Unshare(unix.CLONE_FS), unix.Setns(int(r.namespace.Fd()), unix.CLONE_NEWNS)); err != nil {
			return fmt.Errorf("enter the mount namespace: %w", err)
		}
		return f()
	})
}

func (r *room) Close() error { return r.namespace.Close() }

// onThread runs f on a thread that ends with it.
func onThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked
		defer func() {
			if p := recover(); p != nil {
				done <- fmt.Errorf("panic: %v\n%s", p, debug.Stack())
			}
		}()
		done <- f()
	}()
	return <-done
}

// The mounts. Each is made in a room.

func tmpfs(at, options string, flags uintptr) error {
	return mounted(at, unix.Mount("tmpfs", at, "tmpfs", flags, "mode=755"+options))
}

// bind shows what is at from at another place as well.
func bind(from, at string) error { return mounted(at, unix.Mount(from, at, "", unix.MS_BIND, "")) }

// readOnly changes a mount of its own, and not the file system below it.
func readOnly(at string) error {
	return mounted(at, unix.Mount("", at, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""))
}

func writable(at string) error {
	return mounted(at, unix.Mount("", at, "", unix.MS_BIND|unix.MS_REMOUNT, ""))
}

func overlay(at, layers string) error {
	return mounted(at, unix.Mount("overlay", at, "overlay", 0, layers))
}

func unmount(at string) error { return mounted(at, unix.Unmount(at, 0)) }

func mounted(at string, err error) error {
	if err != nil {
		return fmt.Errorf("mount at %s: %w", at, err)
	}
	return nil
}

// ext4 makes a small one in a file, and mounts it.
func ext4(at, image string) error {
	f, err := os.Create(image)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Truncate(8<<20), f.Close()); err != nil {
		return err
	}
	if err := tool("mkfs.ext4", "-q", "-F", image); err != nil {
		return err
	}
	return mountExt4(at, image)
}

func mountExt4(at, image string) error {
	return errors.Join(tool("mount", "-o", "loop", image, at), os.Chmod(at, 0o755))
}

func synced(at string) error { return tool("sync", "-f", at) }

// shutDown makes an ext4 fail whatever is asked of it, as when its disk is gone.
func shutDown(at string) error {
	const ioctl = 0x8004587d // EXT4_IOC_SHUTDOWN
	d, err := os.Open(at)
	if err != nil {
		return err
	}
	defer d.Close()
	return unix.IoctlSetPointerInt(int(d.Fd()), ioctl, 2) // without writing what it holds back
}

func tool(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %v: %w: %s", name, args, err, out)
	}
	return nil
}

// attribute gives a file an attribute of chattr(1), or takes it away.
func attribute(name, change string) error { return tool("chattr", change, name) }

// fill writes a file until at most left bytes are free, as root.
func fill(name string, left int64) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	for page := make([]byte, 4096); err == nil; {
		_, err = f.Write(page)
	}
	if !errors.Is(err, unix.ENOSPC) {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(info.Size()-left), f.Sync())
}

// fillInodes makes files until only left more can be made.
func fillInodes(dir string, left int) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	n := 0
	for ; ; n++ {
		f, err := os.Create(fmt.Sprint(dir, "/", n))
		if err != nil {
			if errors.Is(err, unix.ENOSPC) {
				break
			}
			return err
		}
		f.Close()
	}
	for ; left > 0 && n > 0; left, n = left-1, n-1 {
		if err := os.Remove(fmt.Sprint(dir, "/", n-1)); err != nil {
			return err
		}
	}
	return nil
}
