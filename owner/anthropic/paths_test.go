package anthropic

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/internal/fsys"
)

// variables is an environment.
type variables map[string]string

func (v variables) lookup(name string) (string, bool) {
	value, ok := v[name]
	return value, ok
}

func TestLocateDirectory(t *testing.T) { // INTEROP §6
	here := t.TempDir()
	t.Chdir(here)
	here, err := filepath.Abs(".") // as the system spells it
	if err != nil {
		t.Fatal(err)
	}
	at := func(names ...string) string { return filepath.Join(append([]string{here}, names...)...) }
	all := variables{VarConfigDir: at("var"), "XDG_CONFIG_HOME": at("xdg"), "HOME": at("home"), "APPDATA": at("app")}
	without := func(names ...string) variables {
		v := variables{}
		for name, value := range all {
			v[name] = value
		}
		for _, name := range names {
			delete(v, name)
		}
		return v
	}
	tests := []struct {
		name, goos, option string
		env                variables
		dir, from          string
		warning            string
	}{
		{"option", "linux", at("opt"), all, at("opt"), "option", ""},
		{"option beats an empty variable", "linux", at("opt"), variables{VarConfigDir: ""}, at("opt"), "option", ""},
		{"variable", "linux", "", all, at("var"), VarConfigDir, ""},
		{"variable, windows", "windows", "", all, at("var"), VarConfigDir, ""},
		{"xdg", "linux", "", without(VarConfigDir), at("xdg", "anthropic"), "XDG_CONFIG_HOME", ""},
		{"xdg, darwin", "darwin", "", without(VarConfigDir), at("xdg", "anthropic"), "XDG_CONFIG_HOME", ""},
		{"an empty xdg is none", "linux", "", variables{"XDG_CONFIG_HOME": "", "HOME": at("home")}, at("home", ".config", "anthropic"), "HOME", ""},
		{"home", "freebsd", "", without(VarConfigDir, "XDG_CONFIG_HOME"), at("home", ".config", "anthropic"), "HOME", ""},
		{"windows", "windows", "", without(VarConfigDir), at("app", "Anthropic"), "APPDATA", ""},
		{"relative", "linux", "", variables{VarConfigDir: "a/../b"}, at("b"), VarConfigDir, "relative"},
		{"literal ~", "linux", "", variables{VarConfigDir: "~/x"}, at("~", "x"), VarConfigDir, "literally"},
		{"relative xdg", "linux", "", variables{"XDG_CONFIG_HOME": "c"}, at("c", "anthropic"), "XDG_CONFIG_HOME", "relative"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			l, err := environment{test.env.lookup, test.goos, fsys.Default()}.locate(test.option, "")
			if err != nil {
				t.Fatal(err)
			}
			if l.Dir != test.dir || l.DirFrom != test.from {
				t.Errorf("%s from %s, want %s from %s", l.Dir, l.DirFrom, test.dir, test.from)
			}
			if l.Profile != "default" || l.ProfileFrom != "" || l.Config != filepath.Join(l.Dir, "configs", "default.json") || l.Credentials != filepath.Join(l.Dir, "credentials", "default.json") {
				t.Errorf("%+v", l)
			}
			if test.warning == "" && l.Warnings != nil || test.warning != "" && (len(l.Warnings) != 1 || !strings.Contains(l.Warnings[0], test.warning)) {
				t.Errorf("warnings %q, want one with %q", l.Warnings, test.warning)
			}
		})
	}
}

func TestLocateWithoutDirectory(t *testing.T) {
	tests := []struct {
		name, goos string
		env        variables
		reason     evercred.Reason
		where      string
	}{
		{"variable defined and empty", "linux", variables{"HOME": "/h", VarConfigDir: ""}, evercred.ReasonConfigDir, VarConfigDir},
		{"no home", "linux", variables{"APPDATA": "/a"}, evercred.ReasonNoHome, "HOME"},
		{"empty home", "linux", variables{"HOME": ""}, evercred.ReasonNoHome, "HOME"},
		{"no APPDATA", "windows", variables{"HOME": "/h", "XDG_CONFIG_HOME": "/x"}, evercred.ReasonNoHome, "APPDATA"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := environment{test.env.lookup, test.goos, fsys.Default()}.locate("", "")
			check(t, err, evercred.ErrConfig, test.reason, test.where)
		})
	}
}

func TestLocateProfile(t *testing.T) {
	dir := t.TempDir()
	active := filepath.Join(dir, "active_config")
	tests := []struct {
		name           string
		active, option string // active "-": no file
		env            variables
		profile, from  string
	}{
		{"nothing", "-", "", variables{}, "default", ""},
		{"active_config", "staging", "", variables{}, "staging", active},
		{"active_config with a line end", "  staging\r\n", "", variables{}, "staging", active},
		{"an empty active_config", "\n", "", variables{}, "default", ""},
		{"the variable beats it", "staging", "", variables{VarProfile: "work"}, "work", VarProfile},
		{"the option beats both", "staging", "own", variables{VarProfile: "work"}, "own", "option"},
		{"the option beats what is no name", "../x", "own", variables{VarProfile: ""}, "own", "option"},
		{"all that a name may hold", "-", "A.z_0-9", variables{}, "A.z_0-9", "option"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			os.Remove(active)
			if test.active != "-" {
				write(t, active, []byte(test.active))
			}
			test.env[VarConfigDir] = dir
			l, err := Locate(test.env.lookup, "", test.option)
			if err != nil || l.Profile != test.profile || l.ProfileFrom != test.from {
				t.Errorf("%+v %v", l, err)
			}
		})
	}
}

func TestLocateRefusesNames(t *testing.T) {
	dir := t.TempDir()
	active := filepath.Join(dir, "active_config")
	names := []string{"..", ".", ".hidden", "../x", "a/b", `a\b`, "/etc/passwd", "a..b", "x\x00y", "a b", "a\nb", "\x1b[31m", "C:x", "é", "\u202e", strings.Repeat("x", 201)}
	for _, name := range names {
		_, err := Locate(variables{VarConfigDir: dir}.lookup, "", name)
		check(t, err, evercred.ErrConfig, evercred.ReasonProfile, "the profile that was asked for")
		_, err = Locate(variables{VarConfigDir: dir, VarProfile: name}.lookup, "", "")
		check(t, err, evercred.ErrConfig, evercred.ReasonProfile, VarProfile)
		write(t, active, []byte(name))
		_, err = Locate(variables{VarConfigDir: dir}.lookup, "", "")
		check(t, err, evercred.ErrConfig, evercred.ReasonProfile, active)
		if strings.ContainsAny(err.Error(), "\x00\n\x1b\u202e") || !strings.Contains(err.Error(), "configs") {
			t.Errorf("the message: %q", err)
		}
	}
	_, err := Locate(variables{VarConfigDir: dir, VarProfile: ""}.lookup, "", "")
	check(t, err, evercred.ErrConfig, evercred.ReasonProfile, VarProfile)
}

// F6: what stands in the place of active_config neither blocks nor is guessed at.
func TestLocateBadActiveConfig(t *testing.T) {
	dir := t.TempDir()
	active := filepath.Join(dir, "active_config")
	try := func() {
		t.Helper()
		_, err := Locate(variables{VarConfigDir: dir}.lookup, "", "")
		check(t, err, evercred.ErrUnsafe, evercred.ReasonUnreadable, active)
		os.Remove(active)
	}
	if err := os.Mkdir(active, 0o700); err != nil {
		t.Fatal(err)
	}
	try()
	write(t, active, make([]byte, maxConfig+1))
	try()
	if fifo(t, active) {
		try()
	}
	if err := os.Symlink("active_config", active); err == nil && runtime.GOOS != "windows" {
		try()
	}
}

// The disk is looked at only where nothing else names the profile.
func TestLocateLooksNoFurtherThanItMust(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "active_config"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, env := range []variables{{VarConfigDir: dir, VarProfile: "work"}} {
		if _, err := Locate(env.lookup, "", ""); err != nil {
			t.Error(err)
		}
	}
	if _, err := Locate(variables{VarConfigDir: dir}.lookup, "", "work"); err != nil {
		t.Error(err)
	}
}

// check holds an error to its kind, reason and place; where "": any.
func check(t *testing.T, err, kind error, reason evercred.Reason, where string) {
	t.Helper()
	var e *evercred.Error
	if !errors.Is(err, kind) || !errors.As(err, &e) || e.Reason != reason || where != "" && e.Where != where {
		t.Errorf("got %#v, want %s at %s", err, reason, where)
	}
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}
