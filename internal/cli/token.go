package cli

import (
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/evercred/evercred"
)

type tokenOptions struct{ format string }

func newToken(a *app) *cobra.Command {
	o := tokenOptions{format: "raw"}
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Print a fresh token",
		Long: `Prints a fresh token. It is renewed first if its end is near; a token that is
still valid is printed through any outage, with a warning on standard error.

"header" prints a header line, for: curl -H "$(evercred token --format header)"
"json" prints the token, its end, and the headers that must accompany it.`,
		Args: noArguments,
		RunE: func(*cobra.Command, []string) error { return runToken(a, o) },
	}
	enumFlag(cmd, cmd.Flags(), &o.format, "format", "what to print", "raw", "header", "json")
	return cmd
}

func runToken(a *app, o tokenOptions) error {
	return a.within(func(s *session) error {
		r, err := s.fresh()
		if err != nil {
			return err
		}
		if err := o.print(a, r); err != nil {
			return err
		}
		s.warn(r)
		s.warnOfShadows()
		return nil
	})
}

// tokenJSON is `token --format json`.
type tokenJSON struct {
	Version     int       `json:"version"`
	Token       string    `json:"token"`
	Kind        string    `json:"kind"` // "bearer" or "api-key"
	ExpiresAt   time.Time `json:"expiresAt,omitzero"`
	Fingerprint string    `json:"fingerprint"`
	// Headers must accompany the token in a request.
	Headers map[string]string `json:"headers"`
	Unsaved bool              `json:"unsaved,omitempty"`
}

func (o tokenOptions) print(a *app, r evercred.Refreshed) error {
	t := r.Token
	name, value, companions := headers(t)
	switch o.format {
	case "header":
		return a.print(name + ": " + value + "\n")
	case "json":
		j := tokenJSON{
			Version: jsonVersion, Token: t.Reveal(), Kind: "bearer", ExpiresAt: exact(t.Expires()),
			Fingerprint: t.Fingerprint(), Headers: companions, Unsaved: r.Unsaved,
		}
		if t.Kind() == evercred.APIKey {
			j.Kind = "api-key"
		}
		return a.printJSON(j)
	}
	return a.print(t.Reveal() + "\n")
}

// headers are the token's own header, and those that must accompany it.
func headers(t evercred.Token) (name, value string, companions map[string]string) {
	h := http.Header{}
	t.Apply(h)
	name = "Authorization"
	if t.Kind() == evercred.APIKey {
		name = "X-Api-Key"
	}
	value = h.Get(name)
	h.Del(name)
	companions = make(map[string]string, len(h))
	for k := range h {
		companions[k] = h.Get(k)
	}
	return name, value, companions
}

// warnOfShadows says that the owner itself uses something else (INTEROP §6).
func (s *session) warnOfShadows() {
	for _, name := range s.login.shadows {
		s.app.say("note: %s is set, so Claude Code itself uses that and not the login this token is of", name)
		return // the strongest decides
	}
}
