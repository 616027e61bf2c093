package sim

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/credtest"
	"github.com/evercred/evercred/grant"
	"github.com/evercred/evercred/internal/issuer"
	"github.com/evercred/evercred/internal/proof/stage"
	"github.com/evercred/evercred/internal/seam"
	"github.com/evercred/evercred/owner/claudecode"
)

// world is everything of one seed: a machine, its disk, its processes, its
// user, other programs, and the endpoint. All of it lives in one bubble.
type world struct {
	t        *testing.T
	seed     uint64
	chance   *rand.Rand
	machine  *machine
	disk     *disk
	memory   *credtest.Store // instead of the disk's file; nil: the file
	path     string
	pipes    *pipes
	endpoint *issuer.Server
	login    issuer.Login
	actors   sync.WaitGroup
	report   *report
	verbose  func(string)

	// What the seed chose.
	lifetime                time.Duration
	faults, crashes, outage float64
	panics, background      bool
	troubles                int

	// What has happened.
	processes []*process
	pids      int
	slots     []*process
	deaths    int
	full      bool // the disk
	over      bool // nobody starts again
	older     []byte
	oracle    oracle

	// The system may preempt even a single processor.
	mu   sync.Mutex // of seen, logs and the report's counts
	seen map[string]bool
	logs map[string]uint64
}

// The troubles of a disk.
const (
	troubleFull   = iota // nothing can be written
	troubleRename        // the document cannot be replaced
)

// simulate runs one seed to its end.
func simulate(t *testing.T, dir string, seed uint64, verbose func(string)) *report {
	w := &world{
		t: t, seed: seed, chance: rand.New(rand.NewPCG(seed, 0)), path: filepath.Join(dir, ".credentials.json"),
		report: &report{Seed: seed, Counts: map[string]int{}}, seen: map[string]bool{}, logs: map[string]uint64{}, verbose: verbose,
	}
	// A bubble begins in 2000; the codec takes times before that for no milliseconds.
	time.Sleep(time.Until(time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)))
	w.machine = &machine{began: time.Now(), boot: "boot 1"}
	w.disk = newDisk(dir, w.machine.Now)
	w.disk.wrote = w.wrote
	w.choose()
	w.populate()
	w.actors.Wait()
	w.end()
	return w.report
}

// roll is true with a probability.
func (w *world) roll(p float64) bool { return p > 0 && w.chance.Float64() < p }

func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

// choose draws the world.
func (w *world) choose() {
	r := w.chance
	w.lifetime = pick(r, 8*time.Hour, time.Hour, 10*time.Minute, 90*time.Second)
	w.faults = pick(r, 0, 0, 0.15, 0.5)
	w.crashes = pick(r, 0, 0, 0.3, 0.7)
	w.outage = pick(r, 0, 0, 0, 0.3)
	w.panics, w.background, w.troubles = r.IntN(8) == 0, r.IntN(8) == 0, r.IntN(2)
	window := pick(r, 20*time.Second, 3*time.Minute, 30*time.Minute)
	profile := pick(r, issuer.Strict(), issuer.Strict(), issuer.Strict(), issuer.Idempotent(window), issuer.Sibling(window), issuer.NoRotation())
	w.pipes = newPipes()
	w.endpoint = issuer.New(&issuer.Options{
		Seed: w.seed + 1, Listener: w.pipes, Observe: w.observe,
		Behaviour: issuer.Behaviour{
			Profile: profile, Lifetime: w.lifetime, Choose: w.fault, KillOldAccess: r.IntN(4) == 0, Chunked: r.IntN(4) == 0,
			Members:      map[string]string{"scope": `"user:inference"`}, // as it is stored
			BeforeCommit: w.between(r, time.Millisecond, 400*time.Millisecond), AfterCommit: w.between(r, time.Millisecond, 100*time.Millisecond),
		},
	})
	if _, err := w.endpoint.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.say("world", "%v, lifetime %v, faults %v, crashes %v, outage %v", profile, w.lifetime, w.faults, w.crashes, w.outage)
	left := pick(r, -time.Hour, 20*time.Second, 5*time.Minute, w.lifetime)
	if r.IntN(6) == 0 {
		w.memory = credtest.NewStore(nil)
		w.path = "memory"
	}
	w.logIn(left)
}

// populate starts everybody.
func (w *world) populate() {
	r := w.chance
	for i := range 1 + r.IntN(4) {
		w.slots = append(w.slots, w.start())
		for j := range 1 + r.IntN(3) {
			w.actors.Go(func() { w.caller(i, j) })
		}
	}
	w.other("owner", r.IntN(3), w.owner)
	w.other("machine", r.IntN(3), w.trick)
	if w.memory == nil && r.IntN(3) == 0 {
		w.actors.Go(w.foreign)
	}
	if r.IntN(4) == 0 { // somebody acts between two calls of ours
		p := pick(r, w.slots...)
		p.actAt = 1 + r.IntN(300)
		_, write := claudecode.LockPaths(w.file(""))
		p.act = func() {
			if w.disk.names[write] == nil {
				w.act(p.chance)
			}
		}
	}
}

// other lets somebody do n things at random times.
func (w *world) other(name string, n int, do func(*rand.Rand)) {
	r := rand.New(rand.NewPCG(w.seed, uint64(len(name))<<40))
	for range n {
		after := w.between(r, 0, pick(r, 2*time.Second, time.Minute, w.lifetime))
		w.actors.Go(func() {
			time.Sleep(after)
			do(r)
		})
	}
}

// caller is one goroutine of a program that uses tokens.
func (w *world) caller(slot, n int) {
	r := rand.New(rand.NewPCG(w.seed, uint64(slot)<<8+uint64(n)+1))
	name := fmt.Sprintf("caller %d.%d", slot, n)
	var last evercred.Token
	var from *process
	for range 2 + r.IntN(5) {
		time.Sleep(w.between(r, 1, pick(r, 200*time.Millisecond, 200*time.Millisecond, 15*time.Second, 2*time.Minute, w.lifetime/2)))
		p := w.slots[slot]
		if p.dead || p.closed {
			w.restart(slot, r)
			continue
		}
		ctx, cancel, patience := context.Background(), context.CancelFunc(func() {}), time.Duration(0)
		if r.IntN(2) == 0 {
			patience = w.between(r, time.Millisecond, pick(r, 50*time.Millisecond, 3*time.Second, 70*time.Second))
			ctx, cancel = context.WithTimeout(ctx, patience)
		}
		began := time.Now()
		p.asked = append(p.asked, began)
		switch k := r.IntN(20); {
		case k == 0 && from == p && !last.IsZero():
			w.oracle.rejects++
			p.src.Reject(last)
			w.say(name, "rejects %s", last.Fingerprint())
			w.saw("a server refuses a token")
			if r.IntN(2) == 0 {
				w.endpoint.RevokeAccess(last.Reveal())
			}
			tok, err := p.src.Token(ctx)
			// A token that is not the current one is refused to no effect; a copy that
			// is brought back may then make it current.
			if !p.dead && err == nil && tok.Equal(last) && !w.oracle.tampered {
				w.wrong("a refused token is served again")
			}
			w.served(p, name, began, patience, tok, err)
		case k == 1:
			w.oracle.forces++
			w.saw("refresh --force")
			got, err := p.src.Refresh(ctx, true)
			w.served(p, name, began, patience, got.Token, err)
		case k == 2:
			st, err := p.src.Status(ctx)
			w.say(name, "status %s %v %v", st.State, reasonOf(err), reasonOf(st.Err))
		case k == 3 && r.IntN(3) == 0:
			w.saw("closed")
			p.end()
		default:
			tok, err := p.src.Token(ctx)
			if w.served(p, name, began, patience, tok, err) {
				last, from = tok, p
			}
		}
		cancel()
	}
}

// served looks at what a caller got, and when.
func (w *world) served(p *process, name string, began time.Time, patience time.Duration, t evercred.Token, err error) bool {
	took := time.Since(began)
	unbounded := patience == 0
	if unbounded {
		patience = 5 * time.Minute
	}
	if took > patience+time.Millisecond {
		w.wrong("a caller with %v waited %v", patience, took)
	}
	if p.dead || p.closed {
		return false
	}
	w.say(name, "%s %v after %v", t.Fingerprint(), reasonOf(err), took)
	w.report.Calls++
	if err != nil {
		switch {
		case reasonOf(err) == evercred.ReasonBug:
			w.wrong("%v", err)
		case reasonOf(err) == evercred.ReasonTimeout && unbounded && !p.busy():
			w.wrong("a caller without a deadline is told that the time is up, and no flight can be old enough: %v", err)
		}
		return false
	}
	if end := t.Expires(); !end.IsZero() && !w.machine.Now().Before(end) && !w.jumpedSince(began) && !w.shortLived(t) {
		w.wrong("a dead token is served: it ended %v ago, after a wait of %v", w.machine.Now().Sub(end), took)
	}
	return true
}

// restart starts a process anew in a slot.
func (w *world) restart(slot int, r *rand.Rand) {
	time.Sleep(w.between(r, time.Millisecond, pick(r, 300*time.Millisecond, 30*time.Second)))
	if p := w.slots[slot]; p.dead && !w.over {
		w.slots[slot] = w.start()
	}
}

func (w *world) client(s *seam.Seams) evercred.Refresher {
	c, err := grant.New(grant.Config{TokenURL: w.endpoint.URL(), DefaultClientID: claudecode.ClientID, Seams: s})
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// document and put are the store as everybody else sees it.
func (w *world) document() []byte {
	if w.memory != nil {
		return w.memory.Bytes()
	}
	doc, _ := w.disk.read(w.path)
	return doc
}

func (w *world) put(doc []byte) {
	switch {
	case w.memory != nil:
		w.memory.Set(doc)
	case doc == nil:
		w.disk.remove(w.path)
	default:
		w.disk.write(w.path, doc)
	}
}

// stored is the login in the store.
func (w *world) stored() (evercred.Credential, error) {
	return claudecode.Codec{}.Decode(w.document())
}

// logIn is a new login of the user's.
func (w *world) logIn(left time.Duration) {
	w.login = w.endpoint.LoginFor(claudecode.ClientID)
	w.oracle.user = userIn
	w.put(stage.Document(w.login.Access, w.login.Refresh, w.machine.Now().Add(left)))
}

// end lets the dust settle, asks once more, and looks at what is left.
func (w *world) end() {
	w.over, w.full, w.crashes, w.outage = true, false, 0, 0
	w.endpoint.Behave(func(b *issuer.Behaviour) { b.Choose = nil })
	for _, p := range w.processes {
		p.dieAt, p.actAt = 0, 0
	}
	w.machine.jump = w.oracle.highest // whatever was stored, its time is over tomorrow
	time.Sleep(25*time.Hour + w.between(w.chance, 0, time.Second))
	for _, p := range w.processes {
		p.end()
	}
	w.actors.Wait()
	last := w.start()
	last.dieAt = 0
	var tok evercred.Token
	var err error
	for range 4 {
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
		tok, err = last.src.Token(ctx)
		cancel()
		if err == nil || !errors.Is(err, evercred.ErrUnavailable) && !errors.Is(err, evercred.ErrLocked) {
			break
		}
		time.Sleep(w.between(w.chance, 10*time.Hour, 11*time.Hour))
	}
	w.say("world", "at last %s %v", tok.Fingerprint(), reasonOf(err))
	last.src.Close()
	last.dead = true
	w.judge(tok, err)
	w.endpoint.Close()
	for _, r := range w.endpoint.Audit() {
		w.say("endpoint", "%d %d %s %s %d %d %t %t %t", r.N, r.At.UnixNano(), r.Remote, r.Refresh, r.Status, r.Wrote, r.Told, r.Reuse, r.Granted())
	}
	w.say("store", "%q", w.document())
	for _, name := range w.disk.list(filepath.Dir(w.path)) {
		w.say("store", "%s", filepath.Base(name))
	}
	w.report.Hash = w.hash()
}

// say adds to the log of one of the actors. What different actors do at one
// instant has no order, and so each has a log of its own.
func (w *world) say(actor, format string, args ...any) {
	line := time.Now().Format("02 15:04:05.000000000 ") + actor + ": " + fmt.Sprintf(format, args...)
	w.mu.Lock()
	defer w.mu.Unlock()
	h := fnv.New64a()
	fmt.Fprintf(h, "%x %s", w.logs[actor], line)
	w.logs[actor] = h.Sum64()
	if w.verbose != nil {
		w.verbose(line)
	}
}

func (w *world) hash() string {
	h := fnv.New64a()
	for _, actor := range slices.Sorted(maps.Keys(w.logs)) {
		fmt.Fprintf(h, "%s %x\n", actor, w.logs[actor])
	}
	return fmt.Sprintf("%016x", h.Sum64())
}

// saw notes that something was done to evercred in this seed.
func (w *world) saw(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen[what] = true
}

func (w *world) wrong(format string, args ...any) {
	what := fmt.Sprintf(format, args...)
	w.say("world", "WRONG: %s", what)
	w.report.Wrong = append(w.report.Wrong, what)
}

func reasonOf(err error) evercred.Reason {
	var e *evercred.Error
	switch {
	case err == nil:
		return ""
	case errors.As(err, &e):
		return e.Reason
	}
	return "an error"
}
