// Package partner sets evercred's lock against the genuine npm proper-lockfile,
// which the owners use (PROOF T7).
package partner

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/evercred/evercred/internal/proof/suite"
	"github.com/evercred/evercred/internal/timing"
)

// Suite is T7.
//
// The factor is small, since a partner's own haste does not scale: it takes
// milliseconds from its look at a stale lock to its rmdir, whatever our settling
// is. Many logins at once make the rounds many, each watched as long as it takes.
func Suite() suite.Suite {
	return suite.Suite{
		ID: "T7", Name: "lock", Unit: "rounds", Factor: 2,
		About:    "The owner's locks against the genuine proper-lockfile: stale, stopped, killed and skewed holders.",
		Needs:    []suite.Need{suite.Linux, suite.Node, suite.NPM},
		Sizes:    suite.Sizes{Smoke: 20, CI: 1000, Full: 10000, Unscaled: 100},
		Run:      run,
		Tried:    suite.Asked,
		Controls: controls,
	}
}

var controls = []suite.Control{
	{Rule: "no settling", Edits: []suite.Edit{{
		File: "internal/dirlock/acquire.go",
		Old:  "if !pause(ctx, set.settling(a.places)) || set.look() != nil {",
		New:  "if set.look() != nil {",
	}}},
	{Slow: true, Rule: "a takeover by age alone, without watching", Edits: []suite.Edit{{
		File: "internal/dirlock/place.go",
		Old:  "case still < t.Watch, ",
		New:  "case ",
	}}},
	{Slow: true, Rule: "a takeover after the watching, whatever the age", Edits: []suite.Edit{{
		File: "internal/dirlock/place.go",
		Old:  "case still < t.Watch, p.line.Clock.Now().Sub(i.ModTime) <= p.Stale:",
		New:  "case still < t.Watch:",
	}}},
	{Slow: true, Rule: "no look at whose the lock is, neither before the send nor at the release", Edits: []suite.Edit{
		{File: "internal/dirlock/lock.go", Old: "case !fsys.SameFile(i, l.self):", New: "case false:"},
		{File: "internal/dirlock/lock.go", Old: "case !l.bears(i):", New: "case false:"},
	}},
	{Slow: true, Rule: "a release without a look", Edits: []suite.Edit{{
		File: "internal/dirlock/lock.go",
		Old:  "if _, err := l.ours(); err != nil {\n\t\treturn err\n\t}\n\terr := l.fs.Rmdir(l.path)",
		New:  "err := l.fs.Rmdir(l.path)",
	}}},
	{Slow: true, Rule: "no beats", Edits: []suite.Edit{{
		File: "internal/dirlock/set.go",
		Old:  "case <-t.C:\n\t\t\ts.beat()",
		New:  "case <-t.C:",
	}}},
	{Slow: true, Rule: "a check after a standstill that neither beats nor settles", Edits: []suite.Edit{{
		File: "internal/dirlock/set.go",
		Old:  "pause(context.Background(), s.revive())",
		New:  "pause(context.Background(), 0)",
	}}},
	{Slow: true, Rule: "no guard among our own processes", Edits: []suite.Edit{{
		File: "internal/ledger/guard.go",
		Old:  "err := f.TryLock()",
		New:  "var err error",
	}}},
}

// Logins at once: many watch, few contend.
const (
	logins     = 64
	contenders = 20
)

func run(r *suite.Run) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	npm := filepath.Join(r.Dir, "npm")
	if why := install(r, npm); why != "" {
		r.Skip("all of it", why)
		return nil
	}
	home := filepath.Join(r.Dir, "home")
	if err := os.Mkdir(home, 0o700); err != nil {
		return err
	}
	f := &field{
		run:   r,
		times: timing.Default().Scaled(r.Factor),
		ours: newPool(contenders, func() *exec.Cmd {
			cmd := exec.Command(self, "contend", "--factor", fmt.Sprint(r.Factor))
			cmd.Dir, cmd.Env = r.Module, suite.Env(home)
			return cmd
		}),
		npm: newPool(contenders, func() *exec.Cmd {
			cmd := exec.Command("node", "partner.js")
			cmd.Dir, cmd.Env = npm, suite.Env(home)
			return cmd
		}),
	}
	defer f.ours.end()
	defer f.npm.end()
	// In memory, where there is such a place: what an fsync costs is not asked here.
	if f.dir, err = os.MkdirTemp("/dev/shm", "evercred-proof-"); err != nil {
		f.dir = r.Dir
	} else {
		defer os.RemoveAll(f.dir)
	}
	s := &score{field: f}
	if err := s.fight(); err != nil {
		return err
	}
	r.Gate(s.violated.Load() == 0, "no overlap of our critical section in %d rounds", s.fought.Load())
	if r.Only == "" {
		r.Gate(int(s.fought.Load()) >= r.N, "%d rounds", r.N)
		r.Gate(s.entered.Load()*10 >= s.fought.Load()*9, "ours entered in 9 of 10 rounds")
		if r.Size != suite.InControl {
			return s.compare()
		}
	}
	return nil
}

// install puts the package and our script into dir; a reason why not, for
// people, where the registry cannot be reached.
func install(r *suite.Run, dir string) string {
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(r.Module, "internal/proof/partner/testdata/npm"))); err != nil {
		return err.Error()
	}
	cmd := exec.CommandContext(r.Context(), "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier")
	cmd.Dir, cmd.Env = dir, suite.Env(r.Dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Sprintf("npm cannot install proper-lockfile: %v: %.200s", err, out)
	}
	version := exec.CommandContext(r.Context(), "node", "-p", "process.version + ' ' + require('proper-lockfile/package.json').version")
	version.Dir, version.Env = dir, cmd.Env
	out, err := version.Output()
	node, npm, ok := strings.Cut(strings.TrimSpace(string(out)), " ")
	if err != nil || !ok {
		return fmt.Sprintf("node does not find proper-lockfile: %v", err)
	}
	r.Version("node", node)
	r.Version("proper-lockfile", npm)
	return ""
}

// score is the sum of all rounds.
type score struct {
	*field
	fought, entered, violated, partners, excused atomic.Int64
}

// each plays cases in directories of their own, logins of them at once.
func (s *score) each(n int, name func(int) string, play func(i int, r *round) error) error {
	dirs := make(chan string, logins)
	for i := range min(n, logins) {
		dir, err := home(s.dir, i)
		if err != nil {
			return err
		}
		dirs <- dir
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var failed error // the first
	for i := range n {
		if !s.run.Wanted(name(i)) {
			continue
		}
		dir := <-dirs
		mu.Lock()
		stop := failed != nil
		mu.Unlock()
		if stop || s.run.Context().Err() != nil {
			break
		}
		wg.Go(func() {
			defer func() { dirs <- dir }()
			r := &round{field: s.field, name: name(i), dir: dir, rand: s.run.Rand(name(i))}
			err := play(i, r)
			r.leave()
			mu.Lock()
			if err != nil && failed == nil && s.run.Context().Err() == nil {
				failed = fmt.Errorf("%s: %w", r.name, err)
			}
			mu.Unlock()
		})
	}
	wg.Wait()
	return failed
}

func (s *score) fight() error {
	name := func(i int) string { return fmt.Sprintf("%s %d", of(i).name, i) }
	return s.each(s.run.N, name, func(i int, r *round) error {
		if err := of(i).play(r); err != nil {
			return err
		}
		s.note(of(i).name, r)
		s.run.Progress(int(s.fought.Load()), fmt.Sprintf("%d violations", s.violated.Load()))
		return nil
	})
}

// note judges a round and writes it down.
func (s *score) note(fault string, r *round) {
	// How long a partner may stand still between its look and its rmdir: what
	// INTEROP §3 measured as enough, and not what the settling of a control is.
	v := judge(r.actors, 100*time.Millisecond/time.Duration(s.run.Factor))
	entered, stopped, robbed := false, false, false
	for _, a := range r.actors {
		entered = entered || a.ours && (a.result.Entered || a.killed)
		stopped = stopped || a.ours && a.result.First != ""
		robbed = robbed || a.ours && a.result.Second != ""
	}
	s.fought.Add(1)
	if entered || stopped {
		s.entered.Add(1)
	}
	if v.between > 0 {
		s.partners.Add(1)
	}
	outcome := "alone in its section"
	switch {
	case len(v.wrong) > 0:
		s.violated.Add(1)
		outcome = "violated"
		s.run.Violation(r.name, "%s", strings.Join(v.wrong, "; "))
	case v.excused != "":
		s.excused.Add(1)
		outcome = v.excused
	case robbed:
		outcome = "robbed, and seen by the check before the save"
	case stopped:
		outcome = "robbed, and seen by the check before the send"
	case !entered:
		outcome = "gave up in time"
	}
	s.run.Saw(fault, outcome)
}

// compare is the partner against itself.
func (s *score) compare() error {
	rounds, overlapped := max(8, s.run.N/20), atomic.Int64{}
	err := s.each(rounds, func(i int) string { return fmt.Sprint("alone ", i) }, func(_ int, r *round) error {
		if err := alone(r); err != nil {
			return err
		}
		if judge(r.actors, 0).between > 0 {
			overlapped.Add(1)
		}
		return nil
	})
	s.run.Figure("overlaps of ours", s.violated.Load())
	s.run.Figure("rounds in which a partner without a lock walked in on ours", s.excused.Load())
	s.run.Figure("rounds in which two partners overlapped beside ours", s.partners.Load())
	s.run.Figure("8 partners alone: rounds", rounds)
	s.run.Figure("8 partners alone: rounds with an overlap", overlapped.Load())
	return err
}
