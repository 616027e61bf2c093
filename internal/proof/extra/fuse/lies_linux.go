package fuse

import (
	"strings"
	"syscall"
	"time"
)

// want is what an expired login must come to.
type want int

const (
	anything want = iota // bounded, and nothing lost
	renewed              // granted and saved
	refused              // no grant at all
	kept                 // granted, served, and kept in the ledger: the save is not durable
	unkept               // granted and served; not a byte can be kept, and that is said
)

// story is a lie with what it has to come to. late lies begin with the grant.
type story struct {
	name string
	late bool
	lie  lie
	// litter: what cannot be removed is left to the next refresh.
	litter bool
	want   want
}

// fails makes operations fail; where is part of the path, with a $ for its end;
// empty: all.
func fails(e syscall.Errno, where string, ops ...string) lie {
	return lie{before: func(op, path string) syscall.Errno {
		for _, o := range ops {
			if o == op && strings.Contains(path+"$", where) {
				return e
			}
		}
		return 0
	}}
}

func slow(d time.Duration, ops ...string) lie {
	return lie{before: func(op, _ string) syscall.Errno {
		for _, o := range ops {
			if o == op {
				<-time.After(d)
			}
		}
		return 0
	}}
}

// staged is in the name of a document that is being saved, document is its own,
// home is its folder.
const (
	staged   = "/tmp-save-"
	document = "/claude/.credentials.json$"
	home     = "/claude$"
)

// stories are the lies. Every one is told to a fresh login, to an expired one
// and to one whose last process was killed between the answer and the save.
var stories = []story{
	{name: "no lie", want: renewed},
	{name: "fsync dropped", lie: lie{stuck: true}, want: renewed},
	{name: "EIO on fsync", lie: fails(syscall.EIO, "", "fsync"), want: refused},
	{name: "EIO on fsync of the save", late: true, lie: fails(syscall.EIO, staged, "fsync"), want: kept},
	{name: "EIO on every fsync after the grant", late: true, lie: fails(syscall.EIO, "", "fsync", "fsyncdir"), want: kept},
	{name: "EINVAL on fsync of a folder", lie: fails(syscall.EINVAL, "", "fsyncdir"), want: refused},
	{name: "EIO on fsync of a folder after the grant", late: true, lie: fails(syscall.EIO, "", "fsyncdir"), want: kept},
	{name: "EIO on fsync of the document's folder after the grant", late: true, lie: fails(syscall.EIO, home, "fsyncdir"), want: kept},
	{name: "EIO on close", lie: fails(syscall.EIO, "", "close")},
	{name: "EIO on close of the save", late: true, lie: fails(syscall.EIO, staged, "close"), want: kept},
	{name: "late ENOSPC, on fsync of the save", late: true, lie: fails(syscall.ENOSPC, staged, "fsync"), want: kept},
	{name: "late ENOSPC, on close of the save", late: true, lie: fails(syscall.ENOSPC, staged, "close"), want: kept},
	{name: "ENOSPC on write", lie: fails(syscall.ENOSPC, "", "write"), want: refused},
	{name: "ENOSPC on every write after the grant", late: true, lie: fails(syscall.ENOSPC, "", "write"), want: unkept},
	{name: "EDQUOT on create", lie: fails(syscall.EDQUOT, "", "create"), want: refused},
	{name: "ENOSPC on fallocate", lie: fails(syscall.ENOSPC, "", "fallocate"), want: refused},
	{name: "no fallocate", lie: fails(syscall.EOPNOTSUPP, "", "fallocate"), want: renewed},
	{name: "times in seconds", lie: lie{grain: time.Second}, want: renewed},
	{name: "times in two seconds", lie: lie{grain: 2 * time.Second}, want: renewed},
	{name: "server's clock 1 h ahead", lie: lie{skew: time.Hour}, want: renewed},
	{name: "server's clock 1 h behind", lie: lie{skew: -time.Hour}, want: renewed},
	{name: "no extended attributes", lie: fails(syscall.EOPNOTSUPP, "", "xattr"), want: renewed},
	{name: "no flock", lie: fails(syscall.EOPNOTSUPP, "", "flock"), want: refused},
	{name: "no RENAME_NOREPLACE", lie: fails(syscall.EINVAL, "", "rename2"), want: renewed},
	{name: "rename of the save fails, not done", late: true, lie: fails(syscall.EIO, document, "rename"), want: kept},
	{name: "rename of the save fails, and is done", late: true, lie: after(syscall.EIO, document, "rename")},
	{name: "EBUSY on rename of the save", late: true, lie: fails(syscall.EBUSY, document, "rename"), want: kept},
	{name: "ETXTBSY on open of the document after the grant", late: true, lie: fails(syscall.ETXTBSY, document, "open"), want: kept},
	{name: "mkdir fails, and is done", lie: after(syscall.EIO, "", "mkdir")},
	{name: "rmdir refused", lie: fails(syscall.EBUSY, ".lock", "rmdir"), litter: true},
	{name: "unlink refused", lie: fails(syscall.EIO, "", "unlink"), litter: true},
	{name: "read-only after the grant", late: true, lie: fails(syscall.EROFS, "", "write", "create", "mkdir", "rmdir", "unlink", "rename", "rename2", "setattr"), want: unkept},
	{name: "ESTALE on every look after the grant", late: true, lie: fails(syscall.ESTALE, document, "lookup", "getattr", "open")},
	{name: "EIO on reading", lie: fails(syscall.EIO, document, "read")},
	{name: "every look takes 2 ms", lie: slow(2*time.Millisecond, "lookup", "getattr")},
	{name: "mkdir takes 50 ms", lie: slow(50*time.Millisecond, "mkdir")},
	{name: "fsync takes 300 ms", lie: slow(300*time.Millisecond, "fsync"), want: renewed},
	{name: "short reads and writes", lie: lie{half: true}},
	{name: "names in another order", lie: lie{reversed: true}, want: renewed},
	{name: "another inode number at each look", lie: lie{inodes: true}},
}

func after(e syscall.Errno, where string, ops ...string) lie {
	return lie{after: fails(e, where, ops...).before}
}

// from makes a lie begin when begun says so.
func (l lie) from(begun func() bool) lie {
	gated := func(f func(op, path string) syscall.Errno) func(op, path string) syscall.Errno {
		if f == nil {
			return nil
		}
		return func(op, path string) syscall.Errno {
			if !begun() {
				return 0
			}
			return f(op, path)
		}
	}
	l.before, l.after = gated(l.before), gated(l.after)
	return l
}

// saves reports whether an operation puts a new document in place.
func saves(op, path string) bool { return op == "rename" && strings.HasSuffix(path+"$", document) }
