//go:build unix

package ledger

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/evercred/evercred/internal/fsys"
	"github.com/evercred/evercred/internal/fsys/faulty"
)

// descriptors is how many are open in this process; -1 where that is not told.
func descriptors() int {
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return -1
	}
	return len(names)
}

// TestReadsThatFailSaySo: nothing that could not be read passes for nothing, or
// for read; and no descriptor is left open.
func TestReadsThatFailSaySo(t *testing.T) {
	dir := quick(t)
	leave(t, dir)
	must(t, os.Chmod(filepath.Join(dir, rootName, "doc"), 0o700))
	g := hold(t, Open(dir, "doc", real()))
	must(t, g.SetMemory(Memory{Print: "p"}))
	must(t, g.SetSights([]Sight{{Path: "x", Ino: 1}}))
	for name, read := range map[string]func(*Ledger) (string, error){
		"Exists":   func(l *Ledger) (string, error) { ok, err := l.Exists(); return fmt.Sprint(ok), err },
		"Memory":   func(l *Ledger) (string, error) { m, err := l.Memory(); return m.Print, err },
		"Attempts": func(l *Ledger) (string, error) { r, err := l.Attempts(); return fmt.Sprint(len(r)), err },
		"History":  func(l *Ledger) (string, error) { h, err := l.History(); return fmt.Sprint(len(h)), err },
		"Holder": func(l *Ledger) (string, error) {
			h, held, err := l.Holder()
			return fmt.Sprint(h.ID.PID == os.Getpid(), held), err
		},
	} {
		disk := &faulty.FS{Under: fsys.OS{}}
		l := Open(dir, "doc", on(disk))
		good, err := read(l)
		must(t, err)
		if good == "false" || good == "0" || good == "" {
			t.Fatalf("%s says %q", name, good)
		}
		calls := disk.Calls()
		for n := range calls {
			for _, fault := range []error{syscall.EIO, fs.ErrPermission} {
				disk.Reset()
				disk.Fail = func(c faulty.Call) error {
					if c.N == n {
						return fault
					}
					return nil
				}
				open := descriptors()
				got, err := read(l)
				if now := descriptors(); now > open {
					t.Errorf("%s, %v says %v: %d descriptors left open", name, calls[n], fault, now-open)
				}
				if !errors.Is(err, fault) && (err != nil || got != good) {
					t.Errorf("%s, %v says %v: %q, %v", name, calls[n], fault, got, err)
				}
			}
		}
	}
	if pending, err := Open(dir, "doc", on(always("ReadDir", "doc", syscall.EIO))).Pending(); pending || !errors.Is(err, syscall.EIO) {
		t.Errorf("Pending: %v %v", pending, err)
	}
	// A closed one that went away between the list and the look is no error.
	history, err := Open(dir, "doc", on(always("OpenFile", closedSuffix, fs.ErrNotExist))).History()
	if err != nil || len(history) != 0 {
		t.Errorf("History: %v %v", history, err)
	}
	open, err := Open(dir, "doc", on(always("OpenFile", openSuffix, fs.ErrNotExist))).Attempts()
	if err != nil || len(open) != 0 {
		t.Errorf("Attempts: %v %v", open, err)
	}
	if m, err := g.Memory(); err != nil || len(m.Sights) != 1 {
		t.Errorf("%+v %v", m, err)
	}
}

// TestNothingIsLeftOpen: a tenure, whichever call of it fails, closes what it
// opened, at the latest with Release.
func TestNothingIsLeftOpen(t *testing.T) {
	if descriptors() < 0 {
		t.Skip("descriptors cannot be counted here")
	}
	total := 0
	for n := -1; n < total; n++ {
		dir := quick(t)
		disk := &faulty.FS{Under: fsys.OS{}}
		leave(t, dir)
		disk.Fail = func(c faulty.Call) error {
			if c.N == n && c.Op != "File.Close" {
				return syscall.EIO
			}
			return nil
		}
		open := descriptors()
		_, err := tenure(Open(dir, "doc", on(disk)))
		if now := descriptors(); now > open {
			t.Errorf("%v fails (%v): %d descriptors left open", disk.Calls()[max(0, min(n, len(disk.Calls())-1))], err, now-open)
		}
		if n < 0 {
			total = len(disk.Calls())
			for _, c := range disk.Calls() {
				if strings.HasSuffix(c.Op, "Chown") {
					t.Errorf("%v: it is the owner's already", c)
				}
			}
			continue
		}
		switch c := disk.Calls()[n]; c.Op {
		case "File.Close", "File.Read", "File.Stat", "OpenFile", "Remove", "File.WriteAt": // some of them only look, or tidy
		default:
			if !errors.Is(err, syscall.EIO) {
				t.Errorf("%v fails, and nobody is told: %v", c, err)
			}
		}
	}
}

// TestClosingMayFail: whichever call of closing fails, the attempt stands open
// with its answer, or closed without; and who asks again closes it.
func TestClosingMayFail(t *testing.T) {
	total := 0
	for n := -1; n < total; n++ {
		disk := &faulty.FS{Under: fsys.OS{}}
		l := Open(quick(t), "doc", on(disk))
		g := hold(t, l)
		r, err := g.Begin(Intent{Refresh: "r"})
		must(t, err)
		must(t, errors.Join(r.MarkSending(time.Unix(1, 0)), r.Append([]byte("answer")), r.Finish(time.Unix(2, 0))))
		disk.Reset()
		disk.Fail = func(c faulty.Call) error {
			if c.N == n {
				return syscall.EIO
			}
			return nil
		}
		err = r.Close("saved", "n", time.Unix(3, 0))
		calls := disk.Calls()
		disk.Fail = nil
		if n < 0 {
			total = len(calls)
			must(t, err)
		}
		if err != nil && !r.HasAnswer() {
			t.Errorf("%v fails: not closed, and the answer is gone", calls[n])
		}
		must(t, r.Close("saved", "n", time.Unix(3, 0)))
		records, err := g.Attempts()
		must(t, err)
		history, err := l.History()
		must(t, err)
		if len(records) != 0 || len(history) != 1 || r.HasAnswer() {
			t.Fatalf("%d open, %d closed", len(records), len(history))
		}
		h := history[0]
		if h.Successor != "n" || h.Reason != "saved" || h.Refresh != "r" || h.Version != FormatVersion || !h.Sent.Equal(time.Unix(1, 0)) || !h.Answered.Equal(time.Unix(2, 0)) || !h.ClosedAt.Equal(time.Unix(3, 0)) {
			t.Errorf("%+v", h)
		}
		must(t, g.Release())
	}
}

func TestHeaderAtItsBound(t *testing.T) {
	in := Intent{Version: 1}
	text, err := json.Marshal(in)
	must(t, err)
	in.Refresh = strings.Repeat("x", headerSize-sumSize-len(text))
	head, err := header(in)
	must(t, err)
	if got, err := parseHeader("f", head); err != nil || got.Refresh != in.Refresh || len(head) != headerSize {
		t.Errorf("%d bytes: %v", len(head), err)
	}
	in.Refresh += "x"
	if _, err := header(in); err == nil {
		t.Error("one byte more than fits")
	}
}

// What SetMemory keeps: the sights of before, no mark of corruption.
func TestSuccessorOfAMemory(t *testing.T) {
	old := Memory{Sights: []Sight{{Path: "old"}}}
	m := successor(old, Memory{Corrupt: true, Sights: []Sight{{Path: "new"}}})
	if m.Corrupt || m.Version != FormatVersion || len(m.Sights) != 1 || m.Sights[0].Path != "old" {
		t.Errorf("%+v", m)
	}
	m.Sights[0].Path = "changed"
	if c := old.clone(); old.Sights[0].Path != "old" || &c.Sights[0] == &old.Sights[0] {
		t.Error("the sights are shared")
	}
}

// A fresh folder needs every one of its syncs: an error of any of them stops the
// guard, and leaves no staged file.
func TestFreshFolderMayFail(t *testing.T) {
	disk := &faulty.FS{Under: fsys.OS{}}
	must(t, hold(t, Open(quick(t), "doc", on(disk))).Release())
	for n, c := range disk.Calls() {
		if c.Op != "File.Sync" && c.Op != "File.Datasync" && c.Op != "Mkdir" && c.Op != "File.WriteAt" && c.Op != "Rename" {
			continue
		}
		dir := quick(t)
		failing := &faulty.FS{Under: fsys.OS{}, Fail: func(c faulty.Call) error {
			if c.N == n {
				return syscall.EIO
			}
			return nil
		}}
		open := descriptors()
		g, err := Open(dir, "doc", on(failing)).TryGuard()
		if err == nil {
			err = g.Release()
		}
		if !errors.Is(err, syscall.EIO) {
			t.Errorf("%v fails: %v", c, err)
		}
		if now := descriptors(); now > open {
			t.Errorf("%v fails: %d descriptors left open", c, now-open)
		}
		names, _ := filepath.Glob(filepath.Join(dir, rootName, "doc", stagePrefix+"*"))
		if len(names) > 0 {
			t.Errorf("%v fails: left %v", c, names)
		}
	}
}

// What cannot be opened is explained by what stands there.
func TestGuardIsExplained(t *testing.T) {
	dir := quick(t)
	l := Open(dir, "doc", real())
	must(t, hold(t, l).Release())
	path := l.file(guardName)
	must(t, os.Remove(path))
	must(t, os.Symlink("x", path))
	if _, err := l.TryGuard(); !errors.Is(err, ErrPlanted) {
		t.Errorf("a link: %v", err)
	}
	must(t, os.Remove(path))
	must(t, os.Mkdir(path, 0o700))
	if _, err := l.TryGuard(); !errors.Is(err, ErrPlanted) && !errors.Is(err, syscall.EISDIR) {
		t.Errorf("a directory: %v", err)
	}
	must(t, os.Remove(path))
	must(t, hold(t, Open(quick(t), "doc", real())).Release())
	file := filepath.Join(dir, rootName)
	must(t, os.RemoveAll(file))
	write(t, file, "")
	if _, err := l.TryGuard(); !errors.Is(err, ErrPlanted) && !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("a file for a folder: %v", err)
	}
}

// What is handed out and handed in is not shared.
func TestMemoryIsNotShared(t *testing.T) {
	for name, k := range map[string]Keeper{"in the folder": hold(t, Open(quick(t), "doc", real())), "in memory": NewVolatile(real())} {
		given := Memory{Print: "p", Cooldown: &Cooldown{Count: 1}, Dead: &Dead{Reason: "1"}, Refused: &Cooldown{Count: 1},
			Granted: &Granted{Access: "1"}, Unanswered: &Unanswered{Print: "1"}, Spent: []string{"1"}}
		must(t, k.SetMemory(given))
		for range 2 {
			m, err := k.Memory()
			must(t, err)
			if m.Cooldown.Count != 1 || m.Dead.Reason != "1" || m.Refused.Count != 1 || m.Granted.Access != "1" || m.Unanswered.Print != "1" || m.Spent[0] != "1" {
				t.Errorf("%s: %+v", name, m)
			}
			for _, m := range []Memory{given, m} {
				m.Cooldown.Count, m.Dead.Reason, m.Refused.Count, m.Granted.Access, m.Unanswered.Print, m.Spent[0] = 2, "2", 2, "2", "2", "2"
			}
		}
	}
}

// The random part of our stamps is a number of steps, from the first to the last.
func TestSubMillisecond(t *testing.T) {
	const steps = uint64(time.Millisecond/stampUnit) - 1
	for raw, want := range map[uint64]int64{0: stampUnit, steps - 1: int64(time.Millisecond) - stampUnit, steps: stampUnit} {
		s := real()
		s.Rand = bytesOf(raw)
		if got, err := Open(t.TempDir(), "doc", s).subMillisecond(); err != nil || got != want {
			t.Errorf("of %d: %d %v, want %d", raw, got, err, want)
		}
	}
}

type bytesOf uint64

func (b bytesOf) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(b >> (8 * i))
	}
	return len(p), nil
}

// An answer whose pieces are counted is complete only as far as all are kept.
func TestCountOfAnAnswer(t *testing.T) {
	file := appendFrame(nil, frameSend, appendStop(time.Unix(1, 0), 0))
	file = appendFrame(file, frameData, []byte("abc"))
	file = appendFrame(file, frameData, []byte("de"))
	sends, _, _ := parseFrames(file, nil)
	if s := sends[0]; s.total != 5 || string(s.raw) != "abcde" || !s.end.IsZero() || !s.at.Equal(time.Unix(1, 0)) {
		t.Errorf("%+v", s)
	}
	sends, _, _ = parseFrames(appendFrame(file, frameEnd, appendStop(time.Unix(2, 0), 9)), nil)
	if s := sends[0]; s.total != 9 || !s.end.Equal(time.Unix(2, 0)) {
		t.Errorf("%+v", s)
	}
}

func TestNothingIsWrittenOfNothing(t *testing.T) {
	g := hold(t, Open(quick(t), "doc", real()))
	r, err := g.Begin(Intent{Refresh: "r", Host: "named"})
	must(t, err)
	if r.Intent().Host != "named" {
		t.Errorf("the host became %q", r.Intent().Host)
	}
	must(t, r.MarkSending(time.Unix(1, 0)))
	before := r.(*Attempt).off
	must(t, r.Append(nil))
	if after := r.(*Attempt).off; after != before || r.HasAnswer() {
		t.Errorf("%d bytes of nothing", after-before)
	}
	other, err := g.Begin(Intent{})
	must(t, err)
	if host, _ := os.Hostname(); other.Intent().Host != host[:min(len(host), maxHost)] {
		t.Errorf("the host is %q", other.Intent().Host)
	}
}

func TestIntentThatCannotBeWritten(t *testing.T) {
	disk := always("File.WriteAt", attemptPrefix, syscall.EIO)
	l := Open(quick(t), "doc", on(disk))
	g := hold(t, l)
	if _, err := g.Begin(Intent{}); !errors.Is(err, syscall.EIO) {
		t.Errorf("%v", err)
	}
	if names, _ := filepath.Glob(l.openPath("*")); len(names) != 0 {
		t.Errorf("left %v", names)
	}
}

// A late failure, told by close, is one.
func TestMemoryWhoseCloseFails(t *testing.T) {
	disk := &faulty.FS{Under: fsys.OS{}}
	g := hold(t, Open(quick(t), "doc", on(disk)))
	must(t, g.SetMemory(Memory{Print: "old"}))
	disk.Fail = always("File.Close", stagePrefix, syscall.EIO).Fail
	if err := g.SetMemory(Memory{Print: "new"}); !errors.Is(err, syscall.EIO) {
		t.Errorf("%v", err)
	}
	disk.Fail = nil
	if m, err := g.Memory(); err != nil || m.Print != "old" {
		t.Errorf("%+v %v", m, err)
	}
}

// What is as it should be is not touched.
func TestPrivateFolderIsNotTouched(t *testing.T) {
	disk := &faulty.FS{Under: fsys.OS{}}
	l := Open(quick(t), "doc", on(disk))
	must(t, hold(t, l).Release())
	disk.Reset()
	must(t, hold(t, l).Release())
	for _, c := range disk.Calls() {
		if c.Op == "File.Chmod" || c.Op == "Mkdir" || strings.HasSuffix(c.Op, "Chown") {
			t.Errorf("%v", c)
		}
	}
	var newer *NewerError
	if _, err := decode("f", []byte(`{"version":2}`), new(Memory)); !errors.As(err, &newer) || newer.Have != 2 || newer.Know != FormatVersion || newer.Path != "f" {
		t.Errorf("%v", err)
	}
}
