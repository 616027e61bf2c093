package cli

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/evercred/evercred"
)

type refreshOptions struct{ force, json bool }

func newRefresh(a *app) *cobra.Command {
	var o refreshOptions
	cmd := &cobra.Command{
		Use:   "refresh",
		Short: "Renew the login now, if it is due",
		Long: `Renews the login now if it is due, and says on standard error what was done.
With --force it is renewed even if it is fresh. What another process is just
saving is adopted: a hundred of these at once cause one grant.`,
		Args: noArguments,
		RunE: func(*cobra.Command, []string) error { return runRefresh(a, o) },
	}
	cmd.Flags().BoolVar(&o.force, "force", false, "renew it even if it is fresh")
	cmd.Flags().BoolVar(&o.json, "json", false, "print what was done as JSON")
	return cmd
}

func runRefresh(a *app, o refreshOptions) error {
	return a.within(func(s *session) error {
		r, err := wait(s, func(ctx context.Context) (evercred.Refreshed, error) {
			return s.src.Refresh(ctx, o.force)
		})
		var by *interrupted
		if errors.As(err, &by) {
			return err
		}
		if err == nil {
			err = r.Err
		}
		if o.json {
			if err := a.printJSON(a.refreshJSON(r, err)); err != nil {
				return err
			}
		}
		if err == nil {
			a.say("%s, %s", says(outcome(r)), a.validity(r.Token))
		}
		return err
	})
}

// refreshJSON is `refresh --json`.
type refreshJSON struct {
	Version int `json:"version"`
	// Outcome is granted, adopted, recovered or fresh; unsaved and kept, if the
	// token is good but an error stands; none without a token.
	Outcome     string     `json:"outcome"`
	Fingerprint string     `json:"fingerprint,omitempty"`
	ExpiresAt   time.Time  `json:"expiresAt,omitzero"`
	Error       *errorJSON `json:"error,omitempty"`
}

func (a *app) refreshJSON(r evercred.Refreshed, err error) refreshJSON {
	return refreshJSON{
		Version: jsonVersion, Outcome: outcome(r),
		Fingerprint: r.Token.Fingerprint(), ExpiresAt: exact(r.Token.Expires()),
		Error: toJSON(err),
	}
}

// outcome names what a refresh did.
func outcome(r evercred.Refreshed) string {
	switch {
	case r.Token.IsZero():
		return "none"
	case r.Unsaved:
		return "unsaved"
	case r.Err != nil:
		return "kept"
	case r.Recovered:
		return "recovered"
	case r.Granted:
		return "granted"
	case r.Adopted:
		return "adopted"
	}
	return "fresh"
}

func says(outcome string) string {
	switch outcome {
	case "recovered":
		return "recovered the answer that an ended process left behind"
	case "granted":
		return "refreshed"
	case "adopted":
		return "adopted what another process saved"
	}
	return "still fresh, nothing was done"
}

func (a *app) validity(t evercred.Token) string {
	if t.Expires().IsZero() {
		return "valid until it is refused"
	}
	return "valid until " + t.Expires().Local().Format(time.DateTime) + " (for " + relative(t.Expires().Sub(a.now())) + ")"
}

// toJSON is an error in a result; nil: none.
func toJSON(err error) *errorJSON {
	if err == nil {
		return nil
	}
	j := &errorJSON{Reason: string(reasonOf(err)), Message: err.Error(), Exit: exitCode(err)}
	var e *evercred.Error
	if errors.As(err, &e) {
		j.RetryAt = exact(e.RetryAt)
	}
	return j
}
