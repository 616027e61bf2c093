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

"header" prints it as a header line, and the key of a helper as two, since only
its command knows what it is: evercred token --format header | curl -H @- URL
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
	switch o.format {
	case "header":
		h := http.Header{}
		t.Apply(h)
		lines := ""
		for _, name := range []string{headerBearer, headerKey} {
			if value := h.Get(name); value != "" {
				lines += name + ": " + value + "\n"
			}
		}
		return a.print(lines)
	case "json":
		j := tokenJSON{
			Version: jsonVersion, Token: t.Reveal(), Kind: "bearer", ExpiresAt: exact(t.Expires()),
			Fingerprint: t.Fingerprint(), Headers: companions(t), Unsaved: r.Unsaved,
		}
		if t.Kind() == evercred.APIKey {
			j.Kind = "api-key"
		}
		return a.printJSON(j)
	}
	return a.print(t.Reveal() + "\n")
}

// The headers that a token itself travels in.
const (
	headerBearer = "Authorization"
	headerKey    = "X-Api-Key"
)

// companions are the headers that must accompany a bearer token or a key. To
// what a helper printed, X-Api-Key is a companion of its bearer header.
func companions(t evercred.Token) map[string]string {
	h := http.Header{}
	t.Apply(h)
	if t.Kind() == evercred.APIKey {
		h.Del(headerKey)
	}
	h.Del(headerBearer)
	all := make(map[string]string, len(h))
	for name := range h {
		all[name] = h.Get(name)
	}
	return all
}

// warnOfShadows says that the owner itself uses something else (INTEROP §6), to
// whoever did not choose this login by name.
func (s *session) warnOfShadows() {
	_, byVariable := s.app.fromVariable("source")
	if s.app.named || byVariable || len(s.login.shadows) == 0 {
		return
	}
	strongest := s.login.shadows[0]
	s.app.say("note: %s is set, so Claude Code itself uses that and not the login this token is of", strongest)
	s.app.say1("hint: --source auto does as Claude Code does, and --source claude-code says that this login is meant")
}
