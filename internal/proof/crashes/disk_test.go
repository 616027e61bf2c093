package crashes

import (
	"crypto/sha256"
	"encoding/binary"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/evercred/evercred/internal/fsys"
)

// tree is what a disk holds. Nodes live as long as the tree: one without a name
// is unreachable, as an unlinked file that is still open.
type tree struct {
	nodes map[uint64]*node
	last  uint64
}

type node struct {
	mode         fs.FileMode
	data         []byte
	names        map[string]uint64 // of a directory
	to           string            // of a link
	birth, mtime time.Time
	mount        bool // the file is itself a mount point
}

const root = 1

func newTree(now time.Time) *tree {
	return &tree{map[uint64]*node{root: {mode: fs.ModeDir | 0o755, names: map[string]uint64{}, birth: now, mtime: now}}, root}
}

func (t *tree) clone() *tree {
	c := &tree{make(map[uint64]*node, len(t.nodes)), t.last}
	for i, n := range t.nodes {
		c.nodes[i] = n.clone()
	}
	return c
}

func (n *node) clone() *node {
	c := *n
	c.data, c.names = slices.Clone(n.data), maps.Clone(n.names)
	return &c
}

// find follows path; follow: also a link at its end. ino 0: there is nothing.
func (t *tree) find(path string, follow bool) (ino uint64) {
	ino = root
	at := "/"
	for rest := elements(path); len(rest) > 0; rest = rest[1:] {
		n := t.nodes[ino]
		if n == nil || n.names == nil {
			return 0
		}
		ino = n.names[rest[0]]
		if n := t.nodes[ino]; n != nil && n.mode&fs.ModeSymlink != 0 && (follow || len(rest) > 1) {
			to := n.to
			if !filepath.IsAbs(to) {
				to = filepath.Join(at, to)
			}
			return t.find(filepath.Join(append([]string{to}, rest[1:]...)...), follow)
		}
		at = filepath.Join(at, rest[0])
	}
	return ino
}

func elements(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
}

func (t *tree) at(path string) *node { return t.nodes[t.find(path, true)] }

// walk visits what can be reached, in order.
func (t *tree) walk(visit func(path string, n *node)) { t.walkFrom("/", root, visit) }

func (t *tree) walkFrom(path string, ino uint64, visit func(string, *node)) {
	n := t.nodes[ino]
	visit(path, n)
	for _, name := range slices.Sorted(maps.Keys(n.names)) {
		t.walkFrom(filepath.Join(path, name), n.names[name], visit)
	}
}

// sum tells two disks apart. The times of directories belong to it: that is
// what a lock is judged by.
func (t *tree) sum() (sum [32]byte) {
	h := sha256.New()
	t.walk(func(path string, n *node) {
		h.Write([]byte(path))
		binary.Write(h, binary.LittleEndian, []int64{int64(n.mode), int64(len(n.data))})
		h.Write(n.data)
		if n.names != nil {
			binary.Write(h, binary.LittleEndian, n.mtime.UnixNano())
		}
	})
	h.Sum(sum[:0])
	return sum
}

func (t *tree) links(ino uint64) (n uint64) {
	for _, d := range t.nodes {
		for _, i := range d.names {
			if i == ino {
				n++
			}
		}
	}
	return n
}

func (t *tree) info(ino uint64) fsys.Info {
	n := t.nodes[ino]
	i := fsys.Info{Mode: n.mode, Size: int64(len(n.data)), ModTime: n.mtime, BirthTime: n.birth, Dev: 1, Ino: ino, Nlink: t.links(ino), UID: uid, GID: gid, MountRoot: n.mount}
	if n.mount {
		i.Dev = 2
	}
	return i
}

// change is the least that reaches a disk as a whole or not at all.
type change struct {
	names []entry // all of them at once, as those of a rename
	born  *node   // with names: the node that was made
	ino   uint64  // what follows is about this node

	data  []byte // a whole sector
	off   int
	size  int // -1: none
	mode  fs.FileMode
	mtime time.Time
}

// entry is a name in a directory; ino 0: the name is gone.
type entry struct {
	dir  uint64
	name string
	ino  uint64
}

const sector = 512

func (t *tree) apply(c *change) {
	if c.born != nil && t.nodes[c.ino] == nil {
		t.nodes[c.ino] = c.born.clone()
		t.last = max(t.last, c.ino)
	}
	for _, e := range c.names {
		if d := t.nodes[e.dir]; d != nil && e.ino != 0 {
			d.names[e.name] = e.ino
		} else if d != nil {
			delete(d.names, e.name)
		}
	}
	n := t.nodes[c.ino]
	if n == nil || len(c.names) > 0 {
		return
	}
	switch {
	case c.data != nil:
		if room := len(n.data) - c.off; room > 0 { // what lies behind the size is not there
			copy(n.data[c.off:], c.data[:min(room, len(c.data))])
		}
	case c.size >= 0:
		n.data = slices.Grow(n.data, max(0, c.size-len(n.data)))
		old := len(n.data)
		n.data = n.data[:c.size]
		if old < c.size {
			clear(n.data[old:])
		}
	case c.mode != 0:
		n.mode = n.mode.Type() | c.mode
	}
	if !c.mtime.IsZero() {
		n.mtime = c.mtime
	}
}

func errno(op, path string, e syscall.Errno) error { return &fs.PathError{Op: op, Path: path, Err: e} }
