package partner

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/evercred/evercred/internal/proof/suite"
	"github.com/evercred/evercred/internal/timing"
)

// field is where all rounds are fought.
type field struct {
	run       *suite.Run
	times     timing.Protocol
	dir       string // of the logins
	ours, npm *pool
}

// round is one round in the directory of one login, and everybody who took part.
type round struct {
	*field
	name   string
	dir    string
	rand   *rand.Rand
	actors []*actor
}

// actor is a contender in one round.
type actor struct {
	*process
	name    string
	ours    bool
	paths   []string
	result  result
	stopped int64 // when it was, for longer than its locks can live; 0: it was not
	killed  bool
	done    bool
}

func ms(d time.Duration) int { return int(d / time.Millisecond) }

// old is the stale age of versions up to 2.1.197, which others shorten too.
func (f *field) old() time.Duration { return f.times.StaleAge / 6 }

func (r *round) between(min, max time.Duration) time.Duration {
	return min + time.Duration(r.rand.Int64N(int64(max-min)+1))
}

func (r *round) sleep(d time.Duration) {
	select {
	case <-time.After(d):
	case <-r.run.Context().Done():
	}
}

// few is how many partners contend.
func (r *round) few() int { return []int{1, 1, 1, 2, 2, 4}[r.rand.IntN(6)] }

// bring takes contenders out of the pools. What they are told to do is up to
// the round.
func (r *round) bring(ours, npm int) error {
	for i, p := range []*pool{r.ours, r.npm} {
		n := []int{ours, npm}[i]
		taken, err := p.take(n)
		if err != nil {
			return err
		}
		for _, c := range taken {
			a := &actor{process: c, ours: p == r.ours, paths: paths(r.dir)}
			a.name = fmt.Sprintf("%s %d", map[bool]string{true: "ours", false: "partner"}[a.ours], len(r.actors))
			r.actors = append(r.actors, a)
		}
	}
	return nil
}

// leave ends what is left of a round and gives the contenders back.
func (r *round) leave() {
	for _, a := range r.actors {
		if !a.done && !a.killed {
			a.kill()
		}
		p := r.npm
		if a.ours {
			p = r.ours
		}
		p.give([]*process{a.process})
	}
	for _, path := range paths(r.dir) {
		_ = os.Remove(path)
	}
}

// tell gives an actor its task with what is usual filled in.
func (r *round) tell(a *actor, t task) error {
	t.Dir = r.dir
	if t.Hold == 0 {
		t.Hold = ms(r.between(5*time.Millisecond, 40*time.Millisecond))
	}
	if t.Start == 0 {
		t.Start = monotonic() + int64(r.between(0, 20*time.Millisecond))
	}
	if t.Patience == 0 {
		t.Patience = 8000 / max(1, r.run.Factor)
		if a.ours {
			t.Patience = 20000
		}
	}
	if !a.ours {
		if t.Stale == 0 {
			t.Stale = ms([]time.Duration{r.times.StaleAge, r.old()}[r.rand.IntN(2)])
		}
		t.Update = max(1000, min(t.Stale/2, ms(r.times.StaleAge/12)))
		if t.Slow == 0 {
			t.Slow = ms(r.times.Settle * 3 / 5)
		}
		t.Poll = [2]int{2, 25}
		t.Paths = a.paths
	}
	return a.in.Encode(t)
}

// all lets everybody contend at once.
func (r *round) all(actors []*actor, t task) error {
	for _, a := range actors {
		if a.killed {
			continue
		}
		if err := r.tell(a, t); err != nil {
			return err
		}
	}
	return nil
}

// limit bounds every wait for a contender: longer than its own patience.
func (r *round) limit() time.Duration { return 40*time.Second + 2*r.times.StaleAge }

// finish waits for the results of all that still work.
func (r *round) finish() error {
	for _, a := range r.actors {
		if a.done || a.killed {
			continue
		}
		_, res, err := a.await(r.run.Context(), r.limit(), "done")
		if errors.Is(err, errHung) && a.ours {
			r.run.Violation(r.name, "%s hangs", a.name)
		}
		if err != nil {
			return err
		}
		a.result, a.done = res, true
	}
	return nil
}

// until waits for an event of an actor; false: its task ended without it.
func (r *round) until(a *actor, event string) (bool, error) {
	e, res, err := a.await(r.run.Context(), r.limit(), event)
	if err == nil && e == "done" {
		a.result, a.done = res, true
	}
	return e == event, err
}

// plant lays locks of a holder that is long gone.
func (r *round) plant(at time.Time) error {
	locks := paths(r.dir)
	switch r.rand.IntN(4) {
	case 0:
		locks = locks[:1]
	case 1:
		locks = locks[1:]
	}
	for _, path := range locks {
		if err := os.Mkdir(path, 0o755); err != nil {
			return err
		}
	}
	return age(at, locks)
}

func age(at time.Time, locks []string) error {
	for _, path := range locks {
		if err := os.Chtimes(path, at, at); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// sight lets one of ours look and leave, so that the watching has begun when
// the round begins.
func (r *round) sight(watch time.Duration) error {
	c, err := r.ours.take(1)
	if err != nil {
		return err
	}
	defer r.ours.give(c)
	err = c[0].in.Encode(task{Dir: r.dir, Sight: true, Patience: 10000})
	if err == nil {
		_, _, err = c[0].await(r.run.Context(), r.limit(), "done")
	}
	if err != nil {
		c[0].kill()
		return err
	}
	r.sleep(watch)
	return nil
}

// stamp is the older time of the two locks, as the system's clock gives it.
func (r *round) stamp() time.Time {
	var oldest time.Time
	for _, path := range paths(r.dir) {
		if i, err := os.Lstat(path); err == nil && (oldest.IsZero() || i.ModTime().Before(oldest)) {
			oldest = i.ModTime()
		}
	}
	return oldest
}

// fault is one kind of round; play brings the contenders and returns when all
// have ended.
type fault struct {
	name  string
	share int // of a hundred rounds
	play  func(*round) error
}

var faults = []fault{
	{"stale lock", 68, staleLock},
	{"stale lock of a killed partner", 3, killedPartner},
	{"stale lock, time in 2099", 3, in2099},
	{"one of ours killed in its section", 5, killedOurs},
	{"one of ours stopped before its check", 8, stoppedBeforeCheck},
	{"one of ours stopped in its section", 3, stoppedInSection},
	{"partner stopped for less than the stale age", 3, stoppedBriefly},
	{"partner stopped for longer than the stale age", 1, stoppedLong},
	{"partner's clock 2 h off", 3, skewed},
	{"our section is longer than an old stale age", 3, longSection},
}

// of is the fault of a round: every kind comes early and evenly.
func of(i int) fault {
	at := i * 37 % 100
	for _, f := range faults {
		if at -= f.share; at < 0 {
			return f
		}
	}
	return faults[0]
}

func staleLock(r *round) error {
	watch := r.times.Watch * 21 / 20
	at := time.Now().Add(-time.Hour)
	stale := 0
	if r.rand.IntN(2) == 0 { // stale for everybody while everybody looks
		at = time.Now().Add(watch + 100*time.Millisecond - r.times.StaleAge)
		stale = ms(r.times.StaleAge)
	}
	if err := r.plant(at); err != nil {
		return err
	}
	if err := r.sight(watch); err != nil {
		return err
	}
	return r.contend(1+r.rand.IntN(2), stale)
}

func (r *round) contend(ours, stale int) error {
	if err := r.bring(ours, r.few()); err != nil {
		return err
	}
	if r.rand.IntN(4) == 0 { // up to 2.0.77 only the second lock is known
		a := r.actors[len(r.actors)-1]
		a.paths = a.paths[1:]
	}
	if err := r.all(r.actors, task{Stale: stale}); err != nil {
		return err
	}
	return r.finish()
}

func killedPartner(r *round) error {
	if err := r.bring(0, 1); err != nil {
		return err
	}
	if in, err := r.enter(r.actors[0], task{Hold: 10000}); err != nil || !in {
		return err
	}
	r.actors[0].kill()
	r.actors[0].killed = true
	if err := age(time.Now().Add(-time.Hour), paths(r.dir)); err != nil {
		return err
	}
	if err := r.sight(r.times.Watch * 21 / 20); err != nil {
		return err
	}
	return r.contend(2, 0)
}

func in2099(r *round) error {
	if err := r.plant(time.Date(2099, 12, 31, 23, 59, 59, 0, time.UTC)); err != nil {
		return err
	}
	if err := r.sight(r.times.WatchBlind * 21 / 20); err != nil {
		return err
	}
	return r.contend(1, 0)
}

// enter gives an actor its task and waits until it is in its section.
func (r *round) enter(a *actor, t task) (bool, error) {
	if err := r.tell(a, t); err != nil {
		return false, err
	}
	return r.until(a, "in")
}

func killedOurs(r *round) error {
	if err := r.bring(2, r.few()); err != nil {
		return err
	}
	first := r.actors[0]
	if in, err := r.enter(first, task{Hold: 10000}); err != nil || !in {
		return err
	}
	first.kill()
	first.killed = true
	if err := r.all(r.actors[1:], task{Stale: ms(r.old())}); err != nil {
		return err
	}
	return r.finish()
}

// stoppedBeforeCheck wakes the process at the very moment at which others take
// its locks for dead, or much later.
func stoppedBeforeCheck(r *round) error {
	return r.standStill("locked", task{Linger: 300, Hold: 150}, r.between(0, r.times.Settle*3/5)+time.Duration(r.rand.IntN(4)/3)*time.Second)
}

func stoppedInSection(r *round) error {
	return r.standStill("in", task{Hold: 300}, 500*time.Millisecond)
}

func (r *round) standStill(event string, t task, late time.Duration) error {
	if err := r.bring(1, 2); err != nil {
		return err
	}
	if r.rand.IntN(3) > 0 { // as up to 2.0.77: one lock is all that they have to break
		for _, a := range r.actors[1:] {
			a.paths = a.paths[1:]
		}
	}
	a := r.actors[0]
	if err := r.tell(a, t); err != nil {
		return err
	}
	if there, err := r.until(a, event); err != nil || !there {
		return err
	}
	a.signal(sigStop)
	a.stopped = monotonic()
	dead := r.stamp().Add(r.old())
	r.sleep(time.Until(dead) - 100*time.Millisecond)
	if err := r.all(r.actors[1:], task{Stale: ms(r.old()), Hold: 200, Patience: 2000}); err != nil {
		return err
	}
	r.sleep(time.Until(dead) + late)
	a.signal(sigCont)
	return r.finish()
}

func stoppedBriefly(r *round) error {
	if err := r.bring(1, 1); err != nil {
		return err
	}
	ours, partner := r.actors[0], r.actors[1]
	if in, err := r.enter(partner, task{Hold: 300, Stale: ms(r.times.StaleAge)}); err != nil || !in {
		return err
	}
	partner.signal(sigStop)
	if err := r.tell(ours, task{}); err != nil {
		return err
	}
	r.sleep(r.times.Watch * 5 / 4)
	partner.signal(sigCont)
	return r.finish()
}

// stoppedLong wakes the partner while one of ours, who took its locks over by
// the rule, is in its section: it frees blindly, or sees what has happened.
func stoppedLong(r *round) error {
	if err := r.bring(1, 1); err != nil {
		return err
	}
	ours, partner := r.actors[0], r.actors[1]
	if in, err := r.enter(partner, task{Hold: 300, Stale: ms(r.times.StaleAge)}); err != nil || !in {
		return err
	}
	partner.signal(sigStop)
	partner.stopped = monotonic()
	in, err := r.enter(ours, task{Hold: 500, Patience: ms(2 * r.times.StaleAge)})
	if err != nil {
		return err
	}
	if !in {
		r.run.Violation(r.name, "the locks of a holder that stands still were not taken over within twice the stale age: %s", ours.result.Err)
	}
	partner.signal(sigCont)
	return r.finish()
}

func skewed(r *round) error {
	if err := r.bring(1, 1); err != nil {
		return err
	}
	ours, partner := r.actors[0], r.actors[1]
	skew := []int{-1, 1}[r.rand.IntN(2)] * ms(2*time.Hour)
	if in, err := r.enter(partner, task{Hold: ms(r.times.Watch * 5 / 4), Stale: ms(r.old()), Skew: skew}); err != nil || !in {
		return err
	}
	if err := r.tell(ours, task{}); err != nil {
		return err
	}
	return r.finish()
}

func longSection(r *round) error {
	if err := r.bring(1, 2); err != nil {
		return err
	}
	if in, err := r.enter(r.actors[0], task{Hold: ms(r.old() * 5 / 4)}); err != nil || !in {
		return err
	}
	if err := r.all(r.actors[1:], task{Stale: ms(r.old()), Patience: ms(r.old() * 3 / 2)}); err != nil {
		return err
	}
	return r.finish()
}

// alone is a round without us, to compare with.
func alone(r *round) error {
	at := time.Now().Add(-time.Hour)
	for _, path := range paths(r.dir) {
		if err := os.Mkdir(path, 0o755); err != nil {
			return err
		}
	}
	if err := age(at, paths(r.dir)); err != nil {
		return err
	}
	if err := r.bring(0, 8); err != nil {
		return err
	}
	if err := r.all(r.actors, task{}); err != nil {
		return err
	}
	return r.finish()
}

// home makes the directory of a login.
func home(parent string, i int) (string, error) {
	dir := filepath.Join(parent, fmt.Sprint("home", i), "claude")
	return dir, os.MkdirAll(dir, 0o700)
}
