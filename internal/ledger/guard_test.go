//go:build unix

package ledger

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evercred/evercred/internal/fsys"
	"github.com/evercred/evercred/internal/fsys/faulty"
	"github.com/evercred/evercred/internal/procid"
)

func TestGuardExcludesInOneProcess(t *testing.T) {
	dir := quick(t)
	g := hold(t, Open(dir, "doc", real()))
	_, err := Open(dir, "doc", real()).TryGuard()
	var held *HeldError
	if !errors.As(err, &held) || !errors.Is(err, ErrHeld) {
		t.Fatalf("second guard: %v, want a HeldError", err)
	}
	if held.Holder.ID.PID != os.Getpid() || held.Since.IsZero() {
		t.Errorf("the error names %+v, want this process", held.Holder)
	}
	must(t, g.Release())
	must(t, g.Release())
	hold(t, Open(dir, "doc", real()))
}

func TestLedgersOfTwoDocumentsAreApart(t *testing.T) { // F12
	dir := quick(t)
	hold(t, Open(dir, "one", real()))
	hold(t, Open(dir, "two", real()))
}

func TestGuardExcludesProcessesAndIsFreedBySIGKILL(t *testing.T) {
	dir := quick(t)
	l := Open(dir, "doc", real())
	p := start(t, self(t), "hold", dir, 0)
	if got := p.line(t); got != "held" {
		t.Fatal(got)
	}
	_, err := l.TryGuard()
	var held *HeldError
	if !errors.As(err, &held) || held.Holder.ID.PID != p.Process.Pid {
		t.Fatalf("%v, want held by %d", err, p.Process.Pid)
	}
	h, isHeld, err := l.Holder()
	if err != nil || !isHeld || h.ID.PID != p.Process.Pid {
		t.Fatalf("Holder: %+v %v %v", h, isHeld, err)
	}

	must(t, p.Process.Kill())
	p.Wait()
	if _, isHeld, err := l.Holder(); isHeld || err != nil {
		t.Fatalf("held by a dead process: %v", err)
	}
	g := hold(t, l)
	prev, dead := g.Previous()
	if !dead || prev.ID.PID != p.Process.Pid || len(prev.Stamps) != 1 || prev.Stamps[0].Ino != 7 {
		t.Errorf("Previous: %+v, dead %v", prev, dead)
	}
	records, err := g.Attempts()
	must(t, err)
	if len(records) != 1 {
		t.Fatalf("%d attempts left by the dead process, want 1", len(records))
	}
	raw, at, complete := records[0].Answer()
	if string(raw) != "half an ans" || !at.Equal(time.Unix(5, 0)) || complete {
		t.Errorf("Answer: %q %v %v", raw, at, complete)
	}
	if records[0].NeverSent(g.BootID()) {
		t.Error("a marked attempt counts as never sent")
	}
}

// TestGuardStorm: four processes and four goroutines, each alone by an oracle
// that knows nothing of locks.
func TestGuardStorm(t *testing.T) {
	dir := quick(t)
	var group sync.WaitGroup
	for range 4 {
		p := start(t, self(t), "storm", dir, 0)
		group.Go(func() {
			for p.lines.Scan() {
				if p.lines.Text() != "ok" {
					t.Error(p.lines.Text())
				}
			}
		})
		group.Go(func() {
			l := Open(dir, "doc", real())
			for range 60 {
				if err := alone(l, filepath.Join(dir, "oracle")); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
}

func TestGuardReplacedIsStartedOver(t *testing.T) {
	dir := quick(t)
	disk := &faulty.FS{Under: fsys.OS{}}
	l := Open(dir, "doc", on(disk))
	first := hold(t, l)
	must(t, first.Check())
	path := filepath.Join(l.Path(), "guard")

	// Replaced between open and lock: the second must lock the new file.
	replaced := false
	disk.Fail = func(c faulty.Call) error {
		if c.Op == "File.TryLock" && !replaced {
			replaced = true
			must(t, os.Remove(path))
			write(t, path, "")
			first.Release()
		}
		return nil
	}
	second := hold(t, l)
	disk.Fail = nil
	if !replaced {
		t.Fatal("the guard was not replaced")
	}
	must(t, second.Check())
	if _, err := l.TryGuard(); !errors.Is(err, ErrHeld) {
		t.Errorf("the file at the path is not locked: %v", err)
	}

	// Replaced while held: noticed, and the line of the next holder is left alone.
	must(t, os.Rename(path, path+".old"))
	third := hold(t, l)
	for what, err := range map[string]error{
		"Check": second.Check(), "Record": second.Record(nil), "SetMemory": second.SetMemory(Memory{}),
		"Release": second.Release(),
	} {
		if !errors.Is(err, ErrLost) {
			t.Errorf("%s after replacement: %v, want ErrLost", what, err)
		}
	}
	must(t, third.Check())
	if h, err := l.readHolder(); err != nil || h.Released {
		t.Errorf("the line of the third holder: %+v %v", h, err)
	}
}

func TestGuardWaitsAndGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := quick(t)
		l := Open(dir, "doc", real())
		g := hold(t, l)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		_, err := l.Guard(ctx)
		if !errors.Is(err, ErrHeld) || !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("%v, want held and deadline exceeded", err)
		}
		if d := time.Since(began); d != time.Second {
			t.Errorf("gave up after %v, want 1s", d)
		}

		time.AfterFunc(time.Minute, func() { g.Release() })
		began = time.Now()
		second, err := l.Guard(t.Context())
		must(t, err)
		defer second.Release()
		if d := time.Since(began); d < time.Minute || d > time.Minute+l.s.Times.LookMax {
			t.Errorf("guard after %v, want within LookMax of 1m", d)
		}
	})
}

func TestGuardUnsupported(t *testing.T) { // L8
	disk := &faulty.FS{Under: fsys.OS{}, Fail: func(c faulty.Call) error {
		if c.Op == "File.TryLock" {
			return fsys.ErrUnsupported
		}
		return nil
	}}
	if _, err := Open(t.TempDir(), "doc", on(disk)).TryGuard(); !errors.Is(err, ErrUnsupported) {
		t.Errorf("%v, want ErrUnsupported", err)
	}
}

// table is a process table in which everybody else is dead.
type table struct{ id procid.ID }

func (p table) Self() procid.ID        { return p.id }
func (p table) Dead(id procid.ID) bool { return id != p.id }

// TestPreviousOutlivesASecondDeath: A dies with stamped locks, B dies before it
// stamps any; C still learns of A's stamps. Once somebody had the locks and gave
// them back, nobody does.
func TestPreviousOutlivesASecondDeath(t *testing.T) {
	dir := quick(t)
	as := func(pid int) *Ledger {
		s := real()
		s.Procs = table{procid.ID{PID: pid}}
		return Open(dir, "doc", s)
	}
	die := func(g *Guard) { g.guard.Close() } // what the kernel does
	stamps := []Stamp{{Path: "lock", Ino: 1}}

	a := hold(t, as(1))
	must(t, a.Record(stamps))
	if r := a.Random(); r <= 0 || r >= int64(time.Millisecond) || r%100 != 0 {
		t.Errorf("random part %d", r)
	}
	die(a)
	die(hold(t, as(2)))
	c := hold(t, as(3))
	if h, dead := c.Previous(); !dead || h.ID.PID != 1 || len(h.Stamps) != 1 || h.Random != a.Random() {
		t.Errorf("C sees %+v, dead %v; want A", h, dead)
	}
	must(t, c.Release()) // without ever getting the locks
	d := hold(t, as(4))
	if h, _ := d.Previous(); h.ID.PID != 1 {
		t.Errorf("D sees %+v, want A", h)
	}
	must(t, d.Record(stamps))
	must(t, d.Record(nil))
	must(t, d.Release())
	e := hold(t, as(5))
	if h, _ := e.Previous(); h.ID.PID != 4 || len(h.Stamps) != 0 {
		t.Errorf("E sees %+v, want D without stamps", h)
	}
}

func TestReleasedHolderIsNotNamed(t *testing.T) {
	dir := quick(t)
	l := Open(dir, "doc", real())
	must(t, hold(t, l).Release())
	f, err := os.Open(filepath.Join(l.Path(), "guard"))
	must(t, err)
	defer f.Close()
	must(t, syscall.Flock(int(f.Fd()), syscall.LOCK_EX)) // somebody who has written no line yet
	h, held, err := l.Holder()
	if err != nil || !held || h.ID.PID != 0 {
		t.Errorf("Holder: %+v %v %v, want held by nobody known", h, held, err)
	}
	var e *HeldError
	if _, err := l.TryGuard(); !errors.As(err, &e) || e.Holder.ID.PID != 0 {
		t.Errorf("TryGuard: %v", err)
	}
}

func TestNothingWorksAfterRelease(t *testing.T) {
	g := hold(t, Open(t.TempDir(), "doc", real()))
	r, err := g.Begin(Intent{})
	must(t, err)
	must(t, g.Release())
	_, listErr := g.Attempts()
	_, beginErr := g.Begin(Intent{})
	for what, err := range map[string]error{
		"Check": g.Check(), "Record": g.Record(nil), "SetMemory": g.SetMemory(Memory{}), "SetSights": g.SetSights(nil),
		"Attempts": listErr, "Begin": beginErr, "MarkSending": r.MarkSending(time.Now()), "Append": r.Append([]byte("x")),
		"Close": r.Close("saved", "", time.Now()),
	} {
		if !errors.Is(err, ErrLost) {
			t.Errorf("%s: %v, want ErrLost", what, err)
		}
	}
	if raw, _, _ := r.Answer(); string(raw) != "x" {
		t.Errorf("the bytes are not kept in memory: %q", raw)
	}
}
