package credtest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// watch has the kernel take down, by fanotify(7), who opens something at paths
// or right in them. No goroutine listens meanwhile: opened ends the watch and
// gives what this process opened, each name once. Its error says what went unseen.
//
// Only this process's own id counts. The owner's programs open these paths all
// the time, and whether a process that is gone by then was a child of ours
// cannot be told; without privileges the kernel gives other ids as 0 anyway.
// A child that is a guarded test too watches itself.
func watch(paths []string) (opened func() ([]string, error)) {
	// Directories are reported by handle and entries by name, since Linux 5.9;
	// without privileges that is the only way, since 5.13.
	fd, err := unix.FanotifyInit(unix.FAN_CLASS_NOTIF|unix.FAN_CLOEXEC|unix.FAN_NONBLOCK|unix.FAN_REPORT_DFID_NAME, unix.O_RDONLY)
	if err != nil {
		return func() ([]string, error) { return nil, os.NewSyscallError("fanotify_init", err) }
	}
	w := watcher{fd, paths, map[string]string{}}
	err = w.markAll()
	return func() ([]string, error) {
		defer unix.Close(fd)
		names := make(map[string]bool)
		lost := w.drain(names)
		return slices.Sorted(maps.Keys(names)), errors.Join(err, lost)
	}
}

type watcher struct {
	fd    int
	paths []string
	dirs  map[string]string // the marked directories by identity
}

// markAll marks the directories among the paths, and for every other path the
// directory it is in, or would be: a file there may be replaced.
func (w watcher) markAll() (err error) {
	var parents []string
	for _, p := range w.paths {
		switch e := w.mark(p); {
		case errors.Is(e, unix.ENOENT), errors.Is(e, unix.ENOTDIR):
			parents = append(parents, filepath.Dir(p))
		default:
			err = errors.Join(err, e)
		}
		// A mark does not reach below; profiles are there (INTEROP §6).
		parents = append(parents, filepath.Join(p, "configs"), filepath.Join(p, "credentials"))
	}
	for _, p := range parents {
		if e := w.mark(p); !errors.Is(e, unix.ENOENT) && !errors.Is(e, unix.ENOTDIR) {
			err = errors.Join(err, e)
		}
	}
	return err
}

// mark opens nothing. Of two names for a directory the first is kept: the real
// paths come before the directories that they are in.
func (w watcher) mark(dir string) error {
	const opens = unix.FAN_OPEN | unix.FAN_ONDIR | unix.FAN_EVENT_ON_CHILD
	if err := unix.FanotifyMark(w.fd, unix.FAN_MARK_ADD|unix.FAN_MARK_ONLYDIR, opens, unix.AT_FDCWD, dir); err != nil {
		return &os.PathError{Op: "fanotify_mark", Path: dir, Err: err}
	}
	id, err := identity(dir)
	if err != nil {
		return &os.PathError{Op: "name_to_handle_at", Path: dir, Err: err}
	}
	if _, marked := w.dirs[id]; !marked {
		w.dirs[id] = dir
	}
	return nil
}

// identity is a directory as an event names it: struct
// fanotify_event_info_fid without its header, file system and handle.
func identity(dir string) (string, error) {
	const atHandleFID = 0x200 // AT_HANDLE_FID, Linux 6.5: where a handle only names, as on overlayfs
	h, _, err := unix.NameToHandleAt(unix.AT_FDCWD, dir, unix.AT_SYMLINK_FOLLOW)
	if errors.Is(err, unix.EOPNOTSUPP) {
		h, _, err = unix.NameToHandleAt(unix.AT_FDCWD, dir, unix.AT_SYMLINK_FOLLOW|atHandleFID)
	}
	if err != nil {
		return "", err
	}
	var in unix.Statfs_t
	if err := unix.Statfs(dir, &in); err != nil {
		return "", err
	}
	id, err := binary.Append(nil, binary.NativeEndian, struct {
		FS   [2]int32
		Size uint32
		Type int32
	}{in.Fsid.Val, uint32(h.Size()), h.Type()})
	return string(id) + string(h.Bytes()), err
}

// drain takes the marks away first, so that the queue has an end.
func (w watcher) drain(names map[string]bool) (lost error) {
	if err := unix.FanotifyMark(w.fd, unix.FAN_MARK_FLUSH, 0, unix.AT_FDCWD, ""); err != nil {
		return os.NewSyscallError("fanotify_mark", err)
	}
	buf := make([]byte, 64<<10)
	for {
		n, err := unix.Read(w.fd, buf)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN):
			return lost
		case err != nil:
			return errors.Join(lost, os.NewSyscallError("read fanotify", err))
		default:
			lost = errors.Join(lost, w.collect(names, buf[:n]))
		}
	}
}

// collect adds what this process opened in a batch of events.
func (w watcher) collect(names map[string]bool, events []byte) (lost error) {
	for len(events) > 0 {
		var e unix.FanotifyEventMetadata
		size, err := binary.Decode(events, binary.NativeEndian, &e)
		if err != nil || e.Vers != unix.FANOTIFY_METADATA_VERSION || int(e.Event_len) < size || int(e.Event_len) > len(events) {
			return fmt.Errorf("fanotify: an event of version %d in %d bytes", e.Vers, len(events))
		}
		if e.Mask&unix.FAN_Q_OVERFLOW != 0 {
			lost = errors.New("fanotify: the queue ran over")
		} else if name, forbidden := w.name(events[size:e.Event_len]); forbidden && int(e.Pid) == os.Getpid() {
			names[name] = true
		}
		events = events[e.Event_len:]
	}
	return lost
}

// name finds the path that an event is about, if that is a real one: a marked
// directory may hold others. info is a header (type, padding, length), an
// identity, in which the size of the handle is at 8, and a name that ends with
// a zero, "." for the directory itself.
func (w watcher) name(info []byte) (string, bool) {
	const header, sizes = 4, 16
	if len(info) < header+sizes || info[0] != unix.FAN_EVENT_INFO_TYPE_DFID_NAME {
		return "", false
	}
	info = info[header:]
	end := uint64(sizes) + uint64(binary.NativeEndian.Uint32(info[8:]))
	if end > uint64(len(info)) {
		return "", false
	}
	dir, marked := w.dirs[string(info[:end])]
	entry, _, _ := bytes.Cut(info[end:], []byte{0})
	name := filepath.Join(dir, string(entry))
	return name, marked && slices.ContainsFunc(w.paths, func(p string) bool { return below(p, name) })
}
