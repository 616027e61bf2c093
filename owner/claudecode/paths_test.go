package claudecode

import (
	"errors"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/evercred/evercred"
)

// variables is an environment.
type variables map[string]string

func (v variables) lookup(name string) (string, bool) {
	value, ok := v[name]
	return value, ok
}

func TestLocate(t *testing.T) { // INTEROP §1
	here := t.TempDir()
	t.Chdir(here)
	here, err := filepath.Abs(".") // as the system spells it
	if err != nil {
		t.Fatal(err)
	}
	home := filepath.Join(here, "home")
	abs := filepath.Join(here, "abs")
	sep := string(filepath.Separator)
	tests := []struct {
		name          string
		env           variables
		flag          string
		dir           string
		variable, raw string
		warning       string // part of the only one; empty: none
	}{
		{"default", variables{}, "", filepath.Join(home, ".claude"), "", "", ""},
		{"config dir", variables{VarConfigDir: abs}, "", abs, VarConfigDir, abs, ""},
		{"storage dir", variables{VarStorageDir: abs}, "", abs, VarStorageDir, abs, ""},
		{"storage dir beats config dir", variables{VarStorageDir: abs, VarConfigDir: home}, "", abs, VarStorageDir, abs, VarConfigDir},
		{"both the same", variables{VarStorageDir: abs, VarConfigDir: abs}, "", abs, VarStorageDir, abs, ""},
		{"storage dir defined and empty", variables{VarStorageDir: ""}, "", filepath.Join(home, ".claude"), VarStorageDir, "", ""},
		{"the same, with a config dir", variables{VarStorageDir: "", VarConfigDir: abs}, "", filepath.Join(home, ".claude"), VarStorageDir, "", VarConfigDir},
		{"an empty config dir does not matter then", variables{VarStorageDir: abs, VarConfigDir: ""}, "", abs, VarStorageDir, abs, VarConfigDir},
		{"flag", variables{}, abs, abs, VarConfigDir, abs, ""},
		{"flag beats config dir", variables{VarConfigDir: home}, abs, abs, VarConfigDir, abs, ""},
		{"flag beats an empty config dir", variables{VarConfigDir: ""}, abs, abs, VarConfigDir, abs, ""},
		{"flag beats storage dir", variables{VarStorageDir: home}, abs, abs, VarConfigDir, abs, VarStorageDir},
		{"literal ~", variables{VarConfigDir: "~/x"}, "", filepath.Join(here, "~", "x"), VarConfigDir, "~/x", "literally"},
		{"literal ~ alone", variables{VarStorageDir: "~"}, "", filepath.Join(here, "~"), VarStorageDir, "~", "literally"},
		{"~ in a name is a name", variables{VarConfigDir: abs + sep + "~x"}, "", filepath.Join(abs, "~x"), VarConfigDir, abs + sep + "~x", ""},
		{"relative", variables{VarConfigDir: "a/../b"}, "", filepath.Join(here, "b"), VarConfigDir, "a/../b", "relative"},
		{"trailing slash", variables{VarConfigDir: abs + sep}, "", abs, VarConfigDir, abs + sep, ""},
		{"dots", variables{VarConfigDir: abs + sep + "." + sep + "x" + sep + ".."}, "", abs, VarConfigDir, abs + sep + "." + sep + "x" + sep + "..", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.env["HOME"], test.env["USERPROFILE"] = home, home
			l, err := Locate(test.env.lookup, test.flag)
			if err != nil {
				t.Fatal(err)
			}
			if l.Dir != test.dir || l.Document != filepath.Join(test.dir, ".credentials.json") {
				t.Errorf("dir %s, document %s, want %s", l.Dir, l.Document, test.dir)
			}
			if l.Variable != test.variable || l.Raw != test.raw {
				t.Errorf("variable %q, raw %q", l.Variable, l.Raw)
			}
			if test.warning == "" && l.Warnings != nil || test.warning != "" && (len(l.Warnings) != 1 || !strings.Contains(l.Warnings[0], test.warning)) {
				t.Errorf("warnings %q, want one with %q", l.Warnings, test.warning)
			}
		})
	}
}

func TestLocateRefuses(t *testing.T) {
	tests := []struct {
		name   string
		env    variables
		reason evercred.Reason
		where  string
	}{
		{"config dir defined and empty", variables{"HOME": "/h", VarConfigDir: ""}, evercred.ReasonConfigDir, VarConfigDir},
		{"no home", variables{}, evercred.ReasonNoHome, "HOME"},
		{"empty home", variables{"HOME": ""}, evercred.ReasonNoHome, "HOME"},
		{"no home for an empty storage dir", variables{VarStorageDir: ""}, evercred.ReasonNoHome, "HOME"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := environment{test.env.lookup, "linux"}.locate("")
			var typed *evercred.Error
			if !errors.Is(err, evercred.ErrConfig) || !errors.As(err, &typed) || typed.Reason != test.reason || typed.Where != test.where {
				t.Errorf("got %#v, want %s, %s", err, test.reason, test.where)
			}
		})
	}
}

func TestLocateHome(t *testing.T) {
	env := variables{"HOME": filepath.Join(t.TempDir(), "unix"), "USERPROFILE": filepath.Join(t.TempDir(), "windows")}
	for goos, name := range map[string]string{"linux": "HOME", "darwin": "HOME", "freebsd": "HOME", "windows": "USERPROFILE"} {
		l, err := environment{env.lookup, goos}.locate("")
		if want := filepath.Join(env[name], ".claude"); err != nil || l.Dir != want {
			t.Errorf("%s: got %s, %v, want %s", goos, l.Dir, err, want)
		}
	}
	// Without a home an absolute directory still does.
	abs := t.TempDir()
	if l, err := (environment{variables{VarConfigDir: abs}.lookup, runtime.GOOS}).locate(""); err != nil || l.Dir != abs {
		t.Errorf("got %s, %v", l.Dir, err)
	}
}

func TestShadows(t *testing.T) { // INTEROP §6
	tests := []struct {
		env  variables
		want []string
	}{
		{variables{}, nil},
		{variables{"ANTHROPIC_API_KEY": "", "CLAUDE_CODE_OAUTH_TOKEN": "", "CLAUDE_CODE_USE_VERTEX": ""}, nil},
		{variables{"CLAUDE_CODE_USE_BEDROCK": "0", "CLAUDE_CODE_USE_VERTEX": "False", "CLAUDE_CODE_USE_FOUNDRY": "off"}, nil},
		{variables{"ANTHROPIC_API_KEY": "0"}, []string{"ANTHROPIC_API_KEY"}}, // a value, not a flag
		{
			variables{"CLAUDE_CODE_OAUTH_TOKEN": "x", "ANTHROPIC_API_KEY": "x", "ANTHROPIC_AUTH_TOKEN": "x", "CLAUDE_CODE_USE_VERTEX": "true", "CLAUDE_CODE_USE_BEDROCK": "1", "CLAUDE_CODE_USE_FOUNDRY": "1"},
			[]string{"CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX", "CLAUDE_CODE_USE_FOUNDRY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_API_KEY", "CLAUDE_CODE_OAUTH_TOKEN"},
		},
	}
	for _, test := range tests {
		if got := Shadows(test.env.lookup); !slices.Equal(got, test.want) {
			t.Errorf("%v: got %v, want %v", test.env, got, test.want)
		}
	}
}
