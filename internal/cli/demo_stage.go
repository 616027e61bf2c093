package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/evercred/evercred/internal/issuer"
)

// demoAnswer is how long the endpoint takes, about as long as a real one.
const demoAnswer = 300 * time.Millisecond

// stage is the world of the demo: an endpoint on loopback, and a directory for
// the logins and for whatever a child may believe to be its home.
type stage struct {
	app      *app
	options  demoOptions
	dir      string
	endpoint *issuer.Server
	children atomic.Int64
	progress progress

	mu       sync.Mutex
	arrivals map[string]func()       // by the refresh token's fingerprint: called when it arrives
	faults   map[string]issuer.Fault // by the refresh token's fingerprint
}

func newStage(a *app, o demoOptions) (*stage, error) {
	s := &stage{app: a, options: o, arrivals: map[string]func(){}, faults: map[string]issuer.Fault{}}
	s.progress.init(a)
	if s.options.again == nil {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		s.options.again = func(ctx context.Context, args ...string) *exec.Cmd {
			return exec.CommandContext(ctx, self, args...)
		}
	}
	if err := s.makeDir(); err != nil {
		return nil, err
	}
	s.endpoint = issuer.New(&issuer.Options{
		Behaviour: issuer.Behaviour{BeforeCommit: demoAnswer, Choose: s.fault},
		Observe:   s.observe,
	})
	if _, err := s.endpoint.Start(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.dir))
	}
	return s, nil
}

// makeDir makes a directory whose path holds no link: a ledger is named by the
// real directory of its document.
func (s *stage) makeDir() error {
	dir, err := os.MkdirTemp(s.options.temp, "evercred-demo-")
	if err != nil {
		return err
	}
	if s.dir, err = filepath.EvalSymlinks(dir); err == nil {
		err = os.Mkdir(s.home(), 0o700)
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	return nil
}

// close ends the endpoint and removes every trace. The children have ended.
func (s *stage) close() error {
	s.progress.clear()
	s.endpoint.Close()
	if err := os.RemoveAll(s.dir); err != nil {
		return err
	}
	if _, err := os.Lstat(s.dir); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is still there", s.dir)
	}
	return nil
}

func (s *stage) home() string { return filepath.Join(s.dir, "home") }

// onArrival calls look when this login's refresh token arrives at the endpoint,
// before anything comes of it.
func (s *stage) onArrival(l *demoLogin, look func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.arrivals[issuer.Fingerprint(l.issued.Refresh)] = look
}

// holdUntil keeps the endpoint from answering this login before release is closed.
func (s *stage) holdUntil(l *demoLogin, release <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[issuer.Fingerprint(l.issued.Refresh)] = issuer.Fault{Hold: issuer.Arrived, Release: release}
}

func (s *stage) observe(at issuer.Stage, r issuer.Record) {
	s.mu.Lock()
	look := s.arrivals[r.Refresh]
	s.mu.Unlock()
	if at == issuer.Arrived && look != nil {
		look()
	}
}

func (s *stage) fault(r issuer.Record) issuer.Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.faults[r.Refresh]
}

// demoProcess is evercred again, as a process of its own.
type demoProcess struct {
	cmd       *exec.Cmd
	out, errs bytes.Buffer
	began     time.Time
	err       error
}

// token starts `evercred token` on a login, or with a crash point one that dies
// on its way.
func (s *stage) token(ctx context.Context, l *demoLogin, dieAt string) *demoProcess {
	args := []string{"token"}
	if dieAt != "" {
		args = []string{"demo", "child", "--die-at", dieAt}
	}
	args = append(args, "--config-dir", l.dir, "--token-url", s.endpoint.URL(), "--timeout", (demoLimit * 3 / 4).String())
	p := &demoProcess{cmd: s.options.again(ctx, args...), began: time.Now()}
	p.cmd.Dir = s.home()
	p.cmd.Env = append(p.cmd.Env, s.environ()...)
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.errs
	p.cmd.WaitDelay = time.Second
	p.err = p.cmd.Start()
	s.children.Add(1)
	return p
}

// environ is all that a child learns of ours: no login, no endpoint, no proxy
// and no home of the user's.
func (s *stage) environ() []string {
	var env []string
	for _, name := range []string{
		"HOME", "TMPDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME",
		"USERPROFILE", "APPDATA", "LOCALAPPDATA", "TEMP", "TMP",
	} {
		env = append(env, name+"="+s.home())
	}
	if root, ok := s.app.lookup("SYSTEMROOT"); ok && runtime.GOOS == "windows" {
		env = append(env, "SYSTEMROOT="+root) // without it Windows has no sockets
	}
	return env
}

// wait returns when the process has ended.
func (p *demoProcess) wait() {
	if p.err == nil {
		p.err = p.cmd.Wait()
	}
}

// secret is the token that the process printed; it is compared and never shown.
func (p *demoProcess) secret() string { return strings.TrimSpace(p.out.String()) }

// killed reports whether SIGKILL, or what Windows has for it, ended the process.
func (p *demoProcess) killed() bool {
	state := p.cmd.ProcessState
	if state == nil || p.out.Len() > 0 {
		return false
	}
	if n, ok := endedBy(state); ok {
		return n == 9
	}
	return runtime.GOOS == "windows" && state.ExitCode() == 1 && p.errs.Len() == 0
}

// said is the first line that the process wrote to standard error.
func (p *demoProcess) said() string {
	line, _, _ := strings.Cut(p.errs.String(), "\n")
	switch {
	case line != "":
		return strings.TrimPrefix(line, "evercred: ")
	case p.err != nil:
		return p.err.Error()
	}
	return "it said nothing"
}

// progress is one line that is written over and over, on a terminal only.
type progress struct {
	app *app
	on  bool
	mu  sync.Mutex
}

func (p *progress) init(a *app) {
	kind, _ := a.lookup("TERM")
	p.app, p.on = a, a.onTerminal() && kind != "dumb"
}

func (p *progress) tell(format string, args ...any) { p.write(fmt.Sprintf(format, args...)) }
func (p *progress) clear()                          { p.write("") }

func (p *progress) write(line string) {
	if !p.on {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	_, _ = fmt.Fprintf(p.app.stderr, "\r\x1b[K%s", line) // there is nowhere to complain
}
