package claudecode

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/evercred/evercred"
)

// settingsFile writes one, and gives its path.
func settingsFile(t *testing.T, dir, text string) string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "settings.json")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestHelperSetting(t *testing.T) {
	const key = `{"env":{"A":"b"},"apiKeyHelper":"get-key --user"}`
	const admin = `{"apiKeyHelper":"get-key --admin"}`
	const none = `{"model":"x"}`
	tests := []struct {
		name          string
		managed, user string // empty: not there
		command       string // empty: ErrNotFound
		isManaged     bool
	}{
		{"user", "", key, "get-key --user", false},
		{"managed", admin, "", "get-key --admin", true},
		{"managed wins", admin, key, "get-key --admin", true},
		{"managed wins over what is broken", admin, "{", "get-key --admin", true},
		{"managed says nothing of it", none, key, "get-key --user", false},
		{"nowhere", "", "", "", false},
		{"not named", none, `{"apiKeyHelper":null}`, "", false},
		{"empty", `{"apiKeyHelper":""}`, "{}", "", false},
		{"another case", "", `{"APIKEYHELPER":"x"}`, "", false},
		{"byte order mark", "", "\ufeff" + key, "get-key --user", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			s := Settings{Managed: []string{filepath.Join(dir, "no", "such"), filepath.Join(dir, "managed", "settings.json")}, User: filepath.Join(dir, "user", "settings.json")}
			if tt.managed != "" {
				settingsFile(t, filepath.Join(dir, "managed"), tt.managed)
			}
			if tt.user != "" {
				settingsFile(t, filepath.Join(dir, "user"), tt.user)
			}
			got, err := s.Helper()
			if tt.command == "" {
				if !errors.Is(err, evercred.ErrNotFound) {
					t.Errorf("%+v, %v", got, err)
				}
				return
			}
			file := s.User
			if tt.isManaged {
				file = s.Managed[1]
			}
			if want := (HelperSetting{tt.command, file, tt.isManaged}); got != want || err != nil {
				t.Errorf("%+v, %v, want %+v", got, err, want)
			}
		})
	}
}

// Of the administrator's places the first that has a file counts, whatever it says.
func TestOldManagedSettings(t *testing.T) {
	s := Settings{Managed: []string{settingsFile(t, t.TempDir(), `{}`), settingsFile(t, t.TempDir(), `{"apiKeyHelper":"old"}`)}}
	if got, err := s.Helper(); !errors.Is(err, evercred.ErrNotFound) {
		t.Errorf("%+v, %v", got, err)
	}
}

// refuses expects an error that names the place and gives no command.
func refuses(t *testing.T, s Settings, where, says string) {
	t.Helper()
	got, err := s.Helper()
	var e *evercred.Error
	if got != (HelperSetting{}) || !errors.As(err, &e) || e.Kind != evercred.ErrUnsafe || e.Reason != evercred.ReasonSettings || errors.Is(err, evercred.ErrNotFound) {
		t.Errorf("%+v, %v", got, err)
		return
	}
	if e.Where != where || !strings.Contains(e.What, says) {
		t.Errorf("%v, want %q at %s", err, says, where)
	}
}

func TestBrokenSettings(t *testing.T) {
	for text, says := range map[string]string{
		"":                                 "not a JSON object",
		"{":                                "not a JSON object",
		`{"apiKeyHelper":"x"} trailing`:    "not a JSON object",
		"null":                             "not a JSON object",
		"[]":                               "not a JSON object",
		`"apiKeyHelper"`:                   "not a JSON object",
		"{\x00}":                           "not a JSON object",
		`{"apiKeyHelper":["rm","-rf"]}`:    "not a text",
		`{"apiKeyHelper":{"command":"x"}}`: "not a text",
		`{"apiKeyHelper":1}`:               "not a text",
		`{"apiKeyHelper":"` + strings.Repeat("x", maxSettings) + `"}`: "cannot be read",
	} {
		managed := settingsFile(t, t.TempDir(), text)
		user := settingsFile(t, t.TempDir(), `{"apiKeyHelper":"user"}`)
		refuses(t, Settings{Managed: []string{managed}, User: user}, managed, says)
		refuses(t, Settings{User: managed}, managed, says)
	}
	dir := t.TempDir()
	refuses(t, Settings{User: dir}, dir, "cannot be")
}

// S7: a command that somebody else could have written is not handed out.
func TestS7SettingsThatOthersMayWrite(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("modes say nothing there")
	}
	const named = `{"apiKeyHelper":"x"}`
	chmod := func(path string, mode os.FileMode) {
		t.Helper()
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	for mode, says := range map[os.FileMode]string{0o602: "every user", 0o666: "every user", 0o620: "group", 0o664: "group"} {
		path := settingsFile(t, t.TempDir(), named)
		chmod(path, mode)
		refuses(t, Settings{User: path}, path, says)
		refuses(t, Settings{Managed: []string{path}}, path, says)

		dir := t.TempDir()
		path = settingsFile(t, dir, named)
		chmod(dir, mode|0o711)
		refuses(t, Settings{User: path}, dir, says)
		chmod(dir, mode|0o711|os.ModeSticky)
		if _, err := (Settings{User: path}).Helper(); err != nil {
			t.Errorf("a sticky directory: %v", err)
		}
	}
	open := settingsFile(t, t.TempDir(), `{"model":"x"}`)
	chmod(open, 0o666)
	if _, err := (Settings{User: open}).Helper(); !errors.Is(err, evercred.ErrNotFound) {
		t.Errorf("a file that names no command: %v", err)
	}
	readable := settingsFile(t, t.TempDir(), named)
	chmod(readable, 0o644)
	if _, err := (Settings{User: readable}).Helper(); err != nil {
		t.Errorf("0644: %v", err)
	}

	link := filepath.Join(t.TempDir(), "settings.json")
	if err := os.Symlink(readable, link); err != nil {
		t.Fatal(err)
	}
	if got, err := (Settings{User: link}).Helper(); err != nil || got.File != link {
		t.Errorf("a link, as of a dotfile repository: %+v, %v", got, err)
	}
	chmod(filepath.Dir(link), 0o777)
	refuses(t, Settings{User: link}, filepath.Dir(link), "every user")

	if os.Geteuid() == 0 {
		foreign := settingsFile(t, t.TempDir(), named)
		if err := os.Chown(foreign, 54321, -1); err != nil {
			t.Fatal(err)
		}
		refuses(t, Settings{User: foreign}, foreign, "another user")
	}
}

func TestLocateSettings(t *testing.T) {
	home, work := t.TempDir(), t.TempDir()
	t.Chdir(work)
	work, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(filepath.Join(work, ".claude"), link); err != nil {
		t.Skip(err)
	}
	elsewhere := t.TempDir()
	tests := []struct {
		name string
		env  variables
		flag string
		user string // the directory; empty: refused
	}{
		{"default", variables{"HOME": home}, "", filepath.Join(home, ".claude")},
		{"the storage directory does not count", variables{"HOME": home, VarStorageDir: elsewhere}, "", filepath.Join(home, ".claude")},
		{"variable", variables{"HOME": home, VarConfigDir: elsewhere}, "", elsewhere},
		{"flag", variables{"HOME": home, VarConfigDir: home}, elsewhere, elsewhere},
		{"the home is the working directory", variables{"HOME": work}, "", filepath.Join(work, ".claude")},
		{"and it is named", variables{"HOME": work, VarConfigDir: filepath.Join(work, ".claude")}, "", filepath.Join(work, ".claude")},
		{"S7 a project's", variables{"HOME": home, VarConfigDir: filepath.Join(work, ".claude")}, "", ""},
		{"S7 deeper", variables{"HOME": home, VarConfigDir: filepath.Join(work, "a", "..", "b", ".claude")}, "", ""},
		{"S7 by a link", variables{"HOME": home, VarConfigDir: link}, "", ""},
		{"S7 relative", variables{"HOME": home, VarConfigDir: ".claude"}, "", ""},
		{"S7 the working directory", variables{"HOME": home, VarConfigDir: work}, "", ""},
		{"S7 flag", variables{"HOME": home}, filepath.Join(work, ".claude"), ""},
		{"no home, named", variables{VarConfigDir: elsewhere}, "", elsewhere},
		{"S7 no home", variables{VarConfigDir: filepath.Join(work, ".claude")}, "", ""},
	}
	if err := os.Mkdir(filepath.Join(work, ".claude"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := environment{tt.env.lookup, "linux"}.settings(tt.flag)
			if tt.user == "" {
				var e *evercred.Error
				if !errors.As(err, &e) || e.Kind != evercred.ErrUnsafe || e.Reason != evercred.ReasonSettings {
					t.Errorf("%+v, %v", got, err)
				}
				if got.User == "" || got.Managed == nil {
					t.Errorf("the files are not named: %+v", got)
				}
				return
			}
			if err != nil || got.User != filepath.Join(tt.user, "settings.json") {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
	if _, err := LocateSettings(variables{"HOME": home, "USERPROFILE": home, VarConfigDir: ""}.lookup, ""); !errors.Is(err, evercred.ErrConfig) {
		t.Errorf("an empty variable: %v", err)
	}
	if s, err := LocateSettings(variables{}.lookup, ""); err != nil || s.User != "" || s.Managed == nil {
		t.Errorf("no home: %+v, %v", s, err)
	}
	for goos, want := range map[string][]string{
		"linux":   {"/etc/claude-code/managed-settings.json"},
		"freebsd": {"/etc/claude-code/managed-settings.json"},
		"darwin":  {"/Library/Application Support/ClaudeCode/managed-settings.json"},
		"windows": {`C:\Program Files\ClaudeCode\managed-settings.json`, `C:\ProgramData\ClaudeCode\managed-settings.json`},
	} {
		if got := (environment{goos: goos}).managed(); !slices.Equal(got, want) {
			t.Errorf("%s: %q", goos, got)
		}
	}
}
