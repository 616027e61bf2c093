package durable

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/evercred/evercred/internal/fsys"
	"github.com/evercred/evercred/internal/fsys/faulty"
)

func TestStageWithoutChance(t *testing.T) {
	s := newSite(t, 0o600)
	like, err := s.disk.OpenFile(s.path, os.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer like.Close()
	_, err = Stage(Plan{FS: s.disk, Rand: strings.NewReader("7 bytes"), Path: s.path, Like: like, Keep: 0o777, Staging: s.staging})
	if !errors.Is(err, io.ErrUnexpectedEOF) || len(s.leftovers(t)) != 0 {
		t.Errorf("%v, %v", err, s.leftovers(t))
	}
}

func TestInPlaceOfWhatIsNoFile(t *testing.T) {
	s := newSite(t, 0o600)
	disk := strangeDisk{FS: fsys.OS{}, change: func(i *fsys.Info) { i.Mode |= fs.ModeNamedPipe }}
	if _, err := OpenInPlace(disk, s.path, 10, nil); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("%v", err)
	}
}

// A write in place that fails, and then the writing back as well: whichever call
// it is, the error says that the file may be torn.
func TestRestoreThatFails(t *testing.T) {
	for name, fails := range map[string]func(c faulty.Call, written bool) bool{
		"the old content": func(c faulty.Call, written bool) bool { return written && c.Op == "File.WriteAt" },
		"its length":      func(c faulty.Call, _ bool) bool { return c.Op == "File.Truncate" },
		"its sync":        func(c faulty.Call, _ bool) bool { return c.Op == "File.Sync" },
		"its reading":     func(c faulty.Call, written bool) bool { return written && c.Op == "OpenFile" },
	} {
		s := prepared(t, site.inPlace)
		written := false
		s.disk.Fail = func(c faulty.Call) error {
			first := c.Op == "File.Sync" && !written
			if fails(c, written) || first {
				written = written || first
				return syscall.EIO
			}
			return nil
		}
		_, err := commit(s, newDocument)
		if !errors.Is(err, ErrTorn) || !errors.Is(err, syscall.EIO) || !strings.Contains(err.Error(), "escrow") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The first sync fails, and nothing else: the old content is back, at its length.
func TestRestore(t *testing.T) {
	for _, document := range []string{newDocument, oldDocument[:20]} {
		s := prepared(t, site.inPlace)
		failed := false
		s.disk.Fail = func(c faulty.Call) error {
			if c.Op == "File.Sync" && !failed {
				failed = true
				return syscall.EIO
			}
			return nil
		}
		_, err := commit(s, document)
		if errors.Is(err, ErrTorn) || !errors.Is(err, syscall.EIO) || !strings.Contains(err.Error(), "written back") || s.content(t) != oldDocument {
			t.Errorf("%v, %q", err, s.content(t))
		}
	}
}

// strangeDisk is a disk on which files are what the test says.
type strangeDisk struct {
	fsys.FS
	change func(*fsys.Info)
	chown  func(uid, gid int) error
}

func (d strangeDisk) OpenFile(name string, flag int, perm fs.FileMode) (fsys.File, error) {
	f, err := d.FS.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return strangeFile{f, d}, nil
}

type strangeFile struct {
	fsys.File
	d strangeDisk
}

func (f strangeFile) Stat() (fsys.Info, error) {
	i, err := f.File.Stat()
	if f.d.change != nil {
		f.d.change(&i)
	}
	return i, err
}

func (f strangeFile) Chown(uid, gid int) error { return f.d.chown(uid, gid) }

func (f strangeFile) CopyAttrs(fsys.File) error { return nil }

// F5, F10: the new file has the owner, group and mode of the old one, or there
// is none. A group that cannot be given is borne where it has no rights.
func TestOwnerAndGroup(t *testing.T) {
	const otherUser, otherGroup = 12345, 54321
	for name, c := range map[string]struct {
		mode     fs.FileMode
		uid, gid int // of the old file, as the disk has it; 0: as the new one's
		chown    error
		got      func(new *fsys.Info) // what the disk makes of chown and chmod
		want     error
		asked    bool
	}{
		"the same":                             {mode: 0o640},
		"another group, given":                 {mode: 0o640, gid: otherGroup, got: func(i *fsys.Info) { i.GID = otherGroup }, asked: true},
		"another group with rights, not given": {mode: 0o640, gid: otherGroup, chown: fs.ErrPermission, want: ErrOwner, asked: true},
		"another group without rights":         {mode: 0o600, gid: otherGroup, chown: fs.ErrPermission, asked: true},
		"another group, accepted and ignored":  {mode: 0o640, gid: otherGroup, want: ErrOwner, asked: true},
		"the same without rights":              {mode: 0o604, gid: otherGroup, asked: true},
		"another owner, given":                 {mode: 0o600, uid: otherUser, got: func(i *fsys.Info) { i.UID = otherUser }, asked: true},
		"another owner, not given":             {mode: 0o600, uid: otherUser, chown: fs.ErrPermission, want: ErrOwner, asked: true},
		"another owner, accepted and ignored":  {mode: 0o600, uid: otherUser, want: ErrOwner, asked: true},
		"a mode that the disk makes wider":     {mode: 0o600, got: func(i *fsys.Info) { i.Mode |= 0o004 }, want: ErrOwner},
		"a mode that the disk makes narrower":  {mode: 0o644, got: func(i *fsys.Info) { i.Mode &^= 0o044 }},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, c.mode)
			asked := false
			disk := strangeDisk{FS: s.disk, chown: func(int, int) error { asked = true; return c.chown }}
			like, err := s.disk.OpenFile(s.path, os.O_RDONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer like.Close()
			old := strangeFile{like, strangeDisk{change: func(i *fsys.Info) {
				if c.uid != 0 {
					i.UID = c.uid
				}
				if c.gid != 0 {
					i.GID = c.gid
				}
			}}}
			disk.change = func(i *fsys.Info) { // what becomes of it, becomes by chown
				if c.got != nil && (asked || !c.asked) {
					c.got(i)
				}
			}
			p, err := Stage(Plan{FS: disk, Rand: neverEnds{}, Path: s.path, Like: old, Keep: 0o777, Staging: s.staging, Size: 100})
			if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
				t.Fatalf("%v, want %v", err, c.want)
			}
			if asked != c.asked {
				t.Errorf("chown was asked for: %v", asked)
			}
			if c.chown != nil && c.want != nil && !errors.Is(err, c.chown) {
				t.Errorf("without its cause: %v", err)
			}
			if err != nil {
				if left := s.leftovers(t); len(left) != 0 {
					t.Errorf("left over: %v", left)
				}
				return
			}
			defer p.Discard()
			if i, err := os.Lstat(filepath.Join(s.staging, s.leftovers(t)[0])); err != nil || i.Mode().Perm() != c.mode {
				t.Errorf("%v %v", i.Mode(), err)
			}
		})
	}
}

type neverEnds struct{}

func (neverEnds) Read(p []byte) (int, error) { return len(p), nil }

// Preparing and committing, whichever call of them fails, leave no descriptor
// open; nor does a Commit that its check stopped.
func TestNothingIsLeftOpen(t *testing.T) {
	open := func() int {
		names, _ := os.ReadDir("/proc/self/fd")
		return len(names)
	}
	if open() == 0 {
		t.Skip("descriptors cannot be counted here")
	}
	eachWay(t, func(t *testing.T, prepare func(site) (Prepared, error)) {
		total := 0
		for n := -1; n < total; n++ {
			s := newSite(t, 0o600)
			var at faulty.Call
			s.disk.Fail = func(c faulty.Call) error {
				if c.N == n && c.Op != "File.Close" {
					at = c
					return syscall.EIO
				}
				return nil
			}
			before := open()
			p, err := prepare(s)
			if err == nil {
				_, err = p.Commit([]byte(newDocument), ok)
			}
			if now := open(); now > before {
				t.Errorf("%v fails (%v): %d descriptors left open", at, err, now-before)
			}
			if p != nil {
				if again := p.Discard(); again != nil {
					t.Errorf("%v fails: Discard after Commit: %v", at, again)
				}
			}
			if n < 0 {
				total = len(s.disk.Calls())
			} else if err != nil && !strings.Contains(err.Error(), filepath.Base(s.path)) {
				t.Errorf("%v fails: the error names no place: %v", at, err)
			}
		}
	})
}

func TestFitAtItsBounds(t *testing.T) {
	for _, c := range []struct {
		data string
		size int
		want string
	}{
		{"{}", 2, "{}"}, {"{}\n", 2, "{}"}, {"{}\n", 3, "{}\n"}, {"{} \n", 3, "{} "}, {"{}", 3, "{}\n"}, {"{}", 4, "{} \n"}, {"{x}", 2, "{x}"}, {"{x}\n\n", 1, "{x}"},
	} {
		if got := string(fit([]byte(c.data), c.size)); got != c.want {
			t.Errorf("fit(%q, %d) = %q, want %q", c.data, c.size, got, c.want)
		}
	}
}

// Settling a file: its content is synced before its name (F8); every failure is
// told, with the place; a file that may not be written is settled all the same.
func TestSettle(t *testing.T) {
	s := newSite(t, 0o600)
	if err := Settle(s.disk, s.path); err != nil {
		t.Fatal(err)
	}
	calls := s.disk.Calls()
	inOrder(t, calls,
		func(c faulty.Call) bool { return c.Op == "File.Sync" && c.Path == s.path },
		func(c faulty.Call) bool { return c.Op == "File.Sync" && c.Path == s.dir })
	for n, c := range calls {
		s.disk.Reset()
		s.disk.Fail = func(c faulty.Call) error {
			if c.N == n {
				return syscall.EIO
			}
			return nil
		}
		err := Settle(s.disk, s.path)
		if c.Op != "File.Close" && (!errors.Is(err, syscall.EIO) || !strings.Contains(err.Error(), s.path)) {
			t.Errorf("%v fails: %v", c, err)
		}
	}
	opened := 0
	s.disk.Fail = func(c faulty.Call) error {
		if c.Op == "OpenFile" {
			if opened++; opened == 1 {
				return syscall.EACCES
			}
		}
		return nil
	}
	if err := Settle(s.disk, s.path); err != nil || opened != 2 {
		t.Errorf("read-only: %v after %d tries", err, opened)
	}
}
