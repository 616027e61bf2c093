package fuse

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// lie is how a disk deviates from the folder behind it. The zero value is
// honest. Its functions run at the same time for several calls.
type lie struct {
	// before is asked before a call is performed: an error ends it. after is
	// asked once it is done: an error is what the caller is told.
	before, after func(op, path string) syscall.Errno
	// grain is the step in which times are kept; skew is how far the clock of
	// the server is ahead.
	grain, skew time.Duration
	half        bool // a read or write of more than one byte does half of it
	reversed    bool // the order of a folder's names
	inodes      bool // a file has another inode number at each look
	stuck       bool // an fsync is answered and not made
}

// disk is a mounted file system that lies.
type disk struct {
	behind string // the folder that keeps what it holds
	at     string // where it is mounted
	lie    atomic.Pointer[lie]
	inodes atomic.Uint64
	server *fuse.Server
}

// mount needs root: no fusermount is asked for help.
func mount(behind, at string) (*disk, error) {
	d := &disk{behind: behind, at: at}
	d.inodes.Store(1 << 40)
	d.tell(lie{})
	var st syscall.Stat_t
	if err := syscall.Stat(behind, &st); err != nil {
		return nil, &os.PathError{Op: "stat", Path: behind, Err: err}
	}
	root := &fs.LoopbackRoot{Path: behind, Dev: uint64(st.Dev)}
	n := &node{LoopbackNode: fs.LoopbackNode{RootData: root}, disk: d}
	root.RootNode = n
	var err error
	d.server, err = fs.Mount(at, n, &fs.Options{MountOptions: fuse.MountOptions{
		DirectMountStrict: true, EnableLocks: true, FsName: "liar", Name: "liar",
	}})
	if err != nil {
		return nil, &os.PathError{Op: "mount", Path: at, Err: err}
	}
	return d, nil
}

func (d *disk) tell(l lie) { d.lie.Store(&l) }

// close unmounts, even what a process still uses.
func (d *disk) close() {
	d.tell(lie{})
	if d.server.Unmount() != nil {
		_ = syscall.Unmount(d.at, syscall.MNT_DETACH)
	}
}

// before and after ask the lie of the hour.
func (d *disk) before(op, path string) syscall.Errno {
	if f := d.lie.Load().before; f != nil {
		return f(op, path)
	}
	return 0
}

func (d *disk) after(op, path string, done syscall.Errno) syscall.Errno {
	if f := d.lie.Load().after; f != nil && done == 0 {
		return f(op, path)
	}
	return done
}

// colour gives attributes the granularity that the disk claims to have.
func (d *disk) colour(a *fuse.Attr) {
	g := d.lie.Load().grain
	if g < time.Second {
		return
	}
	for _, t := range []struct {
		s *uint64
		n *uint32
	}{{&a.Mtime, &a.Mtimensec}, {&a.Atime, &a.Atimensec}, {&a.Ctime, &a.Ctimensec}} {
		*t.s -= *t.s % uint64(g/time.Second)
		*t.n = 0
	}
}

// born gives a new file the time of the server's clock.
func (d *disk) born(path string) {
	if skew := d.lie.Load().skew; skew != 0 {
		t := time.Now().Add(skew)
		_ = os.Chtimes(path, t, t)
	}
}

// node is a file or folder of a disk. What it does not override is honest.
type node struct {
	fs.LoopbackNode
	disk *disk
}

var _ = (fs.NodeWrapChilder)((*node)(nil))

// WrapChild makes what is found below a node of the disk too.
func (n *node) WrapChild(_ context.Context, ops fs.InodeEmbedder) fs.InodeEmbedder {
	if _, ok := ops.(*node); ok {
		return ops
	}
	return &node{LoopbackNode: fs.LoopbackNode{RootData: n.RootData}, disk: n.disk}
}

func (n *node) path(name ...string) string {
	return filepath.Join(append([]string{n.disk.behind, n.Path(n.Root())}, name...)...)
}

// Lookup and the others are those of the interfaces of package fs.
func (n *node) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	p := n.path(name)
	if e := n.disk.before("lookup", p); e != 0 {
		return nil, e
	}
	ch, e := n.LoopbackNode.Lookup(ctx, name, out)
	n.disk.colour(&out.Attr)
	if e == 0 && n.disk.lie.Load().inodes && !ch.IsDir() {
		ino := n.disk.inodes.Add(1)
		ch = n.NewInode(ctx, &node{LoopbackNode: fs.LoopbackNode{RootData: n.RootData}, disk: n.disk}, fs.StableAttr{Mode: ch.StableAttr().Mode, Ino: ino})
		out.Ino = ino
	}
	return ch, n.disk.after("lookup", p, e)
}

func (n *node) Mkdir(ctx context.Context, name string, mode uint32, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	p := n.path(name)
	if e := n.disk.before("mkdir", p); e != 0 {
		return nil, e
	}
	ch, e := n.LoopbackNode.Mkdir(ctx, name, mode, out)
	n.disk.born(p)
	n.disk.colour(&out.Attr)
	return ch, n.disk.after("mkdir", p, e)
}

func (n *node) Rmdir(ctx context.Context, name string) syscall.Errno {
	p := n.path(name)
	if e := n.disk.before("rmdir", p); e != 0 {
		return e
	}
	return n.disk.after("rmdir", p, n.LoopbackNode.Rmdir(ctx, name))
}

func (n *node) Unlink(ctx context.Context, name string) syscall.Errno {
	p := n.path(name)
	if e := n.disk.before("unlink", p); e != 0 {
		return e
	}
	return n.disk.after("unlink", p, n.LoopbackNode.Unlink(ctx, name))
}

// Rename is two operations: "rename", and "rename2" with flags. The path is the
// new one.
func (n *node) Rename(ctx context.Context, name string, parent fs.InodeEmbedder, to string, flags uint32) syscall.Errno {
	op := "rename"
	if flags != 0 {
		op = "rename2"
	}
	p := parent.(*node).path(to)
	if e := n.disk.before(op, p); e != 0 {
		return e
	}
	return n.disk.after(op, p, n.LoopbackNode.Rename(ctx, name, parent, to, flags))
}

func (n *node) Create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	p := n.path(name)
	if e := n.disk.before("create", p); e != 0 {
		return nil, nil, 0, e
	}
	ch, f, _, e := n.LoopbackNode.Create(ctx, name, flags, mode, out)
	n.disk.born(p)
	n.disk.colour(&out.Attr)
	if e != 0 {
		return ch, nil, 0, e
	}
	return ch, file{f.(*fs.LoopbackFile)}, n.disk.direct(), n.disk.after("create", p, e)
}

func (n *node) Open(ctx context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	if e := n.disk.before("open", n.path()); e != 0 {
		return nil, 0, e
	}
	f, _, e := n.LoopbackNode.Open(ctx, flags)
	if e != 0 {
		return nil, 0, e
	}
	return file{f.(*fs.LoopbackFile)}, n.disk.direct(), 0
}

// direct keeps the kernel from mending short reads and writes.
func (d *disk) direct() uint32 {
	if d.lie.Load().half {
		return fuse.FOPEN_DIRECT_IO
	}
	return 0
}

func (n *node) Getattr(ctx context.Context, f fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	if e := n.disk.before("getattr", n.path()); e != 0 {
		return e
	}
	e := n.LoopbackNode.Getattr(ctx, f, out)
	n.disk.colour(&out.Attr)
	return e
}

// Statx: this disk knows no time of birth.
func (n *node) Statx(context.Context, fs.FileHandle, uint32, uint32, *fuse.StatxOut) syscall.Errno {
	return syscall.ENOSYS
}

func (n *node) Setattr(ctx context.Context, f fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	if e := n.disk.before("setattr", n.path()); e != 0 {
		return e
	}
	e := n.LoopbackNode.Setattr(ctx, f, in, out)
	n.disk.colour(&out.Attr)
	return e
}

func (n *node) Getxattr(ctx context.Context, name string, to []byte) (uint32, syscall.Errno) {
	if e := n.disk.before("xattr", n.path()); e != 0 {
		return 0, e
	}
	return n.LoopbackNode.Getxattr(ctx, name, to)
}

func (n *node) Listxattr(ctx context.Context, to []byte) (uint32, syscall.Errno) {
	if e := n.disk.before("xattr", n.path()); e != 0 {
		return 0, e
	}
	return n.LoopbackNode.Listxattr(ctx, to)
}

func (n *node) Setxattr(ctx context.Context, name string, data []byte, flags uint32) syscall.Errno {
	if e := n.disk.before("xattr", n.path()); e != 0 {
		return e
	}
	return n.LoopbackNode.Setxattr(ctx, name, data, flags)
}

func (n *node) Read(ctx context.Context, f fs.FileHandle, to []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	if e := n.disk.before("read", n.path()); e != 0 {
		return nil, e
	}
	if n.disk.lie.Load().half {
		to = to[:(len(to)+1)/2]
	}
	return f.(fs.FileReader).Read(ctx, to, off)
}

func (n *node) Write(ctx context.Context, f fs.FileHandle, data []byte, off int64) (uint32, syscall.Errno) {
	if e := n.disk.before("write", n.path()); e != 0 {
		return 0, e
	}
	if n.disk.lie.Load().half {
		data = data[:(len(data)+1)/2]
	}
	return f.(fs.FileWriter).Write(ctx, data, off)
}

func (n *node) Fsync(ctx context.Context, f fs.FileHandle, flags uint32) syscall.Errno {
	if e := n.disk.before("fsync", n.path()); e != 0 {
		return e
	}
	if n.disk.lie.Load().stuck {
		return 0
	}
	return f.(fs.FileFsyncer).Fsync(ctx, flags)
}

// Flush is close(2).
func (n *node) Flush(ctx context.Context, f fs.FileHandle) syscall.Errno {
	if e := n.disk.before("close", n.path()); e != 0 {
		return e
	}
	return f.(fs.FileFlusher).Flush(ctx)
}

func (n *node) Allocate(ctx context.Context, f fs.FileHandle, off, size uint64, mode uint32) syscall.Errno {
	if e := n.disk.before("fallocate", n.path()); e != 0 {
		return e
	}
	return f.(fs.FileAllocater).Allocate(ctx, off, size, mode)
}

func (n *node) Setlk(ctx context.Context, f fs.FileHandle, owner uint64, lk *fuse.FileLock, flags uint32) syscall.Errno {
	if e := n.disk.before("flock", n.path()); e != 0 {
		return e
	}
	return f.(fs.FileSetlker).Setlk(ctx, owner, lk, flags)
}

func (n *node) OpendirHandle(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	s, e := fs.NewLoopbackDirStream(n.path())
	if e != 0 {
		return nil, 0, e
	}
	defer s.Close()
	f := &folder{node: n}
	for s.HasNext() {
		entry, e := s.Next()
		if e != 0 {
			return nil, 0, e
		}
		f.names = append(f.names, entry)
	}
	if n.disk.lie.Load().reversed {
		slices.Reverse(f.names)
	}
	return f, 0, 0
}

// file is an open file of which the kernel must not read and write by itself.
type file struct{ *fs.LoopbackFile }

func (file) PassthroughFd() (int, bool) { return -1, false }

// folder is an open folder.
type folder struct {
	node  *node
	names []fuse.DirEntry
	next  int
}

func (f *folder) Readdirent(context.Context) (*fuse.DirEntry, syscall.Errno) {
	if f.next == len(f.names) {
		return nil, 0
	}
	f.next++
	return &f.names[f.next-1], 0
}

func (f *folder) Seekdir(_ context.Context, off uint64) syscall.Errno {
	f.next = min(int(off), len(f.names))
	return 0
}

func (f *folder) Fsyncdir(context.Context, uint32) syscall.Errno {
	return f.node.disk.before("fsyncdir", f.node.path())
}
