package sources

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/filestore"
	"github.com/evercred/evercred/internal/decide"
	"github.com/evercred/evercred/internal/ledger"
	"github.com/evercred/evercred/internal/seam"
)

// delegate is a login that its owner renews: when it has ended, the owner's own
// command is run, under our guard, so that a thousand processes run one. Whether
// that helped is read from the store, and from nothing that the command says.
type delegate struct {
	*evercred.Source // read-only
	command          *ownersCommand
	store            *filestore.Store // for its guard and ledger; without the owner's locks, which the command takes
	seams            seam.Seams

	mu      sync.Mutex
	run     *ownersRun // nil: none is under way
	closed  bool
	refused string // fingerprint of the token that a server refused last
}

// ownersRun is one run, shared by all its callers; err is set when done is closed.
type ownersRun struct {
	done chan struct{}
	err  error
}

func newDelegate(src *evercred.Source, c *ownersCommand, s *seam.Seams) *delegate {
	return &delegate{Source: src, command: c, store: filestore.New(c.store, &filestore.Options{Seams: s}), seams: s.Filled()}
}

func (d *delegate) Token(ctx context.Context) (evercred.Token, error) {
	t, err := d.Source.Token(ctx)
	if !due(err) {
		return t, err
	}
	d.mu.Lock()
	refused := d.refused
	d.mu.Unlock()
	if err := d.renew(ctx, refused); err != nil {
		return evercred.Token{}, err
	}
	return d.Source.Token(ctx)
}

// Refresh with force runs the owner's command even if the token has not ended.
// Claude Code's then does nothing, and that is an error.
func (d *delegate) Refresh(ctx context.Context, force bool) (evercred.Refreshed, error) {
	r, err := d.Source.Refresh(ctx, false)
	if !due(err) && (!force || err != nil) {
		return r, err
	}
	if err := d.renew(ctx, r.Token.Fingerprint()); err != nil {
		if r.Token.IsZero() {
			return evercred.Refreshed{}, err
		}
		return evercred.Refreshed{Token: r.Token, Err: err}, nil
	}
	r, err = d.Source.Refresh(ctx, false)
	r.Adopted = err == nil
	return r, err
}

func (d *delegate) Reject(t evercred.Token) {
	d.mu.Lock()
	d.refused = t.Fingerprint()
	d.mu.Unlock()
	d.Source.Reject(t)
}

// Close waits for the run that is under way, which may take as long as
// run says: the guard must outlast it.
func (d *delegate) Close() error {
	d.mu.Lock()
	d.closed = true
	run := d.run
	d.mu.Unlock()
	if run != nil {
		<-run.done
	}
	return d.Source.Close()
}

// due: nothing but a renewal would help.
func due(err error) bool { return evercred.ReasonOf(err) == evercred.ReasonReadOnly }

// renew joins the run, or begins it, to replace the token with the fingerprint
// old and any that has ended. ctx bounds the caller's wait alone.
func (d *delegate) renew(ctx context.Context, old string) error {
	d.mu.Lock()
	run := d.run
	if run == nil {
		if d.closed {
			d.mu.Unlock()
			return &evercred.Error{Kind: evercred.ErrClosed, Reason: evercred.ReasonClosed, What: "the source was closed"}
		}
		run = &ownersRun{done: make(chan struct{})}
		d.run = run
		go func() {
			run.err = d.once(context.WithoutCancel(ctx), old)
			d.mu.Lock()
			d.run = nil
			d.mu.Unlock()
			close(run.done)
		}()
	}
	d.mu.Unlock()
	select {
	case <-run.done:
		return run.err
	case <-ctx.Done():
		return &evercred.Error{Kind: evercred.ErrUnavailable, Reason: evercred.ReasonTimeout, What: "the owner's command is still renewing the login", Where: d.command.String(), Err: ctx.Err()}
	}
}

// once runs the command under the guard, unless somebody renewed the login
// before, it is none that a renewal helps, or the command failed just now.
func (d *delegate) once(ctx context.Context, old string) error {
	if done, err := d.settled(ctx, old); done || err != nil {
		return err
	}
	program, err := d.command.find()
	if err != nil { // nothing that other processes should remember: they may have another PATH
		return d.failure("the owner's command cannot be run", time.Time{}, err)
	}
	wait, cancel := context.WithTimeout(ctx, d.seams.Times.OwnerPatience+d.seams.Times.OwnerGrace)
	defer cancel()
	lock, err := d.store.Lock(wait)
	if err != nil {
		return err
	}
	defer lock.Unlock() // an error leaves the holder line behind, and that is all
	if done, err := d.settled(ctx, old); done || err != nil {
		return err
	}
	before, err := d.Status(ctx)
	if err != nil {
		return err
	}
	guard := lock.(interface{ Guard() *ledger.Guard }).Guard()
	if err := d.unsent(guard, before); err != nil {
		return err
	}
	ran := d.command.run(program, *d.seams.Times)
	after, err := d.Status(ctx)
	if err == nil && after.Access != before.Access {
		return nil // renewed, or taken away: the next look says which
	}
	until, err := d.remember(guard, before.Refresh)
	return d.failure("the owner's command has not renewed the login", until, errors.Join(ran, err))
}

// settled reports that there is nothing to do, because the store holds a good
// token other than old; or, by its error, that there is nothing that may be done.
func (d *delegate) settled(ctx context.Context, old string) (bool, error) {
	st, err := d.Status(ctx)
	if err != nil {
		return false, err
	}
	hopeless := func(kind error, reason evercred.Reason, what string) (bool, error) {
		return false, &evercred.Error{Kind: kind, Reason: reason, What: what, Where: st.Place}
	}
	switch c := st.Ledger; {
	case st.Usable && st.Access != old:
		return true, nil
	case st.State == evercred.StateNoRenewal:
		return hopeless(evercred.ErrLoginRequired, evercred.ReasonNoRefresh, "the login holds no refresh token, so its owner cannot renew it either")
	case st.State == evercred.StateBlanked, st.State == evercred.StateLoggedOut, st.State == evercred.StateUnreadable:
		return true, nil // the next look says so
	case !st.Renewable:
		return hopeless(evercred.ErrLoginRequired, evercred.ReasonRefused, "the login is past its deadline, or its refresh token was spent or refused")
	case !c.CooldownUntil.IsZero() && c.CooldownWhy == evercred.ReasonOwner:
		return false, d.failure("the owner's command has not renewed the login a moment ago", c.CooldownUntil, nil)
	case !c.CooldownUntil.IsZero():
		return false, &evercred.Error{Kind: evercred.ErrUnavailable, Reason: c.CooldownWhy, What: "a refresh failed a moment ago, and the owner's would too", Where: st.Place, RetryAt: c.CooldownUntil}
	}
	return false, nil
}

// unsent refuses a login whose refresh token we have sent ourselves, with an
// outcome that is not known or not saved: the owner would send it once more, and
// the reuse of a spent token may end the login.
func (d *delegate) unsent(guard *ledger.Guard, st evercred.Status) error {
	records, err := guard.Attempts()
	if err != nil {
		return &evercred.Error{Kind: evercred.ErrUnsafe, Reason: evercred.ReasonCannotLock, What: "the ledger cannot be read, so nobody can tell what was sent", Where: guard.Path(), Err: err}
	}
	for _, r := range records {
		if r.Intent().Refresh == st.Refresh && !r.NeverSent(guard.BootID()) {
			return &evercred.Error{Kind: evercred.ErrUnavailable, Reason: evercred.ReasonUnknownOutcome, What: "evercred has sent this refresh token itself and must conclude that first (without --refresh owner)", Where: st.Place}
		}
	}
	return nil
}

// remember keeps all processes from running the command again at once.
func (d *delegate) remember(guard *ledger.Guard, refresh string) (until time.Time, err error) {
	memory, err := guard.Memory()
	if err != nil {
		return time.Time{}, err
	}
	memory = decide.Remember(memory, decide.Lesson{Kind: decide.LearnForeign}, decide.Note{
		Now: d.seams.Clock.Now(), Print: refresh, What: d.command.String(), Foreign: string(evercred.ReasonOwner),
		Jitter: func(most time.Duration) time.Duration { return d.seams.Jitter(0, most) },
	}, *d.seams.Times)
	return memory.Cooldown.Until, guard.SetMemory(memory)
}

func (d *delegate) failure(what string, until time.Time, err error) error {
	return &evercred.Error{Kind: evercred.ErrUnavailable, Reason: evercred.ReasonOwner, What: what, Where: d.command.String(), RetryAt: until, Err: err}
}
