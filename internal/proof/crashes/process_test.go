package crashes

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/evercred/evercred/internal/fsys"
	"github.com/evercred/evercred/internal/procid"
	"github.com/evercred/evercred/internal/proof/stage"
	"github.com/evercred/evercred/internal/seam"
)

var uid, gid = os.Getuid(), os.Getgid()

// process is one process of evercred: its view of the machine, and the journal
// of what it does to it.
type process struct {
	m    *machine
	id   procid.ID
	mu   sync.Mutex
	log  journal
	fail func(op, path string) error // faults; nil: none
}

// seams puts the machine in the place of the real one.
func (p *process) seams() *seam.Seams {
	return &seam.Seams{Clock: p.m, FS: disk{p}, Rand: stage.Dice(uint64(p.id.PID)), Dial: p.m.dial(p), Procs: p}
}

// Self and Dead are procid.Table: every other process of this boot is dead.
func (p *process) Self() procid.ID { return p.id }

func (p *process) Dead(id procid.ID) bool {
	return id.Boot == p.id.Boot && id.NS == p.id.NS && id.PID != 0 && id != p.id
}

// note enters an operation in the journal, and performs its changes. It needs mu.
func (p *process) note(o op) {
	o.at = time.Now()
	for _, c := range o.changes {
		p.m.disk.apply(c)
	}
	if o.wire.sent != nil {
		p.m.sends = append(p.m.sends, send{at: o.at, request: o.wire.sent})
	}
	if o.wire.heard > 0 {
		p.m.sends[len(p.m.sends)-1].heard += o.wire.heard
	}
	p.log.ops = append(p.log.ops, o)
}

// disk is the fsys.FS of a process.
type disk struct{ *process }

var _ fsys.FS = disk{}

// enter begins an operation; the result ends it.
func (d disk) enter(op, path string) (*tree, func(), error) {
	d.mu.Lock()
	var err error
	if d.fail != nil {
		if err = d.fail(op, path); err != nil {
			err = &fs.PathError{Op: op, Path: path, Err: err}
		}
	}
	return d.m.disk, d.mu.Unlock, err
}

func label(op, path string) string { return op + " " + filepath.Base(path) }

func (d disk) OpenFile(name string, flag int, perm fs.FileMode) (fsys.File, error) {
	t, done, err := d.enter("open", name)
	defer done()
	if err != nil {
		return nil, err
	}
	ino := t.find(name, false)
	switch {
	case ino != 0 && flag&os.O_EXCL != 0:
		return nil, errno("open", name, syscall.EEXIST)
	case ino != 0 && t.nodes[ino].mode&fs.ModeSymlink != 0:
		return nil, errno("open", name, syscall.ELOOP)
	case ino == 0 && flag&os.O_CREATE == 0:
		d.note(op{what: label("open", name)})
		return nil, errno("open", name, syscall.ENOENT)
	case ino == 0:
		var err error
		if ino, err = d.make(name, &node{mode: perm}, "create"); err != nil {
			return nil, err
		}
	default:
		d.note(op{what: label("open", name)})
	}
	return &file{disk: d, name: name, ino: ino}, nil
}

// make adds a node under a name. It needs mu.
func (d disk) make(name string, n *node, what string) (uint64, error) {
	t := d.m.disk
	dir := t.find(filepath.Dir(name), true)
	if dir == 0 {
		return 0, errno(what, name, syscall.ENOENT)
	}
	n.birth, n.mtime = time.Now(), time.Now()
	ino := t.last + 1
	d.note(op{what: label(what, name), file: true, changes: []*change{{names: []entry{{dir, filepath.Base(name), ino}}, born: n, ino: ino, size: -1}}})
	return ino, nil
}

func (d disk) OpenDir(name string) (fsys.File, error) {
	t, done, err := d.enter("open", name)
	defer done()
	if err != nil {
		return nil, err
	}
	ino := t.find(name, false)
	d.note(op{what: label("open", name)})
	switch {
	case ino == 0:
		return nil, errno("open", name, syscall.ENOENT)
	case t.nodes[ino].names == nil:
		return nil, errno("open", name, syscall.ENOTDIR)
	}
	return &file{disk: d, name: name, ino: ino}, nil
}

func (d disk) stat(name string, follow bool) (fsys.Info, error) {
	t, done, err := d.enter("stat", name)
	defer done()
	if err != nil {
		return fsys.Info{}, err
	}
	d.note(op{what: label("stat", name)})
	ino := t.find(name, follow)
	if ino == 0 {
		return fsys.Info{}, errno("stat", name, syscall.ENOENT)
	}
	return t.info(ino), nil
}

func (d disk) Stat(name string) (fsys.Info, error)  { return d.stat(name, true) }
func (d disk) Lstat(name string) (fsys.Info, error) { return d.stat(name, false) }

func (d disk) ReadDir(name string) ([]string, error) {
	t, done, err := d.enter("readdir", name)
	defer done()
	if err != nil {
		return nil, err
	}
	d.note(op{what: label("readdir", name)})
	n := t.at(name)
	if n == nil {
		return nil, errno("readdir", name, syscall.ENOENT)
	}
	var names []string
	for name := range n.names {
		names = append(names, name)
	}
	slices.Sort(names)
	return names, nil
}

func (d disk) Readlink(name string) (string, error) {
	t, done, err := d.enter("readlink", name)
	defer done()
	if err != nil {
		return "", err
	}
	n := t.nodes[t.find(name, false)]
	if n == nil {
		return "", errno("readlink", name, syscall.ENOENT)
	}
	return n.to, nil
}

func (d disk) Mkdir(name string, perm fs.FileMode) error {
	t, done, err := d.enter("mkdir", name)
	defer done()
	if err != nil {
		return err
	}
	if t.find(name, false) != 0 {
		return errno("mkdir", name, syscall.EEXIST)
	}
	_, err = d.make(name, &node{mode: fs.ModeDir | perm, names: map[string]uint64{}}, "mkdir")
	return err
}

func (d disk) Remove(name string) error { return d.unlink("unlink", name, false) }
func (d disk) Rmdir(name string) error  { return d.unlink("rmdir", name, true) }

func (d disk) unlink(what, name string, isDir bool) error {
	t, done, err := d.enter(what, name)
	defer done()
	if err != nil {
		return err
	}
	ino := t.find(name, false)
	n := t.nodes[ino]
	switch {
	case ino == 0:
		return errno(what, name, syscall.ENOENT)
	case isDir && n.names == nil:
		return errno(what, name, syscall.ENOTDIR)
	case !isDir && n.names != nil:
		return errno(what, name, syscall.EISDIR)
	case len(n.names) > 0:
		return errno(what, name, syscall.ENOTEMPTY)
	case n.mount:
		return errno(what, name, syscall.EBUSY)
	}
	dir := t.find(filepath.Dir(name), true)
	d.note(op{what: label(what, name), file: true, changes: []*change{{names: []entry{{dir, filepath.Base(name), 0}}, size: -1}}})
	return nil
}

func (d disk) Rename(from, to string) error          { return d.rename(from, to, true) }
func (d disk) RenameNoReplace(from, to string) error { return d.rename(from, to, false) }

func (d disk) rename(from, to string, replace bool) error {
	t, done, err := d.enter("rename", to)
	defer done()
	if err != nil {
		return err
	}
	ino, old := t.find(from, false), t.find(to, false)
	dir, toDir := t.find(filepath.Dir(from), true), t.find(filepath.Dir(to), true)
	switch {
	case ino == 0 || toDir == 0:
		return errno("rename", from, syscall.ENOENT)
	case old != 0 && !replace:
		return errno("rename", to, syscall.EEXIST)
	case old != 0 && t.nodes[old].mount:
		return errno("rename", to, syscall.EBUSY)
	}
	d.note(op{what: label("rename to", to), file: true, changes: []*change{{names: []entry{{dir, filepath.Base(from), 0}, {toDir, filepath.Base(to), ino}}, size: -1}}})
	return nil
}

func (d disk) Chown(string, int, int) error { return nil }

func (d disk) Kind(string) (fsys.Kind, error) { return fsys.Kind{Name: "ext4"}, nil }

// file is an open file of a process.
type file struct {
	disk   disk
	name   string
	ino    uint64
	pos    int
	locked bool
	closed bool
}

func (f *file) enter(what string) (*node, func(), error) {
	t, done, err := f.disk.enter(what, f.name)
	if err == nil && f.closed {
		err = fs.ErrClosed
	}
	return t.nodes[f.ino], done, err
}

func (f *file) Name() string { return f.name }

func (f *file) Read(b []byte) (int, error) {
	n, done, err := f.enter("read")
	defer done()
	if err != nil {
		return 0, err
	}
	f.disk.note(op{what: label("read", f.name)})
	if f.pos >= len(n.data) {
		return 0, io.EOF
	}
	c := copy(b, n.data[f.pos:])
	f.pos += c
	return c, nil
}

func (f *file) Write(b []byte) (int, error) {
	n, err := f.WriteAt(b, int64(f.pos))
	f.pos += n
	return n, err
}

// WriteAt is one operation, and a change for each sector that it touches: any of
// them may reach the disk, and the new size with them or without.
func (f *file) WriteAt(b []byte, off int64) (int, error) {
	n, done, err := f.enter("write")
	defer done()
	if err != nil {
		return 0, err
	}
	after := make([]byte, max(len(n.data), int(off)+len(b)))
	copy(after, n.data)
	copy(after[off:], b)
	now := time.Now()
	o := op{what: label("write", f.name), file: true}
	if len(after) > len(n.data) {
		o.changes = append(o.changes, &change{ino: f.ino, size: len(after), mtime: now})
	}
	for at := int(off) / sector * sector; at < int(off)+len(b); at += sector {
		o.changes = append(o.changes, &change{ino: f.ino, off: at, data: bytes.Clone(after[at:min(at+sector, len(after))]), size: -1, mtime: now})
	}
	f.disk.note(o)
	return len(b), nil
}

func (f *file) Truncate(size int64) error {
	n, done, err := f.enter("truncate")
	defer done()
	if err == nil && len(n.data) != int(size) {
		f.disk.note(op{what: label("truncate", f.name), file: true, changes: []*change{{ino: f.ino, size: int(size), mtime: time.Now()}}})
	}
	return err
}

func (f *file) Chmod(mode fs.FileMode) error {
	_, done, err := f.enter("chmod")
	defer done()
	if err == nil {
		f.disk.note(op{what: label("chmod", f.name), file: true, changes: []*change{{ino: f.ino, size: -1, mode: mode}}})
	}
	return err
}

func (f *file) SetTime(t time.Time) error {
	_, done, err := f.enter("utimes")
	defer done()
	if err == nil {
		f.disk.note(op{what: label("utimes", f.name), file: true, changes: []*change{{ino: f.ino, size: -1, mtime: t}}})
	}
	return err
}

func (f *file) Sync() error     { return f.sync("fsync", false) }
func (f *file) Datasync() error { return f.sync("fdatasync", true) }

func (f *file) sync(what string, data bool) error {
	_, done, err := f.enter(what)
	defer done()
	if err == nil {
		f.disk.note(op{what: label(what, f.name), file: true, synced: f.ino, data: data})
	}
	return err
}

func (f *file) Stat() (fsys.Info, error) {
	_, done, err := f.enter("fstat")
	defer done()
	if err != nil {
		return fsys.Info{}, err
	}
	return f.disk.m.disk.info(f.ino), nil
}

// TryLock: the dead hold no lock, and a machine starts with none.
func (f *file) TryLock() error {
	_, done, err := f.enter("flock")
	defer done()
	if err != nil {
		return err
	}
	f.disk.note(op{what: label("flock", f.name)})
	if holder := f.disk.m.locks[f.ino]; holder != nil && holder != f {
		return fsys.ErrWouldBlock
	}
	f.disk.m.locks[f.ino], f.locked = f, true
	return nil
}

func (f *file) Close() error {
	_, done, err := f.enter("close")
	defer done()
	if f.closed {
		return fs.ErrClosed
	}
	f.closed = true
	f.disk.note(op{what: label("close", f.name)})
	if f.locked {
		delete(f.disk.m.locks, f.ino)
	}
	return err
}

func (f *file) Chown(int, int) error      { return nil }
func (f *file) Preallocate(int64) error   { return nil }
func (f *file) CopyAttrs(fsys.File) error { return nil }

// conn is the connection to the endpoint as a process sees it.
type conn struct {
	net.Conn
	p *process
}

// piece is how much of an answer comes at once.
const piece = 160

func (c conn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.p.mu.Lock()
	defer c.p.mu.Unlock()
	if err == nil {
		c.p.note(op{what: "send", wire: wire{sent: bytes.Clone(b)}})
	}
	return n, err
}

func (c conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b[:min(len(b), piece)])
	c.p.mu.Lock()
	defer c.p.mu.Unlock()
	c.p.note(op{what: fmt.Sprint("receive ", n), wire: wire{heard: n}})
	return n, err
}
