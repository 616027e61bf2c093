package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/evercred/evercred/internal/issuer"
)

type placeKey struct{}

// setUp gives each script a home, an endpoint, and nothing else of ours in the
// environment.
func setUp(env *testscript.Env) error {
	home := filepath.Join(env.WorkDir, "home")
	p, err := newPlace(home)
	if err != nil {
		return err
	}
	env.Defer(func() { p.endpoint.Close() })
	env.Values[placeKey{}] = p
	env.Setenv("GORACE", os.Getenv("GORACE"))
	env.Setenv("HOME", home)
	env.Setenv("USERPROFILE", home)
	env.Setenv("APPDATA", filepath.Dir(p.profiles()))
	env.Setenv("DIR", filepath.Join(home, ".claude"))
	env.Setenv("PROFILES", p.profiles())
	env.Setenv("CREDENTIALS", p.file())
	env.Setenv("URL", p.endpoint.URL())
	env.Setenv("EVERCRED_TOKEN_URL", p.endpoint.URL())
	return nil
}

type word = func(ts *testscript.TestScript, neg bool, args []string)

// words are what the scripts may say:
//
//	login STATE        write the login in a state (place.members)
//	profile NAME STATE write an Anthropic profile in a state (place.profile)
//	document FILE      write a document with @ACCESS@ and the like filled in
//	broken HOW         put something that is no document in its place
//	fault NAME [ARG]   how the endpoint mistreats the next request
//	exits CODE CMD...  run a command that ends with that code
//	refuses CODE REASON [FLAG...]   `evercred token` fails, touches and sends nothing
//	serves [FLAG...]   `evercred token` prints the login's token and sends nothing
//	requests N, grants N            what the endpoint counted so far
//	stored [PROFILE]   the newest answer is what is stored, and stdout shows its token
//	secretless         the last command printed no secret
func words() map[string]word {
	return map[string]word{
		"login": func(ts *testscript.TestScript, _ bool, args []string) { ts.Check(placeOf(ts).store(args[0])) },
		"profile": func(ts *testscript.TestScript, _ bool, args []string) {
			ts.Check(placeOf(ts).profile(args[0], args[1]))
		},
		"document":   document,
		"broken":     broken,
		"fault":      fault,
		"exits":      exits,
		"refuses":    refuses,
		"serves":     serves,
		"requests":   counts((*issuer.Server).Requests),
		"grants":     counts((*issuer.Server).Grants),
		"stored":     stored,
		"secretless": func(ts *testscript.TestScript, _ bool, _ []string) { secretless(ts) },
	}
}

func placeOf(ts *testscript.TestScript) *place { return ts.Value(placeKey{}).(*place) }

func document(ts *testscript.TestScript, _ bool, args []string) {
	p := placeOf(ts)
	ts.Check(p.write(p.fill(ts.ReadFile(args[0]))))
}

// broken is FAILURES F6.
func broken(ts *testscript.TestScript, _ bool, args []string) {
	p := placeOf(ts)
	ts.Check(os.RemoveAll(p.file()))
	whole := p.fill(`{"claudeAiOauth":{"accessToken":"@ACCESS@","refreshToken":"@REFRESH@","expiresAt":@FUTURE@}}`)
	switch args[0] {
	case "directory":
		ts.Check(os.Mkdir(p.file(), 0o700))
		return
	case "fifo":
		ts.Check(mkfifo(p.file()))
		return
	case "absent":
		return
	}
	docs := map[string]string{
		"empty":     "",
		"truncated": whole[:len(whole)/2],
		"trailing":  whole + "x",
		"utf-16":    "\xff\xfe" + strings.Join(strings.Split(whole, ""), "\x00") + "\x00",
		"nuls":      strings.Repeat("\x00", 512),
		"huge":      whole[:len(whole)-1] + strings.Repeat(" ", 64<<20) + "}",
		"deep":      whole[:len(whole)-1] + `,"x":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + "}",
	}
	doc, ok := docs[args[0]]
	if !ok {
		ts.Fatalf("broken: there is no %s", args[0])
	}
	ts.Check(p.write(doc))
}

func fault(ts *testscript.TestScript, _ bool, args []string) {
	arg := ""
	if len(args) > 1 {
		arg = args[1]
	}
	faults := map[string]func() issuer.Fault{
		"limited":     func() issuer.Fault { return issuer.Limited(arg) },
		"page":        func() issuer.Fault { return issuer.Page(403, "Log in to the network") },
		"reset-after": issuer.ResetAfter,
		"answer": func() issuer.Fault { // instead of what the endpoint knows, such as an exchange
			f := issuer.Garbage(arg)
			f.Uncommitted = true
			return f
		},
		"status-before": func() issuer.Fault { n, err := strconv.Atoi(arg); ts.Check(err); return issuer.StatusBefore(n) },
		"client": func() issuer.Fault {
			f := issuer.StatusBefore(401)
			f.Answer.Body = []byte(`{"error":"invalid_client"}`)
			return f
		},
	}
	if args[0] == "revoked" {
		p := placeOf(ts)
		p.endpoint.Revoke(p.login.ID)
		return
	}
	make, ok := faults[args[0]]
	if !ok {
		ts.Fatalf("fault: there is no %s", args[0])
	}
	placeOf(ts).endpoint.Queue(make())
}

func exits(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	if got := code(ts, args[1:]...); got != want {
		ts.Fatalf("%s: exit code %d, want %d", strings.Join(args[1:], " "), got, want)
	}
}

func code(ts *testscript.TestScript, argv ...string) int {
	err := ts.Exec(argv[0], argv[1:]...)
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	ts.Fatalf("%s: %v", argv[0], err)
	return -1
}

// refuses is the contract of every failure: the code, one line of what and one
// of what to do, nothing on standard output, nothing sent, nothing touched.
func refuses(ts *testscript.TestScript, _ bool, args []string) {
	p := placeOf(ts)
	before, requests := snapshot(p.home), p.endpoint.Requests()
	exits(ts, false, append([]string{args[0], "evercred", "token"}, args[2:]...))
	stdout, stderr := ts.ReadFile("stdout"), ts.ReadFile("stderr")
	switch lines := strings.Split(strings.TrimSuffix(stderr, "\n"), "\n"); {
	case stdout != "":
		ts.Fatalf("standard output: %q", stdout)
	case len(lines) != 2 || !strings.HasPrefix(lines[0], "evercred: ") || !strings.HasPrefix(lines[1], "hint: "):
		ts.Fatalf("standard error is not a message and a hint: %q", stderr)
	case !strings.Contains(lines[1], "`evercred help "+args[1]+"`"):
		ts.Fatalf("the hint does not lead to %s: %s", args[1], lines[1])
	case p.endpoint.Requests() != requests:
		ts.Fatalf("a request was sent")
	case snapshot(p.home) != before:
		ts.Fatalf("something was touched:\n%s\nwas:\n%s", snapshot(p.home), before)
	}
	secretless(ts)
}

// snapshot says what is in a directory: names, modes, sizes, times and, of
// what is small, the bytes.
func snapshot(dir string) string {
	var b strings.Builder
	_ = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			fmt.Fprintln(&b, path, err)
			return nil
		}
		info, err := d.Info()
		if err != nil {
			fmt.Fprintln(&b, path, err)
			return nil
		}
		fmt.Fprintln(&b, path, info.Mode(), info.Size(), info.ModTime().UnixNano())
		if info.Mode().IsRegular() && info.Size() < 1<<20 {
			data, err := os.ReadFile(path)
			fmt.Fprintf(&b, "%q %v\n", data, err)
		}
		return nil
	})
	return b.String()
}

func serves(ts *testscript.TestScript, _ bool, args []string) {
	p := placeOf(ts)
	requests := p.endpoint.Requests()
	exits(ts, false, append([]string{"0", "evercred", "token"}, args...))
	if got := ts.ReadFile("stdout"); got != p.login.Access+"\n" {
		ts.Fatalf("printed %q", got)
	}
	if p.endpoint.Requests() != requests {
		ts.Fatalf("a request was sent")
	}
}

func counts(count func(*issuer.Server) int) word {
	return func(ts *testscript.TestScript, _ bool, args []string) {
		if got := strconv.Itoa(count(placeOf(ts).endpoint)); got != args[0] {
			ts.Fatalf("the endpoint counted %s", got)
		}
	}
}

func stored(ts *testscript.TestScript, _ bool, args []string) {
	p := placeOf(ts)
	file, read := p.file(), p.access
	neighbours := `"mcpOAuth":{"a|0":{"accessToken":"neighbour-access"}}`
	if len(args) > 0 {
		file, neighbours = p.credentials(args[0]), profileNeighbours
		read = func() (string, error) { return p.profileAccess(args[0]) }
	}
	access, err := read()
	ts.Check(err)
	if access == p.login.Access {
		ts.Fatalf("the stored token is still the old one")
	}
	if out := ts.ReadFile("stdout"); out != "" && !strings.Contains(out, access) {
		ts.Fatalf("what was printed is not what is stored")
	}
	p.secrets = append(p.secrets, access, p.endpoint.Newest(p.login.ID))
	doc, err := os.ReadFile(file)
	ts.Check(err)
	if !bytes.Contains(doc, []byte(neighbours)) {
		ts.Fatalf("a neighbour was touched")
	}
}

func secretless(ts *testscript.TestScript) {
	for _, name := range []string{"stdout", "stderr"} {
		if placeOf(ts).leaks(ts.ReadFile(name)) != "" {
			ts.Fatalf("a secret is in %s", name)
		}
	}
}
