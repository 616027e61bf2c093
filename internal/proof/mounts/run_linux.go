package mounts

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/evercred/evercred/internal/issuer"
	"github.com/evercred/evercred/internal/proof/stage"
	"github.com/evercred/evercred/internal/proof/suite"
)

func run(r *suite.Run) error {
	built, err := r.Build("./cmd/evercred", r.Factor)
	if err != nil {
		return err
	}
	// Other users have to reach it, and may not enter the run's own directory.
	base, err := os.MkdirTemp("", "evercred-mounts-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(base)
	program := stage.Program{Path: filepath.Join(base, "evercred")}
	if err := errors.Join(os.Chmod(base, 0o755), copyFile(built, program.Path, 0o755)); err != nil {
		return err
	}
	done := 0
	for i, sc := range scenarios {
		if !r.Wanted(sc.name) {
			continue
		}
		if r.Context().Err() != nil {
			return nil
		}
		t := trial{scenario: sc, program: program, ctx: r.Context()}
		if err := t.perform(filepath.Join(base, fmt.Sprint(i))); err != nil {
			return fmt.Errorf("%s: %w", sc.name, err)
		}
		for _, why := range t.wrong {
			r.Violation(sc.name, "%s", why)
		}
		if len(t.wrong) == 0 {
			r.Saw(sc.name, t.outcome)
		}
		done++
		r.Progress(done, sc.name)
	}
	if r.Only == "" {
		r.Gate(done >= r.N, "%d scenarios", r.N)
	}
	return nil
}

func copyFile(from, to string, mode os.FileMode) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Chmod(mode), out.Close())
}

// trial is a scenario under way.
type trial struct {
	scenario
	program stage.Program
	ctx     context.Context
	room    *room
	stand

	document []byte // as it was
	outcome  string
	wrong    []string
}

func (t *trial) blame(format string, args ...any) {
	t.wrong = append(t.wrong, fmt.Sprintf(format, args...))
}

// perform lays the scenario, runs the command in it, mends what was wrong, and
// runs it again.
func (t *trial) perform(dir string) error {
	t.dir, t.beside = filepath.Join(dir, "ground"), filepath.Join(dir, "beside")
	for _, d := range []string{dir, t.dir, t.beside} {
		if err := errors.Join(os.Mkdir(d, 0o755), os.Chmod(d, 0o755)); err != nil {
			return err
		}
	}
	defer os.RemoveAll(dir)
	var err error
	if t.room, err = newRoom(); err != nil {
		return err
	}
	defer t.room.Close()
	committed, release := make(chan struct{}), make(chan struct{})
	if err := t.room.in(func() error { return t.begin(committed, release) }); err != nil {
		return err
	}
	defer t.login.Close()

	ended := make(chan error, 1)
	var out stage.Outcome
	go func() {
		ended <- t.room.in(func() error { out = stage.Run(t.command(t.as, t.limit)); return nil })
	}()
	if t.during != nil {
		select {
		case <-committed:
			err = t.room.in(func() error { return t.during(&t.stand) })
		case err = <-ended:
			ended <- err
		}
		close(release)
	}
	if err := errors.Join(err, <-ended); err != nil {
		return err
	}
	return t.room.in(func() error {
		t.judge(out)
		if t.mend == nil && t.code == 7 && t.limit == "" && t.as == t.mended {
			return nil // there is no way to mend it
		}
		return t.repeat()
	})
}

// begin makes the login.
func (t *trial) begin(committed, release chan struct{}) error {
	if t.ground != nil {
		if err := t.ground(&t.stand); err != nil {
			return err
		}
	}
	left := t.left
	if left == 0 {
		left = -time.Minute
	}
	b := issuer.Behaviour{Profile: t.scenario.again, Members: map[string]string{"scope": ""}} // the oracle takes scopes for foreign bytes
	if t.during != nil {
		var once sync.Once
		b.Choose = func(issuer.Record) issuer.Fault {
			once.Do(func() { close(committed) })
			return issuer.Fault{Hold: issuer.Committed, Release: release}
		}
	}
	var err error
	if t.login, err = stage.New(t.dir, left, b); err != nil {
		return err
	}
	if t.lay != nil {
		if err := t.lay(&t.stand); err != nil {
			t.login.Close()
			return err
		}
	}
	t.document, _ = os.ReadFile(t.login.Path()) // one scenario hides it
	return nil
}

// command is `evercred token` as a user, with a limit.
func (t *trial) command(as uint32, limit string) *exec.Cmd {
	cmd := t.program.Command(t.ctx, t.login, append([]string{"token"}, t.args...)...)
	if limit != "" {
		cmd.Args = append([]string{"prlimit", limit, "--", cmd.Path}, cmd.Args[1:]...)
		cmd.Path, cmd.Err = exec.LookPath(cmd.Args[0])
	}
	cmd.Dir = "/"
	if as != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: as, Gid: as}}
	}
	return cmd
}

// messageForm: what happened, and a hint with the remedy (DESIGN §7).
var messageForm = regexp.MustCompile(`(?m)^evercred: .{10,}\n(.*\n)*hint: .{5,}`)

// judge holds the first run to what the scenario expects.
func (t *trial) judge(out stage.Outcome) {
	told := fmt.Sprintf("exit %d, signal %v, %q", out.Code, out.Signal, out.Messages)
	grants := t.login.Endpoint.Grants()
	if out.Code != t.code {
		t.blame("exit %d was expected: %s", t.code, told)
	}
	if t.grant != (grants == 1) || grants > 1 {
		t.blame("%d grants: %s", grants, told)
	}
	if !strings.Contains(out.Messages, t.says) || out.Code != 0 && !messageForm.MatchString(out.Messages) {
		t.blame("the message does not say %q and what to do: %s", t.says, told)
	}
	for _, word := range []string{"sk-ant-", "neighbour-secret", "goroutine ", "a bug"} {
		if strings.Contains(out.Messages, word) {
			t.blame("%q stands in the messages", word)
		}
	}
	doc, _ := os.ReadFile(t.login.Path())
	saved := t.saved()
	switch {
	case grants == 0 && !bytes.Equal(doc, t.document):
		t.blame("the file changed though there was no grant")
	case grants == 0 && out.Code == 0:
		t.outcome = "no grant; the valid token served, with a warning"
		if out.Token != t.login.First.Access {
			t.blame("the token served is not the stored one")
		}
	case grants == 0:
		t.outcome = fmt.Sprintf("no grant; says why, exit %d", out.Code)
	case issuer.Fingerprint(out.Token) != t.newest():
		t.blame("the token printed is not the newest: %s", told)
	case t.unsaved && saved: // it tries again before it ends
		t.outcome = "the new token served with a warning, and saved after all"
	case saved:
		t.outcome = "one grant, saved"
	case !t.unsaved:
		t.blame("not saved: %s", told)
	default:
		t.outcome = "the new token served with a warning, and saved by the next process"
	}
	if left := t.login.Leftovers(); len(left) > 0 && !t.litter {
		t.blame("%v: %s", left, told)
	}
}

// newest is the fingerprint of the newest access token.
func (t *trial) newest() string {
	access := issuer.Fingerprint(t.login.First.Access)
	for _, r := range t.login.Endpoint.Audit() {
		if r.Access != "" {
			access = r.Access
		}
	}
	return access
}

func (t *trial) saved() bool {
	access, _, _, err := t.login.Stored()
	return err == nil && issuer.Fingerprint(access) == t.newest()
}

// repeat mends, and then there is one grant in all, saved.
func (t *trial) repeat() error {
	if t.mend != nil {
		if err := t.mend(&t.stand); err != nil {
			return fmt.Errorf("mend: %w", err)
		}
	}
	as := t.as
	if t.mended != 0 || t.code == 7 {
		as = t.mended
	}
	if t.left > 0 { // a failure rests; the valid token would be served
		if err := t.login.Write(t.login.First.Access, t.login.First.Refresh, time.Now().Add(-time.Minute)); err != nil {
			return err
		}
	}
	ticks := time.NewTicker(50 * time.Millisecond)
	defer ticks.Stop()
	out := stage.Run(t.command(as, ""))
	for end := time.Now().Add(40 * time.Second); (out.Code == 5 || out.Code == 6) && time.Now().Before(end); <-ticks.C {
		out = stage.Run(t.command(as, ""))
	}
	if out.Code != 0 || issuer.Fingerprint(out.Token) != t.newest() || !t.saved() {
		t.blame("mended: exit %d, %q, saved: %t", out.Code, out.Messages, t.saved())
	}
	if n := t.login.Endpoint.Grants(); n != 1 {
		t.blame("mended: %d grants", n)
	}
	if n := t.login.Open(); n > 0 {
		t.blame("mended: %d attempts are still open", n)
	}
	for _, why := range t.login.Oracle() {
		t.blame("mended: %s", why)
	}
	if t.check != nil {
		if err := t.check(&t.stand); err != nil {
			t.blame("%v", err)
		}
	}
	return nil
}
