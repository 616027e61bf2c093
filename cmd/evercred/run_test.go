//go:build unix

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/evercred/evercred/credtest"
	"github.com/evercred/evercred/internal/issuer"
)

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

// command is evercred at a place, in a session of its own: no terminal.
func (p *place) command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, "evercred", args...)
	cmd.Env = append(credtest.Env(t), "HOME="+p.home, "EVERCRED_TOKEN_URL="+p.endpoint.URL())
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd
}

// running is a command under way.
type running struct {
	*exec.Cmd
	stdout, stderr bytes.Buffer
	lines          *bufio.Reader // of standard output, if it is followed
}

func (p *place) start(t *testing.T, args ...string) *running {
	t.Helper()
	r := &running{Cmd: p.command(t, args...)}
	r.Stdout, r.Stderr = &r.stdout, &r.stderr
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	return r
}

// follow starts a command whose standard output is read line by line.
func (p *place) follow(t *testing.T, args ...string) *running {
	t.Helper()
	r := &running{Cmd: p.command(t, args...)}
	out, err := r.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	r.lines, r.Stderr = bufio.NewReader(out), &r.stderr
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *running) line(t *testing.T) string {
	t.Helper()
	text, err := r.lines.ReadString('\n')
	if err != nil {
		t.Fatalf("after %q: %v; standard error: %s", text, err, &r.stderr)
	}
	return strings.TrimSuffix(text, "\n")
}

// ended waits for the end and says how it was.
func (r *running) ended(t *testing.T) syscall.WaitStatus {
	t.Helper()
	if r.lines != nil {
		_, _ = io.Copy(io.Discard, r.lines)
	}
	err := r.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return r.ProcessState.Sys().(syscall.WaitStatus)
}

// reach waits until a request has come as far as a held fault lets it.
func (p *place) reach(t *testing.T, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err := p.endpoint.Await(ctx, func(log []issuer.Record) bool {
		return len(log) >= n && log[n-1].Granted()
	})
	if err != nil {
		t.Fatal(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// unlessIgnored skips a test of a signal that whoever started us ignores, and so
// does all that we start.
func unlessIgnored(t *testing.T, sig syscall.Signal) {
	t.Helper()
	if signal.Ignored(sig) {
		t.Skip("it is ignored here, as by nohup")
	}
}

// TestSignalAfterTheRequestLeft is FAILURES R8: the answer is awaited and
// saved, nothing is printed, and the command dies of the signal (DESIGN §4).
func TestSignalAfterTheRequestLeft(t *testing.T) {
	for _, verb := range []string{"token", "refresh"} {
		for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
			t.Run(verb+" "+sig.String(), func(t *testing.T) {
				unlessIgnored(t, sig)
				t.Parallel()
				p := at(t)
				n := 1
				if verb == "refresh" { // not the first one here: there is a ledger already
					must(t, p.store("expired"))
					must(t, p.command(t, verb).Run())
					n = 2
				}
				must(t, p.store("expired"))
				hang, release := issuer.Hang(issuer.Committed)
				p.endpoint.Script(n, hang)
				r := p.start(t, verb)
				p.reach(t, n)
				must(t, r.Process.Signal(sig))
				must(t, r.Process.Signal(sig)) // a second one is of no use either
				release()
				if status := r.ended(t); !status.Signaled() || status.Signal() != sig {
					t.Errorf("it ended with %v", r.ProcessState)
				}
				if r.stdout.Len() > 0 || r.stderr.Len() > 0 {
					t.Errorf("it printed %q, %q", &r.stdout, &r.stderr)
				}
				p.checkSaved(t, n)
			})
		}
	}
}

// TestSignalBeforeTheRequest: it releases everything and dies at once.
func TestSignalBeforeTheRequest(t *testing.T) {
	t.Parallel()
	p := at(t)
	must(t, p.store("expired"))
	p.holdLock(t)
	r := p.start(t, "token")
	p.await(t, "the guard of our process", func() bool {
		names, _ := filepath.Glob(filepath.Join(p.home, ".claude", ".evercred", "*", "*"))
		return len(names) > 0
	})
	must(t, r.Process.Signal(syscall.SIGTERM))
	if status := r.ended(t); !status.Signaled() || status.Signal() != syscall.SIGTERM {
		t.Errorf("it ended with %v", r.ProcessState)
	}
	if p.endpoint.Requests() != 0 {
		t.Error("a request was sent")
	}
	if r.stdout.Len() > 0 || r.stderr.Len() > 0 {
		t.Errorf("it printed %q, %q", &r.stdout, &r.stderr)
	}
}

// TestLockedByAnother is FAILURES L1 for the command: exit 6 in time.
func TestLockedByAnother(t *testing.T) {
	t.Parallel()
	p := at(t)
	must(t, p.store("expired"))
	p.holdLock(t)
	r := p.start(t, "token", "--timeout", "700ms")
	if code := r.ended(t).ExitStatus(); code != 6 {
		t.Errorf("exit code %d: %s", code, &r.stderr)
	}
	if !strings.Contains(r.stderr.String(), "see `evercred help locked`") {
		t.Errorf("it said %q", &r.stderr)
	}
	must(t, p.store("expiring"))
	r = p.start(t, "token")
	if r.ended(t).ExitStatus() != 0 || r.stdout.String() != p.login.Access+"\n" || r.stderr.Len() > 0 {
		t.Errorf("while the token is good: %v, %q, %q", r.ProcessState, &r.stdout, &r.stderr)
	}
}

// TestTimeout: the result comes at --timeout, and the command stays until the
// answer is saved (DESIGN §4).
func TestTimeout(t *testing.T) {
	t.Parallel()
	p := at(t)
	must(t, p.store("expired"))
	hang, release := issuer.Hang(issuer.Committed)
	p.endpoint.Script(1, hang)
	r := p.command(t, "token", "--timeout", "1s")
	errs, err := r.StderrPipe()
	must(t, err)
	must(t, r.Start())
	first, err := bufio.NewReader(errs).ReadString('\n') // comes while the endpoint still hangs
	if err != nil || !strings.HasPrefix(first, "evercred: the refresh did not end in time") {
		t.Errorf("at the timeout: %q, %v", first, err)
	}
	release()
	_ = r.Wait()
	if code := r.ProcessState.ExitCode(); code != 5 {
		t.Errorf("exit code %d", code)
	}
	p.checkSaved(t, 1)
}

// TestTimeoutWithAValidToken: it is served, though the refresh hangs.
func TestTimeoutWithAValidToken(t *testing.T) {
	t.Parallel()
	p := at(t)
	must(t, p.store("expiring"))
	hang, release := issuer.Hang(issuer.Committed)
	p.endpoint.Script(1, hang)
	r := p.follow(t, "token", "--timeout", "1s")
	if got := r.line(t); got != p.login.Access { // while the endpoint still hangs
		t.Errorf("printed %q", got)
	}
	release()
	if code := r.ended(t).ExitStatus(); code != 0 {
		t.Errorf("exit code %d: %s", code, &r.stderr)
	}
	p.checkSaved(t, 1)
}

// TestClosedPipe: a reader that left does not kill us in mid-flight.
func TestClosedPipe(t *testing.T) {
	t.Parallel()
	p := at(t)
	must(t, p.store("expired"))
	r := p.command(t, "token")
	read, write, err := os.Pipe()
	must(t, err)
	r.Stdout = write
	must(t, read.Close())
	must(t, r.Start())
	must(t, write.Close())
	_ = r.Wait()
	if code := r.ProcessState.ExitCode(); code != 141 {
		t.Errorf("exit code %d, want the shells' for SIGPIPE", code)
	}
	p.checkSaved(t, 1)
}

// TestExecPassesSignals: those that a program may want to know of.
func TestExecPassesSignals(t *testing.T) {
	signals := map[string]syscall.Signal{
		"INT": syscall.SIGINT, "TERM": syscall.SIGTERM, "HUP": syscall.SIGHUP, "QUIT": syscall.SIGQUIT,
		"USR1": syscall.SIGUSR1, "USR2": syscall.SIGUSR2, "WINCH": syscall.SIGWINCH,
	}
	for name, sig := range signals {
		t.Run(name, func(t *testing.T) {
			unlessIgnored(t, sig)
			t.Parallel()
			p := at(t)
			must(t, p.store("fresh"))
			r := p.follow(t, "exec", "--", "sh", "-c", `trap 'echo got; exit 7' `+name+`; echo ready; while :; do sleep 0.05; done`)
			if got := r.line(t); got != "ready" {
				t.Fatal(got)
			}
			must(t, r.Process.Signal(sig))
			if got := r.line(t); got != "got" {
				t.Error(got)
			}
			if code := r.ended(t).ExitStatus(); code != 7 {
				t.Errorf("exit code %d", code)
			}
		})
	}
}

// TestExecDiesLikeItsCommand: a signal that the command does not survive.
func TestExecDiesLikeItsCommand(t *testing.T) {
	t.Parallel()
	p := at(t)
	must(t, p.store("fresh"))
	r := p.follow(t, "exec", "--", "sh", "-c", "echo ready; exec sleep 60")
	r.line(t)
	must(t, r.Process.Signal(syscall.SIGTERM))
	if code := r.ended(t).ExitStatus(); code != 128+15 {
		t.Errorf("exit code %d", code)
	}
}

// TestSecretsInProcess is FAILURES S6.
func TestSecretsInProcess(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/proc/self/environ"); err != nil {
		t.Skip("needs /proc")
	}
	p := at(t)
	must(t, p.store("expired"))
	r := p.follow(t, "exec", "--", "sh", "-c", "echo $EVERCRED_TOKEN; exec sleep 60")
	token := r.line(t)
	p.secrets = append(p.secrets, token, p.endpoint.Newest(p.login.ID))
	for _, name := range []string{"cmdline", "environ"} {
		b, err := os.ReadFile(filepath.Join("/proc", itoa(r.Process.Pid), name))
		if name == "environ" && errors.Is(err, fs.ErrPermission) {
			continue // not dumpable: the user's other processes cannot read it at all
		}
		must(t, err)
		if len(b) == 0 || p.leaks(string(b)) != "" {
			t.Errorf("%s of evercred: %d bytes, with a secret: %t", name, len(b), p.leaks(string(b)) != "")
		}
	}
	must(t, r.Process.Signal(syscall.SIGTERM))
	r.ended(t)
	p.checkSaved(t, 1)
}

// TestStatusShape holds the names and types of status --json: programs rely on
// them. A member may be added to the golden file, and none taken away.
func TestStatusShape(t *testing.T) {
	t.Parallel()
	p := at(t)
	m, err := p.members("expired")
	must(t, err)
	m["clientId"] = "someone"
	section, err := json.Marshal(m)
	must(t, err)
	must(t, p.write(`{"claudeAiOauth":`+string(section)+`}`))
	must(t, p.command(t, "refresh").Run())
	p.endpoint.Script(2, issuer.Limited("600"))
	if code := p.start(t, "refresh", "--force").ended(t).ExitStatus(); code != 5 {
		t.Fatalf("exit code %d", code)
	}
	r := p.start(t, "status", "--json", "--config-dir", filepath.Join(p.home, ".claude"))
	r.ended(t)
	var v any
	must(t, json.Unmarshal(r.stdout.Bytes(), &v))
	checkGolden(t, "testdata/status.golden", shape(v, ""), r.stdout.Bytes())
}

// checkSaved asserts that the newest answer is what is stored, and that no
// lock is left.
func (p *place) checkSaved(t *testing.T, grants int) {
	t.Helper()
	access, err := p.access()
	must(t, err)
	if access == p.login.Access {
		t.Error("the stored token is still the old one")
	}
	for _, lock := range []string{".claude/.oauth_refresh.lock", ".claude/.storage-write.lock", ".claude.lock"} {
		if _, err := os.Lstat(filepath.Join(p.home, lock)); err == nil {
			t.Errorf("%s is left", lock)
		}
	}
	if n := p.endpoint.Grants(); n != grants {
		t.Errorf("%d grants, want %d", n, grants)
	}
}

// holdLock holds the owner's refresh lock, beating, until the test ends.
func (p *place) holdLock(t *testing.T) {
	t.Helper()
	lock := filepath.Join(p.home, ".claude", ".oauth_refresh.lock")
	must(t, os.Mkdir(lock, 0o755))
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		beat := time.NewTicker(time.Second)
		defer beat.Stop()
		for {
			select {
			case now := <-beat.C:
				_ = os.Chtimes(lock, now, now)
			case <-stop:
				return
			}
		}
	}()
	t.Cleanup(func() {
		close(stop)
		<-stopped
		if _, err := os.Lstat(lock); err != nil {
			t.Errorf("somebody else's lock was removed: %v", err)
		}
	})
}

func (p *place) await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ticks := time.NewTicker(10 * time.Millisecond)
	defer ticks.Stop()
	limit := time.After(patience)
	for !holds() {
		select {
		case <-ticks.C:
		case <-limit:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// TestStatusAllShape is TestStatusShape for status --all --json: a member is in it
// if it is in that of one source.
func TestStatusAllShape(t *testing.T) {
	t.Parallel()
	p := at(t)
	must(t, p.store("fresh"))
	cmd := p.command(t, "status", "--all", "--json")
	cmd.Env = append(cmd.Env, "ANTHROPIC_API_KEY=variable-secret x", "ANTHROPIC_AUTH_TOKEN=variable-secret", "ANTHROPIC_IDENTITY_TOKEN=identity-secret")
	must(t, os.WriteFile(filepath.Join(p.home, ".claude", "settings.json"), []byte(`{"apiKeyHelper":"false"}`), 0o600))
	out, _ := cmd.Output() // its code is no matter here
	var v map[string]any
	must(t, json.Unmarshal(out, &v))
	all, _ := v["sources"].([]any)
	lines := map[string]bool{"version number": true}
	for _, source := range all {
		for line := range strings.Lines(shape(source, "sources[]")) {
			if text := strings.TrimSuffix(line, "\n"); !strings.HasSuffix(text, "[]") { // an empty list says no type
				lines[text] = true
			}
		}
	}
	checkGolden(t, "testdata/status_all.golden", strings.Join(slices.Sorted(maps.Keys(lines)), "\n")+"\n", out)
}

// checkGolden compares the shape of a result with the one that programs rely on.
func checkGolden(t *testing.T, file, got string, of []byte) {
	t.Helper()
	if os.Getenv("EVERCRED_TEST_UPDATE") != "" {
		must(t, os.WriteFile(file, []byte(got), 0o644))
	}
	want, err := os.ReadFile(file)
	must(t, err)
	if got != string(want) {
		t.Errorf("the shape is\n%s\nand was\n%s\nof %s", got, want, of)
	}
}
