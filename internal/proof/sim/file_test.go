package sim

import (
	"io"
	"io/fs"
	"slices"
	"time"

	"github.com/evercred/evercred/internal/fsys"
)

// file is an open file or directory of one process.
type file struct {
	v      view
	n      *node
	name   string
	off    int
	closed bool
}

var _ fsys.File = (*file)(nil)

func (f *file) at(op string, do func() error) error { return f.v.at(op, f.name, do) }

func (f *file) Name() string { return f.name }

func (f *file) Read(p []byte) (n int, err error) {
	if err = f.at("read", func() error { return nil }); err != nil {
		return 0, err
	}
	if f.off >= len(f.n.data) {
		return 0, io.EOF
	}
	n = copy(p, f.n.data[f.off:])
	f.off += n
	return n, nil
}

func (f *file) Write(p []byte) (int, error) {
	n, err := f.WriteAt(p, int64(f.off))
	f.off += n
	return n, err
}

func (f *file) WriteAt(p []byte, off int64) (int, error) {
	err := f.at("write", func() error {
		end := int(off) + len(p)
		data := make([]byte, max(end, len(f.n.data))) // what others read stays as it is
		copy(data, f.n.data)
		copy(data[off:], p)
		f.n.data, f.n.mtime = data, f.v.now()
		f.v.wrote(f.name, data, false)
		return nil
	})
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

func (f *file) Close() error {
	if f.closed {
		return fs.ErrClosed
	}
	f.closed = true
	if f.n.holder == f {
		f.n.holder = nil
	}
	f.n.opens--
	f.v.reap(f.n)
	return nil
}

func (f *file) Stat() (i fsys.Info, err error) {
	err = f.at("fstat", func() error { i = f.n.info(); return nil })
	return i, err
}

func (f *file) Sync() error { return f.sync("fsync") }

func (f *file) Datasync() error { return f.sync("fdatasync") }

func (f *file) sync(op string) error {
	return f.at(op, func() error {
		if f.n.dir {
			f.v.commit(f.name)
			return nil
		}
		f.n.synced = f.n.data
		f.v.wrote(f.name, f.n.data, true)
		return nil
	})
}

func (f *file) Truncate(size int64) error {
	return f.at("truncate", func() error {
		data := make([]byte, size)
		copy(data, f.n.data)
		f.n.data = data
		return nil
	})
}

func (f *file) Chmod(mode fs.FileMode) error {
	return f.at("fchmod", func() error { f.n.mode = mode; return nil })
}

func (f *file) Chown(int, int) error { return nil }

func (f *file) SetTime(t time.Time) error {
	return f.at("utimens", func() error { f.n.mtime = t; return nil })
}

func (f *file) Preallocate(int64) error { return f.at("fallocate", func() error { return nil }) }

func (f *file) TryLock() error {
	return f.at("flock", func() error {
		if f.n.holder != nil && f.n.holder != f {
			return fsys.ErrWouldBlock
		}
		f.n.holder = f
		return nil
	})
}

func (f *file) CopyAttrs(fsys.File) error { return nil }

// closeAll is what the kernel does for a dead process.
func closeAll(files []*file) {
	for _, f := range slices.Clone(files) {
		if !f.closed {
			f.Close()
		}
	}
}
