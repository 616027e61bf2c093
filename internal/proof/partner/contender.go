package partner

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/evercred/evercred/internal/dirlock"
	"github.com/evercred/evercred/internal/fsys"
	"github.com/evercred/evercred/internal/ledger"
	"github.com/evercred/evercred/internal/procid"
	"github.com/evercred/evercred/internal/seam"
	"github.com/evercred/evercred/internal/timing"
	"github.com/evercred/evercred/owner/claudecode"
)

// Command is one process of ours, which the suite starts as a child: it takes
// the guard and the owner's locks as a refresh does.
func Command() *cobra.Command {
	var factor int
	c := &cobra.Command{
		Use: "contend", Hidden: true, Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return serve(factor) },
	}
	c.Flags().IntVar(&factor, "factor", 1, "by how much the times of the protocol are shortened")
	return c
}

// task is what a contender is told; ours and the partner's understand what
// concerns them. Start is on the clock of monotonic, the rest in milliseconds.
type task struct {
	Dir      string `json:"dir"`
	Start    int64  `json:"start"`
	Hold     int    `json:"hold"`
	Patience int    `json:"patience"`

	// Ours: only look at the locks, so that the sight stands in the ledger; wait
	// between the locks and the check before the first byte.
	Sight  bool `json:"sight"`
	Linger int  `json:"linger"`

	// The partner's.
	Paths  []string `json:"paths"`
	Stale  int      `json:"stale"`
	Update int      `json:"update"`
	Skew   int      `json:"skew"`
	Slow   int      `json:"slow"`
	Poll   [2]int   `json:"poll"`
}

// result is what a contender did. A key names one directory for ever: inode and
// time of birth.
type result struct {
	Entered     bool              `json:"entered"`
	Enter       int64             `json:"enter"` // the critical section
	Leave       int64             `json:"leave"`
	Keys        map[string]string `json:"keys"` // of the locks that it held in it
	Removed     []removal         `json:"removed"`
	Compromised int64             `json:"compromised"`

	// Ours only.
	Guarded, Unguarded int64           // while it held the guard
	Made               map[string]bool // keys that bore a stamp of this process
	TakenOver          bool
	Checked, Asked     int64  // when the checks before the first byte and before the save began
	First, Second      string // what they said; empty: go on
	Err                string
}

// removal is one directory that a contender removed.
type removal struct {
	Path    string `json:"path"`
	Key     string `json:"key"`
	At      int64  `json:"at"`
	Done    int64  `json:"done"`
	Seen    int64  `json:"seen"`    // the partner: when it looked last
	Release bool   `json:"release"` // the partner: it took it for its own
}

// said is one line of a contender.
type said struct {
	Event  string `json:"event"`
	Result result `json:"result"`
}

// monotonic is CLOCK_MONOTONIC, which Node's hrtime counts too.
func monotonic() int64 { return int64(procid.SystemClock{}.Awake()) }

func serve(factor int) error {
	times := timing.Default().Scaled(factor)
	out := json.NewEncoder(os.Stdout)
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		var t task
		if err := json.Unmarshal(in.Bytes(), &t); err != nil {
			return err
		}
		r := contend(t, times, func(event string) { _ = out.Encode(said{Event: event}) })
		if err := out.Encode(said{"done", r}); err != nil {
			return err
		}
	}
	return in.Err()
}

// contend does what filestore and owner/claudecode do around a refresh: guard,
// both locks, a check before the first byte of the grant, the grant, a check
// before the save, release.
func contend(t task, times timing.Protocol, say func(string)) (r result) {
	r.Keys, r.Made = map[string]string{}, map[string]bool{}
	pauseUntil(t.Start)
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(t.Patience)*time.Millisecond)
	defer cancel()
	disk := &witness{FS: fsys.Default(), result: &r}
	s := (&seam.Seams{Times: &times, FS: disk}).Filled()
	guard, err := ledger.Open(t.Dir, ".credentials.json", s).Guard(ctx)
	if err != nil {
		r.Err = err.Error()
		return r
	}
	r.Guarded = monotonic()
	defer func() {
		r.Unguarded = monotonic()
		if err := guard.Release(); err != nil {
			r.Err = err.Error()
		}
	}()
	refresh, _ := claudecode.LockPaths(t.Dir)
	specs := []dirlock.Spec{{Path: refresh[0], Stale: times.StaleAge}, {Path: refresh[1], Stale: times.StaleAge, Optional: true}}
	take := dirlock.Acquire
	if t.Sight {
		take = dirlock.Try
	}
	book := &scribe{Guard: guard, made: r.Made}
	set, err := take(ctx, book, s, specs...)
	if err != nil {
		if !errors.Is(err, dirlock.ErrHeld) {
			r.Err = err.Error()
		}
		return r
	}
	r.TakenOver = len(set.TakenOver()) > 0
	say("locked")
	pauseUntil(monotonic() + int64(t.Linger)*1e6)
	r.Checked = monotonic()
	if err := set.Check(); err != nil {
		r.First = err.Error()
	} else {
		r.Entered, r.Enter = true, monotonic()
		say("in")
		book.held(r.Keys)
		pauseUntil(r.Enter + int64(t.Hold)*1e6)
		r.Leave = monotonic()
		r.Asked = r.Leave
		if err := set.Check(); err != nil {
			r.Second = err.Error()
		}
	}
	if err := set.Release(); err != nil && !errors.Is(err, dirlock.ErrLost) {
		r.Err = err.Error()
	}
	return r
}

func pauseUntil(at int64) {
	if d := time.Duration(at - monotonic()); d > 0 {
		<-time.After(d)
	}
}

// witness is the disk, and notes what is removed from it.
type witness struct {
	fsys.FS
	result *result
}

func (w *witness) Rmdir(name string) error {
	d, derr := w.FS.OpenDir(name)
	at := monotonic()
	err := w.FS.Rmdir(name)
	if derr != nil {
		return err
	}
	defer d.Close()
	if i, serr := d.Stat(); err == nil && serr == nil && i.Nlink == 0 {
		w.result.Removed = append(w.result.Removed, removal{Path: name, Key: key(i.Ino, i.BirthTime), At: at, Done: monotonic()})
	}
	return err
}

// scribe is the guard, and notes every stamp before a lock bears it.
type scribe struct {
	*ledger.Guard
	mu   sync.Mutex // a beat records too
	last []ledger.Stamp
	made map[string]bool
}

func (s *scribe) Record(stamps []ledger.Stamp) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = slices.Clone(stamps)
	for _, x := range stamps {
		s.made[key(x.Ino, x.Birth)] = true
	}
	return s.Guard.Record(stamps)
}

// held puts the keys of our locks into keys.
func (s *scribe) held(keys map[string]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range s.last {
		keys[x.Path] = key(x.Ino, x.Birth)
	}
}

func key(ino uint64, birth time.Time) string { return fmt.Sprintf("%d@%d", ino, birth.UnixNano()) }

// paths are both locks of the login in dir.
func paths(dir string) []string {
	refresh, _ := claudecode.LockPaths(dir)
	return refresh[:]
}
