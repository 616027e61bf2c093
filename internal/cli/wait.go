package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/evercred/evercred"
)

type waitOptions struct {
	until string
	json  bool
}

// What wait can wait for.
const (
	waitFresh  = "fresh"
	waitChange = "change"
)

func newWait(a *app) *cobra.Command {
	o := waitOptions{until: waitFresh}
	cmd := &cobra.Command{
		Use:   "wait",
		Short: "Wait until somebody else has renewed the login",
		Long: `Waits until the login is as asked for, and never refreshes it: that is left to
its owner, or to another evercred. It waits for a login to come, too. A source
that keeps no login (env, helper, federation) has nothing to wait for.

"fresh" waits for a token with more than 30 s left, "change" until another token
is stored than at the start; a logout counts. Exit 8 if --timeout came first.`,
		Args: noArguments,
		RunE: func(*cobra.Command, []string) error { return runWait(a, o) },
	}
	enumFlag(cmd, cmd.Flags(), &o.until, "for", "what to wait for", waitFresh, waitChange)
	cmd.Flags().BoolVar(&o.json, "json", false, "print what is stored at the end as JSON")
	return cmd
}

// waitJSON is `wait --json`.
type waitJSON struct {
	Version int    `json:"version"`
	For     string `json:"for"`
	Met     bool   `json:"met"`             // false: --timeout came first
	State   string `json:"state,omitempty"` // absent: --timeout was too short for a look
	// Fingerprint is the access token's, as in `refresh --json`; Refresh is the
	// refresh token's.
	Fingerprint string    `json:"fingerprint,omitempty"`
	Refresh     string    `json:"refresh,omitempty"`
	ExpiresAt   time.Time `json:"expiresAt,omitzero"`
}

// runWait writes nothing, so that a signal may end it as it ends any program:
// at once.
func runWait(a *app, o waitOptions) error {
	return a.within(func(s *session) error {
		if !s.login.stored() {
			return usage("nothing is stored by --source %s, so there is nothing to wait for", s.login.source).advise("ask `evercred token` for one")
		}
		w := waiting{app: a, waitOptions: o}
		err := s.src.Follow(s.ctx, w.see)
		met := err == nil
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			err = w.late()
		case err != nil:
			return err
		}
		if o.json {
			if err := a.printJSON(w.result(met)); err != nil {
				return err
			}
		}
		if met {
			a.mention("the login is %s, fingerprint %s", w.last.State, w.last.Access)
		}
		return err
	})
}

// waiting is one wait, and what it saw.
type waiting struct {
	app *app
	waitOptions
	first, last evercred.Status
	seen        bool
	told        string
}

// see takes a look, and reports whether it shows what is waited for.
func (w *waiting) see(st evercred.Status) (done bool) {
	if !w.seen {
		w.first, w.seen = st, true
	}
	w.last = st
	if w.met() {
		return true
	}
	if text := w.purpose(); text != w.told {
		w.app.mention("%s", text)
		w.told = text
	}
	return false
}

func (w *waiting) met() bool {
	if w.until == waitChange {
		return w.last.Access != w.first.Access || w.last.Refresh != w.first.Refresh
	}
	// What evercred itself would no longer hand out unasked (Options.RefreshLate).
	const late = 30 * time.Second
	return w.last.Usable && (w.last.Expires.IsZero() || w.last.Expires.Sub(w.app.now()) > late)
}

// purpose says to the user of a terminal what is waited for.
func (w *waiting) purpose() string {
	what := "for a fresh token"
	if w.until == waitChange {
		what = "for another token"
	}
	switch w.last.State {
	case evercred.StateLoggedOut:
		return "waiting " + what + ": nobody is logged in yet…"
	case evercred.StateBlanked, evercred.StateDead:
		return "waiting " + what + ": the login is " + string(w.last.State) + ", and somebody has to log in again…"
	}
	return "waiting " + what + ": the login is " + string(w.last.State) + "…"
}

// late is the error of a wait that --timeout ended.
func (w *waiting) late() error {
	what := "no token with more than 30 s left was stored"
	if w.until == waitChange {
		what = "no other token was stored"
	}
	state := "the login is " + string(w.last.State)
	if !w.seen {
		state = "there was not even the time to look"
	}
	return &advised{
		err:    fmt.Errorf("%w: %s within %s; %s", errCondition, what, w.app.common.timeout, state),
		advice: "wait longer with --timeout, or let evercred renew it with `evercred refresh`",
	}
}

func (w *waiting) result(met bool) waitJSON {
	return waitJSON{
		Version: jsonVersion, For: w.until, Met: met, State: string(w.last.State),
		Fingerprint: w.last.Access, Refresh: w.last.Refresh, ExpiresAt: exact(w.last.Expires),
	}
}
