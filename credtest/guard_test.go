package credtest

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/evercred/evercred/internal/fsys"
)

func TestMain(m *testing.M) { Main(m) }

// The children of these tests are told by these variables what to do, and
// which file is "real".
const (
	childVar = "EVERCRED_TEST_CHILD"
	realVar  = "EVERCRED_TEST_REAL"
)

// fakeHome is a home with a login in it, as a developer's.
func fakeHome(t *testing.T) (home, login string) {
	home = t.TempDir()
	login = filepath.Join(home, ".claude", ".credentials.json")
	if err := os.Mkdir(filepath.Dir(login), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(login, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	return home, login
}

// child runs TestGuardChild in a process whose home is home, as a developer
// would: no guard has been there before.
func child(t *testing.T, home, login, does string, env ...string) (output string, err error) {
	t.Helper()
	return combined(childOf(t, home, login, does, env...))
}

func childOf(t *testing.T, home, login, does string, env ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestGuardChild$", "-test.v")
	cmd.Env = append(slices.DeleteFunc(Env(t), func(v string) bool {
		return strings.HasPrefix(v, forbidVar+"=") || strings.HasPrefix(v, reportVar+"=")
	}), "HOME="+home, "USERPROFILE="+home, childVar+"="+does, realVar+"="+login,
		"GORACE=atexit_sleep_ms=0") // or the race detector would sleep for a second at the end of each child
	cmd.Env = append(cmd.Env, env...)
	return cmd
}

func combined(cmd *exec.Cmd) (string, error) {
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestGuardChild is what the children do. Each of its subtests passes: only
// the guard can make the process fail.
func TestGuardChild(t *testing.T) {
	login := os.Getenv(realVar)
	switch os.Getenv(childVar) {
	case "":
		t.Skip("for the children of other tests")
	case "print":
		for _, v := range os.Environ() {
			t.Log("env " + v)
		}
	case "open":
		tryOpen(t, login)
	case "open by a link":
		dir := t.TempDir()
		if err := os.Symlink(filepath.Dir(login), filepath.Join(dir, "a")); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("a", filepath.Join(dir, "b")); err != nil {
			t.Fatal(err)
		}
		tryOpen(t, filepath.Join(dir, "b", filepath.Base(login)))
	case "open in a child":
		cmd := exec.Command(os.Args[0], "-test.run=^TestGuardChild$")
		cmd.Env = append(Env(t), childVar+"=open", realVar+"="+login)
		cmd.Run() // its failure is not looked at
	case "open past GuardFS":
		f, err := os.Open(login)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
	case "create past GuardFS":
		if err := os.WriteFile(login, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	case "have another program open":
		if out, err := exec.Command("cat", login).CombinedOutput(); err != nil || string(out) != "{}" {
			t.Errorf("%v\n%s", err, out)
		}
	case "open by HOME":
		home, err := os.UserHomeDir()
		if err != nil {
			t.Fatal(err)
		}
		f := GuardFS(fsys.OS{})
		if _, err := f.Lstat(filepath.Join(home, ".claude", ".credentials.json")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("in the temporary home: %v", err)
		}
	}
}

func tryOpen(t *testing.T, name string) {
	if _, err := GuardFS(fsys.OS{}).OpenFile(name, os.O_RDONLY, 0); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("a real path was opened: %v", err)
	}
}

// A guard that cannot fail guards nothing.
func TestGuardFailsWhenARealPathIsAskedFor(t *testing.T) {
	for _, does := range []string{"open", "open by a link", "open in a child"} {
		t.Run(does, func(t *testing.T) {
			home, login := fakeHome(t)
			out, err := child(t, home, login, does)
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(out, "a test asked for a real path: open") {
				t.Errorf("%v\n%s", err, out)
			}
			if !strings.Contains(out, "--- PASS: TestGuardChild") {
				t.Errorf("the test itself failed:\n%s", out)
			}
		})
	}
}

func TestGuardPassesElsewhere(t *testing.T) {
	home, login := fakeHome(t)
	for _, does := range []string{"print", "open by HOME"} {
		if out, err := child(t, home, login, does); err != nil {
			t.Errorf("%s: %v\n%s", does, err, out)
		}
	}
}

// Wherever the owners' variables point is real too.
func TestGuardKnowsTheOwnersVariables(t *testing.T) {
	for _, v := range []struct{ name, below string }{
		{"CLAUDE_CONFIG_DIR", ".credentials.json"},
		{"CLAUDE_SECURESTORAGE_CONFIG_DIR", ".credentials.json"},
		{"ANTHROPIC_CONFIG_DIR", "credentials/default.json"},
		{"XDG_CONFIG_HOME", "anthropic/credentials/default.json"},
		{"HOME", ".config/anthropic/configs/default.json"},
		{"HOME", ".claude.json"},
		{"HOME", ".claude.lock"},
	} {
		dir := t.TempDir()
		out, err := child(t, t.TempDir(), filepath.Join(dir, filepath.FromSlash(v.below)), "open", v.name+"="+dir)
		if err == nil || !strings.Contains(out, "a test asked for a real path") {
			t.Errorf("%s: %v\n%s", v.name, err, out)
		}
	}
}

func TestGuardScrubsTheEnvironment(t *testing.T) {
	home, login := fakeHome(t)
	secret := "sk-ant-ort01-test-in-the-environment"
	out, err := child(t, home, login, "print",
		"CLAUDE_CONFIG_DIR="+secret, "CLAUDE_CODE_OAUTH_TOKEN="+secret, "ANTHROPIC_API_KEY="+secret, "ANTHROPIC_PROFILE="+secret,
		"XDG_CONFIG_HOME="+secret, "XDG_RUNTIME_DIR="+secret, "EVERCRED_TOKEN_URL="+secret,
		"HTTPS_PROXY="+secret, "no_proxy="+secret, "GOPROXY=off", "EVERCRED_TEST_OTHER=stays")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	env := make(map[string]string)
	for line := range strings.Lines(out) {
		if _, v, ok := strings.Cut(line, ": env "); ok {
			name, value, _ := strings.Cut(strings.TrimSpace(v), "=")
			env[name] = value
		}
	}
	for name, value := range env {
		if name != forbidVar && strings.Contains(value, secret) {
			t.Errorf("%s is still there", name)
		}
	}
	if env["HOME"] == "" || env["HOME"] == home || env["HOME"] != env["USERPROFILE"] {
		t.Errorf("HOME is %q", env["HOME"])
	}
	if env["GOPROXY"] != "off" || env["EVERCRED_TEST_OTHER"] != "stays" || env["GOCACHE"] == "" || env["GOPATH"] == "" {
		t.Error("a variable is gone that leads nowhere")
	}
	if _, err := os.Stat(filepath.Dir(env["HOME"])); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the temporary home was left behind: %v", err)
	}
	for _, p := range []string{filepath.Join(home, ".claude"), filepath.Join(home, ".config", "anthropic")} {
		if !slices.Contains(filepath.SplitList(env[forbidVar]), p) {
			t.Errorf("%s is not forbidden", p)
		}
	}
}

// In this very process the guard stands as well.
func TestGuardStands(t *testing.T) {
	if !guarded() {
		t.Error("this process is not guarded")
	}
	t.Setenv("HOME", "")
	if guarded() {
		t.Error("a process without a home is guarded")
	}
	home, _ := fakeHome(t)
	t.Setenv("HOME", home)
	t.Setenv("USERPROFILE", home)
	t.Setenv(forbidVar, filepath.Join(home, ".claude"))
	if guarded() {
		t.Error("a process whose home is real is guarded")
	}
}

func TestEnv(t *testing.T) {
	t.Setenv("ANTHROPIC_API_KEY", "sk-ant-test-not-for-children")
	t.Setenv("GOCOVERDIR", "cover")
	env := Env(t)
	if slices.ContainsFunc(env, func(v string) bool { return strings.HasPrefix(v, "ANTHROPIC_") }) {
		t.Error("a child gets a key")
	}
	for _, want := range []string{"GOCOVERDIR=cover", "PATH=" + os.Getenv("PATH"), forbidVar + "=" + os.Getenv(forbidVar)} {
		if !slices.Contains(env, want) {
			t.Errorf("%s is missing", want)
		}
	}
	for _, v := range env {
		if home, ok := strings.CutPrefix(v, "HOME="); ok && home != os.Getenv("HOME") {
			if d, err := os.ReadDir(home); err != nil || len(d) != 0 {
				t.Errorf("the child's home: %v, %v", d, err)
			}
			return
		}
	}
	t.Error("no home of its own")
}

// Every operation of the file system must be refused, now and when one is added.
func TestGuardFSRefusesEveryOperation(t *testing.T) {
	_, login := fakeHome(t)
	var refused []string
	g := guardFS{fsys.OS{}, []string{filepath.Dir(login)}, func(op, name string) { refused = append(refused, op) }}
	v := reflect.ValueOf(fsys.FS(g))
	ways := reflect.TypeFor[fsys.FS]()
	for i := range ways.NumMethod() {
		way := ways.Method(i)
		for arg := range way.Type.NumIn() {
			if way.Type.In(arg).Kind() != reflect.String {
				continue
			}
			refused = nil
			out := v.MethodByName(way.Name).Call(arguments(way.Type, arg, login, filepath.Join(t.TempDir(), "fine")))
			if err, _ := out[len(out)-1].Interface().(error); !errors.Is(err, fs.ErrPermission) || len(refused) != 1 {
				t.Errorf("%s, argument %d: %v, %d refusals", way.Name, arg, err, len(refused))
			}
		}
	}
	if data, err := os.ReadFile(login); err != nil || !bytes.Equal(data, []byte("{}")) {
		t.Errorf("the login was touched: %q, %v", data, err)
	}
}

// arguments are zero, except for paths: the at-th is bad, the others fine.
func arguments(way reflect.Type, at int, bad, fine string) (args []reflect.Value) {
	for i := range way.NumIn() {
		arg := reflect.Zero(way.In(i))
		switch {
		case i == at:
			arg = reflect.ValueOf(bad)
		case arg.Kind() == reflect.String:
			arg = reflect.ValueOf(fine)
		}
		args = append(args, arg)
	}
	return args
}

// And everything else goes through.
func TestGuardFSPassesTheRest(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	f := GuardFS(fsys.OS{}, filepath.Join(dir, "forbidden"))
	file, err := f.OpenFile(at("file"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	file.Close()
	d, err := f.OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	d.Close()
	i, err := f.Stat(at("file"))
	l, lerr := f.Lstat(at("file"))
	if err != nil || lerr != nil || !fsys.SameFile(i, l) {
		t.Errorf("stat: %v, %v", err, lerr)
	}
	if err := os.Symlink("file", at("link")); err == nil {
		if to, err := f.Readlink(at("link")); err != nil || to != "file" {
			t.Errorf("readlink: %q, %v", to, err)
		}
		if err := f.Remove(at("link")); err != nil {
			t.Error(err)
		}
	}
	_, kindErr := f.Kind(dir)
	for what, err := range map[string]error{
		"kind": kindErr, "rename": f.Rename(at("file"), at("moved")), "mkdir": f.Mkdir(at("dir"), 0o700),
		"chown": f.Chown(at("dir"), -1, -1),
	} {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := f.RenameNoReplace(at("dir"), at("moved")); !errors.Is(err, fs.ErrExist) && !errors.Is(err, fsys.ErrUnsupported) {
		t.Errorf("rename without replacing: %v", err)
	}
	if names, err := f.ReadDir(dir); err != nil || !slices.Equal(names, []string{"dir", "moved"}) {
		t.Errorf("%v, %v", names, err)
	}
	if err := errors.Join(f.Rmdir(at("dir")), f.Remove(at("moved"))); err != nil {
		t.Error(err)
	}
}

func TestForbids(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "home", ".claude")
	if err := os.MkdirAll(bad, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{"alias": "home", "deep": "alias/.claude/x", "dangling": bad + "/absent", "loop": "loop"} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Skip("no links here:", err)
		}
	}
	byAlias := named(filepath.Join(dir, "alias", ".claude"))
	for name, want := range map[string]bool{
		"home/.claude": true, "home/.claude/x": true, "home/.CLAUDE/x": true, "home/x/../.claude": true,
		"home": false, "home/.claude2": false, "home/.claude.json": false, "other": false, "loop": false,
		"alias/.claude/x": true, "alias/x": false, "deep": true, "deep/er": true, "dangling": true,
	} {
		name = filepath.Join(dir, filepath.FromSlash(name))
		if forbids([]string{bad}, name) != want || forbids(byAlias, name) != want {
			t.Errorf("%s: want %v", name, want)
		}
	}
}

func TestGuardFSNeedsMain(t *testing.T) {
	t.Setenv(reportVar, "")
	defer func() {
		if recover() == nil {
			t.Error("GuardFS stands without a guard")
		}
	}()
	GuardFS(fsys.OS{})
}

// A failing test stays failed.
func TestGuardKeepsTheResult(t *testing.T) {
	if code := (Guard{result(3)}).Run(); code != 3 {
		t.Errorf("%d", code)
	}
}

type result int

func (r result) Run() int { return int(r) }
