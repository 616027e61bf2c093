package main

import (
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/evercred/evercred/internal/proof/stage"
)

// The owner's times (INTEROP §3), which evercred has no use for.
const (
	ownerBeat    = 5 * time.Second
	ownerWaits   = 8 * time.Second
	ownerRetries = 250 * time.Millisecond
)

// held are the owner's locks in the order in which they were taken.
type held struct {
	f       *refresher
	dirs    []*dir
	stop    context.CancelFunc
	beating sync.WaitGroup
}

// dir is one lock directory as proper-lockfile holds it.
type dir struct {
	path string
	time time.Time // the one that it set last
	lost atomic.Bool
}

// lock takes all, or none and then all from the start; nil: they stayed busy.
func (f *refresher) lock(ctx context.Context, paths [2]string) *held {
	scaled := func(d time.Duration) time.Duration { return d / time.Duration(f.factor) }
	for end := time.Now().Add(scaled(ownerWaits)); time.Now().Before(end); {
		if l := f.try(f.times.StaleAge, paths[:]...); l != nil {
			l.beat(scaled(ownerBeat))
			return l
		}
		if !wait(ctx, scaled(ownerRetries)/2+rand.N(scaled(ownerRetries))) {
			break
		}
	}
	return nil
}

// writeLock is taken for milliseconds, and so waited for.
func (f *refresher) writeLock(path string) *held {
	for {
		if l := f.try(f.times.StaleAgeWrite, path); l != nil {
			return l
		}
		wait(context.Background(), rand.N(5*time.Millisecond))
	}
}

func (f *refresher) try(stale time.Duration, paths ...string) *held {
	l := &held{f: f, stop: func() {}}
	for _, path := range paths {
		d := f.make(path, stale)
		if d == nil {
			l.release()
			return nil
		}
		l.dirs = append(l.dirs, d)
	}
	return l
}

// make is proper-lockfile's: mkdir; one that is stale is removed, whosever it
// is, and made again.
func (f *refresher) make(path string, stale time.Duration) *dir {
	err := os.Mkdir(path, 0o700)
	if errors.Is(err, fs.ErrExist) {
		info, serr := os.Stat(path)
		if serr != nil || time.Since(info.ModTime()) < stale {
			return nil
		}
		now := time.Now().UnixNano()
		_ = f.out.Tell(stage.Line{Op: "takeover", Call: now, Return: now})
		_ = os.Remove(path)
		err = os.Mkdir(path, 0o700)
	}
	if err != nil {
		return nil
	}
	d := &dir{path: path}
	d.touch()
	return d
}

func (d *dir) touch() {
	now := time.Now().Truncate(time.Millisecond) // all that Node can set
	if os.Chtimes(d.path, now, now) != nil {
		d.lost.Store(true)
	}
	d.time = now
}

// check is what the holder does at each beat: a time that it did not set means
// that the lock is somebody else's.
func (d *dir) check() {
	if info, err := os.Stat(d.path); err != nil || !info.ModTime().Equal(d.time) {
		d.lost.Store(true)
	}
}

func (l *held) beat(every time.Duration) {
	ctx, stop := context.WithCancel(context.Background())
	l.stop = stop
	l.beating.Go(func() {
		for wait(ctx, every) {
			for _, d := range l.dirs {
				if d.check(); !d.lost.Load() {
					d.touch()
				}
			}
		}
	})
}

// compromised stops the beats and asks once more.
func (l *held) compromised() bool {
	l.stop()
	l.beating.Wait()
	lost := false
	for _, d := range l.dirs {
		d.check()
		lost = lost || d.lost.Load()
	}
	return lost
}

// release is an unchecked rmdir, except of what is known to be lost.
func (l *held) release() {
	l.stop()
	l.beating.Wait()
	for i := len(l.dirs) - 1; i >= 0; i-- {
		if d := l.dirs[i]; !d.lost.Load() {
			_ = os.Remove(d.path)
		}
	}
}
