package fuse

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/evercred/evercred/internal/issuer"
	"github.com/evercred/evercred/internal/proof/stage"
	"github.com/evercred/evercred/internal/proof/suite"
	"github.com/evercred/evercred/owner/claudecode"
)

// bound is how long a command may take, whatever the disk does.
const bound = 60 * time.Second

// scenario is one case.
type scenario struct {
	name, fault string
	play        func(*scene)
}

// scene is a login on a disk of its own.
type scene struct {
	run      *suite.Run
	program  stage.Program
	name     string
	disk     *disk
	login    *stage.Login
	outcome  string
	document []byte // as it was laid
	forced   int    // grants beside the one that an expired login needs
}

// scenarios are every story at every moment, and those that are like no other.
func scenarios() []scenario {
	var all []scenario
	for _, s := range stories {
		all = append(all,
			scenario{s.name + ", fresh", s.name + ", fresh", func(c *scene) { c.fresh(s) }},
			scenario{s.name + ", expired", s.name + ", expired", func(c *scene) { c.expired(s) }},
			scenario{s.name + ", recovery", s.name + ", after a kill", func(c *scene) { c.recovery(s) }},
		)
	}
	for _, s := range []struct {
		name string
		play func(*scene)
	}{
		{"fsync dropped, power cut, retry window", func(c *scene) { c.powerCut(issuer.Idempotent(time.Hour)) }},
		{"fsync dropped, power cut, strict endpoint", func(c *scene) { c.powerCut(issuer.Strict()) }},
		{"foreign lock, an hour old", (*scene).foreignLock},
		{"a look that hangs, in a running program", (*scene).hangingLook},
	} {
		all = append(all, scenario{s.name, s.name, s.play})
	}
	return all
}

func run(r *suite.Run) error {
	path, err := r.Build("./cmd/evercred", r.Factor)
	if err != nil {
		return err
	}
	// The folders behind the disks are in memory: what an fsync costs here is up
	// to the lies, not to whoever else uses this machine.
	ram := filepath.Join(r.Dir, "ram")
	if err := os.Mkdir(ram, 0o700); err != nil {
		return err
	}
	if err := syscall.Mount("tmpfs", ram, "tmpfs", 0, "size=256m,mode=700"); err != nil {
		return &os.PathError{Op: "mount", Path: ram, Err: err}
	}
	defer syscall.Unmount(ram, syscall.MNT_DETACH)
	all := scenarios()
	stride := 1
	if r.Only == "" && r.N < len(all) {
		stride = len(all) / r.N
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var failed error
	played := 0
	turns := make(chan struct{}, 3)
	for i := 0; i < len(all); i += stride {
		s := all[i]
		if !r.Wanted(s.name) || r.Context().Err() != nil {
			continue
		}
		turns <- struct{}{}
		wg.Go(func() {
			defer func() { <-turns }()
			err := play(r, s, ram, stage.Program{Path: path})
			mu.Lock()
			defer mu.Unlock()
			if played++; err != nil && failed == nil {
				failed = fmt.Errorf("%s: %w", s.name, err)
			}
			r.Progress(played, s.name)
		})
	}
	wg.Wait()
	if r.Only == "" && r.Size != suite.Smoke {
		r.Gate(played >= 40, "at least 40 scenarios")
	}
	return failed
}

// play lays a login on a disk that is honest for the moment, and lets the
// scenario do what it does.
func play(r *suite.Run, s scenario, ram string, program stage.Program) error {
	dir, err := os.MkdirTemp(ram, "")
	if err != nil {
		return err
	}
	behind, at := filepath.Join(dir, "behind"), filepath.Join(dir, "disk")
	for _, d := range []string{behind, at} {
		if err := os.Mkdir(d, 0o700); err != nil {
			return err
		}
	}
	c := &scene{run: r, program: program, name: s.name}
	if c.disk, err = mount(behind, at); err != nil {
		return err
	}
	defer func() { c.disk.close() }() // a power cut mounts another
	// The oracle takes scopes for foreign bytes.
	b := issuer.Behaviour{Profile: issuer.Strict(), Members: map[string]string{"scope": ""}}
	if c.login, err = stage.New(at, -time.Minute, b); err != nil {
		return err
	}
	defer c.login.Close()
	if c.document, err = os.ReadFile(c.login.Path()); err != nil {
		return err
	}
	s.play(c)
	if r.Context().Err() == nil {
		r.Saw(s.fault, c.outcome)
	}
	return nil
}

func (c *scene) wrong(format string, args ...any) {
	c.run.Violation(c.name, format, args...)
	c.outcome = "violated"
}

// token runs `evercred token` within the bound.
func (c *scene) token(args ...string) stage.Outcome {
	ctx, cancel := context.WithTimeout(c.run.Context(), bound)
	defer cancel()
	o := stage.Run(c.program.Command(ctx, c.login, append([]string{"token", "--timeout", "10s"}, args...)...))
	if ctx.Err() != nil && c.run.Context().Err() == nil {
		c.wrong("evercred did not end within %s", bound)
	}
	if o.Code == 1 || bytes.Contains([]byte(o.Messages), []byte("a bug")) {
		c.wrong("exit %d: %s", o.Code, o.Messages)
	}
	return o
}

// tell begins the story; a late one with the first answer of the endpoint.
func (c *scene) tell(s story) {
	if s.late {
		grants := c.login.Endpoint.Grants()
		s.lie = s.lie.from(func() bool { return c.login.Endpoint.Grants() > grants })
	}
	c.disk.tell(s.lie)
}

func (c *scene) fresh(s story) {
	if err := c.login.Write(c.login.First.Access, c.login.First.Refresh, time.Now().Add(time.Hour)); err != nil {
		c.wrong("%v", err)
		return
	}
	c.tell(s)
	o := c.token()
	c.outcome = fmt.Sprintf("exit %d, no grant", o.Code)
	if o.Code == 0 {
		c.outcome = "served"
		if o.Token != c.login.First.Access {
			c.wrong("another token was served")
		}
	} else if s.want != anything {
		c.wrong("a valid token was not served: exit %d: %s", o.Code, o.Messages)
	}
	if n := c.login.Endpoint.Requests(); n > 0 {
		c.wrong("%d requests for a token that is fresh", n)
	}
	c.heal()
}

func (c *scene) expired(s story) {
	c.tell(s)
	o := c.token()
	grants := c.login.Endpoint.Grants()
	c.outcome = c.came(o, grants)
	access, _, _, err := c.login.Stored()
	saved := err == nil && access != c.login.First.Access
	switch s.want {
	case renewed:
		if o.Code != 0 || grants != 1 || !saved {
			c.wrong("it was not renewed: exit %d, %d grants, %s", o.Code, grants, o.Messages)
		}
	case refused:
		if o.Code != 7 || grants != 0 {
			c.wrong("a grant was asked for or the exit is not 7: exit %d, %d grants: %s", o.Code, grants, o.Messages)
		}
	case kept:
		if o.Code != 0 || grants != 1 {
			c.wrong("the new token was not served: exit %d, %d grants: %s", o.Code, grants, o.Messages)
		} else if !strings.Contains(o.Messages, "not saved") {
			c.wrong("the save is not durable, and nothing was said: %s", o.Messages)
		} else if c.login.Open() == 0 {
			c.wrong("the ledger let go of an answer whose save is not durable")
		}
	case unkept:
		if o.Code != 0 || grants != 1 || !strings.Contains(o.Messages, "saved") {
			c.wrong("the new token was not served with a warning: exit %d, %d grants: %s", o.Code, grants, o.Messages)
		}
		c.lost()
		return
	}
	c.end(s)
}

// end heals the disk, and where files could not be removed, lets one more
// refresh remove them: before it nobody looks for them.
func (c *scene) end(s story) {
	if s.litter {
		c.disk.tell(lie{})
		ctx, cancel := context.WithTimeout(c.run.Context(), bound)
		defer cancel()
		for c.forced == 0 && ctx.Err() == nil {
			switch o := stage.Run(c.program.Command(ctx, c.login, "refresh", "--force")); o.Code {
			case 0:
				c.forced = 1
			case 6: // a lock that is no process's any more is watched first
				<-time.After(time.Second)
			default:
				c.wrong("the disk is honest again, and yet: exit %d: %s", o.Code, o.Messages)
				return
			}
		}
	}
	c.heal()
}

// lost is the end where no byte of the answer could be kept anywhere and the
// process that had it in memory is gone: it is said, and nothing is harmed.
func (c *scene) lost() {
	c.disk.tell(lie{})
	o := c.token()
	doc, err := os.ReadFile(c.login.Path())
	if o.Code != 4 || !strings.Contains(o.Messages, "was lost") || err != nil || !bytes.Equal(doc, c.document) {
		c.wrong("a loss that is not told or did harm: exit %d, %v: %s", o.Code, err, o.Messages)
		return
	}
	c.outcome = "renewed and served; lost with the process, as it said"
}

// came is what came of a run, for the table.
func (c *scene) came(o stage.Outcome, grants int) string {
	switch {
	case o.Code == 0 && c.login.Open() == 0:
		return "renewed and saved"
	case o.Code == 0:
		return "renewed, served, and kept in the ledger"
	case grants == 0:
		return fmt.Sprintf("no grant, exit %d", o.Code)
	}
	return fmt.Sprintf("kept in the ledger, exit %d", o.Code)
}

// recovery meets what a process left that was killed with the answer on disk
// and the save not begun.
func (c *scene) recovery(s story) {
	reached, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	c.disk.tell(lie{before: func(op, path string) syscall.Errno {
		if !saves(op, path) {
			return 0
		}
		once.Do(func() { close(reached) })
		<-release
		return syscall.EIO
	}})
	cmd := c.program.Command(c.run.Context(), c.login, "token")
	ended := make(chan stage.Outcome, 1)
	go func() { ended <- stage.Run(cmd) }()
	select {
	case <-reached:
		_ = cmd.Process.Kill()
		close(release)
		<-ended
	case o := <-ended:
		close(release)
		c.wrong("the first process never came to its save: exit %d: %s", o.Code, o.Messages)
		return
	}
	c.disk.tell(lie{})
	if c.login.Open() == 0 {
		c.wrong("the killed process left no attempt")
	}
	c.disk.tell(s.lie) // late ones too: it had its answer
	o := c.token()
	switch {
	case o.Code == 0 && c.login.Open() == 0:
		c.outcome = "recovered and saved"
	case o.Code == 0:
		c.outcome = "recovered, served, and kept in the ledger"
	default:
		c.outcome = fmt.Sprintf("kept in the ledger, exit %d", o.Code)
	}
	if s.want == renewed && o.Code != 0 {
		c.wrong("it was not recovered: exit %d: %s", o.Code, o.Messages)
	}
	c.end(s)
}

// heal ends the lie. The next command must put everything right, with no grant
// but the one that an expired login needs.
func (c *scene) heal() {
	c.disk.tell(lie{})
	newest := c.login.Endpoint.Newest(c.login.ID)
	if doc, err := os.ReadFile(c.login.Path()); err != nil {
		c.wrong("the document: %v", err)
	} else if newest != "" && !bytes.Contains(doc, []byte(newest)) && !c.login.InEscrow(newest) {
		c.wrong("the newest refresh token is neither stored nor in the escrow")
	}
	// A shared pause after a failure is a second or two, and a dead lock is
	// watched for six before a save takes it over.
	var wrong []string
	for range 12 {
		if wrong = c.settled(); len(wrong) == 0 {
			break
		}
		<-time.After(time.Second)
	}
	for _, w := range wrong {
		c.wrong("%s", w)
	}
	if n := c.login.Endpoint.Grants(); n > 1+c.forced {
		c.wrong("%d grants", n)
	}
	if n := c.login.Endpoint.Reuses(); n > 0 {
		c.wrong("a spent token was sent %d times", n)
	}
}

// settled lets one more command come and says what is still wrong after it.
func (c *scene) settled() (wrong []string) {
	o := c.token()
	if o.Code != 0 {
		return []string{fmt.Sprintf("the disk is honest again, and yet: exit %d: %s", o.Code, o.Messages)}
	}
	if access, _, _, err := c.login.Stored(); err != nil || access != o.Token {
		wrong = append(wrong, fmt.Sprintf("what was served is not what is stored: %v", err))
	}
	return append(wrong, c.login.Oracle()...)
}

// powerCut: nothing that was written since is there any more, and every fsync
// said that it is. No program can keep a token on such a disk.
func (c *scene) powerCut(p issuer.Profile) {
	c.login.Endpoint.Behave(func(b *issuer.Behaviour) { b.Profile = p })
	before := filepath.Join(filepath.Dir(c.disk.behind), "before")
	if err := os.CopyFS(before, os.DirFS(c.disk.behind)); err != nil {
		c.wrong("%v", err)
		return
	}
	c.disk.tell(lie{stuck: true})
	if o := c.token(); o.Code != 0 {
		c.wrong("exit %d: %s", o.Code, o.Messages)
	}
	c.disk.close()
	err := os.RemoveAll(c.disk.behind)
	if err == nil {
		err = os.Rename(before, c.disk.behind)
	}
	if err == nil {
		err = tighten(c.disk.behind)
	}
	if err == nil {
		c.disk, err = mount(c.disk.behind, c.disk.at)
	}
	if err != nil {
		c.wrong("%v", err)
		return
	}
	o := c.token()
	if p != issuer.Strict() {
		c.outcome = "recovered by the retry window"
		if o.Code != 0 {
			c.wrong("the endpoint would answer again: exit %d: %s", o.Code, o.Messages)
		}
		return
	}
	c.outcome = "lost, said so, document untouched"
	doc, err := os.ReadFile(c.login.Path())
	if o.Code != 4 || err != nil || !bytes.Equal(doc, c.document) {
		c.wrong("exit %d, document %q, %v: %s", o.Code, doc, err, o.Messages)
	}
}

// tighten gives a copied login its modes back.
func tighten(behind string) error {
	return os.Chmod(filepath.Join(behind, "claude", ".credentials.json"), 0o600)
}

// foreignLock: the disk's times are another machine's, so age proves nothing;
// only what stood still under our eyes for long is dead.
func (c *scene) foreignLock() {
	refresh, _ := claudecode.LockPaths(c.login.Dir)
	old := time.Now().Add(-time.Hour)
	if err := os.Mkdir(refresh[0], 0o755); err != nil {
		c.wrong("%v", err)
		return
	}
	if err := os.Chtimes(refresh[0], old, old); err != nil {
		c.wrong("%v", err)
	}
	// Longer than Watch and shorter than WatchBlind, at our factor.
	if o := c.token("--timeout", "3500ms"); o.Code != 6 || c.login.Endpoint.Requests() != 0 {
		c.wrong("a lock was taken over by its age: exit %d: %s", o.Code, o.Messages)
	}
	if o := c.token(); o.Code != 0 {
		c.wrong("it was never taken over: exit %d: %s", o.Code, o.Messages)
	}
	c.outcome = "respected, then taken over by watching alone"
	c.heal()
}

// hangingLook is the library in a program that goes on: no caller waits for the
// disk while the token is valid.
func (c *scene) hangingLook() {
	if err := c.login.Write(c.login.First.Access, c.login.First.Refresh, time.Now().Add(time.Hour)); err != nil {
		c.wrong("%v", err)
		return
	}
	src, err := claudecode.OpenFile(c.login.Path(), &claudecode.Options{TokenURL: c.login.Endpoint.URL()})
	if err == nil {
		defer src.Close()
		_, err = src.Token(c.run.Context())
	}
	if err != nil {
		c.wrong("%v", err)
		return
	}
	hang := make(chan struct{})
	c.disk.tell(lie{before: func(op, _ string) syscall.Errno {
		if op == "lookup" || op == "getattr" {
			<-hang
		}
		return 0
	}})
	end := time.AfterFunc(8*time.Second, func() { close(hang) })
	worst := time.Duration(0)
	for range 8 {
		<-time.After(400 * time.Millisecond) // the probe is due each second
		began := time.Now()
		if _, err := src.Token(c.run.Context()); err != nil {
			c.wrong("%v", err)
		}
		worst = max(worst, time.Since(began))
	}
	c.outcome = "served at once"
	if worst > time.Second {
		c.wrong("a caller waited %s for the disk", worst)
	}
	if end.Stop() {
		close(hang)
	}
	c.disk.tell(lie{})
}
