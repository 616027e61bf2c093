package sources_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/internal/fsys/faulty"
	"github.com/evercred/evercred/sources"
)

// full has every source there is.
func full(t *testing.T) *world {
	w := newWorld(t)
	for _, name := range []string{"ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_API_KEY", "CLAUDE_CODE_OAUTH_TOKEN"} {
		w.env[name] = "secret-" + strings.ToLower(name)
	}
	command, _ := w.helperCommand()
	w.settings(command)
	w.federate()
	w.profile("default", time.Hour)
	w.login(time.Hour)
	return w
}

// TestAutoOrder takes away what comes first, again and again (INTEROP §6).
func TestAutoOrder(t *testing.T) {
	for _, named := range []bool{false, true} {
		w := full(t)
		federation, profile := "federation", "profile:default"
		away := map[string]func(){
			"env:ANTHROPIC_AUTH_TOKEN":    func() { delete(w.env, "ANTHROPIC_AUTH_TOKEN") },
			"env:ANTHROPIC_API_KEY":       func() { w.env["ANTHROPIC_API_KEY"] = "" }, // empty is not set
			"helper":                      func() { w.settings("") },
			"env:CLAUDE_CODE_OAUTH_TOKEN": func() { delete(w.env, "CLAUDE_CODE_OAUTH_TOKEN") },
			federation: func() {
				delete(w.env, "ANTHROPIC_FEDERATION_RULE_ID")
				delete(w.env, "ANTHROPIC_IDENTITY_TOKEN") // the organisation may be meant for something else
			},
			profile: func() {
				delete(w.env, "ANTHROPIC_PROFILE")
				w.remove(w.profiles("configs", "default.json"))
			},
			"claude-code": func() { w.remove(w.path(".claude", ".credentials.json")) },
		}
		order := []string{"env:ANTHROPIC_AUTH_TOKEN", "env:ANTHROPIC_API_KEY", "helper", "env:CLAUDE_CODE_OAUTH_TOKEN", federation, profile, "claude-code"}
		if named { // a profile that somebody named comes before what the environment leaves lying about
			w.env["ANTHROPIC_PROFILE"] = "default"
			order[4], order[5] = profile, federation
		}
		opts := w.options()
		opts.AllowHelper = true
		for i, want := range order {
			if s := w.open("auto", opts); s.Name != want || s.Passed != nil {
				t.Fatalf("%s, want %s", s.Name, want)
			}
			i := i
			var all, present []string
			for f := range sources.Discover(opts) {
				all = append(all, f.Name)
				if f.Present {
					present = append(present, f.Name)
				}
			}
			if !slices.Equal(present, order[i:]) || len(all) != len(order) {
				t.Errorf("present %q of %q, want %q", present, all, order[i:])
			}
			away[want]()
		}
		s := w.open("auto", opts)
		if _, err := s.Token(t.Context()); s.Name != "claude-code" || !errors.Is(err, evercred.ErrNotFound) {
			t.Errorf("%s, %v", s.Name, err)
		}
	}
}

// A source that is present and broken stops the search with its reason, though
// a sound one comes after it.
func TestAutoStops(t *testing.T) {
	unix(t)
	variable := func(name, value string) func(*world) { return func(w *world) { w.env[name] = value } }
	settings := func(text string) func(*world) {
		return func(w *world) { w.write(w.path(".claude", "settings.json"), text) }
	}
	config := func(text string) func(*world) {
		return func(w *world) { w.write(w.profiles("configs", "default.json"), text) }
	}
	tests := map[string]struct {
		lay    func(*world)
		source string
		reason evercred.Reason
		late   bool // shows when it is opened, not when it is found
	}{
		"a variable with a line break":  {variable("ANTHROPIC_API_KEY", "secret\n"), "env:ANTHROPIC_API_KEY", evercred.ReasonVariable, true},
		"a variable of white space":     {variable("ANTHROPIC_AUTH_TOKEN", " "), "env:ANTHROPIC_AUTH_TOKEN", evercred.ReasonVariable, true},
		"settings that are no JSON":     {settings(`{`), "helper", evercred.ReasonSettings, false},
		"a helper that is no text":      {settings(`{"apiKeyHelper":1}`), "helper", evercred.ReasonSettings, false},
		"settings that are a directory": {func(w *world) { w.write(w.path(".claude", "settings.json", "x"), "") }, "helper", evercred.ReasonSettings, false},
		"an administrator's, broken":    {func(w *world) { w.write(w.path("managed.json"), `[]`) }, "helper", evercred.ReasonSettings, false},
		"a helper that others may change": {func(w *world) {
			settings(`{"apiKeyHelper":"x"}`)(w)
			os.Chmod(w.path(".claude", "settings.json"), 0o666)
		}, "helper", evercred.ReasonSettings, false},
		"federation, half":                {variable("ANTHROPIC_FEDERATION_RULE_ID", "fdrl_x"), "federation", evercred.ReasonVariable, false},
		"a profile of an unknown type":    {config(`{"authentication":{"type":"magic"}}`), "profile:default", evercred.ReasonProfile, false},
		"a profile that is no JSON":       {config(`{`), "profile:default", evercred.ReasonUnreadable, false},
		"a profile, federated by half":    {config(`{"authentication":{"type":"oidc_federation"}}`), "profile:default", evercred.ReasonUsage, true},
		"a profile with a foreign host":   {config(`{"base_url":"https://evil.test","authentication":{"type":"user_oauth","client_id":"c"}}`), "profile:default", evercred.ReasonHost, true},
		"a named profile that is missing": {variable("ANTHROPIC_PROFILE", "gone"), "profile:gone", evercred.ReasonNoProfile, false},
		"an active one that is missing":   {func(w *world) { w.write(w.profiles("active_config"), "gone\n") }, "profile:gone", evercred.ReasonNoProfile, false},
		"an active one with separators":   {func(w *world) { w.write(w.profiles("active_config"), "../../x") }, "profile", evercred.ReasonProfile, false},
		"an empty config directory":       {variable("ANTHROPIC_CONFIG_DIR", ""), "profile", evercred.ReasonConfigDir, false},
		"an empty directory of Claude's":  {variable("CLAUDE_CONFIG_DIR", ""), "helper", evercred.ReasonConfigDir, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.login(time.Hour)
			if s := w.open("auto", w.options()); s.Name != "claude-code" { // without the fault it is found
				t.Fatal(s.Name)
			}
			tt.lay(w)
			_, err := sources.Open("auto", w.options())
			var e *evercred.Error
			if !errors.As(err, &e) || e.Reason != tt.reason || strings.Contains(err.Error(), "secret") {
				t.Fatalf("%v, want %s", err, tt.reason)
			}
			for f := range sources.Discover(w.options()) {
				if f.Name == tt.source && (!f.Present || (f.Err == nil) != tt.late || f.Err != nil && f.Err.Error() != err.Error()) {
					t.Errorf("%+v", f)
				}
				if f.Present && f.Name != "claude-code" && f.Name != tt.source {
					t.Errorf("%+v", f)
				}
			}
		})
	}
}

// What comes before the broken one is used: Auto looks no further than it must.
func TestAutoIsLazy(t *testing.T) {
	w := newWorld(t)
	w.env["ANTHROPIC_AUTH_TOKEN"], w.env["ANTHROPIC_API_KEY"], w.env["CLAUDE_CONFIG_DIR"] = "secret", "secret\n", ""
	if s := w.open("auto", w.options()); s.Name != "env:ANTHROPIC_AUTH_TOKEN" {
		t.Error(s.Name)
	}
	if calls := w.disk.Calls(); len(calls) != 0 {
		t.Errorf("the disk was asked: %v", calls)
	}
}

func TestAutoAndTheHelper(t *testing.T) {
	unix(t)
	w := newWorld(t)
	command, trace := w.helperCommand()
	w.settings(command)
	w.login(time.Hour)
	s := w.open("auto", w.options())
	if s.Name != "claude-code" || len(s.Passed) != 1 || s.Passed[0].Name != "helper" || !s.Passed[0].Present || !strings.Contains(s.Passed[0].Note, "not run") || s.Passed[0].Place != w.path(".claude", "settings.json") {
		t.Errorf("%+v, passed %+v", s.Found, s.Passed)
	}
	header(t, s)
	opts := w.options()
	opts.Renewal = sources.Never
	for range sources.Discover(opts) {
	}
	if _, err := os.Stat(trace); err == nil {
		t.Error("it ran without permission")
	}
	opts = w.options()
	opts.AllowHelper = true
	if h := header(t, w.open("auto", opts)); !strings.Contains(h, "secret-helper") {
		t.Error(h)
	}
	opts = w.options()
	opts.HelperCommand = "echo secret-given"
	if s := w.open("auto", opts); s.Name != "helper" || s.Place != "--helper" || !strings.Contains(header(t, s), "secret-given") {
		t.Errorf("%+v", s.Found)
	}
	w.env["CLAUDE_CODE_API_KEY_HELPER_TTL_MS"] = "soon"
	if _, err := sources.Open("auto", opts); !errors.Is(err, evercred.ErrConfig) {
		t.Error(err)
	}
}

// S7: settings that a repository may have brought are never used, but where
// there are none they stand in nobody's way.
func TestS7SettingsOfARepository(t *testing.T) {
	unix(t)
	w := newWorld(t)
	work := t.TempDir()
	t.Chdir(work)
	w.env["CLAUDE_CONFIG_DIR"] = filepath.Join(work, "claude")
	w.env["CLAUDE_CODE_OAUTH_TOKEN"] = "secret-year"
	opts := w.options()
	opts.AllowHelper = true
	if s := w.open("auto", opts); s.Name != "env:CLAUDE_CODE_OAUTH_TOKEN" {
		t.Errorf("%+v", s.Found)
	}
	command, trace := w.helperCommand()
	w.write(filepath.Join(work, "claude", "settings.json"), fmt.Sprintf(`{"apiKeyHelper":%q}`, command))
	var e *evercred.Error
	if _, err := sources.Open("auto", opts); !errors.As(err, &e) || e.Reason != evercred.ReasonSettings {
		t.Error(err)
	}
	w.write(w.path("managed.json"), `{"apiKeyHelper":"echo secret-admin"}`)
	if h := header(t, w.open("auto", opts)); !strings.Contains(h, "secret-admin") {
		t.Error(h)
	}
	if _, err := os.Stat(trace); err == nil {
		t.Error("a repository's command was run")
	}
}

// A service without a home has no files of a user's; that is no fault of them.
func TestAutoWithoutHome(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"HOME", "USERPROFILE", "APPDATA"} {
		delete(w.env, name)
	}
	var e *evercred.Error
	if _, err := sources.Open("auto", w.options()); !errors.As(err, &e) || e.Reason != evercred.ReasonNoHome {
		t.Error(err)
	}
	w.env["CLAUDE_CODE_OAUTH_TOKEN"] = "secret-year"
	if s := w.open("auto", w.options()); s.Name != "env:CLAUDE_CODE_OAUTH_TOKEN" {
		t.Error(s.Name)
	}
	delete(w.env, "CLAUDE_CODE_OAUTH_TOKEN")
	w.federate()
	if s := w.open("auto", w.options()); s.Name != "federation" {
		t.Error(s.Name)
	}
	delete(w.env, "ANTHROPIC_FEDERATION_RULE_ID")
	delete(w.env, "ANTHROPIC_IDENTITY_TOKEN")
	w.login(time.Hour)
	w.env["CLAUDE_CONFIG_DIR"] = w.path(".claude")
	if s := w.open("auto", w.options()); s.Name != "claude-code" {
		t.Error(s.Name)
	}
}

// cost sums up what was asked of the disk: looks and opens by path.
func cost(calls []faulty.Call) (looks, opens map[string]int) {
	looks, opens = map[string]int{}, map[string]int{}
	for _, c := range calls {
		switch c.Op {
		case "Stat", "Lstat", "ReadDir", "Readlink":
			looks[c.Path]++
		case "OpenFile", "OpenDir":
			opens[c.Path]++
		}
	}
	return looks, opens
}

// Finding the source costs one stat for each place and one read for each file
// that describes one, nothing twice; no secret is read.
func TestAutoCost(t *testing.T) {
	settings, config, active := ".claude/settings.json", "configs/default.json", "active_config"
	for name, tt := range map[string]struct {
		lay   func(*world)
		looks []string // beside those of every case
		opens []string
		found string
	}{
		"nothing there": {func(*world) {}, []string{"configs/default.json", ".claude/.credentials.json"}, nil, "claude-code"},
		"a login":       {func(w *world) { w.login(time.Hour) }, []string{"configs/default.json", ".claude/.credentials.json"}, nil, "claude-code"},
		"a profile": {func(w *world) { w.profile("default", time.Hour); w.login(time.Hour) },
			[]string{config}, []string{config}, "profile:default"},
		"everything": {func(w *world) {
			w.write(w.path("managed.json"), `{}`)
			w.write(w.path(".claude", "settings.json"), `{"apiKeyHelper":"x"}`)
			w.write(w.profiles("active_config"), "default")
			w.profile("default", time.Hour)
			w.login(time.Hour)
		}, []string{".claude", config}, []string{"managed.json", settings, active, config}, "profile:default"},
	} {
		w := newWorld(t)
		tt.lay(w)
		s := w.open("auto", w.options())
		if s.Name != tt.found {
			t.Errorf("%s: %s", name, s.Name)
		}
		looks, opens := cost(w.disk.Calls())
		for path, n := range looks {
			if n > 1 {
				t.Errorf("%s: %s was looked at %d times", name, path, n)
			}
		}
		for path, n := range opens {
			if n > 1 || looks[path] != 1 {
				t.Errorf("%s: %s was opened %d times, after %d looks", name, path, n, looks[path])
			}
		}
		expect := func(what string, got map[string]int, want []string) {
			var names []string
			for path := range got {
				rel, _ := filepath.Rel(w.home, path)
				rel = filepath.ToSlash(rel)
				names = append(names, strings.TrimPrefix(strings.TrimPrefix(rel, ".config/anthropic/"), ".config/Anthropic/"))
			}
			slices.Sort(names)
			slices.Sort(want)
			if !slices.Equal(names, want) {
				t.Errorf("%s: %s %q, want %q", name, what, names, want)
			}
		}
		expect("looks", looks, append([]string{"managed.json", settings, active}, tt.looks...))
		expect("opens", opens, tt.opens)
	}
}

func TestDiscover(t *testing.T) {
	w := full(t)
	w.env["CLAUDE_SECURESTORAGE_CONFIG_DIR"], w.env["CLAUDE_CONFIG_DIR"] = w.path(".claude"), w.path(".claude")
	w.env["ANTHROPIC_PROFILE"] = "default"
	var got, names []string
	for f := range sources.Discover(w.options()) {
		names = append(names, f.Name)
		got = append(got, fmt.Sprint(f.Name, " ", f.Place, " ", f.Why, " ", f.Present, " ", f.Err, " ", f.Note != ""))
		if strings.Contains(fmt.Sprintf("%+v %#v", f, f), "secret") {
			t.Errorf("a secret: %+v", f)
		}
	}
	want := []string{
		"env:ANTHROPIC_AUTH_TOKEN ANTHROPIC_AUTH_TOKEN  true <nil> false",
		"env:ANTHROPIC_API_KEY ANTHROPIC_API_KEY  true <nil> false",
		"helper " + w.path(".claude", "settings.json") + "  true <nil> true",
		"env:CLAUDE_CODE_OAUTH_TOKEN CLAUDE_CODE_OAUTH_TOKEN  true <nil> false",
		"profile:default " + w.profiles("configs", "default.json") + " ANTHROPIC_PROFILE true <nil> false",
		"federation ANTHROPIC_FEDERATION_RULE_ID  true <nil> false",
		"claude-code " + w.path(".claude", ".credentials.json") + " CLAUDE_SECURESTORAGE_CONFIG_DIR true <nil> false",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	_, opens := cost(w.disk.Calls())
	for path := range opens {
		if strings.Contains(path, "credentials") || strings.Contains(path, "identity") {
			t.Errorf("%s was opened", path)
		}
	}
	if len(opens) != 2 { // settings and the profile's config
		t.Errorf("opened: %v", opens)
	}
	if _, err := os.Stat(w.path("helper-ran")); err == nil {
		t.Error("the helper was run")
	}
	for i, name := range names { // each name is one that Open takes, and finds the same
		opts := w.options()
		opts.HelperCommand = "echo x"
		if s, err := sources.Open(name, opts); err != nil || s.Name != name {
			t.Errorf("%d: %s: %v", i, name, err)
		}
	}
}

func TestDiscoverCanBeLeft(t *testing.T) {
	w := full(t)
	for f := range sources.Discover(w.options()) {
		if f.Name == "env:ANTHROPIC_API_KEY" {
			break
		}
	}
	if calls := w.disk.Calls(); len(calls) != 0 {
		t.Errorf("it looked further: %v", calls)
	}
}

// On a Mac nobody looks into the keychain only to list it.
func TestDiscoverOnAMac(t *testing.T) {
	w := newWorld(t)
	opts := w.options()
	opts.Seams.System, opts.Seams.Security = "darwin", "/nonexistent/security"
	for f := range sources.Discover(opts) {
		if present := f.Name == sources.ClaudeCode; f.Present != present {
			t.Errorf("%+v", f)
		}
	}
}
