//go:build unix

package dirlock

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evercred/evercred/internal/fsys"
	"github.com/evercred/evercred/internal/fsys/faulty"
	"github.com/evercred/evercred/internal/ledger"
)

// faultAt puts a disk under the bench whose n-th call fails.
func (b *bench) faultAt(n int, fault error) *faulty.FS {
	disk := &faulty.FS{Under: fsys.OS{}}
	disk.Fail = func(c faulty.Call) error {
		if c.N == n {
			return fault
		}
		return nil
	}
	b.fs.FS = disk
	return disk
}

// tenure takes the locks, holds them over two beats and a write, and frees them.
func (b *bench) tenure() error {
	set, err := b.within(2*time.Minute, b.both()...)
	if err != nil {
		return err
	}
	time.Sleep(4 * time.Second)
	synctest.Wait()
	err = set.Check()
	write, werr := set.Acquire(b.t.Context(), Spec{Path: filepath.Join(b.dir, "write.lock"), Brief: true})
	if werr == nil {
		werr = write.Release()
	}
	return errors.Join(err, werr, set.Release())
}

// TestEveryCallMayFail: whichever call of a whole tenure fails, on free locks and
// on dead ones, nobody else's lock is removed, and the next process of ours is
// held up no longer than by a dead holder.
func TestEveryCallMayFail(t *testing.T) {
	for _, before := range []struct {
		name  string
		plant func(b *bench)
	}{
		{"free", func(*bench) {}},
		{"dead", func(b *bench) { b.plant(b.first, time.Hour); b.plant(b.second, time.Hour) }},
	} {
		total := 0
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t)
			before.plant(b)
			disk := b.faultAt(-1, nil)
			must(t, b.tenure())
			total = len(disk.Calls())
		})
		if total < 40 {
			t.Fatalf("only %d calls", total)
		}
		for _, fault := range []error{syscall.EIO, fs.ErrNotExist, fs.ErrPermission} {
			reported := 0
			for n := range total {
				synctest.Test(t, func(t *testing.T) {
					b := newBench(t)
					before.plant(b)
					disk := b.faultAt(n, fault)
					err := b.tenure()
					if err != nil {
						reported++
						if !errors.Is(err, ErrImpossible) && !errors.Is(err, ErrLost) && !errors.Is(err, ErrHeld) && !errors.Is(err, fault) {
							t.Errorf("an error that says nothing: %v", err)
						}
					}
					what := fmt.Sprint(before.name, " ", disk.Calls()[min(n, len(disk.Calls())-1)], " says ", fault)
					disk.Fail = nil
					b.book.bequeath(true)
					next, err := b.within(3*time.Minute, b.both()...)
					if err != nil {
						t.Fatalf("%s: the next process: %v", what, err)
					}
					must(t, next.Check())
					must(t, next.Release())
					b.absent(b.first)
					b.absent(b.second)
					if left, _ := os.ReadDir(b.book.staging); len(left) != 0 {
						t.Errorf("%s: left in staging: %v", what, left)
					}
				})
			}
			if fault == syscall.EIO && reported < total/4 {
				t.Errorf("%s: only %d of %d failures were reported", before.name, reported, total)
			}
		}
	}
}

// Time that the disk will not take: a lock is not ours if it does not bear what
// we set.
func TestATimeThatIsNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.fs.onSetTime.set(func(_ fsys.File, at *time.Time) error { *at = at.Add(-time.Hour); return nil })
		if _, err := b.within(time.Minute, b.both()...); !errors.Is(err, ErrImpossible) || !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), "another time") {
			t.Errorf("a new lock: %v", err)
		}
		b.absent(b.first)

		was := b.plant(b.first, time.Hour)
		b.age(b.first, time.Hour)
		began := time.Now()
		if _, err := b.within(20*time.Second, b.both()...); !errors.Is(err, ErrHeld) {
			t.Errorf("a dead lock: %v", err)
		}
		between(t, time.Since(began), 20*time.Second, 20*time.Second)
		if !fsys.SameFile(was, b.info(b.first)) {
			t.Error("replaced")
		}
	})
}

// A disk that rounds times makes a better line after a take-over.
func TestTakeoverOnACoarseDiskIsRecordedAsItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.plant(b.first, time.Hour)
		b.fs.onSetTime.set(func(_ fsys.File, at *time.Time) error { *at = at.Truncate(time.Second); return nil })
		set, _ := b.acquire(Spec{Path: b.first})
		if s := b.book.recorded()[0]; !s.Time.Equal(b.info(b.first).ModTime) {
			t.Errorf("recorded %v, the lock bears %v", s.Time, b.info(b.first).ModTime)
		}
		if taken := set.TakenOver(); len(taken) != 1 || taken[0] != b.first {
			t.Errorf("taken over: %v", taken)
		}
		must(t, set.Release())
	})
}

// Moving a directory may change its time: then the stamp is set again, unless
// we were held up for so long that it may be somebody else's.
func TestRenameThatChangesTheTime(t *testing.T) {
	for _, late := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t)
			b.fs.FS = touching{fsys.OS{}, func() {
				if late {
					time.Sleep(b.line().Times.StaleAge / 10)
				}
			}}
			set, err := b.within(time.Second, Spec{Path: b.first})
			if late {
				if !errors.Is(err, ErrHeld) {
					t.Errorf("held up: %v", err)
				}
				return
			}
			must(t, err)
			must(t, set.Check())
			must(t, set.Release())
		})
	}
}

func (b *bench) line() *line { return newLine(b.book, b.seams()) }

// touching is a disk on which a rename changes the time of what is renamed.
type touching struct {
	fsys.FS
	then func()
}

func (d touching) RenameNoReplace(from, to string) error {
	err := d.FS.RenameNoReplace(from, to)
	if err == nil {
		d.then()
		err = os.Chtimes(to, time.Now(), time.Now())
	}
	return err
}

// A dead lock that comes to life between our looks is left alone.
func TestTheDeadMayRise(t *testing.T) {
	beats := func(b *bench, path string) error { b.age(path, 0); return nil }
	for name, arrange := range map[string]func(b *bench, rise func() error){
		"before it is opened": func(b *bench, rise func() error) {
			disk := b.faultAt(-1, nil)
			disk.Fail = func(c faulty.Call) error {
				if c.Op == "OpenDir" {
					return rise()
				}
				return nil
			}
		},
		"while it is recorded": func(b *bench, rise func() error) {
			b.book.onRecord.set(func(s []ledger.Stamp) error {
				if len(s) > 0 {
					return rise()
				}
				return nil
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				was := b.plant(b.first, time.Hour)
				b.book.boot = ""
				rose := false
				arrange(b, func() error {
					if rose {
						return nil
					}
					rose = true
					return beats(b, b.first)
				})
				began := time.Now()
				set, err := b.within(40*time.Second, Spec{Path: b.first})
				if err == nil {
					set.Release()
				}
				if !errors.Is(err, ErrHeld) || !rose {
					t.Errorf("after %s: %v", time.Since(began), err)
				}
				if !fsys.SameFile(was, b.info(b.first)) {
					t.Error("replaced")
				}
				if left := b.book.recorded(); len(left) != 0 {
					t.Errorf("it stands in our line: %v", left)
				}
			})
		})
	}
}

// A dead lock that is gone when we open it, or before we set its time, is made
// anew; a directory without a name is nobody's lock, and is not stamped.
func TestTheDeadMayGo(t *testing.T) {
	for name, arrange := range map[string]func(b *bench, goes func()){
		"before it is opened": func(b *bench, goes func()) {
			b.faultAt(-1, nil).Fail = func(c faulty.Call) error {
				if c.Op == "OpenDir" && c.Path == b.first {
					goes()
				}
				return nil
			}
		},
		"while it is recorded": func(b *bench, goes func()) {
			b.book.onRecord.set(func([]ledger.Stamp) error { goes(); return nil })
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				b.plant(b.first, time.Hour)
				var once sync.Once
				arrange(b, func() { once.Do(func() { must(t, os.Remove(b.first)) }) })
				b.fs.onSetTime.set(func(f fsys.File, _ *time.Time) error {
					if i, err := f.Stat(); err == nil && i.Nlink == 0 {
						t.Error("stamped a lock that is gone")
					}
					return nil
				})
				set, took := b.acquire(Spec{Path: b.first})
				between(t, took, 12*time.Second, 13*time.Second)
				if len(set.TakenOver()) != 0 {
					t.Error("it counts as taken over")
				}
				must(t, set.Release())
			})
		})
	}
}

// A lock in a place that cannot be looked at.
func TestPlaceThatCannotBeLookedAt(t *testing.T) {
	for fault, optional := range map[error]bool{syscall.EIO: false, fs.ErrPermission: true, syscall.EROFS: true, syscall.ENOTDIR: true} {
		b := newBench(t)
		disk := b.faultAt(-1, nil)
		disk.Fail = func(c faulty.Call) error {
			if c.Path == b.second {
				return fault
			}
			return nil
		}
		set, err := b.within(time.Minute, b.both()...)
		if optional {
			must(t, err)
			if len(set.Missing) != 1 || !errors.Is(set.Missing[0].Err, fault) {
				t.Errorf("%v: missing %v", fault, set.Missing)
			}
			must(t, set.Release())
		} else if !errors.Is(err, ErrImpossible) || !errors.Is(err, fault) || !strings.Contains(err.Error(), b.second) {
			t.Errorf("%v: %v", fault, err)
		}
		b.absent(b.first)
	}
}

func TestWithoutChance(t *testing.T) {
	b := newBench(t)
	s := b.seams()
	s.Rand = bytes.NewReader(make([]byte, 7))
	if _, err := Try(t.Context(), b.book, s, b.both()...); !errors.Is(err, ErrImpossible) || !strings.Contains(err.Error(), "no random name") {
		t.Errorf("%v", err)
	}
	b.absent(b.first)
}

// Somebody takes the fresh name that we made in place for the dead lock that
// stood there, or makes it before us.
func TestInPlaceRaces(t *testing.T) {
	for name, race := range map[string]func(b *bench, done *bool) func(faulty.Call) error{
		"made before us": func(b *bench, done *bool) func(faulty.Call) error {
			return func(c faulty.Call) error {
				if c.Op == "Mkdir" && c.Path == b.first && !*done {
					*done = true
					return fs.ErrExist
				}
				return nil
			}
		},
		"gone before it is opened": func(b *bench, done *bool) func(faulty.Call) error {
			return func(c faulty.Call) error {
				if c.Op == "OpenDir" && c.Path == b.first && !*done {
					*done = true
					os.Remove(b.first)
				}
				return nil
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				b.fs.onRename.set(func(_, _ string) error { return syscall.EXDEV })
				done := false
				b.faultAt(-1, nil).Fail = race(b, &done)
				set, took := b.acquire(Spec{Path: b.first})
				if !done {
					t.Fatal("there was no race")
				}
				between(t, took, 150*time.Millisecond, 400*time.Millisecond)
				must(t, set.Check())
				must(t, set.Release())
			})
		})
	}
}

// What was made in place, replaced by somebody, and could not be recorded is not
// ours to remove.
func TestUndoOfWhatWasReplaced(t *testing.T) {
	b := newBench(t)
	b.fs.onRename.set(func(_, _ string) error { return syscall.EXDEV })
	var theirs fsys.Info
	b.book.onRecord.set(func(stamps []ledger.Stamp) error {
		if _, err := os.Lstat(b.first); len(stamps) == 0 || err != nil {
			return nil // still in staging
		}
		must(t, os.Remove(b.first))
		theirs = b.plant(b.first, 0)
		return syscall.ENOSPC
	})
	if _, err := b.within(time.Minute, Spec{Path: b.first}); !errors.Is(err, ErrImpossible) || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("%v", err)
	}
	b.untouched(b.first, theirs)
}

func TestMessages(t *testing.T) {
	if got := (&HeldError{}).Error(); !strings.Contains(got, "before the locks had settled") {
		t.Error(got)
	}
	for want, h := range map[string]Holder{
		"lock L is held by evercred, pid 7, its time is 3s old":                                                            {Report: Report{Path: "L", PID: 7, Age: 3 * time.Second}, Ours: true},
		"lock L is held, by pid 7 as its owner file says, its time lies 1m30s in the future, it beats":                     {Report: Report{Path: "L", PID: 7, Age: -90*time.Second - 400*time.Millisecond}, Beats: true},
		"lock L is held, its time is 11s old; it looks dead but belongs to uid 5, which must remove it":                    {Report: Report{Path: "L", Age: 11*time.Second + time.Millisecond, UID: 5}, Denied: true},
		"lock L is held, its time is 100ms old, it beats":                                                                  {Report: Report{Path: "L", Age: 120 * time.Millisecond}, Beats: true, Denied: true},
		"lock L is held, its time is 0s old":                                                                               {Report: Report{Path: "L"}},
		"lock L is held, its time is 10s old":                                                                              {Report: Report{Path: "L", Age: 10 * time.Second}},
		"lock L is held, its time is 9.9s old":                                                                             {Report: Report{Path: "L", Age: 9900 * time.Millisecond}},
		"lock L is held, its time is 1m0s old; it looks dead but belongs to uid 0, which must remove it":                   {Report: Report{Path: "L", Age: time.Minute}, Denied: true},
		"lock L is held, by pid 1 as its owner file says, its time lies 1s in the future":                                  {Report: Report{Path: "L", PID: 1, Age: -time.Second}},
		"lock L is held, by pid 1 as its owner file says, its time lies 100ms in the future, it beats":                     {Report: Report{Path: "L", PID: 1, Age: -100 * time.Millisecond}, Beats: true},
		"lock L is held by evercred, pid 0, its time is 0s old":                                                            {Report: Report{Path: "L"}, Ours: true},
		"lock L is held by evercred, pid 0, its time is 0s old; it looks dead but belongs to uid -1, which must remove it": {Report: Report{Path: "L", UID: -1}, Ours: true, Denied: true},
	} {
		if got := h.String(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	e := &ImpossibleError{Path: "L", Why: "why", Err: fs.ErrExist}
	if got := e.Error(); got != "cannot make the lock L: why: file already exists" {
		t.Error(got)
	}
	if got := (&ImpossibleError{Path: "L"}).Error(); got != "cannot make the lock L" {
		t.Error(got)
	}
	if m := (&mkdirError{fs.ErrExist}); m.Error() != fs.ErrExist.Error() || !errors.Is(m, fs.ErrExist) {
		t.Error(m)
	}
}

func TestInspectStrangeThings(t *testing.T) {
	b := newBench(t)
	disk := b.faultAt(-1, nil)
	look := func() Report { return Inspect(b.fs, b.clock, b.first) }
	must(t, os.WriteFile(b.first, nil, 0o600))
	if r := look(); r.Thing != Regular {
		t.Errorf("%+v", r)
	}
	disk.Fail = func(faulty.Call) error { return syscall.EIO }
	if r := look(); r.Thing != Unknown || !errors.Is(r.Err, syscall.EIO) || r.Path != b.first {
		t.Errorf("%+v", r)
	}
	disk.Fail = nil
	must(t, os.Remove(b.first))
	must(t, syscall.Mkfifo(b.first, 0o600))
	if r := look(); r.Thing != Other {
		t.Errorf("%+v", r)
	}
	must(t, os.Remove(b.first))
	b.plant(b.first, 0)
	owner := b.first + ".owner"
	must(t, syscall.Mkfifo(owner, 0o600)) // must not be waited for
	if r := look(); r.Thing != Directory || r.PID != 0 {
		t.Errorf("%+v", r)
	}
	must(t, os.Remove(owner))
	for text, want := range map[string]int{`{"pid":0}`: 0, `{"pid":1}`: 1, `{"pid":-1}`: 0, `{"pid":1e99}`: 0, `[`: 0, strings.Repeat(" ", 4<<10) + `{"pid":5}`: 0} {
		must(t, os.WriteFile(owner, []byte(text), 0o600))
		if r := look(); r.PID != want {
			t.Errorf("%.20q: %d, want %d", text, r.PID, want)
		}
	}
	disk.Fail = func(c faulty.Call) error {
		if c.Op == "Kind" || c.Op == "File.Stat" {
			return syscall.EIO
		}
		return nil
	}
	must(t, os.WriteFile(owner, []byte(`{"pid":1}`), 0o600))
	if r := look(); !r.Remote || r.PID != 0 {
		t.Errorf("what cannot be learned: %+v", r)
	}
}

// A beat tells a loss itself, not the next one: whoever spends a grant meanwhile
// would spend it without the lock. What a beat cannot look at is not lost.
func TestABeatTellsTheLossItself(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(b *bench, disk *faulty.FS)
		lost  bool
	}{
		"taken over while it was recorded": {func(b *bench, _ *faulty.FS) {
			b.book.onRecord.set(func([]ledger.Stamp) error { b.age(b.first, time.Second); return nil })
		}, true},
		"replaced while it was recorded": {func(b *bench, _ *faulty.FS) {
			b.book.onRecord.set(func([]ledger.Stamp) error { must(b.t, os.Remove(b.first)); b.plant(b.first, 0); return nil })
		}, true},
		"a time that is not kept": {func(b *bench, _ *faulty.FS) {
			b.fs.onSetTime.set(func(_ fsys.File, at *time.Time) error { *at = at.Add(-time.Hour); return nil })
		}, true},
		"a descriptor that cannot be looked at": {func(_ *bench, disk *faulty.FS) {
			disk.Fail = func(c faulty.Call) error {
				if c.Op == "File.Stat" {
					return syscall.EIO
				}
				return nil
			}
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				disk := b.faultAt(-1, nil)
				set, _ := b.acquire(Spec{Path: b.first})
				c.spoil(b, disk)
				must(t, set.Check())
				time.Sleep(2 * time.Second) // a beat and its jitter, and not two
				synctest.Wait()
				select {
				case <-set.Lost():
					if !c.lost {
						t.Error("lost")
					}
				default:
					if c.lost {
						t.Error("nobody is told")
					}
				}
				set.Release()
			})
		})
	}
}

// A look at our own lock that fails is neither ours nor lost.
func TestLookThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		disk := b.faultAt(-1, nil)
		set, _ := b.acquire(b.both()...)
		disk.Fail = func(c faulty.Call) error {
			if c.Op == "Lstat" {
				return syscall.EIO
			}
			return nil
		}
		if err := set.Check(); !errors.Is(err, syscall.EIO) || errors.Is(err, ErrLost) {
			t.Errorf("Check: %v", err)
		}
		time.Sleep(5 * time.Second) // beats that cannot look
		select {
		case <-set.Lost():
			t.Error("lost by a look that failed")
		default:
		}
		if err := set.Release(); !errors.Is(err, syscall.EIO) {
			t.Errorf("Release: %v", err)
		}
		if n := len(b.book.recorded()); n != 2 {
			t.Errorf("%d stamps in the line, want both: they still stand", n)
		}
		disk.Fail = nil
		b.book.bequeath(true)
		Tidy(b.book, b.seams(), b.second, b.first)
		b.absent(b.first)
		b.absent(b.second)
	})
}

// A dead lock that cannot be recorded is not taken over.
func TestTakeoverThatCannotBeRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		was := b.plant(b.first, time.Hour)
		b.book.onRecord.set(func([]ledger.Stamp) error { return syscall.ENOSPC })
		_, err := b.within(time.Minute, Spec{Path: b.first})
		if !errors.Is(err, ErrImpossible) || !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "record the stamp") {
			t.Errorf("%v", err)
		}
		b.untouched(b.first, was)
	})
}

// The time ends while the locks are looked at: nothing is taken.
func TestTheTimeEndsDuringTheSurvey(t *testing.T) {
	b := newBench(t)
	disk := b.faultAt(-1, nil)
	ctx, cancel := context.WithCancel(t.Context())
	disk.Fail = func(c faulty.Call) error {
		if c.Op == "Lstat" && c.Path == b.second {
			cancel()
		}
		if c.Op == "Mkdir" {
			t.Error("made a lock after the end")
		}
		return nil
	}
	_, err := Acquire(ctx, b.book, b.seams(), b.both()...)
	var held *HeldError
	if !errors.As(err, &held) || !errors.Is(err, context.Canceled) || len(held.Holders) != 0 {
		t.Errorf("%v", err)
	}
}

// A process that was stopped beats before it asks, and lets that settle: at
// exactly four beats it is not yet late.
func TestCheckAfterAStop(t *testing.T) {
	const four = 6 * time.Second
	for stop, late := range map[time.Duration]bool{0: false, four: false, four + 1: true, 20 * time.Second: true} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t)
			set, _ := b.acquire(b.both()...)
			was := b.info(b.first).ModTime
			b.clock.sleep(stop)
			began := time.Now()
			must(t, set.Check())
			took := time.Since(began)
			if late {
				between(t, took, 100*time.Millisecond, 100*time.Millisecond)
			} else {
				between(t, took, 0, 0)
			}
			if beat := b.info(b.first).ModTime.After(was); beat != late {
				t.Errorf("after a stop of %v it has beaten: %v", stop, beat)
			}
			must(t, set.Release())
		})
	}
}

// TestNothingIsLeftOpen: no call that fails leaves a descriptor open.
func TestNothingIsLeftOpen(t *testing.T) {
	open := func() int {
		names, _ := os.ReadDir("/proc/self/fd")
		return len(names)
	}
	if open() == 0 {
		t.Skip("descriptors cannot be counted here")
	}
	for _, dead := range []bool{false, true} {
		total := 0
		for n := -1; n < total; n++ {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				if dead {
					b.plant(b.first, time.Hour)
				}
				disk := b.faultAt(n, syscall.EIO)
				before := open()
				err := b.tenure()
				if now := open(); now > before {
					t.Errorf("%v fails (%v): %d descriptors left open", disk.Calls()[min(max(n, 0), len(disk.Calls())-1)], err, now-before)
				}
				if n < 0 {
					total = len(disk.Calls())
				}
			})
		}
	}
}

func TestSameSight(t *testing.T) {
	a := ledger.Sight{Path: "p", Ino: 1, Time: time.Unix(1, 0), BootID: "b", Boot: 1}
	same := a
	same.Time = a.Time.UTC()
	if !sameSight(a, same) {
		t.Error("the same, in another zone")
	}
	for name, change := range map[string]func(*ledger.Sight){
		"path":  func(s *ledger.Sight) { s.Path = "q" },
		"inode": func(s *ledger.Sight) { s.Ino++ },
		"time":  func(s *ledger.Sight) { s.Time = s.Time.Add(1) },
		"boot":  func(s *ledger.Sight) { s.BootID = "c" },
		"when":  func(s *ledger.Sight) { s.Boot++ },
	} {
		b := a
		if change(&b); sameSight(a, b) {
			t.Errorf("another %s counts as the same", name)
		}
	}
}

// What fails of taking a dead lock over is an error only where it will always be.
func TestTakeoverThatFails(t *testing.T) {
	for fault, want := range map[error]error{syscall.EIO: ErrImpossible, syscall.EMFILE: ErrImpossible, fs.ErrPermission: ErrHeld} {
		for at, nth := range map[string]int{"OpenDir": 1, "File.SetTime": 1, "File.Stat": 1, "File.Stat once more": 2} {
			op, _, _ := strings.Cut(at, " ")
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				was := b.plant(b.first, time.Hour)
				disk := b.faultAt(-1, nil)
				seen := 0
				disk.Fail = func(c faulty.Call) error {
					if c.Op == op && c.Path == b.first {
						if seen++; seen == nth {
							return fault
						}
					}
					return nil
				}
				_, err := b.within(20*time.Second, Spec{Path: b.first})
				if !errors.Is(err, want) || want == ErrImpossible && (!errors.Is(err, fault) || !strings.Contains(err.Error(), "take over a dead lock")) {
					t.Errorf("%s says %v: %v", at, fault, err)
				}
				b.untouched(b.first, was)
				if left := b.book.recorded(); want == ErrHeld && len(left) != 0 {
					t.Errorf("%s says %v: it stands in our line: %v", at, fault, left)
				}
			})
		}
	}
}

func TestPauseOfOneWhoHasGone(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	if !pause(ctx, 0) || !pause(ctx, -1) || !pause(ctx, 1) {
		t.Error("not to the end")
	}
	cancel()
	if pause(ctx, 0) || pause(ctx, time.Nanosecond) {
		t.Error("to the end")
	}
}

// Making a lock: what fails before it has its name ends the try, with the place
// and the cause, and leaves nothing.
func TestCreateThatFails(t *testing.T) {
	for _, op := range []string{"Mkdir", "OpenDir", "File.SetTime", "File.Stat"} {
		for nth := 1; nth <= 4; nth++ {
			b := newBench(t)
			disk := b.faultAt(-1, nil)
			seen := 0
			disk.Fail = func(c faulty.Call) error {
				if c.Op == op {
					if seen++; seen == nth {
						return syscall.EIO
					}
				}
				return nil
			}
			set, err := b.within(time.Minute, Spec{Path: b.first})
			if seen < nth {
				must(t, err)
				must(t, set.Release())
				break
			}
			if !errors.Is(err, ErrImpossible) || !errors.Is(err, syscall.EIO) || !strings.Contains(err.Error(), b.first) {
				t.Errorf("%s %d: %v", op, nth, err)
			}
			disk.Fail = nil
			b.absent(b.first)
			b.book.bequeath(true)
			next, _ := b.acquire(Spec{Path: b.first})
			must(t, next.Release())
		}
	}
}

// What Check finds lost is lost for good, and told.
func TestCheckTellsTheLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		set, _ := b.acquire(b.both()...)
		aside := b.first + ".aside"
		must(t, os.Rename(b.first, aside))
		if err := set.Check(); !errors.Is(err, ErrLost) {
			t.Errorf("gone: %v", err)
		}
		select {
		case <-set.Lost():
		default:
			t.Error("nobody is told")
		}
		must(t, os.Rename(aside, b.first))
		if err := set.Check(); !errors.Is(err, ErrLost) {
			t.Errorf("back again: %v", err)
		}
		if err := set.Release(); !errors.Is(err, ErrLost) {
			t.Errorf("Release: %v", err)
		}
	})
}

// Tidy frees dead locks of ours and nothing else.
func TestTidyOfWhatIsNoLock(t *testing.T) {
	b := newBench(t)
	at := time.Now().Truncate(time.Millisecond).Add(time.Duration(b.book.random))
	must(t, os.WriteFile(b.first, nil, 0o600))
	must(t, os.Chtimes(b.first, at, at))
	i := b.info(b.first)
	b.book.stamps = []ledger.Stamp{{Path: b.first, Ino: i.Ino, Birth: i.BirthTime, Time: i.ModTime}}
	b.book.bequeath(true)
	Tidy(b.book, b.seams(), b.first, b.second)
	b.untouched(b.first, i)
}

// The random part, as far as each file system keeps it, and no other.
func TestLeftByItsRandomPart(t *testing.T) {
	for part, want := range map[int64]bool{123_456: true, 123_400: true, 123_000: true, 123_450: false, 120_000: false, 123_457: false, 123_399: false} {
		at := time.UnixMilli(1_700_000_000_000).Add(time.Duration(part))
		i := fsys.Info{Ino: 7, ModTime: at, BirthTime: time.Unix(1, 0)}
		n := &line{book: &notebook{dead: true, prev: ledger.Holder{Random: 123_456, Stamps: []ledger.Stamp{{Path: "lock", Ino: 7, Birth: i.BirthTime, Time: at}}}}}
		if got := n.left("lock", i); got != want {
			t.Errorf("%d: %v, want %v", part, got, want)
		}
	}
}

// A lock is stale when it is older than its users say, and not before.
func TestAgeAtItsBound(t *testing.T) {
	for age, wait := range map[time.Duration]time.Duration{time.Minute - 12*time.Second: 12*time.Second + time.Millisecond, 2 * time.Minute: 12 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t)
			b.plant(b.first, age)
			p := newLine(b.book, b.seams()).begin([]Spec{{Path: b.first}}).places[0]
			if _, err := p.look(); !errors.Is(err, errBusy) {
				t.Errorf("at the first look: %v", err)
			}
			time.Sleep(12 * time.Second) // exactly Watch; an age of a minute is exactly StaleAge
			i, err := p.look()
			if dead := i != nil && err == nil; dead != (wait == 12*time.Second) {
				t.Errorf("%v old after Watch: dead %v", age+12*time.Second, dead)
			}
			time.Sleep(time.Millisecond)
			if i, err := p.look(); i == nil || err != nil {
				t.Errorf("a millisecond later: %v", err)
			}
		})
	}
}

func TestHolderThatIsDenied(t *testing.T) {
	b := newBench(t)
	p := &place{Spec: Spec{Path: b.first}, line: newLine(b.book, b.seams())}
	for _, c := range []struct {
		denied, last uint64
		want         bool
	}{{0, 0, false}, {0, 5, false}, {5, 6, false}, {5, 5, true}, {1, 1, true}} {
		p.denied, p.last.Ino = c.denied, c.last
		if got := p.holder().Denied; got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}
