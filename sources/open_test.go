package sources_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/sources"
)

func TestValid(t *testing.T) {
	for _, name := range []string{"auto", "claude-code", "profile", "profile:work", "env", "env:ANTHROPIC_AUTH_TOKEN", "env:ANTHROPIC_API_KEY", "env:CLAUDE_CODE_OAUTH_TOKEN", "helper", "federation", "file:/x", "file:a:b", `file:C:\x`} {
		if err := sources.Valid(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, says := range map[string]string{
		"": "the sources are", "claude": "the sources are", "AUTO": "the sources are", "keychain": "the sources are", " auto": "the sources are",
		"auto:x": "nothing may follow", "auto:": "nothing may follow", "helper:cmd": "nothing may follow", "federation:x": "nothing may follow", "claude-code:/dir": "nothing may follow",
		"env:HOME": "the variables that hold", "env:": "the variables that hold", "env:anthropic_api_key": "the variables that hold",
		"file": "a path is missing", "file:": "a path is missing", "profile:": "a name is missing", "x:y": "nothing may follow",
	} {
		var e *evercred.Error
		err := sources.Valid(name)
		if !errors.As(err, &e) || e.Kind != evercred.ErrConfig || e.Reason != evercred.ReasonUsage || !strings.Contains(e.What, says) {
			t.Errorf("%q: %v, want %q", name, err, says)
		}
		if _, opened := sources.Open(name, newWorld(t).options()); fmt.Sprint(opened) != fmt.Sprint(err) {
			t.Errorf("Open(%q): %v", name, opened)
		}
	}
}

// header is what a token puts into a request.
func header(t *testing.T, l sources.Lender) string {
	t.Helper()
	tok, err := l.Token(t.Context())
	if err != nil {
		return err.Error()
	}
	h := http.Header{}
	tok.Apply(h)
	return strings.TrimSpace(h.Get("X-Api-Key") + " " + h.Get("Authorization") + " " + h.Get("Anthropic-Beta"))
}

func TestEachSource(t *testing.T) { // INTEROP §6
	unix(t)
	w := newWorld(t)
	w.login(time.Hour)
	w.profile("default", time.Hour)
	w.profile("work", time.Hour)
	w.write(w.path("elsewhere.json"), document("elsewhere", time.Hour))
	w.env["ANTHROPIC_API_KEY"], w.env["CLAUDE_CODE_OAUTH_TOKEN"] = "secret-key", "secret-year"
	w.federate()
	command, trace := w.helperCommand()
	w.settings(command)
	opts := w.options()
	opts.TokenURL = newExchanger(t).URL
	for _, tt := range []struct{ open, name, place, why, header string }{
		{"claude-code", "claude-code", w.path(".claude", ".credentials.json"), "", "Bearer sk-ant-oat01-secret-stored oauth-2025-04-20"},
		{"profile", "profile:default", w.profiles("configs", "default.json"), "", "Bearer sk-ant-oat01-secret-default oauth-2025-04-20"},
		{"profile:work", "profile:work", w.profiles("configs", "work.json"), "option", "Bearer sk-ant-oat01-secret-work oauth-2025-04-20"},
		{"env", "env:ANTHROPIC_API_KEY", "ANTHROPIC_API_KEY", "", "secret-key"},
		{"env:CLAUDE_CODE_OAUTH_TOKEN", "env:CLAUDE_CODE_OAUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN", "", "Bearer secret-year oauth-2025-04-20"},
		{"helper", "helper", w.path(".claude", "settings.json"), "", "sk-ant-api03-secret-helper Bearer sk-ant-api03-secret-helper"},
		{"federation", "federation", "ANTHROPIC_FEDERATION_RULE_ID", "", "Bearer sk-ant-oat01-secret-exchanged-1 oauth-2025-04-20"},
		{"file:" + w.path("elsewhere.json"), "file", w.path("elsewhere.json"), "", "Bearer sk-ant-oat01-secret-elsewhere oauth-2025-04-20"},
	} {
		s := w.open(tt.open, opts)
		if s.Name != tt.name || s.Place != tt.place || s.Why != tt.why || !s.Present || s.Note != "" || s.Passed != nil {
			t.Errorf("%s: %+v", tt.open, s.Found)
		}
		if h := header(t, s); h != tt.header {
			t.Errorf("%s: %q, want %q", tt.open, h, tt.header)
		}
	}
	if _, err := os.Stat(trace); err != nil {
		t.Error("the helper was not run by its name:", err)
	}
}

func TestAbsentByName(t *testing.T) {
	w := newWorld(t)
	for name, reason := range map[string]evercred.Reason{
		"env": evercred.ReasonNoFile, "env:ANTHROPIC_API_KEY": evercred.ReasonNoFile, "helper": evercred.ReasonNoFile,
		"federation": evercred.ReasonNoFile, "profile": evercred.ReasonNoProfile, "profile:none": evercred.ReasonNoProfile,
	} {
		var e *evercred.Error
		if _, err := sources.Open(name, w.options()); !errors.As(err, &e) || e.Kind != evercred.ErrNotFound || e.Reason != reason {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"claude-code", "file:" + w.path("none.json")} { // somebody may yet log in
		if _, err := w.open(name, w.options()).Token(t.Context()); !errors.Is(err, evercred.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"profile:..", "profile:a/b", "profile:.hidden"} {
		if _, err := sources.Open(name, w.options()); !errors.Is(err, evercred.ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRenewalIsAWord(t *testing.T) {
	w := newWorld(t)
	w.federate()
	opts := w.options()
	opts.Renewal = "somebody"
	if _, err := sources.Open("claude-code", opts); !errors.Is(err, evercred.ErrConfig) {
		t.Error(err)
	}
	opts.Renewal = sources.Owner
	for _, name := range []string{"federation", "file:" + w.path("x.json")} {
		if _, err := sources.Open(name, opts); !errors.Is(err, evercred.ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A profile of workload identity takes from the environment what it leaves out,
// and nothing that it says (INTEROP §6).
func TestFederatedProfile(t *testing.T) {
	w, e := newWorld(t), newExchanger(t)
	w.write(w.path("identity"), "secret-from-file\n")
	w.federate()
	w.env["ANTHROPIC_WORKSPACE_ID"], w.env["ANTHROPIC_BASE_URL"] = "wrkspc-env", "https://evil.test"
	file, _ := filepath.Abs(w.path("identity"))
	w.write(w.profiles("configs", "ci.json"), fmt.Sprintf(`{"version":"1.0","base_url":%q,"authentication":{"type":"oidc_federation","federation_rule_id":"fdrl_own","identity_token":{"source":"file","path":%q}}}`, e.URL, file))
	s := w.open("profile:ci", w.options())
	if st, err := s.Status(t.Context()); err != nil || st.State != evercred.StateOnDemand || !st.Renewable || e.requests.Load() != 0 {
		t.Errorf("%+v, %v", st, err)
	}
	if h := header(t, s); h != "Bearer sk-ant-oat01-secret-exchanged-1 oauth-2025-04-20" {
		t.Error(h)
	}
	got := *e.params.Load()
	for name, want := range map[string]string{"federation_rule_id": "fdrl_own", "organization_id": "org-test", "workspace_id": "wrkspc-env", "assertion": "secret-from-file"} {
		if got[name] != want {
			t.Errorf("%s: %q, want %q", name, got[name], want)
		}
	}
	for name, config := range map[string]string{
		"foreign": `{"base_url":"https://evil.test","authentication":{"type":"oidc_federation"}}`,
		"clear":   `{"base_url":"http://api.anthropic.com","authentication":{"type":"oidc_federation"}}`,
		"query":   `{"base_url":"https://api.anthropic.com/?x=y","authentication":{"type":"oidc_federation"}}`,
	} {
		w.write(w.profiles("configs", "bad.json"), config)
		var ee *evercred.Error
		if _, err := sources.Open("profile:bad", w.options()); !errors.As(err, &ee) || ee.Reason != evercred.ReasonHost {
			t.Errorf("%s: %v", name, err)
		}
	}
	delete(w.env, "ANTHROPIC_ORGANIZATION_ID")
	var ee *evercred.Error
	if _, err := sources.Open("profile:ci", w.options()); !errors.As(err, &ee) || ee.Kind != evercred.ErrConfig || ee.Where != w.profiles("configs", "ci.json") {
		t.Errorf("half: %v", err)
	}
}

// What is not here until it is asked for is not asked for by Status, and force
// asks once.
func TestOnDemand(t *testing.T) {
	unix(t)
	w, e := newWorld(t), newExchanger(t)
	w.federate()
	command, trace := w.helperCommand()
	opts := w.options()
	opts.TokenURL, opts.HelperCommand = e.URL, command
	runs := func(name string) int {
		if name == "federation" {
			return int(e.requests.Load())
		}
		text, _ := os.ReadFile(trace)
		return len(text) / 2
	}
	for _, name := range []string{"helper", "federation"} {
		s := w.open(name, opts)
		st, err := s.Status(t.Context())
		if err != nil || st.State != evercred.StateOnDemand || st.Usable || !st.Renewable || st.Err != nil || st.Access != "" {
			t.Errorf("%s: %+v, %v", name, st, err)
		}
		if err := s.Follow(t.Context(), func(st evercred.Status) bool { return st.State == evercred.StateOnDemand }); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if n := runs(name); n != 0 {
			t.Errorf("%s: Status ran it %d times", name, n)
		}
		for i, force := range []bool{true, false, true} {
			r, err := s.Refresh(t.Context(), force)
			if err != nil || r.Token.IsZero() || r.Granted != force {
				t.Errorf("%s: %+v, %v", name, r, err)
			}
			if n := runs(name); n != []int{1, 1, 2}[i] {
				t.Errorf("%s, refresh %d: ran %d times", name, i, n)
			}
		}
	}
}

func TestEnvironmentStaysAsItIs(t *testing.T) {
	w := newWorld(t)
	w.env["ANTHROPIC_AUTH_TOKEN"] = "secret-bearer"
	s := w.open("env", w.options())
	r, err := s.Refresh(t.Context(), true)
	if err != nil || r.Granted || r.Token.Reveal() != "secret-bearer" {
		t.Errorf("%+v, %v", r, err)
	}
	s.Reject(r.Token)
	st, err := s.Status(t.Context())
	if err != nil || st.State != evercred.StateNoRenewal || !st.Usable || st.Renewable || st.Access != r.Token.Fingerprint() {
		t.Errorf("%+v, %v", st, err)
	}
	if calls := w.disk.Calls(); len(calls) != 0 {
		t.Errorf("the disk was asked: %v", calls)
	}
}

// --read-only works for all: never a grant, whatever is due.
func TestReadOnly(t *testing.T) {
	unix(t)
	for _, never := range []bool{true, false} {
		w, e := newWorld(t), newExchanger(t)
		w.federate()
		w.login(-time.Hour)
		w.profile("default", -time.Hour)
		w.write(w.path("own.json"), document("own", -time.Hour))
		w.write(w.profiles("configs", "ci.json"), `{"authentication":{"type":"oidc_federation"}}`)
		opts := w.options()
		opts.TokenURL = e.URL
		if opts.ReadOnly = !never; never {
			opts.Renewal = sources.Never
		}
		for _, name := range []string{"claude-code", "profile", "file:" + w.path("own.json"), "federation", "profile:ci"} {
			s := w.open(name, opts)
			for what, err := range map[string]error{
				"Token":   func() error { _, err := s.Token(t.Context()); return err }(),
				"Refresh": func() error { _, err := s.Refresh(t.Context(), true); return err }(),
				"Status":  func() error { st, _ := s.Status(t.Context()); return st.Err }(),
			} {
				var ee *evercred.Error
				if !errors.As(err, &ee) || ee.Kind != evercred.ErrUnavailable || ee.Reason != evercred.ReasonReadOnly {
					t.Errorf("%s, %s: %v", name, what, err)
				}
			}
		}
		w.login(time.Hour) // its owner has renewed it
		if h := header(t, w.open("claude-code", opts)); h != "Bearer sk-ant-oat01-secret-stored oauth-2025-04-20" {
			t.Error(h)
		}
		opts.HelperCommand, _ = w.helperCommand()
		if h := header(t, w.open("helper", opts)); !strings.Contains(h, "secret-helper") {
			t.Error(h)
		}
		if n := e.requests.Load(); n != 0 {
			t.Errorf("%d requests", n)
		}
		if _, err := os.Stat(w.path(".claude", ".evercred")); err == nil {
			t.Error("a ledger was made")
		}
	}
}
