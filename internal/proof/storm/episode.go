package storm

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/evercred/evercred/internal/issuer"
	"github.com/evercred/evercred/internal/ledger"
	"github.com/evercred/evercred/internal/proof/stage"
	"github.com/evercred/evercred/internal/proof/suite"
	"github.com/evercred/evercred/internal/seam"
	"github.com/evercred/evercred/internal/timing"
)

// Who is in the storm: 60 processes of evercred and 4 that are not.
const (
	libraries = 40
	commands  = 20
	foreigns  = 4
)

// lifetime of access tokens. Of one that a foreigner saved, nobody knows the
// lifetime, and so it is near its end from the first: whoever sees it renews it,
// and a second later waits for its successor. (With all 60 waiting all the time,
// their looks alone would take both cores.)
const lifetime = 31 * time.Second

// late is RefreshLate of every tenth client: it takes a foreigner's token for
// ended, and waits for the lock at once.
const late = time.Minute

// probe is the clients' Options.Probe.
const probe = 100 * time.Millisecond

// patience is how long a call may take.
const patience = 10 * time.Second

// episode is the life of one login.
type episode struct {
	r     *suite.Run
	w     Weather
	name  string
	p     programs
	times timing.Protocol
	dir   string
	login *stage.Login
	book  *ledger.Ledger

	server  *issuer.Server
	ctx     context.Context // ends when nobody is to be started any more
	stop    context.CancelFunc
	hard    context.Context // ends what does not end by itself
	cutOff  context.CancelFunc
	running sync.WaitGroup

	mu      sync.Mutex
	chance  *rand.Rand        // the endpoint's
	alive   map[*process]bool // those of evercred
	past    []*process        // all that were started, in the end
	reads   []read
	foreign []stage.Line
	kills   []kill
	stops   []freeze
	commits int
	moved   time.Time // the last of them
	wanted  int
	before  int // rotations of earlier episodes, for the progress
	err     error
}

// read is one call for a token, by a library client or a command.
type read struct {
	stage.Line
	client  int
	command bool
	code    int // of a command
	text    string
}

func newEpisode(r *suite.Run, w Weather, p programs, name string) (*episode, error) {
	e := &episode{r: r, w: w, name: name, p: p, times: timing.Default(), alive: map[*process]bool{}}
	if r.Factor > 1 {
		e.times = e.times.Scaled(r.Factor)
	}
	e.chance = r.Rand(name + " endpoint")
	e.server = issuer.New(&issuer.Options{
		// Nothing is said of the scopes, so that they are a neighbour's bytes too.
		Behaviour: issuer.Behaviour{Profile: w.Profile, Lifetime: lifetime, Members: map[string]string{"scope": ""}, Choose: func(issuer.Record) issuer.Fault {
			e.mu.Lock()
			defer e.mu.Unlock()
			return issuer.Slow(upTo(e.chance, 4*time.Millisecond), upTo(e.chance, 4*time.Millisecond))
		}},
		Observe: e.observe,
	})
	e.hard, e.cutOff = context.WithCancel(r.Context())
	e.ctx, e.stop = context.WithCancel(e.hard)
	_, err := e.server.Start()
	if err == nil {
		e.dir, err = r.Temp()
	}
	if err == nil {
		e.login, err = stage.At(e.dir, lifetime, e.server)
	}
	if err != nil {
		e.close()
		return nil, err
	}
	s := (*seam.Seams)(nil).Filled()
	e.book = ledger.Open(e.login.Dir, ".credentials.json", s)
	return e, nil
}

func (e *episode) close() {
	e.stop()
	e.cutOff()
	e.running.Wait()
	e.server.Close()
}

// amid is how many grants of evercred there are to one whose sender is killed
// between commit and answer, and to one where that happens in the 20 ms after
// the answer: by chance alone the first is seldom hit. A negative control has
// less time.
func (e *episode) amid() int {
	if e.r.Size == suite.InControl && !e.w.Unjudged {
		return 6
	}
	return 25
}

// observe ends the episode when there are rotations enough, or the login died.
func (e *episode) observe(at issuer.Stage, rec issuer.Record) {
	if at >= issuer.Committed && ours(rec) && e.ctx.Err() == nil {
		e.mu.Lock()
		hit, after := e.chance.IntN(e.amid()) == 0, upTo(e.chance, 20*time.Millisecond)
		e.mu.Unlock()
		if p := e.holder(); hit && p != nil && (at == issuer.Committed || pause(e.ctx, after)) {
			e.kill(p)
		}
	}
	if at != issuer.Ended {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if rec.Granted() {
		e.commits++
		e.moved = time.Now()
		e.r.Progress(e.before+e.commits, e.w.Name)
	}
	if e.commits >= e.wanted || deadly(rec) {
		e.stop()
	}
}

// deadly: this request ended its login.
func deadly(rec issuer.Record) bool { return rec.Reuse && !rec.Forgiven }

// run lets the storm rage until n rotations are made or the login is dead, and
// returns when all processes have ended.
func (e *episode) run(n, before int) error {
	e.wanted, e.before = n, before
	for i := range libraries {
		e.slot(fmt.Sprint("library", i), e.library)
	}
	for i := range commands {
		e.slot(fmt.Sprint("command", i), e.command)
	}
	for range foreigns {
		if err := e.refresher(); err != nil {
			return err
		}
	}
	e.running.Go(e.watcher)
	e.running.Go(e.killer)
	e.running.Go(e.stopper)
	ended := make(chan struct{})
	go func() { e.running.Wait(); close(ended) }()
	<-e.ctx.Done()
	// Whoever is in a flight has the time that it may take.
	if t := time.NewTimer(2*patience + 30*time.Second); true {
		defer t.Stop()
		select {
		case <-ended:
		case <-t.C:
			e.fail(errors.New("a process did not end"))
			e.cutOff()
			<-ended
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.err
}

// stuck is how long a login may go without a rotation that four foreigners and
// sixty processes are after.
const stuck = time.Minute

// watcher ends a storm that stands still.
func (e *episode) watcher() {
	for began := time.Now(); pause(e.ctx, time.Second); {
		e.mu.Lock()
		last := e.moved
		e.mu.Unlock()
		if last.IsZero() {
			last = began
		}
		if still := time.Since(last); still > stuck+2*e.times.StaleAge {
			e.r.Violation(e.w.Name, "%s: nobody can renew the login any more", e.name)
			e.stop()
		}
	}
}

func (e *episode) fail(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err != nil && e.err == nil {
		e.err = err
		e.stop()
	}
}

// slot keeps one place of the storm filled: who dies in it is replaced.
func (e *episode) slot(name string, one func(*rand.Rand) error) {
	chance := e.r.Rand(e.name + name)
	e.running.Go(func() {
		for pause(e.ctx, upTo(chance, 200*time.Millisecond)) {
			if err := one(chance); err != nil {
				e.fail(fmt.Errorf("%s: %w", name, err))
			}
		}
	})
}

// enter counts a process in as one that may be killed.
func (e *episode) enter(p *process) {
	e.mu.Lock()
	defer e.mu.Unlock()
	p.number = len(e.past)
	e.past = append(e.past, p)
	e.alive[p] = true
}

// leave takes it out, and reports whether it was killed.
func (e *episode) leave(p *process) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.alive, p)
	return p.killed
}

func (e *episode) library(chance *rand.Rand) error {
	args := []string{"-dir", e.login.Dir, "-token-url", e.server.URL(), "-probe", probe.String(), "-patience", patience.String()}
	if chance.IntN(10) == 0 {
		args = append(args, "-late", late.String())
	}
	p, err := start(e.hard, e.dir, true, e.p.client, args...)
	if err != nil {
		return err
	}
	e.enter(p)
	select {
	case <-p.done:
	case <-e.ctx.Done():
		p.stdin.Close()
		<-p.done
	}
	killed := e.leave(p)
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, l := range p.lines {
		e.reads = append(e.reads, read{Line: l, client: p.number})
	}
	if !killed && p.err != nil && e.hard.Err() == nil {
		return fmt.Errorf("%w: %s", p.err, p.text.String())
	}
	return nil
}

func (e *episode) command(chance *rand.Rand) error {
	line := stage.Line{Op: "token", Call: time.Now().UnixNano()}
	args := []string{"token"}
	if chance.IntN(3) == 0 { // the hurried kind
		line.Op, args = "refresh", []string{"refresh", "--force"}
	}
	args = append(args, "--config-dir", e.login.Dir, "--token-url", e.server.URL(), "--timeout", patience.String())
	p, err := start(e.hard, e.dir, false, e.p.evercred, args...)
	if err != nil {
		return err
	}
	e.enter(p)
	<-p.done
	line.Return = time.Now().UnixNano()
	if line.Op == "token" {
		line.Access = issuer.Fingerprint(trim(p.out.String()))
	}
	rd := read{Line: line, client: p.number, command: true, code: p.cmd.ProcessState.ExitCode(), text: p.text.String()}
	if killed := e.leave(p); !killed {
		e.mu.Lock()
		e.reads = append(e.reads, rd)
		e.mu.Unlock()
	}
	pause(e.ctx, 500*time.Millisecond+upTo(chance, 1500*time.Millisecond))
	return nil
}

// refresher starts one that is never killed: what it lost by that would be its
// own loss.
func (e *episode) refresher() error {
	p, err := start(e.hard, e.dir, true, e.p.foreign, "-dir", e.login.Dir, "-token-url", e.server.URL(), "-factor", fmt.Sprint(e.r.Factor), "-pause", "500ms")
	if err != nil {
		return err
	}
	e.running.Go(func() {
		select {
		case <-p.done:
		case <-e.ctx.Done():
			p.stdin.Close()
			<-p.done
		}
		e.mu.Lock()
		e.foreign = append(e.foreign, p.lines...)
		e.mu.Unlock()
		if p.err != nil && e.hard.Err() == nil {
			e.fail(fmt.Errorf("the foreign refresher: %w: %s", p.err, p.text.String()))
		}
	})
	return nil
}

// thaw is SIGCONT.
func (p *process) thaw() { p.signal(thawing) }
