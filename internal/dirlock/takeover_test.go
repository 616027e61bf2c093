package dirlock

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evercred/evercred/internal/fsys"
	"github.com/evercred/evercred/internal/fsys/faulty"
	"github.com/evercred/evercred/internal/ledger"
)

// L1: however old its time, a lock that beats is alive.
func TestL1BeatingLockIsNeverTakenOver(t *testing.T) {
	for name, age := range map[string]time.Duration{"right clock": 0, "clock two hours behind": 2 * time.Hour, "clock ahead": -time.Hour} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				lock := b.plant(b.first, age)
				must(t, os.WriteFile(b.first+".owner", []byte(`{"pid": 777, "procStart": "1"}`), 0o600))
				stop := b.beating(b.first, age)
				began := time.Now()
				_, err := b.within(10*time.Minute, b.both()...)
				between(t, time.Since(began), 10*time.Minute, 10*time.Minute)
				stop()
				var held *HeldError
				if !errors.As(err, &held) || !errors.Is(err, ErrHeld) || !errors.Is(err, context.DeadlineExceeded) {
					t.Fatalf("got %v", err)
				}
				if h := held.Holders[0]; h.Path != b.first || h.PID != 777 || !h.Beats {
					t.Errorf("holder %+v", h)
				}
				if !strings.Contains(err.Error(), "pid 777") {
					t.Errorf("message: %v", err)
				}
				if !fsys.SameFile(lock, b.info(b.first)) {
					t.Error("replaced")
				}
			})
		})
	}
}

// L2: left by SIGKILL in an npm holder.
func TestL2StaleLockIsAdopted(t *testing.T) {
	cases := map[string]struct{ age, min, max time.Duration }{
		"old":         {time.Hour, 12 * time.Second, 13 * time.Second},
		"just left":   {0, 60 * time.Second, 61 * time.Second},
		"a while ago": {30 * time.Second, 30 * time.Second, 31 * time.Second},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				first, second := b.plant(b.first, c.age), b.plant(b.second, c.age)
				set, took := b.acquire(b.both()...)
				between(t, took, c.min, c.max)
				if !fsys.SameFile(first, b.info(b.first)) || !fsys.SameFile(second, b.info(b.second)) {
					t.Error("it was replaced, not adopted")
				}
				must(t, set.Check())
				must(t, set.Release())
				b.absent(b.first)
				b.absent(b.second)
				if len(b.book.sights) != 0 {
					t.Errorf("sights of locks that are gone: %v", b.book.sights)
				}
			})
		})
	}
}

// A holder that beats again at the last moment is not robbed: not while we
// watched, and not while our line was being written.
func TestL2LateBeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.plant(b.first, time.Hour)
		time.AfterFunc(11900*time.Millisecond, func() { b.age(b.first, 30*time.Minute) })
		set, took := b.acquire(b.both()...)
		between(t, took, 23900*time.Millisecond, 25*time.Second)
		must(t, set.Release())
	})
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		lock := b.plant(b.first, time.Hour)
		b.book.onRecord.set(func([]ledger.Stamp) error {
			b.book.onRecord.set(nil)
			b.age(b.first, 0)
			lock = b.info(b.first)
			return nil
		})
		if _, err := b.within(20*time.Second, b.both()...); !errors.Is(err, ErrHeld) {
			t.Errorf("got %v", err)
		}
		b.untouched(b.first, lock)
	})
}

// L2, DESIGN §6.3: a dead process of ours delays the next by no more than a second.
func TestL2DeadOneOfOurs(t *testing.T) {
	// die leaves locks as a killed process does.
	die := func(b *bench) {
		set, _ := b.acquire(b.both()...)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		close(set.stop)
		<-set.done
	}
	cases := map[string]struct {
		change func(b *bench)
		atOnce bool
	}{
		"as it was left":               {func(b *bench) { b.book.bequeath(true) }, true},
		"L7b: the pid proves nothing":  {func(b *bench) { b.book.bequeath(false) }, false},
		"another random part":          {func(b *bench) { b.book.random++; b.book.bequeath(true) }, false},
		"an inode that was used again": {func(b *bench) { b.book.bequeath(true); b.book.prev.Stamps[0].Birth = time.Unix(1, 0) }, false},
		"somebody has beaten it":       {func(b *bench) { b.book.bequeath(true); b.age(b.first, 0) }, false},
		"killed between record and beat": {func(b *bench) {
			b.book.bequeath(true)
			for i := range b.book.prev.Stamps {
				s := &b.book.prev.Stamps[i]
				s.Prev, s.Time = s.Time, s.Time.Add(1500*time.Millisecond)
			}
		}, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				die(b)
				c.change(b)
				set, took := b.acquire(b.both()...)
				if c.atOnce {
					between(t, took, 250*time.Millisecond, time.Second)
				} else {
					between(t, took, 55*time.Second, 62*time.Second)
				}
				must(t, set.Release())
			})
		})
	}
}

// On a file system that keeps no random part the birth time speaks for the lock;
// without either the age rule applies.
func TestL2DeadOneOfOursOnCoarseFileSystem(t *testing.T) {
	n := newLine(&notebook{}, newBench(t).seams())
	book := n.book.(*notebook)
	at := time.Unix(1_700_000_000, 0)
	i := fsys.Info{Ino: 5, ModTime: at, BirthTime: at}
	book.random, book.dead = 123_456, true
	n.locks = []*lock{{path: "x", self: i, time: at}}
	must(t, n.record())
	book.bequeath(true)
	if !n.left("x", i) {
		t.Error("with a birth time: not known again")
	}
	i.BirthTime = time.Time{}
	book.prev.Stamps[0].Birth = time.Time{}
	if n.left("x", i) {
		t.Error("without a birth time: taken for ours")
	}
}

// INTEROP §3.3: the first of two sights may stand in the ledger.
func TestSightInTheLedger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.plant(b.first, time.Hour)
		for range 3 { // short processes and early windows
			if _, err := Try(t.Context(), b.book, b.seams(), b.both()...); !errors.Is(err, ErrHeld) {
				t.Fatalf("got %v", err)
			}
			time.Sleep(4 * time.Second)
		}
		if b.book.written != 1 {
			t.Errorf("sights were written %d times", b.book.written)
		}
		set, err := Try(t.Context(), b.book, b.seams(), b.both()...)
		must(t, err)
		must(t, set.Release())
	})
}

// A sight is in the ledger as soon as the waiting begins, for whoever waits may be
// killed. It replaces an earlier one of that lock, and no other lock's.
func TestSightOfOneWhoWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.plant(b.first, 0)
		another := ledger.Sight{Path: "another.lock", Ino: 1}
		b.book.sights = []ledger.Sight{another, {Path: b.first, Ino: 1}}
		looks := 0
		b.fs.FS = &faulty.FS{Under: fsys.OS{}, Fail: func(c faulty.Call) error {
			if c.Op != "Lstat" {
				return nil
			}
			if looks++; looks == 2 {
				if s := b.book.sights; len(s) != 2 || !sameSight(s[0], another) || s[1].Path != b.first || s[1].Ino != b.info(b.first).Ino {
					t.Errorf("in the ledger while we wait: %+v", s)
				}
			}
			return nil
		}}
		if _, err := b.within(time.Second, Spec{Path: b.first}); !errors.Is(err, ErrHeld) || looks < 2 {
			t.Errorf("%v after %d looks", err, looks)
		}
	})
}

// Two clocks agree within the slack, and within the thousandth that NTP may slew.
func TestAgreeAtItsBound(t *testing.T) {
	w := watch{slack: time.Second}
	for _, sign := range []time.Duration{1, -1} {
		for off, want := range map[time.Duration]bool{0: true, 1010 * time.Millisecond: true, 1010*time.Millisecond + 1: false} {
			if got := w.agree(10*time.Second+sign*off, 10*time.Second); got != want {
				t.Errorf("%v apart: %v, want %v", sign*off, got, want)
			}
		}
	}
}

func TestSightInTheLedgerThatProvesNothing(t *testing.T) {
	const awake = 11 * time.Second
	cases := map[string]func(b *bench){
		"another boot":       func(b *bench) { time.Sleep(awake); b.book.boot = "next-boot" },
		"boot unknown":       func(b *bench) { time.Sleep(awake); b.book.boot, b.book.sights[0].BootID = "", "" },
		"the wall jumped":    func(b *bench) { time.Sleep(awake); b.clock.jump(-30 * time.Second) },
		"the machine slept":  func(b *bench) { b.clock.sleep(time.Hour) },
		"the holder beat":    func(b *bench) { time.Sleep(awake); b.age(b.first, 59*time.Minute) },
		"clock before sight": func(b *bench) { time.Sleep(awake); b.book.sights[0].Boot += time.Hour },
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				b.plant(b.first, time.Hour)
				_, err := Try(t.Context(), b.book, b.seams(), b.both()...)
				if !errors.Is(err, ErrHeld) || len(b.book.sights) != 1 {
					t.Fatalf("got %v, sights %v", err, b.book.sights)
				}
				change(b)
				set, took := b.acquire(b.both()...)
				between(t, took, 12*time.Second, 13*time.Second)
				must(t, set.Release())
			})
		})
	}
}

// R18: no lock is judged across a jump of the wall clock or a sleep.
func TestJumpWhileWatching(t *testing.T) {
	cases := map[string]func(c *clock){
		"forward": func(c *clock) { c.jump(time.Hour) },
		"back":    func(c *clock) { c.jump(-10 * time.Minute) },
		"sleep":   func(c *clock) { c.sleep(8 * time.Hour) },
	}
	for name, jump := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				b.plant(b.first, time.Hour)
				time.AfterFunc(8*time.Second, func() { jump(b.clock) })
				set, took := b.acquire(b.both()...)
				between(t, took, 20*time.Second, 21*time.Second)
				must(t, set.Release())
			})
		})
	}
}

// A laptop wakes: the CLI's lock is old by the night, and the CLI beats again
// five seconds later. It must not be robbed in between.
func TestHolderThatSleptWithTheMachine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		lock := b.plant(b.first, 0)
		stop := b.beating(b.first, 0)
		time.AfterFunc(11*time.Second, func() { b.clock.sleep(8 * time.Hour) })
		if _, err := b.within(time.Minute, b.both()...); !errors.Is(err, ErrHeld) {
			t.Errorf("got %v", err)
		}
		stop()
		if !fsys.SameFile(lock, b.info(b.first)) {
			t.Error("replaced")
		}
	})
}

// L3, L8: where the time means nothing only the watching counts.
func TestL3L8WatchingAlone(t *testing.T) {
	cases := map[string]func(b *bench){
		"L3: future time": func(b *bench) { b.plant(b.first, -time.Hour) },
		"L8: network file system": func(b *bench) {
			b.plant(b.first, time.Hour)
			b.fs.kind = &fsys.Kind{Name: "nfs", Remote: true}
		},
	}
	for name, plant := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				plant(b)
				_, err := b.within(10*time.Second, b.both()...)
				if !errors.Is(err, ErrHeld) {
					t.Errorf("got %v", err)
				}
				set, took := b.acquire(b.both()...)
				between(t, took, 50*time.Second, 51*time.Second) // 60 s with the sight in the ledger
				must(t, set.Release())
			})
		})
	}
}

// L3: what somebody keeps in a lock stays, and so does the lock, as old as it was.
func TestL3NeverRemovesAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		must(t, os.Mkdir(b.first, 0o755))
		keep := filepath.Join(b.first, "keep")
		must(t, os.WriteFile(keep, []byte("x"), 0o600))
		b.age(b.first, time.Hour)
		was := b.info(b.first)
		set, _ := b.acquire(b.both()...)
		if err := set.Release(); !errors.Is(err, syscall.ENOTEMPTY) {
			t.Errorf("Release: %v", err)
		}
		b.untouched(b.first, was)
		b.absent(b.second)
		if _, err := os.Stat(keep); err != nil {
			t.Error(err)
		}
	})
}

// L3: another user's dead lock: bounded, and the message names the user.
func TestL3NotPermitted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		was := b.plant(b.first, time.Hour)
		tries := 0
		b.fs.onSetTime.set(func(fsys.File, *time.Time) error { tries++; return syscall.EPERM })
		_, err := b.within(30*time.Second, b.both()...)
		if !errors.Is(err, ErrHeld) || !strings.Contains(err.Error(), "belongs to uid") {
			t.Errorf("got %v", err)
		}
		if tries != 1 {
			t.Errorf("%d tries", tries)
		}
		b.untouched(b.first, was)
	})
}

func TestInspect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		look := func() Report { return Inspect(b.fs, b.clock, b.first) }
		if r := look(); r.Thing != Nothing {
			t.Errorf("%+v", r)
		}
		b.plant(b.first, -time.Minute)
		must(t, os.WriteFile(b.first+".owner", []byte(`{"pid":12}`), 0o600))
		if r := look(); r.Thing != Directory || r.PID != 12 || r.Age > -59*time.Second || r.UID != os.Getuid() || r.Remote {
			t.Errorf("%+v", r)
		}
		must(t, os.WriteFile(b.first+".owner", []byte(`{"pid":"x"`), 0o600))
		if r := look(); r.PID != 0 {
			t.Errorf("%+v", r)
		}
		must(t, os.Remove(b.first))
		must(t, os.Symlink("a", b.first))
		if r := look(); r.Thing != Link {
			t.Errorf("%+v", r)
		}
	})
}
