package cli

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/evercred/evercred"
)

// The common flags, and where they have them their variables, reach the library.
func TestFlagsReachTheLibrary(t *testing.T) {
	for name, c := range map[string]struct{ args, environ []string }{
		"flags": {[]string{"probe", "--config-dir", "/d", "--token-url", "https://x.example/t", "--client-id", "c", "--timeout", "20s",
			"--read-only", "--allow-token-host", "X.example", "--allow-file-mount", "--allow-argv"}, nil},
		"variables": {[]string{"probe", "--allow-token-host", "x.example", "--allow-file-mount", "--allow-argv"},
			[]string{"EVERCRED_CONFIG_DIR=/d", "EVERCRED_TOKEN_URL=https://x.example/t", "EVERCRED_CLIENT_ID=c", "EVERCRED_TIMEOUT=20s", "EVERCRED_READ_ONLY=true"}},
	} {
		l := loginOf(t, c.args, c.environ)
		o := l.options
		if o.ConfigDir != "/d" || o.TokenURL != "https://x.example/t" || o.ClientID != "c" || !o.ReadOnly || !o.AllowFileMount || !o.AllowArgv ||
			!slices.Equal(o.AllowHosts, []string{"x.example"}) || o.RefreshTimeout < 19*time.Second || o.RefreshTimeout > 20*time.Second {
			t.Errorf("%s: %+v", name, o)
		}
		src, err := new(app).open(l)
		if err != nil {
			t.Fatalf("%s: the host that was allowed by name is refused: %v", name, err)
		}
		src.Close()
	}
	// What lowers a guard has no variable (S7).
	l := loginOf(t, []string{"probe", "--config-dir", "/d"}, []string{"EVERCRED_ALLOW_FILE_MOUNT=true", "EVERCRED_ALLOW_ARGV=true", "EVERCRED_ALLOW_TOKEN_HOST=x.example", "EVERCRED_TOKEN_URL=https://x.example/t"})
	if l.options.AllowFileMount || l.options.AllowArgv || len(l.options.AllowHosts) > 0 {
		t.Error("a variable lowered a guard")
	}
	if _, err := new(app).open(l); !errors.Is(err, evercred.ErrConfig) {
		t.Errorf("%v", err)
	}
}

// loginOf is the login that a command line means.
func loginOf(t *testing.T, args, environ []string) *login {
	t.Helper()
	var l *login
	a := &app{stdout: new(bytes.Buffer), stderr: new(bytes.Buffer), environ: environ, now: time.Now}
	root := newRoot(a, args)
	root.AddCommand(&cobra.Command{Use: "probe", RunE: func(*cobra.Command, []string) (err error) {
		l, err = a.login()
		return err
	}})
	root.SetArgs(args)
	if err := root.Execute(); err != nil {
		t.Fatal(err)
	}
	return l
}

// A remedy sends nobody to the owner of another credential.
func TestRemediesNameTheSource(t *testing.T) {
	for source, foreign := range map[string][]string{
		"claude-code":           {"`ant "},
		"profile:work":          {"claude", "--config-dir"},
		"file":                  {"`claude", "`ant ", "--config-dir"},
		"env:ANTHROPIC_API_KEY": {"`claude", "`ant ", "--config-dir"},
		"helper":                {"`claude", "`ant "},
		"federation":            {"`claude", "`ant ", "--config-dir"},
	} {
		for _, r := range []evercred.Reason{
			evercred.ReasonNoFile, evercred.ReasonNoSection, evercred.ReasonNoHome, evercred.ReasonBlanked, evercred.ReasonDeadline,
			evercred.ReasonNoRefresh, evercred.ReasonRefused, evercred.ReasonLostAnswer, evercred.ReasonOlderCopy, evercred.ReasonReadOnly, evercred.ReasonUnreadable,
		} {
			text := remedy(r, madeBy(source))
			for _, word := range foreign {
				if text == "" || strings.Contains(text, word) {
					t.Errorf("%s, %s: %q", source, r, text)
				}
			}
		}
	}
}

func TestWaitingFor(t *testing.T) {
	for source, want := range map[string]string{
		"claude-code": "waiting for the store…", "helper": "waiting for the helper…", "federation": "exchanging the identity token…",
	} {
		if got := (login{source: source}).waitingFor(""); got != want {
			t.Errorf("%s: %q", source, got)
		}
	}
}
