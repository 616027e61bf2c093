package credtest

import (
	"bytes"
	"flag"
	"fmt"
	"go/build"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/evercred/evercred/internal/fsys"
)

// The guard speaks to child processes through these two variables.
const (
	// forbidVar lists the real paths, separated like PATH.
	forbidVar = "EVERCRED_TEST_FORBID"
	// reportVar names the file in which GuardFS notes what it refused.
	reportVar = "EVERCRED_TEST_REPORT"
)

// TestingM is what the guard needs of a *testing.M.
type TestingM interface{ Run() int }

// Main runs the tests of a package away from the real logins of whoever runs
// them, and does not return:
//
//	func TestMain(m *testing.M) { credtest.Main(m) }
func Main(m TestingM) { os.Exit(Guard{m}.Run()) }

// Guard is Main for those who run the tests in yet another way, such as
// testscript.Main(credtest.Guard{M: m}, commands).
type Guard struct{ M TestingM }

// Run gives the tests a fresh temporary home, takes every variable from the
// environment that could lead to a login, an endpoint or a proxy, and runs
// them. The result is not 0 if a test failed, or if this process or a child
// process asked a [GuardFS] for a real path, even if nobody looked at the error.
//
// An open of a real path is seen in two ways. GuardFS, which becomes the default
// file system of everything in this process, refuses it before it happens. What
// goes past GuardFS, such as os.Open, the Linux kernel tells of at the end, if it
// was in a directory of the owners that stood at the start, and was done by this
// very process: others open these paths all the time. Where the kernel does not
// tell (other systems, Linux before 5.13, some sandboxes), the verbose output
// says so. Either way, code that finds its paths by the environment cannot find
// the real ones.
//
// A process that was started as the program of a [Security] becomes just that.
func (g Guard) Run() int {
	beSecurity()
	if guarded() {
		return g.run()
	}
	dir, err := os.MkdirTemp("", "evercred-test-")
	if err != nil {
		return complain("make a temporary home", err)
	}
	defer os.RemoveAll(dir)
	if err := sandbox(dir); err != nil {
		return complain("set the environment up", err)
	}
	return g.run()
}

// run has every default file system of this process look out for real paths,
// and the kernel for what goes past it.
func (g Guard) run() int {
	fsys.SetDefault(GuardFS(fsys.System()))
	opened := watch(forbidden())
	code := g.M.Run()
	names, err := opened()
	if err != nil && flag.Parsed() && testing.Verbose() {
		fmt.Fprintf(os.Stderr, "credtest: opens past GuardFS may have gone unseen: %v\n", err)
	}
	for _, name := range names {
		note(os.Getenv(reportVar), "open", name)
	}
	return g.judge(code)
}

// judge turns a success into a failure if something forbidden was asked for.
func (g Guard) judge(code int) int {
	refused, err := os.ReadFile(os.Getenv(reportVar))
	if err != nil {
		return complain("read what was refused", err)
	}
	if len(refused) == 0 {
		return code
	}
	for line := range bytes.Lines(refused) {
		fmt.Fprintf(os.Stderr, "credtest: a test asked for a real path: %s", line)
	}
	return max(code, 1)
}

func complain(what string, err error) int {
	fmt.Fprintf(os.Stderr, "credtest: guard: %s: %v\n", what, err)
	return 1
}

// guarded reports whether a parent process set the guard up already: then its
// choice of HOME and variables stands, unless that leads to a real path.
func guarded() bool {
	home, err := os.UserHomeDir()
	return err == nil && os.Getenv(reportVar) != "" && os.Getenv(forbidVar) != "" &&
		!forbids(forbidden(), filepath.Join(home, ".claude"))
}

// sandbox moves this process, and so its children, into dir.
func sandbox(dir string) error {
	env := map[string]string{
		forbidVar: strings.Join(realPaths(os.Getenv), string(os.PathListSeparator)),
		reportVar: filepath.Join(dir, "refused"),
	}
	// The go command keeps its caches in the real home; tests that build need them.
	if cache, err := os.UserCacheDir(); err == nil && os.Getenv("GOCACHE") == "" {
		env["GOCACHE"] = filepath.Join(cache, "go-build")
	}
	if os.Getenv("GOPATH") == "" {
		env["GOPATH"] = build.Default.GOPATH
	}
	home := filepath.Join(dir, "home")
	for _, name := range []string{"HOME", "USERPROFILE"} {
		env[name] = home
	}
	for _, name := range []string{"APPDATA", "LOCALAPPDATA"} {
		env[name] = filepath.Join(home, "AppData", name)
	}
	if err := os.Mkdir(home, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(env[reportVar], nil, 0o600); err != nil {
		return err
	}
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); leads(name) {
			if err := os.Unsetenv(name); err != nil {
				return err
			}
		}
	}
	for name, value := range env {
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	return nil
}

// leads reports whether a variable could lead to a login, an endpoint or a
// proxy (INTEROP §1, §6). The XDG directories then follow HOME. The
// EVERCRED_TEST_ variables are the tests' own.
func leads(name string) bool {
	name = strings.ToUpper(name)
	if strings.HasPrefix(name, "EVERCRED_TEST_") {
		return false
	}
	return strings.HasSuffix(name, "_PROXY") || slices.ContainsFunc(
		[]string{"CLAUDE_", "ANTHROPIC_", "EVERCRED_", "XDG_"},
		func(prefix string) bool { return strings.HasPrefix(name, prefix) })
}

// realPaths are where the owners keep logins (INTEROP §1, §6): in the home that
// the user database names, in the one that the environment names, and wherever
// the owners' variables point.
func realPaths(getenv func(string) string) []string {
	homes := []string{getenv("HOME"), getenv("USERPROFILE")}
	if u, err := user.Current(); err == nil {
		homes = append(homes, u.HomeDir)
	}
	var paths []string
	add := func(dir string, below ...string) {
		if dir == "" {
			return
		}
		if abs, err := filepath.Abs(filepath.Join(append([]string{dir}, below...)...)); err == nil {
			paths = append(paths, named(abs)...)
		}
	}
	for _, home := range homes {
		add(home, ".claude")
		add(home, ".claude.json")
		add(home, ".claude.lock")
		add(home, ".config", "anthropic")
	}
	add(getenv("CLAUDE_CONFIG_DIR"))
	add(getenv("CLAUDE_SECURESTORAGE_CONFIG_DIR"))
	add(getenv("ANTHROPIC_CONFIG_DIR"))
	add(getenv("XDG_CONFIG_HOME"), "anthropic")
	add(getenv("APPDATA"), "Anthropic")
	slices.Sort(paths)
	return slices.Compact(paths)
}

// kept are the variables that a child process may need and that lead nowhere.
var kept = []string{
	"PATH", "TMPDIR", "TMP", "TEMP", "SystemRoot", "ComSpec", "PATHEXT", "LANG",
	"GOCACHE", "GOPATH", "GOMODCACHE", "GOFLAGS", "GOROOT", "GOTMPDIR", "GOCOVERDIR", "GORACE",
	forbidVar, reportVar,
}

// Env is the environment for a child process of a test: a home of its own
// that goes with the test, PATH, and what the go command and its coverage
// need. Append to it what the child is to see.
func Env(t testing.TB) []string {
	t.Helper()
	home := t.TempDir()
	env := []string{"HOME=" + home, "USERPROFILE=" + home}
	if runtime.GOOS == "windows" {
		env = append(env, "APPDATA="+filepath.Join(home, "APPDATA"), "LOCALAPPDATA="+filepath.Join(home, "LOCALAPPDATA"))
	}
	for _, name := range kept {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}
