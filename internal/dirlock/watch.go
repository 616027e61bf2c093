package dirlock

import (
	"time"

	"github.com/evercred/evercred/internal/fsys"
	"github.com/evercred/evercred/internal/ledger"
	"github.com/evercred/evercred/internal/timing"
)

// watch knows for how long one lock has stood still (INTEROP §3.3).
type watch struct {
	clock  timing.Clock
	bootID string
	slack  time.Duration // two clocks may differ by this much and still agree

	sight ledger.Sight // the first one of the lock as it stands; Ino 0: none
	from  moment       // since when it has stood still, beyond doubt
	beats bool         // its time moved while we watched
}

// moment is one instant on three clocks.
type moment struct {
	boot, awake time.Duration
	wall        time.Time // without Go's monotonic reading: two of them are to show a jump
}

func (w *watch) now() moment {
	return moment{boot: w.clock.Boot(), awake: w.clock.Awake(), wall: w.clock.Now().Round(0)}
}

// recall starts from a sight of an earlier process in this boot. Whether the
// machine has slept since, or the wall clock jumped, is for see to judge.
func (w *watch) recall(s ledger.Sight) {
	if s.BootID == "" || s.BootID != w.bootID || s.Ino == 0 || s.Boot > w.clock.Boot() {
		return
	}
	w.sight = s
	w.from = moment{boot: s.Boot, awake: s.Awake, wall: s.Wall}
}

// see looks once more and returns how long the lock has stood still for sure: on
// a clock that counts sleep, without a jump of the wall clock and without sleep.
func (w *watch) see(path string, i fsys.Info) time.Duration {
	now := w.now()
	same := w.sight.Ino != 0 && w.sight.Ino == i.Ino
	if same && w.sight.Time.Equal(i.ModTime) {
		still := now.boot - w.from.boot
		if w.agree(now.wall.Sub(w.from.wall), still) && w.agree(now.awake-w.from.awake, still) {
			return still
		}
	} else if same {
		w.beats = true
	}
	w.sight = ledger.Sight{Path: path, Ino: i.Ino, Time: i.ModTime, BootID: w.bootID, Boot: now.boot, Awake: now.awake, Wall: now.wall}
	w.from = now
	return 0
}

// forget is called when the lock is gone, or ours.
func (w *watch) forget() { w.sight, w.beats = ledger.Sight{}, false }

// agree: two clocks went the same way, but for what NTP may slew.
func (w *watch) agree(a, b time.Duration) bool {
	return (a - b).Abs() <= w.slack+b.Abs()/1000
}
