package sources_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/filestore"
	"github.com/evercred/evercred/internal/ledger"
	"github.com/evercred/evercred/sources"
)

// The variables of the processes that this binary plays.
const (
	modeVar  = "EVERCRED_TEST_OWNER" // what the owner's program does
	docVar   = "EVERCRED_TEST_DOC"   // the document that it writes
	logVar   = "EVERCRED_TEST_LOG"   // where it notes that it ran
	endVar   = "EVERCRED_TEST_END"   // a file: as soon as it is there, the stubborn one ends
	childVar = "EVERCRED_TEST_CHILD" // a process that asks for a token: the source's name
)

// isOwner: started as `claude` or `ant`, from the PATH that a test has made.
func isOwner() bool {
	name := filepath.Base(os.Args[0])
	return name == "claude" || name == "ant"
}

// owner plays the owner's program.
func owner() int {
	name, mode := filepath.Base(os.Args[0]), os.Getenv(modeVar)
	if mode == "stubborn" {
		signal.Ignore(syscall.SIGTERM)
	}
	here, _ := os.Getwd()
	var names []string
	for _, entry := range os.Environ() {
		n, _, _ := strings.Cut(entry, "=")
		names = append(names, n)
	}
	stdin := make([]byte, 1)
	n, _ := os.Stdin.Read(stdin)
	line := fmt.Sprintf("%d|%s|%s|%s|stdin %d\n", os.Getpid(), strings.Join(os.Args[1:], " "), here, strings.Join(names, ","), n)
	f, err := os.OpenFile(os.Getenv(logVar), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err == nil {
		_, err = f.WriteString(line)
		f.Close()
	}
	if err != nil {
		return 9
	}
	text := document("renewed", time.Hour)
	if name == "ant" {
		text = credentials("renewed", time.Hour)
	}
	switch mode {
	case "blank":
		text = `{"claudeAiOauth":{"accessToken":"","refreshToken":"","expiresAt":0}}`
	case "nothing":
		return 0
	case "print":
		fmt.Println("sk-ant-oat01-secret-printed")
		fmt.Fprintln(os.Stderr, "sk-ant-ort01-secret-printed")
		return 1
	case "hang":
		time.Sleep(time.Hour)
	case "stubborn", "renew late":
		for {
			if _, err := os.Stat(os.Getenv(endVar)); err == nil {
				break
			}
			time.Sleep(5 * time.Millisecond) // a program that hangs, not a test that waits
		}
		if mode == "stubborn" {
			return 0
		}
	}
	doc := os.Getenv(docVar)
	if err := os.WriteFile(doc+".new", []byte(text), 0o600); err != nil {
		return 9
	}
	if err := os.Rename(doc+".new", doc); err != nil {
		return 9
	}
	if mode == "renew and fail" {
		return 3
	}
	return 0
}

// child asks for a token, with all the environment that it was given.
func child() int {
	s, err := sources.Open(os.Getenv(childVar), &sources.Options{Renewal: sources.Owner})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer s.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
	defer cancel()
	t, err := s.Token(ctx)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println(t.Fingerprint())
	return 0
}

// owned is a world with an owner's program, and an expired login of its.
type owned struct {
	*world
	bin, log, doc, source string
}

func newOwned(t testing.TB, program, mode string) *owned {
	unix(t)
	w := newWorld(t)
	o := &owned{world: w, bin: w.path("bin"), log: w.path("ran"), source: "claude-code"}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(o.bin, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(o.bin, program)); err != nil {
		t.Fatal(err)
	}
	if o.doc = w.login(-time.Hour); program == "ant" {
		o.doc, o.source = w.profile("default", -time.Hour), "profile"
	}
	w.env["PATH"], w.env["GORACE"] = o.bin, "atexit_sleep_ms=0" // or each run takes a second more
	w.env[modeVar], w.env[docVar], w.env[logVar], w.env[endVar] = mode, o.doc, o.log, w.path("end")
	w.times.CooldownUnreachableMin = time.Minute // longer than the test
	w.times.CooldownUnreachableMax = time.Minute
	return o
}

func (o *owned) options() *sources.Options {
	opts := o.world.options()
	opts.Renewal, opts.TokenURL = sources.Owner, "http://127.0.0.1:1/" // nobody is there: no grant of ours
	return opts
}

// runs are what the program noted.
func (o *owned) runs() [][]string {
	text, _ := os.ReadFile(o.log)
	var runs [][]string
	for line := range strings.Lines(string(text)) {
		runs = append(runs, strings.Split(strings.TrimSuffix(line, "\n"), "|"))
	}
	return runs
}

// fails asks for a token in vain.
func (o *owned) fails(s *sources.Source, kind error, reason evercred.Reason) *evercred.Error {
	o.t.Helper()
	tok, err := s.Token(o.t.Context())
	var e *evercred.Error
	if !errors.As(err, &e) || e.Kind != kind || e.Reason != reason || !tok.IsZero() || strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), "secret") {
		o.t.Fatalf("%v, want %s", err, reason)
	}
	return e
}

func (o *owned) left() {
	o.t.Helper()
	locks, _ := filepath.Glob(filepath.Join(filepath.Dir(o.doc), ".*lock"))
	if _, err := os.Lstat(filepath.Dir(o.doc) + ".lock"); err == nil || len(locks) > 0 {
		o.t.Errorf("the owner's locks were touched: %q", locks)
	}
}

const renewed = "Bearer sk-ant-oat01-secret-renewed oauth-2025-04-20"

func TestOwnerRenews(t *testing.T) { // INTEROP §8
	for program, argv := range map[string]string{"claude": "auth status", "ant": "auth print-credentials --access-token"} {
		for _, mode := range []string{"renew", "renew and fail"} {
			o := newOwned(t, program, mode)
			for _, name := range []string{"CLAUDE_CODE_OAUTH_TOKEN", "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "EVERCRED_TOKEN", "ANTHROPIC_IDENTITY_TOKEN"} {
				o.env[name] = "secret-" + name
			}
			s := o.open(o.source, o.options())
			if len(o.runs()) != 0 {
				t.Error("opening ran it")
			}
			if st, err := s.Status(t.Context()); err != nil || st.State != evercred.StateExpired || len(o.runs()) != 0 {
				t.Errorf("%+v, %v", st, err)
			}
			if h := header(t, s); h != renewed {
				t.Errorf("%s, %s: %s", program, mode, h)
			}
			header(t, s)
			runs := o.runs()
			if len(runs) != 1 || runs[0][1] != argv || runs[0][4] != "stdin 0" {
				t.Fatalf("%q", runs)
			}
			if program == "claude" {
				if want, _ := filepath.EvalSymlinks(filepath.Dir(o.doc)); runs[0][2] != want {
					t.Errorf("it ran in %s", runs[0][2])
				}
			}
			for name := range strings.SplitSeq(runs[0][3], ",") {
				if strings.HasPrefix(o.env[name], "secret") || name == "PWD" && program == "claude" {
					t.Errorf("%s was handed on", name)
				}
			}
			o.left()
			if r, err := s.Refresh(t.Context(), false); err != nil || r.Adopted || len(o.runs()) != 1 {
				t.Errorf("%+v, %v", r, err)
			}
		}
	}
}

// A variable that the option overrules must not lead the command elsewhere.
func TestOwnerSeesTheDirectory(t *testing.T) {
	o := newOwned(t, "claude", "renew")
	o.env["CLAUDE_SECURESTORAGE_CONFIG_DIR"], o.env["CLAUDE_CONFIG_DIR"] = o.path("other"), o.path("another")
	o.env["CLAUDE_CODE_USE_BEDROCK"] = "1"
	opts := o.options()
	opts.ConfigDir = o.path(".claude")
	if h := header(t, o.open("claude-code", opts)); h != renewed {
		t.Fatal(h)
	}
	names := strings.Split(o.runs()[0][3], ",")
	if slices.Contains(names, "CLAUDE_SECURESTORAGE_CONFIG_DIR") || slices.Contains(names, "CLAUDE_CODE_USE_BEDROCK") || !slices.Contains(names, "CLAUDE_CONFIG_DIR") {
		t.Errorf("%q", names)
	}
}

func TestOwnerFails(t *testing.T) {
	for _, mode := range []string{"nothing", "print"} {
		o := newOwned(t, "claude", mode)
		before, _ := os.ReadFile(o.doc)
		s := o.open(o.source, o.options())
		e := o.fails(s, evercred.ErrUnavailable, evercred.ReasonOwner)
		if left := time.Until(e.RetryAt); left < 50*time.Second || left > 70*time.Second || e.Where != "`claude auth status`" {
			t.Errorf("%+v", e)
		}
		if (mode == "print") != (e.Err != nil) {
			t.Errorf("%v", e.Err)
		}
		// The cooldown is everybody's: this one's, another's, and one of a program's
		// that renews by itself.
		o.fails(s, evercred.ErrUnavailable, evercred.ReasonOwner)
		o.fails(o.open(o.source, o.options()), evercred.ErrUnavailable, evercred.ReasonOwner)
		opts := o.options()
		opts.Renewal = sources.Self
		o.fails(o.open(o.source, opts), evercred.ErrUnavailable, evercred.ReasonOwner)
		if r, err := s.Refresh(t.Context(), true); err == nil || len(o.runs()) != 1 {
			t.Errorf("%+v, %v, runs %q", r, err, o.runs())
		}
		if after, _ := os.ReadFile(o.doc); string(after) != string(before) {
			t.Error("the document was changed")
		}
		// A login by the owner ends it.
		o.write(o.doc, document("renewed", time.Hour))
		if h := header(t, s); h != renewed {
			t.Error(h)
		}
		o.write(o.doc, document("again", -time.Hour))
		s.Close()
		o.fails(o.open(o.source, o.options()), evercred.ErrUnavailable, evercred.ReasonOwner)
		if len(o.runs()) != 2 {
			t.Errorf("another login: runs %q", o.runs())
		}
		o.left()
	}
}

// What the command makes of the login is read from the store.
func TestOwnerBlanks(t *testing.T) {
	o := newOwned(t, "claude", "blank")
	o.fails(o.open(o.source, o.options()), evercred.ErrLoginRequired, evercred.ReasonBlanked)
}

func TestOwnerIsNotAsked(t *testing.T) {
	without := func(member string) string {
		return strings.Replace(document("x", -time.Hour), member, "x"+member, 1)
	}
	for name, tt := range map[string]struct {
		doc    string
		kind   error
		reason evercred.Reason
	}{
		"nobody is logged in": {"", evercred.ErrNotFound, evercred.ReasonNoFile},
		"nothing to renew by": {without("refreshToken"), evercred.ErrLoginRequired, evercred.ReasonNoRefresh},
		"blanked":             {`{"claudeAiOauth":{"accessToken":"","refreshToken":"","expiresAt":0}}`, evercred.ErrLoginRequired, evercred.ReasonBlanked},
		"unreadable":          {`[]`, evercred.ErrUnsafe, evercred.ReasonUnreadable},
		"past the deadline":   {strings.Replace(document("x", -time.Hour), `"scopes"`, `"refreshTokenExpiresAt":1600000000000,"scopes"`, 1), evercred.ErrLoginRequired, evercred.ReasonRefused},
	} {
		o := newOwned(t, "claude", "renew")
		o.times.Torn = 0
		if o.remove(o.doc); tt.doc != "" {
			o.write(o.doc, tt.doc)
		}
		s := o.open(o.source, o.options())
		o.fails(s, tt.kind, tt.reason)
		if _, err := s.Refresh(t.Context(), true); !errors.Is(err, tt.kind) || len(o.runs()) != 0 {
			t.Errorf("%s: %v, runs %q", name, err, o.runs())
		}
	}
}

func TestOwnerHangs(t *testing.T) {
	o := newOwned(t, "claude", "hang")
	o.times.OwnerPatience, o.times.OwnerGrace = 500*time.Millisecond, 20*time.Second
	e := o.fails(o.open(o.source, o.options()), evercred.ErrUnavailable, evercred.ReasonOwner)
	if e.Err == nil || !strings.Contains(e.Err.Error(), "terminated") {
		t.Errorf("%v", e.Err)
	}
	if len(o.runs()) != 1 || alive(o.runs()[0][0]) {
		t.Errorf("%q", o.runs())
	}
}

// A claude that is killed in the middle of its refresh loses the answer: one
// that ignores SIGTERM is left alone.
func TestOwnerIgnoresTerm(t *testing.T) {
	o := newOwned(t, "claude", "stubborn")
	o.times.OwnerPatience, o.times.OwnerGrace = 500*time.Millisecond, 200*time.Millisecond
	s := o.open(o.source, o.options())
	t.Cleanup(func() { o.write(o.path("end"), ""); await(t, func() bool { return !alive(o.runs()[0][0]) }) })
	e := o.fails(s, evercred.ErrUnavailable, evercred.ReasonOwner)
	if e.Err == nil || !strings.Contains(e.Err.Error(), "left alone") {
		t.Errorf("%v", e.Err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if len(o.runs()) != 1 || !alive(o.runs()[0][0]) {
		t.Errorf("it was killed: %q", o.runs())
	}
}

// Close waits for the command, and no caller does longer than it wants to.
func TestOwnerAndClose(t *testing.T) {
	o := newOwned(t, "claude", "stubborn")
	s := o.open(o.source, o.options())
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() { _, err := s.Token(ctx); first <- err }()
	await(t, func() bool { return len(o.runs()) == 1 })
	cancel() // bounds the wait, and not the run
	var e *evercred.Error
	if err := <-first; !errors.As(err, &e) || e.Reason != evercred.ReasonTimeout || !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	closed := make(chan error, 1)
	go func() { closed <- s.Close() }()
	select {
	case <-closed:
		t.Error("Close did not wait for the command")
	case <-time.After(100 * time.Millisecond):
	}
	o.write(o.path("end"), "")
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if alive(o.runs()[0][0]) {
		t.Error("it lives")
	}
	if _, err := s.Token(t.Context()); !errors.Is(err, evercred.ErrClosed) {
		t.Error(err)
	}
	if _, err := s.Refresh(t.Context(), true); !errors.Is(err, evercred.ErrClosed) || len(o.runs()) != 1 {
		t.Errorf("%v, runs %q", err, o.runs())
	}
}

// The run belongs to all its callers: the end of the first is not theirs.
func TestOwnerOutlivesItsFirstCaller(t *testing.T) {
	o := newOwned(t, "claude", "renew late")
	s := o.open(o.source, o.options())
	ctx, cancel := context.WithCancel(t.Context())
	first, second := make(chan error, 1), make(chan error, 1)
	go func() { _, err := s.Token(ctx); first <- err }()
	await(t, func() bool { return len(o.runs()) == 1 })
	go func() { _, err := s.Token(t.Context()); second <- err }()
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	o.write(o.path("end"), "")
	if err := <-second; err != nil || len(o.runs()) != 1 {
		t.Errorf("%v, runs %q", err, o.runs())
	}
}

// S7: a program of the working directory is not found by a PATH that says so.
func TestOwnerIsNotInPath(t *testing.T) {
	o := newOwned(t, "claude", "renew")
	t.Chdir(o.bin)
	for _, path := range []string{"", ".", "bin:.:", "../bin", o.path("none")} {
		o.env["PATH"] = path
		e := o.fails(o.open(o.source, o.options()), evercred.ErrUnavailable, evercred.ReasonOwner)
		if !e.RetryAt.IsZero() || len(o.runs()) != 0 {
			t.Errorf("PATH=%s: %+v, runs %q", path, e, o.runs())
		}
	}
	if _, err := os.Stat(o.path(".claude", ".evercred")); err == nil {
		t.Error("a ledger was made for nothing")
	}
	o.env["PATH"] = ".:" + o.bin // no cooldown stands in the way of one who finds it
	if h := header(t, o.open(o.source, o.options())); h != renewed {
		t.Error(h)
	}
}

func TestOwnerAndForce(t *testing.T) {
	o := newOwned(t, "claude", "renew")
	o.login(time.Hour)
	s := o.open(o.source, o.options())
	if r, err := s.Refresh(t.Context(), false); err != nil || len(o.runs()) != 0 {
		t.Errorf("%+v, %v, runs %q", r, err, o.runs())
	}
	if r, err := s.Refresh(t.Context(), true); err != nil || !r.Adopted || r.Granted || r.Token.Reveal() != "sk-ant-oat01-secret-renewed" || len(o.runs()) != 1 {
		t.Errorf("%+v, %v, runs %q", r, err, o.runs())
	}
	o = newOwned(t, "claude", "nothing") // as Claude Code does while the token is good
	o.login(time.Hour)
	s = o.open(o.source, o.options())
	r, err := s.Refresh(t.Context(), true)
	var e *evercred.Error
	if err != nil || r.Token.IsZero() || r.Adopted || !errors.As(r.Err, &e) || e.Reason != evercred.ReasonOwner {
		t.Errorf("%+v, %v", r, err)
	}
}

// A token that a server refuses is renewed once, by whoever sees it first.
func TestOwnerAndReject(t *testing.T) {
	o := newOwned(t, "claude", "renew")
	o.login(time.Hour)
	a, b := o.open(o.source, o.options()), o.open(o.source, o.options())
	for _, s := range []*sources.Source{a, b} {
		if _, err := s.Token(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	refused, _ := evercred.NewToken("sk-ant-oat01-secret-stored", nil)
	for _, s := range []*sources.Source{a, b} {
		s.Reject(refused)
		if h := header(t, s); h != renewed || len(o.runs()) != 1 {
			t.Errorf("%s, runs %q", h, o.runs())
		}
	}
}

// Twenty processes on one ended login run one command.
func TestOwnerIsRunOnce(t *testing.T) {
	for _, program := range []string{"claude", "ant"} {
		o := newOwned(t, program, "renew late")
		var wait []func() string
		for range 20 {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(o.environ(), childVar+"="+o.source)
			var out strings.Builder
			cmd.Stdout, cmd.Stderr = &out, &out
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			wait = append(wait, func() string { cmd.Wait(); return strings.TrimSpace(out.String()) })
		}
		await(t, func() bool { return len(o.runs()) > 0 })
		o.write(o.path("end"), "")
		want := evercred.NewSecret("sk-ant-oat01-secret-renewed").Fingerprint()
		for i, w := range wait {
			if got := w(); got != want {
				t.Errorf("process %d: %s", i, got)
			}
		}
		if runs := o.runs(); len(runs) != 1 {
			t.Errorf("%d runs", len(runs))
		}
		o.left()
	}
}

func TestOwnerIsRunOnceInAProcess(t *testing.T) {
	o := newOwned(t, "claude", "renew late")
	s, other := o.open(o.source, o.options()), o.open(o.source, o.options())
	got := make(chan string, 20)
	for i := range cap(got) {
		l := []*sources.Source{s, other}[i%2]
		go func() { tok, err := l.Token(t.Context()); got <- fmt.Sprint(tok.Fingerprint(), err) }()
	}
	await(t, func() bool { return len(o.runs()) > 0 })
	o.write(o.path("end"), "")
	want := evercred.NewSecret("sk-ant-oat01-secret-renewed").Fingerprint() + "<nil>"
	for range cap(got) {
		if g := <-got; g != want {
			t.Errorf("%s, want %s", g, want)
		}
	}
	if len(o.runs()) != 1 {
		t.Errorf("%q", o.runs())
	}
}

// The owner would send once more what we have sent, and a spent token ends the
// login: our own attempt has to be concluded first.
func TestOwnerWaitsForOurAttempt(t *testing.T) {
	o := newOwned(t, "claude", "renew")
	l := filestore.New(o.doc, nil).Ledger()
	begin := func(refresh string, send bool) {
		g, err := l.TryGuard()
		if err != nil {
			t.Fatal(err)
		}
		defer g.Release()
		a, err := g.Begin(ledger.Intent{Refresh: evercred.NewSecret(refresh).Fingerprint(), At: time.Now(), Host: "127.0.0.1"})
		if err == nil && send {
			err = a.MarkSending(time.Now())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	begin("sk-ant-ort01-secret-stored", true)
	s := o.open(o.source, o.options())
	o.fails(s, evercred.ErrUnavailable, evercred.ReasonUnknownOutcome)
	if len(o.runs()) != 0 {
		t.Errorf("%q", o.runs())
	}
	o.write(o.doc, document("another", -time.Hour)) // what became of the other one does not matter
	begin("sk-ant-ort01-secret-another", false)
	if h := header(t, s); h != renewed {
		t.Error(h)
	}
}

// await polls: what it waits for is done by another process.
func await(t testing.TB, cond func() bool) {
	t.Helper()
	tick, late := time.NewTicker(2*time.Millisecond), time.After(30*time.Second)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatal("it did not come about")
		}
	}
}
