//go:build unix

package dirlock

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evercred/evercred/internal/fsys"
	"github.com/evercred/evercred/internal/seam"
	"github.com/evercred/evercred/internal/timing"
)

// oracle counts how often two were inside at once. It knows nothing of locks.
type oracle struct{ path string }

// enter reports false if somebody is inside.
func (o oracle) enter() bool {
	f, err := os.OpenFile(o.path, os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return false
	}
	f.Close()
	return true
}

func (o oracle) leave() { os.Remove(o.path) }

// The seeded mistake: without the settling two holders of one stale lock are both
// inside, and the oracle sees it; with it, they are not (INTEROP §3.4). The guard
// keeps a second process of ours away in life, but not another program.
func TestL7SettlingKeepsTwoApart(t *testing.T) {
	rivals := map[string]func(b *bench, o oracle, times *timing.Protocol) (overlap bool){
		"another of ours": rivalOfOurs,
		"npm":             rivalOfNpm,
	}
	for name, race := range rivals {
		for _, settle := range []bool{true, false} {
			label := name + "/settled"
			if !settle {
				label = name + "/not settled"
			}
			t.Run(label, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := newBench(t)
					times := timing.Default()
					times.TryMin, times.TryMax = 100*time.Millisecond, 100*time.Millisecond
					if !settle {
						times.Settle, times.SettleTakeover = 0, 0
					}
					b.plant(b.first, time.Hour)
					if overlap := race(b, oracle{filepath.Join(b.dir, "oracle")}, &times); overlap == settle {
						t.Errorf("overlap: %v", overlap)
					}
				})
			})
		}
	}
}

// rivalOfOurs: two of ours see one stale lock, and the slower one stamps it 50 ms
// after the faster.
func rivalOfOurs(b *bench, o oracle, times *timing.Protocol) bool {
	var wg sync.WaitGroup
	var overlap [2]bool
	slowLooked := make(chan struct{})
	var once [2]sync.Once
	before := [2]func(){
		func() { <-slowLooked },
		func() { close(slowLooked); time.Sleep(50 * time.Millisecond) },
	}
	for i := range 2 {
		book := &notebook{staging: filepath.Join(b.dir, "staging"), random: int64(i + 1), boot: "this-boot"}
		fsy := &strangeFS{FS: fsys.OS{}}
		fsy.onSetTime.set(func(fsys.File, *time.Time) error { once[i].Do(before[i]); return nil })
		wg.Go(func() {
			set, err := Acquire(b.t.Context(), book, seam.Seams{Clock: b.clock, FS: fsy, Times: times}, Spec{Path: b.first})
			if err != nil {
				b.t.Error(err)
				return
			}
			overlap[i] = !o.enter()
			time.Sleep(time.Second)
			if !overlap[i] {
				o.leave()
			}
			set.Release()
		})
	}
	wg.Wait()
	return overlap[0] || overlap[1]
}

// rivalOfNpm: proper-lockfile saw the stale lock before we adopted it, and acts
// on that 50 ms later.
func rivalOfNpm(b *bench, o oracle, times *timing.Protocol) bool {
	var once sync.Once
	var overlap bool
	rival := make(chan struct{})
	b.fs.onSetTime.set(func(fsys.File, *time.Time) error {
		once.Do(func() {
			time.AfterFunc(50*time.Millisecond, func() {
				defer close(rival)
				must(b.t, os.Remove(b.first))
				b.plant(b.first, 0)
				overlap = !o.enter()
				time.Sleep(time.Second)
				if !overlap {
					o.leave()
				}
				os.Remove(b.first)
			})
		})
		return nil
	})
	s := b.seams()
	s.Times = times
	set, err := Acquire(b.t.Context(), b.book, s, Spec{Path: b.first})
	must(b.t, err)
	in := o.enter()
	time.Sleep(time.Second)
	if in {
		o.leave()
	}
	set.Release()
	<-rival
	return overlap || !in
}

// L7: four processes of ours without the guard that keeps them apart in life, and
// one that behaves as proper-lockfile. Two of three holders leave a stale lock
// behind. No two of ours are ever inside together.
func TestL7ProcessesExcludeEachOther(t *testing.T) {
	dir, until := t.TempDir(), time.Now().Add(30*time.Second)
	npm := spawn(t, "npm", dir, until)
	var contenders []*child
	for range 4 {
		contenders = append(contenders, spawn(t, "contend", dir, until))
	}
	var sum tally
	for _, c := range contenders {
		sum.add(c.tally())
	}
	must(t, os.WriteFile(filepath.Join(dir, "stop"), nil, 0o600))
	sum.add(npm.tally())
	t.Logf("%+v", sum)
	if sum.Stalled > 0 && sum.Overlaps > 0 {
		t.Skip("the machine stood still for longer than the settling while npm's takeover was under way")
	}
	if sum.Overlaps > 0 {
		t.Errorf("%d overlaps", sum.Overlaps)
	}
	if sum.Entered < 2*sections || sum.Adopted < 1 {
		t.Error("too little happened to prove anything")
	}
}
