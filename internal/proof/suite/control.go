package suite

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// Control is a negative control: a rule of the design, taken out of the very
// source that production is built from. The changed files never touch the
// tree: the compiler is given them as an overlay.
type Control struct {
	Rule  string // "no second look"
	Edits []Edit
	// Slow: it takes minutes, so that only a full run has the time for it.
	Slow bool
	// Only is the case that must find it; empty: the whole suite is run, at the
	// size of CI, until something does.
	Only string
}

// Edit replaces a text that occurs exactly once in a file of the module.
type Edit struct{ File, Old, New string }

// overlay writes the changed files into dir, and the file that go build
// -overlay wants, which adds to the one at base, if there is one.
func overlay(module, dir, base string, edits []Edit) (string, error) {
	var o struct{ Replace map[string]string }
	if base != "" {
		b, err := os.ReadFile(base)
		if err == nil {
			err = json.Unmarshal(b, &o)
		}
		if err != nil {
			return "", err
		}
	}
	if o.Replace == nil {
		o.Replace = map[string]string{}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	for _, e := range edits {
		path := filepath.Join(module, e.File)
		from := path
		if changed, ok := o.Replace[path]; ok {
			from = changed
		}
		text, err := os.ReadFile(from)
		if err != nil {
			return "", err
		}
		if n := bytes.Count(text, []byte(e.Old)); n != 1 {
			return "", fmt.Errorf("%s: %q occurs %d times and not once; the control has to follow the code", e.File, e.Old, n)
		}
		to := filepath.Join(dir, fmt.Sprint(len(o.Replace), "-", filepath.Base(e.File)))
		if from != path {
			to = filepath.Join(dir, "again-"+filepath.Base(from))
		}
		if err := os.WriteFile(to, bytes.Replace(text, []byte(e.Old), []byte(e.New), 1), 0o600); err != nil {
			return "", err
		}
		o.Replace[path] = to
	}
	b, err := json.Marshal(o)
	if err != nil {
		return "", err
	}
	name := filepath.Join(dir, "overlay.json")
	return name, os.WriteFile(name, b, 0o600)
}

// Fit reports which control of a suite no longer has its text in the source of
// the module, or has it more than once. It writes to dir.
func (s Suite) Fit(module, dir string) error {
	var errs []error
	for i, ctl := range s.Controls {
		if _, err := overlay(module, filepath.Join(dir, fmt.Sprint(s.ID, i)), "", ctl.Edits); err != nil {
			errs = append(errs, fmt.Errorf("%s, control %q: %w", s.ID, ctl.Rule, err))
		}
	}
	return errors.Join(errs...)
}

// runControls runs those of a suite, in their order. Where no protocol time counts
// they share the machine, since each spends half of its time in the compiler.
func (c *command) runControls(s *Suite, rec *Record) error {
	var due []Control
	for _, ctl := range s.Controls {
		if !ctl.Slow || rec.Size == Full {
			due = append(due, ctl)
		}
	}
	found, errs := make([]Controlled, len(due)), make([]error, len(due))
	free := make(chan struct{}, 2)
	if s.Factor > 1 {
		free = make(chan struct{}, 1)
	}
	var wg sync.WaitGroup
	for i, ctl := range due {
		free <- struct{}{}
		wg.Go(func() {
			defer func() { <-free }()
			c.progress.show(fmt.Sprintf("%s without a rule: %s", s.ID, ctl.Rule))
			if found[i], errs[i] = c.control(s, ctl, c.seed); errs[i] != nil {
				errs[i] = fmt.Errorf("control %q: %w", ctl.Rule, errs[i])
			}
		})
	}
	wg.Wait()
	rec.Controls = found
	return errors.Join(errs...)
}

// control runs a suite without a rule, in a runner that is built without it,
// and reports the first violation that it found.
func (c *command) control(s *Suite, ctl Control, seed uint64) (Controlled, error) {
	dir, err := os.MkdirTemp("", "evercred-control-")
	if err != nil {
		return Controlled{}, err
	}
	defer os.RemoveAll(dir)
	over, err := overlay(c.module, filepath.Join(dir, "overlay"), "", ctl.Edits)
	if err != nil {
		return Controlled{}, err
	}
	runner := filepath.Join(dir, "proof")
	if err := goRun(c.dir, over, "build", "-o", runner, "."); err != nil {
		return Controlled{}, err
	}
	out := filepath.Join(dir, "out")
	args := []string{"run", s.ID, "--size", InControl, "--controls=false", "--overlay", over, "--seed", fmt.Sprint(seed), "--out", out}
	if ctl.Only != "" {
		args = append(args, "--only", ctl.Only)
	}
	cmd := exec.CommandContext(c.ctx, runner, args...)
	cmd.Dir, cmd.Env = c.module, Env(dir)
	text, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return Controlled{}, err
	}
	rec, err := read(filepath.Join(out, s.ID+".json"))
	if err != nil {
		return Controlled{}, fmt.Errorf("the control left no record: %w\n%s", err, text)
	}
	found := Controlled{Rule: ctl.Rule}
	if len(rec.Violations) > 0 {
		found.Found = rec.Violations[0].What
	} else if rec.Failure != "" {
		return found, fmt.Errorf("the control did not get to its end: %s\n%s", rec.Failure, text)
	}
	return found, nil
}

// goRun runs the go command in dir, with an overlay.
func goRun(dir, overlay string, args ...string) error {
	if overlay != "" {
		args = append([]string{args[0], "-overlay", overlay}, args[1:]...)
	}
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}
