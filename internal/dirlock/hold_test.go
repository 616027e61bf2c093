package dirlock

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evercred/evercred/internal/crash"
	"github.com/evercred/evercred/internal/fsys"
	"github.com/evercred/evercred/internal/ledger"
)

func TestStampIsRecordedBeforeTheLockHasItsName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.book.onRecord.set(func(stamps []ledger.Stamp) error {
			b.absent(stamps[len(stamps)-1].Path)
			return nil
		})
		set, took := b.acquire(b.both()...)
		between(t, took, 100*time.Millisecond, 100*time.Millisecond)
		b.book.onRecord.set(nil)

		stamps := b.book.recorded()
		if len(stamps) != 2 {
			t.Fatalf("recorded %v", stamps)
		}
		for i, path := range []string{b.first, b.second} {
			at := b.info(path)
			if s := stamps[i]; s.Path != path || s.Ino != at.Ino || !s.Birth.Equal(at.BirthTime) || !s.Time.Equal(at.ModTime) {
				t.Errorf("stamp %+v, lock %+v", s, at)
			}
			if ns := at.ModTime.Nanosecond() % 1e6; ns != 123_456 {
				t.Errorf("random part %d", ns)
			}
		}
		must(t, set.Check())
		var freed []string
		b.fs.onRmdir.set(func(name string) error { freed = append(freed, name); return nil })
		must(t, set.Release())
		must(t, set.Release())
		if want := []string{b.second, b.first}; !slices.Equal(freed, want) {
			t.Errorf("freed %v, want %v", freed, want)
		}
		b.absent(b.first)
		b.absent(b.second)
		if line := b.book.recorded(); len(line) != 0 {
			t.Errorf("left in the line: %v", line)
		}
		if left, _ := os.ReadDir(b.book.staging); len(left) != 0 {
			t.Errorf("left in staging: %v", left)
		}
		if err := set.Check(); !errors.Is(err, ErrLost) {
			t.Errorf("Check after Release: %v", err)
		}
	})
}

func TestBeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		set, _ := b.acquire(b.both()...)
		was := b.info(b.first)
		b.book.onRecord.set(func(stamps []ledger.Stamp) error { // before the time is set
			now := b.info(b.first)
			if s := stamps[0]; !s.Prev.Equal(now.ModTime) || s.Time.Equal(s.Prev) {
				t.Errorf("recorded %+v while the lock bears %s", s, now.ModTime)
			}
			return nil
		})
		for range 4 {
			time.Sleep(1800*time.Millisecond + time.Millisecond) // a beat and its jitter
			synctest.Wait()
			is := b.info(b.first)
			if !is.ModTime.After(was.ModTime) || !fsys.SameFile(is, was) {
				t.Errorf("no beat: %s after %s", is.ModTime, was.ModTime)
			}
			was = is
			must(t, set.Check())
		}
		// A full disk under the holder line must not let the lock go stale.
		b.book.onRecord.set(func([]ledger.Stamp) error { return syscall.ENOSPC })
		time.Sleep(20 * time.Second)
		if age := b.clock.Now().Sub(b.info(b.second).ModTime); age > 2*time.Second {
			t.Errorf("the lock is %s old", age)
		}
		must(t, set.Check())
		must(t, set.Release())
	})
}

func TestABeatThatFailsIsNoLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		set, _ := b.acquire(b.both()...)
		b.fs.onSetTime.set(func(fsys.File, *time.Time) error { return syscall.EIO })
		time.Sleep(10 * time.Second)
		synctest.Wait()
		b.fs.onSetTime.set(nil)
		must(t, set.Check())
		must(t, set.Release())
	})
}

// The next process of ours takes at once what we could not free.
func TestLockThatCannotBeFreedStaysInTheLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		set, _ := b.acquire(b.both()...)
		b.fs.onRmdir.set(func(name string) error {
			if name == b.first {
				return syscall.EIO
			}
			return nil
		})
		if err := set.Release(); !errors.Is(err, syscall.EIO) {
			t.Errorf("Release: %v", err)
		}
		b.fs.onRmdir.set(nil)
		b.absent(b.second)
		b.book.bequeath(true)
		set, took := b.acquire(b.both()...)
		between(t, took, 250*time.Millisecond, time.Second)
		must(t, set.Release())
	})
}

// A partner's rmdir is as blind as ours: one that comes between our look and our
// rmdir has freed the lock for us.
func TestLockThatIsFreedForUsIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		set, _ := b.acquire(b.both()...)
		b.fs.onRmdir.set(func(name string) error { return os.Remove(name) })
		if err := set.Release(); !errors.Is(err, ErrLost) {
			t.Errorf("Release: %v", err)
		}
		b.absent(b.first)
		b.absent(b.second)
	})
}

// L4, L5: as proper-lockfile steals, by rmdir and mkdir.
func TestL4L5TheftIsNoticedAndNothingIsRemoved(t *testing.T) {
	thefts := map[string]func(b *bench){
		"replaced": func(b *bench) {
			must(b.t, os.Remove(b.first))
			b.plant(b.first, 0)
		},
		"adopted": func(b *bench) { b.age(b.first, time.Second) },
	}
	for name, steal := range thefts {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				set, _ := b.acquire(b.both()...)
				steal(b)
				thief := b.info(b.first)
				select {
				case <-set.Lost():
				case <-time.After(2 * time.Second):
					t.Error("no beat noticed it")
				}
				if err := set.Check(); !errors.Is(err, ErrLost) {
					t.Errorf("Check: %v", err)
				}
				time.Sleep(10 * time.Second)
				b.untouched(b.first, thief)
				if age := b.clock.Now().Sub(b.info(b.second).ModTime); age > 2*time.Second {
					t.Errorf("the other lock stopped beating, it is %s old", age)
				}
				if err := set.Release(); !errors.Is(err, ErrLost) {
					t.Errorf("Release: %v", err)
				}
				b.untouched(b.first, thief)
				b.absent(b.second)
			})
		})
	}
}

// L4: Check finds a theft that no beat has seen, and L5: so does Release.
func TestL4L5LooksByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		set, _ := b.acquire(b.both()...)
		must(t, os.Remove(b.second))
		if err := set.Check(); !errors.Is(err, ErrLost) {
			t.Errorf("Check: %v", err)
		}
		set.Release()

		set, _ = b.acquire(b.both()...)
		must(t, os.Remove(b.first))
		thief := b.plant(b.first, 0)
		set.Release()
		b.untouched(b.first, thief)
	})
}

// A process that is stopped (SIGSTOP) in a beat, while its locks grow old.
func TestL4StoppedProcess(t *testing.T) {
	stopped := func(t *testing.T, b *bench) (set *Set, cont func()) {
		set, _ = b.acquire(b.both()...)
		gate, hit := make(chan struct{}), make(chan struct{})
		var once sync.Once
		b.book.onRecord.set(func([]ledger.Stamp) error {
			once.Do(func() { close(hit); <-gate })
			return nil
		})
		<-hit
		time.Sleep(70 * time.Second)
		return set, func() { close(gate) }
	}
	t.Run("robbed", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t)
			set, cont := stopped(t, b)
			must(t, os.Remove(b.first))
			thief := b.plant(b.first, 0)
			cont()
			synctest.Wait()
			if err := set.Check(); !errors.Is(err, ErrLost) {
				t.Errorf("Check: %v", err)
			}
			set.Release()
			b.untouched(b.first, thief)
			b.absent(b.second)
		})
	})
	t.Run("taken over by setting its time", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t)
			set, cont := stopped(t, b)
			b.age(b.first, time.Second)
			thief := b.info(b.first)
			cont()
			synctest.Wait()
			if err := set.Check(); !errors.Is(err, ErrLost) {
				t.Errorf("Check: %v", err)
			}
			set.Release()
			b.untouched(b.first, thief)
		})
	})
	t.Run("a waiter is about to rob it", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t)
			set, cont := stopped(t, b)
			cont()
			synctest.Wait() // it has beaten by itself, after the waiter looked
			time.AfterFunc(20*time.Millisecond, func() {
				must(t, os.Remove(b.first))
				b.plant(b.first, 0)
			})
			if err := set.Check(); !errors.Is(err, ErrLost) {
				t.Errorf("Check did not wait until the waiter had acted: %v", err)
			}
			set.Release()
		})
	})
	t.Run("nobody came", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t)
			set, cont := stopped(t, b)
			cont()
			must(t, set.Check())
			must(t, set.Release())
		})
	})
}

// INTEROP §3.2: the first lock does not flap while the second is busy.
func TestSecondBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.plant(b.second, 0)
		stop := b.beating(b.second, 0)
		b.fs.onRename.set(func(_, to string) error { t.Errorf("made %s", to); return nil })
		_, err := b.within(10*time.Second, b.both()...)
		var held *HeldError
		if !errors.As(err, &held) || len(held.Holders) != 1 || held.Holders[0].Path != b.second {
			t.Errorf("got %v", err)
		}
		stop()
	})
}

func TestSecondBusyAfterTheFirstWasTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.fs.onMkdir.set(func(name string) error {
			if name == b.second {
				t.Error("made in place, unstamped, where somebody was faster")
			}
			return nil
		})
		b.fs.onRename.set(func(_, to string) error {
			if to == b.second { // somebody is faster
				b.fs.onRename.set(nil)
				b.plant(b.second, 0)
				time.AfterFunc(3*time.Second, func() {
					b.absent(b.first)
					must(t, os.Remove(b.second))
				})
			}
			return nil
		})
		set, took := b.acquire(b.both()...)
		between(t, took, 3*time.Second, 4*time.Second)
		must(t, set.Release())
	})
}

// L6: a lock that cannot be made.
func TestL6Impossible(t *testing.T) {
	cases := map[string]func(b *bench, path string){
		"regular file": func(b *bench, path string) { must(b.t, os.WriteFile(path, nil, 0o600)) },
		"link":         func(b *bench, path string) { must(b.t, os.Symlink(b.book.staging, path)) },
		"dangling":     func(b *bench, path string) { must(b.t, os.Symlink("nowhere", path)) },
		"read-only": func(b *bench, path string) {
			refuse := func(name string) error {
				if name == path {
					return syscall.EROFS
				}
				return nil
			}
			b.fs.onMkdir.set(refuse)
			b.fs.onRename.set(func(_, to string) error { return refuse(to) })
		},
	}
	for name, spoil := range cases {
		t.Run("first/"+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				spoil(b, b.first)
				began := time.Now()
				_, err := b.within(time.Minute, b.both()...)
				var e *ImpossibleError
				if !errors.Is(err, ErrImpossible) || !errors.As(err, &e) || e.Path != b.first {
					t.Errorf("got %v", err)
				}
				between(t, time.Since(began), 0, 0)
				b.absent(b.second)
			})
		})
		t.Run("second/"+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				spoil(b, b.second)
				set, _ := b.acquire(b.both()...)
				if len(set.Missing) != 1 || set.Missing[0].Path != b.second || set.Missing[0].Err == nil {
					t.Errorf("missing: %v", set.Missing)
				}
				must(t, set.Check())
				must(t, set.Release())
				b.absent(b.first)
			})
		})
	}
	t.Run("parent missing", func(t *testing.T) {
		b := newBench(t)
		_, err := b.within(time.Minute, Spec{Path: filepath.Join(b.dir, "no", "lock")})
		if !errors.Is(err, ErrImpossible) || !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a full disk under the second lock", func(t *testing.T) {
		b := newBench(t)
		b.fs.onRename.set(func(_, to string) error { return syscall.EXDEV })
		b.fs.onMkdir.set(func(name string) error {
			if name == b.second {
				return syscall.ENOSPC
			}
			return nil
		})
		_, err := b.within(time.Minute, b.both()...)
		if !errors.Is(err, ErrImpossible) || !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("got %v", err)
		}
		b.absent(b.first)
	})
	t.Run("a full disk under the ledger", func(t *testing.T) {
		b := newBench(t)
		b.book.onRecord.set(func(s []ledger.Stamp) error {
			if len(s) == 2 {
				return syscall.ENOSPC
			}
			return nil
		})
		_, err := b.within(time.Minute, b.both()...)
		if !errors.Is(err, ErrImpossible) || !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("got %v", err)
		}
		b.absent(b.first)
		b.absent(b.second)
	})
	t.Run("a lock that cannot be given its owner (F10)", func(t *testing.T) {
		b := newBench(t)
		b.book.own = fs.ErrPermission
		if _, err := b.within(time.Minute, b.both()...); !errors.Is(err, ErrImpossible) {
			t.Errorf("got %v", err)
		}
		b.absent(b.first)
	})
}

// Another file system, or one without RENAME_NOREPLACE: mkdir in place.
func TestInPlace(t *testing.T) {
	for _, why := range []error{syscall.EXDEV, fsys.ErrUnsupported} {
		t.Run(why.Error(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				b.fs.onRename.set(func(_, _ string) error { return why })
				var points int
				crash.Set(func(p crash.Point) {
					if p == crash.AfterMkdir {
						points++
					}
				})
				defer crash.Set(nil)
				set, _ := b.acquire(b.both()...)
				if points != 4 {
					t.Errorf("%d crash points, want one for each of 2 staged and 2 real directories", points)
				}
				time.Sleep(10 * time.Second)
				must(t, set.Check())
				must(t, set.Release())
				b.absent(b.first)
			})
		})
	}
}

// FAT, HFS+ and their like: the stamps are what the file system keeps.
func TestCoarseFileSystem(t *testing.T) {
	for _, grain := range []time.Duration{100, time.Microsecond, time.Millisecond, time.Second, 2 * time.Second} {
		t.Run(grain.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				b.fs.onSetTime.set(func(_ fsys.File, at *time.Time) error {
					*at = at.Truncate(grain)
					return nil
				})
				set, _ := b.acquire(b.both()...)
				time.Sleep(20 * time.Second)
				must(t, set.Check())
				for _, s := range b.book.recorded() {
					if at := b.info(s.Path).ModTime; !at.Equal(s.Time) {
						t.Errorf("recorded %s, the lock bears %s", s.Time, at)
					}
				}
				must(t, set.Release())
			})
		})
	}
}

// The write lock is taken while the refresh locks beat, needs no settling, and
// shares the holder line with them.
func TestWriteLockWithinTheRefreshLocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		write := Spec{Path: filepath.Join(b.dir, ".storage-write.lock"), Stale: 15 * time.Second, Brief: true}
		set, _ := b.acquire(b.both()...)
		began := time.Now()
		further, err := set.Acquire(t.Context(), write)
		must(t, err)
		between(t, time.Since(began), 0, 0)
		if n := len(b.book.recorded()); n != 3 {
			t.Errorf("%d stamps in the line", n)
		}
		must(t, further.Check())
		must(t, further.Release())
		b.absent(write.Path)
		must(t, set.Check())

		// Left behind by somebody: 15 s and the watching, and then it settles.
		b.plant(write.Path, 0)
		began = time.Now()
		further, err = set.Acquire(t.Context(), write)
		must(t, err)
		between(t, time.Since(began), 15*time.Second, 16*time.Second)
		must(t, further.Release())
		must(t, set.Release())
	})
}

func TestTryDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.plant(b.first, 0)
		began := time.Now()
		if _, err := Try(t.Context(), b.book, b.seams(), b.both()...); !errors.Is(err, ErrHeld) {
			t.Errorf("got %v", err)
		}
		between(t, time.Since(began), 0, 0)
	})
}
