package sources

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/filestore"
	"github.com/evercred/evercred/internal/decide"
	"github.com/evercred/evercred/internal/ledger"
	"github.com/evercred/evercred/internal/seam"
	"github.com/evercred/evercred/owner/anthropic"
	"github.com/evercred/evercred/owner/claudecode"
)

// The owner's command gets so long to end, and after a SIGTERM so long again. It
// is generous: a claude that is ended in the middle of its refresh loses the
// answer (INTEROP §3). It never gets a SIGKILL.
const (
	ownerPatience = time.Minute
	ownerGrace    = 10 * time.Second
)

// ownersCommand is what refreshes a login at its owner (INTEROP §8).
type ownersCommand struct {
	argv  []string
	env   []string // for the command, as NAME=value
	store string   // the document that it renews
}

// claudeCommand refreshes a token that has expired, and only then [seen].
func claudeCommand(o *Options, at claudecode.Location) *ownersCommand {
	c := &ownersCommand{argv: []string{"claude", "auth", "status"}, store: at.Document}
	// With one of these in its environment it would look at no login at all.
	c.env = o.environ(claudecode.Shadows(o.LookupEnv)...)
	if o.ConfigDir != "" {
		c.env = append(c.env, claudecode.VarConfigDir+"="+o.ConfigDir)
	}
	return c
}

// antCommand prints the token as well; that goes to nobody.
func antCommand(o *Options, p *anthropic.Profile) *ownersCommand {
	return &ownersCommand{
		argv:  []string{"ant", "auth", "print-credentials", "--access-token"},
		store: p.Credentials,
		env: append(o.environ(variables[:]...),
			anthropic.VarConfigDir+"="+p.Location.Dir, anthropic.VarProfile+"="+p.Location.Profile),
	}
}

// environ is that of the caller without some variables.
func (o *Options) environ(without ...string) []string {
	return slices.DeleteFunc(o.Environ(), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return slices.Contains(without, name)
	})
}

func (c *ownersCommand) String() string { return "`" + strings.Join(c.argv, " ") + "`" }

// delegate is a login that its owner renews: when it has ended, the owner's own
// command is run, under our guard, so that a thousand processes run one. Whether
// that helped is read from the store, and from nothing that the command says.
type delegate struct {
	*evercred.Source // read-only
	command          *ownersCommand
	ledger           *ledger.Ledger
	seams            seam.Seams

	mu  sync.Mutex
	run *ownersRun // nil: none is under way
}

// ownersRun is one run, shared by all its callers; err is set when done is closed.
type ownersRun struct {
	done chan struct{}
	err  error
}

func newDelegate(src *evercred.Source, c *ownersCommand, s *seam.Seams) *delegate {
	return &delegate{Source: src, command: c, seams: s.Filled(), ledger: filestore.New(c.store, &filestore.Options{Seams: s}).Ledger()}
}

func (d *delegate) Token(ctx context.Context) (evercred.Token, error) {
	t, err := d.Source.Token(ctx)
	if err == nil || !d.due(err) {
		return t, err
	}
	if err := d.renew(ctx); err != nil {
		return evercred.Token{}, err
	}
	return d.Source.Token(ctx)
}

// Refresh with force runs the owner's command even if the token has not ended.
// Claude Code's then does nothing.
func (d *delegate) Refresh(ctx context.Context, force bool) (evercred.Refreshed, error) {
	r, err := d.Source.Refresh(ctx, false)
	if !force && !d.due(err) {
		return r, err
	}
	if err := d.renew(ctx); err != nil {
		return evercred.Refreshed{Token: r.Token, Err: err}, orNil(err, r.Token)
	}
	r, err = d.Source.Refresh(ctx, false)
	r.Adopted = err == nil
	return r, err
}

// orNil: a token that is still good is served whatever became of its renewal.
func orNil(err error, t evercred.Token) error {
	if t.IsZero() {
		return err
	}
	return nil
}

// due: nothing but a renewal would help.
func (d *delegate) due(err error) bool {
	var e *evercred.Error
	return errors.As(err, &e) && e.Reason == evercred.ReasonReadOnly
}

func (d *delegate) Close() error {
	d.mu.Lock()
	run := d.run
	d.mu.Unlock()
	if run != nil {
		<-run.done
	}
	return d.Source.Close()
}

// renew joins the run, or begins it. ctx bounds the caller's wait alone.
func (d *delegate) renew(ctx context.Context) error {
	d.mu.Lock()
	run := d.run
	if run == nil {
		run = &ownersRun{done: make(chan struct{})}
		d.run = run
		go func() {
			run.err = d.once(context.WithoutCancel(ctx))
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

// once runs the command under the guard, unless somebody has renewed the login
// while it was waited for, or the command has failed just now.
func (d *delegate) once(ctx context.Context) error {
	before, err := d.Status(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, ownerPatience)
	defer cancel()
	guard, err := d.ledger.Guard(ctx)
	if err != nil {
		return &evercred.Error{Kind: evercred.ErrLocked, Reason: evercred.ReasonLocked, What: "another process is renewing the login", Where: d.command.store, Err: err}
	}
	defer guard.Release()
	now, err := d.Status(ctx)
	if err != nil || now.Access != before.Access {
		return err
	}
	memory, err := d.ledger.Memory()
	if err != nil {
		return err
	}
	if c := memory.Cooldown; c != nil && memory.Print == now.Refresh && c.Reason == string(evercred.ReasonOwner) && d.seams.Clock.Now().Before(c.Until) {
		return d.failure("the owner's command has not renewed the login a moment ago", c.Until, nil)
	}
	ran := d.command.run()
	after, err := d.Status(ctx)
	if err == nil && after.Access != before.Access {
		return nil
	}
	memory = decide.Remember(memory, decide.Lesson{Kind: decide.LearnForeign},
		decide.Note{Now: d.seams.Clock.Now(), Print: now.Refresh, Foreign: string(evercred.ReasonOwner)}, *d.seams.Times)
	if err := guard.SetMemory(memory); err != nil {
		ran = errors.Join(ran, err)
	}
	return d.failure("the owner's command has not renewed the login", memory.Cooldown.Until, ran)
}

func (d *delegate) failure(what string, until time.Time, err error) error {
	return &evercred.Error{Kind: evercred.ErrUnavailable, Reason: evercred.ReasonOwner, What: what, Where: d.command.String(), RetryAt: until, Err: err}
}

// run runs the command with nothing to read and nobody to listen. Its end is no
// verdict; an error only says why the store may be as it was.
func (c *ownersCommand) run() error {
	cmd := exec.Command(c.argv[0], c.argv[1:]...)
	cmd.Env = c.env
	alone(cmd)
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for _, step := range []struct {
		wait time.Duration
		then func()
	}{{ownerPatience, func() { terminate(cmd.Process) }}, {ownerGrace, func() {}}} {
		timer := time.NewTimer(step.wait)
		select {
		case err := <-ended:
			timer.Stop()
			return err
		case <-timer.C:
			step.then()
		}
	}
	return fmt.Errorf("it did not end within %v, nor after SIGTERM, and was left alone", ownerPatience)
}
