package sim

import (
	"bytes"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/evercred/evercred/internal/fsys"
)

// disk is a file system in memory that knows what a power cut would leave of
// it. A bubble runs one goroutine at a time, and no call sleeps while it looks
// at the tables, so they need no lock.
type disk struct {
	now   func() time.Time
	names map[string]*node
	// lasting is what the names would be after a power cut, but for a prefix of
	// pending, which nobody has synced yet.
	lasting map[string]*node
	pending []change
	free    []uint64 // inodes to be used again, as ext4 does at once
	last    uint64
	// wrote is told of what has reached a file, and whether it is durable.
	wrote func(name string, data []byte, durable bool)
}

// node is a file or a directory.
type node struct {
	ino          uint64
	dir          bool
	mode         fs.FileMode
	data, synced []byte
	mtime, birth time.Time
	links, opens int
	holder       *file // of the lock
}

// change is one step of the name space: each of names leads to its node, or,
// where that is nil, to nothing.
type change struct {
	names [2]string
	nodes [2]*node
}

func (c change) apply(to map[string]*node) {
	for i, name := range c.names {
		switch {
		case name == "":
		case c.nodes[i] == nil:
			delete(to, name)
		default:
			to[name] = c.nodes[i]
		}
	}
}

// newDisk holds dir and the directories above it.
func newDisk(dir string, now func() time.Time) *disk {
	d := &disk{now: now, names: map[string]*node{}, lasting: map[string]*node{}}
	for ; ; dir = filepath.Dir(dir) {
		d.names[dir] = d.node(true, 0o700)
		if dir == filepath.Dir(dir) {
			break
		}
	}
	maps.Copy(d.lasting, d.names)
	return d
}

func (d *disk) node(dir bool, mode fs.FileMode) *node {
	n := &node{dir: dir, mode: mode, mtime: d.now(), birth: d.now(), links: 1}
	if k := len(d.free); k > 0 {
		n.ino, d.free = d.free[k-1], d.free[:k-1]
	} else {
		d.last++
		n.ino = d.last
	}
	return n
}

func (d *disk) change(c change) {
	c.apply(d.names)
	d.pending = append(d.pending, c)
	for _, name := range c.names {
		if parent := d.names[filepath.Dir(name)]; name != "" && parent != nil {
			parent.mtime = d.now()
		}
	}
}

// commit makes durable what happened to the names in dir.
func (d *disk) commit(dir string) {
	d.pending = slices.DeleteFunc(d.pending, func(c change) bool {
		for _, name := range c.names {
			if name != "" && filepath.Dir(name) == dir {
				c.apply(d.lasting)
				return true
			}
		}
		return false
	})
}

func (d *disk) unlink(n *node) {
	n.links--
	d.reap(n)
}

func (d *disk) reap(n *node) {
	if n.links == 0 && n.opens == 0 {
		d.free = append(d.free, n.ino)
	}
}

// cut is a power cut: some of what was not synced is there afterwards.
func (d *disk) cut(chance *rand.Rand) {
	for _, c := range d.pending[:chance.IntN(len(d.pending)+1)] {
		c.apply(d.lasting)
	}
	d.pending = nil
	kept := map[string]*node{}
	for _, name := range slices.Sorted(maps.Keys(d.lasting)) {
		n := *d.lasting[name]
		if parent := kept[filepath.Dir(name)]; name != filepath.Dir(name) && (parent == nil || !parent.dir) && len(kept) > 0 {
			continue
		}
		n.opens, n.holder, n.links = 0, nil, 1
		switch chance.IntN(3) {
		case 0:
			n.data = n.synced
		case 1:
			k := chance.IntN(len(n.data) + 1)
			torn := bytes.Clone(n.data[:k])
			if k < len(n.synced) {
				torn = append(torn, n.synced[k:]...)
			}
			n.data = torn
		}
		if bytes.Equal(n.synced, d.lasting[name].data) {
			n.data = n.synced
		}
		n.synced = n.data
		kept[name] = &n
	}
	d.names = kept
	d.lasting = maps.Clone(kept)
}

// read, write and remove are what other programs do.
func (d *disk) read(name string) ([]byte, bool) {
	n := d.names[name]
	if n == nil {
		return nil, false
	}
	return n.data, true
}

func (d *disk) write(name string, data []byte) {
	n := d.node(false, 0o600)
	n.data, n.synced = data, data
	if old := d.names[name]; old != nil {
		defer d.unlink(old)
	}
	d.change(change{names: [2]string{name}, nodes: [2]*node{n}})
	d.commit(filepath.Dir(name))
}

func (d *disk) remove(name string) {
	if n := d.names[name]; n != nil {
		d.change(change{names: [2]string{name}})
		d.commit(filepath.Dir(name))
		d.unlink(n)
	}
}

// list is the names below a directory, sorted.
func (d *disk) list(dir string) []string {
	var names []string
	for name := range d.names {
		if strings.HasPrefix(name, dir+string(filepath.Separator)) {
			names = append(names, name[len(dir)+1:])
		}
	}
	slices.Sort(names)
	return names
}

func (n *node) info() fsys.Info {
	i := fsys.Info{
		Mode: n.mode, Size: int64(len(n.data)), ModTime: n.mtime, BirthTime: n.birth,
		Dev: 1, Ino: n.ino, Nlink: uint64(n.links), UID: os.Geteuid(), GID: os.Getegid(),
	}
	if n.dir {
		i.Mode |= fs.ModeDir
	}
	return i
}

// view is the disk as one process sees it, until it dies.
type view struct {
	*disk
	p *process
}

var _ fsys.FS = view{}

// at performs one call, unless the process dies of it, is dead, or the disk fails.
func (v view) at(op, name string, do func() error) error {
	err := v.p.step(op, name, do)
	if err != nil {
		err = &fs.PathError{Op: op, Path: name, Err: err}
	}
	return err
}

func (v view) OpenFile(name string, flag int, perm fs.FileMode) (f fsys.File, err error) {
	err = v.at("open", name, func() error {
		n := v.names[name]
		switch {
		case n == nil && flag&os.O_CREATE == 0:
			return syscall.ENOENT
		case n == nil && v.names[filepath.Dir(name)] == nil:
			return syscall.ENOENT
		case n == nil:
			n = v.node(false, perm)
			v.change(change{names: [2]string{name}, nodes: [2]*node{n}})
		case flag&os.O_EXCL != 0:
			return syscall.EEXIST
		case n.dir:
			return syscall.EISDIR
		}
		f = v.p.open(v, n, name)
		return nil
	})
	if f == nil && err == nil {
		err = errDead
	}
	return f, err
}

func (v view) OpenDir(name string) (f fsys.File, err error) {
	err = v.at("opendir", name, func() error {
		n := v.names[name]
		switch {
		case n == nil:
			return syscall.ENOENT
		case !n.dir:
			return syscall.ENOTDIR
		}
		f = v.p.open(v, n, name)
		return nil
	})
	return f, err
}

func (v view) Stat(name string) (i fsys.Info, err error) { return v.stat("stat", name) }

func (v view) Lstat(name string) (fsys.Info, error) { return v.stat("lstat", name) }

func (v view) stat(op, name string) (i fsys.Info, err error) {
	err = v.at(op, name, func() error {
		n := v.names[name]
		if n == nil {
			return syscall.ENOENT
		}
		i = n.info()
		return nil
	})
	return i, err
}

func (v view) ReadDir(name string) (names []string, err error) {
	err = v.at("readdir", name, func() error {
		if v.names[name] == nil {
			return syscall.ENOENT
		}
		names = slices.DeleteFunc(v.list(name), func(n string) bool { return strings.ContainsRune(n, filepath.Separator) })
		return nil
	})
	return names, err
}

func (v view) Readlink(name string) (string, error) {
	return "", &fs.PathError{Op: "readlink", Path: name, Err: syscall.EINVAL}
}

func (v view) Mkdir(name string, perm fs.FileMode) error {
	return v.at("mkdir", name, func() error {
		if v.names[name] != nil {
			return syscall.EEXIST
		}
		v.change(change{names: [2]string{name}, nodes: [2]*node{v.node(true, perm)}})
		return nil
	})
}

func (v view) Remove(name string) error {
	return v.at("unlink", name, func() error {
		n := v.names[name]
		switch {
		case n == nil:
			return syscall.ENOENT
		case n.dir:
			return syscall.EISDIR
		}
		v.change(change{names: [2]string{name}})
		v.unlink(n)
		return nil
	})
}

func (v view) Rmdir(name string) error {
	return v.at("rmdir", name, func() error {
		n := v.names[name]
		switch {
		case n == nil:
			return syscall.ENOENT
		case !n.dir:
			return syscall.ENOTDIR
		case len(v.list(name)) > 0:
			return syscall.ENOTEMPTY
		}
		v.change(change{names: [2]string{name}})
		v.unlink(n)
		return nil
	})
}

func (v view) Rename(from, to string) error {
	return v.at("rename", to, func() error { return v.rename(from, to) })
}

func (v view) rename(from, to string) error {
	n, old := v.names[from], v.names[to]
	if n == nil {
		return syscall.ENOENT
	}
	v.change(change{names: [2]string{from, to}, nodes: [2]*node{nil, n}})
	if old != nil {
		v.unlink(old)
	}
	v.wrote(to, n.data, false)
	return nil
}

func (v view) RenameNoReplace(from, to string) error {
	return v.at("rename", to, func() error {
		if v.names[to] != nil {
			return syscall.EEXIST
		}
		return v.rename(from, to)
	})
}

func (v view) Chown(string, int, int) error { return nil }

func (v view) Kind(string) (fsys.Kind, error) { return fsys.Kind{Name: "memory"}, nil }
