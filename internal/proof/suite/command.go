package suite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// command is `proof`.
type command struct {
	ctx         context.Context
	module, dir string // the module's directory; that of the package main which runs the suites
	suites      []Suite
	elsewhere   []Elsewhere
	progress    *progress

	size     string
	seed     uint64
	n        int
	only     string
	out      string
	overlay  string
	controls bool
	strict   bool
	part     bool // of a run that another program sums up
}

// Elsewhere is a program with more suites, in a module of its own, so that what
// it needs stays out of this one's graph.
type Elsewhere struct {
	Dir string // relative to the module
	IDs []string
}

// Main is the whole program of a package main in dir, relative to the module.
func Main(dir string, suites []Suite, elsewhere []Elsewhere, more ...*cobra.Command) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	c := &command{ctx: ctx, suites: suites, elsewhere: elsewhere, progress: newProgress(os.Stderr)}
	var err error
	if c.module, err = moduleDir(); err == nil {
		c.dir = filepath.Join(c.module, dir)
		err = c.root(more).ExecuteContext(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "proof:", err)
		os.Exit(1)
	}
}

// moduleDir is the directory of evercred's own module, above the working
// directory.
func moduleDir() (string, error) {
	dir, err := os.Getwd()
	for ; err == nil; dir = filepath.Dir(dir) {
		b, _ := os.ReadFile(filepath.Join(dir, "go.mod"))
		if strings.HasPrefix(string(b), "module github.com/evercred/evercred\n") {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("run this from a clone of evercred: its sources are what is examined")
		}
	}
	return "", err
}

func (c *command) root(more []*cobra.Command) *cobra.Command {
	root := &cobra.Command{
		Use:           "proof",
		Short:         "Try to break evercred, and write down what came of it",
		SilenceErrors: true, SilenceUsage: true,
	}
	run := &cobra.Command{
		Use:   "run SUITE… | all",
		Short: "Run suites, and their negative controls",
		Args:  cobra.MinimumNArgs(1),
		RunE:  func(_ *cobra.Command, ids []string) error { return c.run(ids) },
	}
	f := run.Flags()
	f.StringVar(&c.size, "size", Smoke, "smoke, ci, full or unscaled")
	f.IntVar(&c.n, "n", 0, "how many units, instead of the size's own")
	f.Uint64Var(&c.seed, "seed", 1, "the seed of every choice")
	f.StringVar(&c.only, "only", "", "the name of one case to replay")
	f.StringVar(&c.out, "out", "", "where the JSON records go (default: docs/proof for full and unscaled runs, else nowhere)")
	f.BoolVar(&c.controls, "controls", true, "run the negative controls as well")
	f.BoolVar(&c.strict, "strict", false, "what is skipped counts as failed")
	f.StringVar(&c.overlay, "overlay", "", "changes to the sources (for the negative controls)")
	f.BoolVar(&c.part, "part", false, "leave the sum to the caller")
	_ = f.MarkHidden("overlay")
	_ = f.MarkHidden("part")
	list := &cobra.Command{
		Use: "list", Short: "List the suites", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return c.list() },
	}
	root.AddCommand(run, list)
	root.AddCommand(more...)
	return root
}

func (c *command) list() error {
	for _, s := range c.suites {
		fmt.Printf("%-4s %-12s %s\n", s.ID, s.Name, s.About)
	}
	for _, e := range c.elsewhere {
		if err := c.there(e, "list"); err != nil {
			return err
		}
	}
	return nil
}

func (c *command) run(ids []string) error {
	if !slices.Contains([]string{Smoke, CI, Full, Unscaled, InControl}, c.size) {
		return fmt.Errorf("there is no size %q: smoke, ci, full or unscaled", c.size)
	}
	if c.out == "" && (c.size == Full || c.size == Unscaled) {
		c.out = filepath.Join(c.module, "docs", "proof")
	}
	all := slices.Contains(ids, "all")
	var tally tally
	known := 0
	for i := range c.suites {
		s := &c.suites[i]
		if !all && !slices.Contains(ids, s.ID) {
			continue
		}
		known++
		if c.size == Unscaled && s.Sizes.Unscaled == 0 {
			continue
		}
		tally.add(c.one(s))
	}
	for _, e := range c.elsewhere {
		for _, id := range e.IDs {
			if !all && !slices.Contains(ids, id) {
				continue
			}
			known++
			if rec, err := c.oneThere(e, id); err == nil {
				tally.add(rec)
			} else if !errors.Is(err, fs.ErrNotExist) || c.size != Unscaled { // not every suite has such a run
				return err
			}
		}
	}
	if !all && known < len(ids) {
		return fmt.Errorf("not all of %v are suites: see `list`", ids)
	}
	if !c.part {
		fmt.Printf("proof: %d passed, %d failed, %d skipped\n", tally.passed, tally.failed, tally.skipped)
	}
	if tally.failed > 0 || c.strict && tally.skipped > 0 {
		return errors.New("not everything held")
	}
	return nil
}

// oneThere runs one suite of another module, and reads what it wrote down.
func (c *command) oneThere(e Elsewhere, id string) (*Record, error) {
	out, err := os.MkdirTemp("", "evercred-records-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(out)
	failed := c.there(e, "run", id, "--part", "--size", c.size, "--n", fmt.Sprint(c.n), "--seed", fmt.Sprint(c.seed), "--only", c.only, "--out", out,
		fmt.Sprintf("--controls=%t", c.controls), fmt.Sprintf("--strict=%t", c.strict))
	rec, err := read((&Record{Suite: id, Size: c.size}).path(out))
	if err != nil {
		return nil, errors.Join(err, failed)
	}
	if c.out != "" {
		err = rec.write(rec.path(c.out))
	}
	return rec, err
}

// there runs the program of another module.
func (c *command) there(e Elsewhere, args ...string) error {
	cmd := exec.CommandContext(c.ctx, "go", append([]string{"run", "."}, args...)...)
	cmd.Dir = filepath.Join(c.module, e.Dir)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}

type tally struct{ passed, failed, skipped int }

func (t *tally) add(r *Record) {
	switch {
	case !r.Passed():
		t.failed++
	case len(r.Skipped) > 0:
		t.skipped++
	default:
		t.passed++
	}
}

// one runs a suite and its controls, and writes its record.
func (c *command) one(s *Suite) *Record {
	rec := newRecord(s, c.module)
	rec.Size, rec.Seed, rec.N, rec.Factor = c.size, c.seed, c.n, max(1, s.Factor)
	if rec.N == 0 {
		rec.N = map[string]int{Smoke: s.Sizes.Smoke, CI: s.Sizes.CI, InControl: s.Sizes.CI, Full: s.Sizes.Full, Unscaled: s.Sizes.Unscaled}[c.size]
	}
	if c.size == Unscaled {
		rec.Factor = 1
	}
	if why := s.lack(); why != "" {
		rec.Skipped = []string{"all of it: " + why}
		return c.finish(rec)
	}
	began := time.Now()
	if err := c.perform(s, rec); err != nil {
		rec.Failure = err.Error()
	}
	if c.controls && c.only == "" && c.size != Unscaled {
		if err := c.runControls(s, rec); err != nil && rec.Failure == "" {
			rec.Failure = err.Error()
		}
	}
	rec.Seconds = float64(time.Since(began).Milliseconds()) / 1000
	return c.finish(rec)
}

// finish writes the record and tells people.
func (c *command) finish(rec *Record) *Record {
	if c.out != "" {
		err := os.MkdirAll(c.out, 0o755)
		if err == nil {
			err = rec.write(rec.path(c.out))
		}
		if err != nil && rec.Failure == "" {
			rec.Failure = err.Error()
		}
	}
	c.summary(rec)
	return rec
}

// perform runs the suite in a directory that is gone afterwards.
func (c *command) perform(s *Suite, rec *Record) (err error) {
	dir, err := os.MkdirTemp("", "evercred-proof-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	ctx, stop := context.WithCancel(c.ctx)
	defer stop()
	r := &Run{Size: rec.Size, N: rec.N, Seed: rec.Seed, Only: c.only, Dir: dir, Factor: rec.Factor, Module: c.module, Overlay: c.overlay,
		ctx: ctx, stop: stop, record: rec, progress: c.progress}
	err = s.Run(r)
	if r.Size == InControl && rec.Violated > 0 {
		return nil // it was stopped at its first find
	}
	if err == nil {
		err = ctx.Err()
	}
	return err
}

// summary tells people what came of a run.
func (c *command) summary(r *Record) {
	verdict := "ok"
	switch {
	case !r.Passed():
		verdict = "FAILED"
	case len(r.Skipped) > 0:
		verdict = "skipped in part"
		if len(r.Cases) == 0 {
			verdict = "skipped"
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%-4s %-12s %s: %d cases, %d violations, %.0f s (%s, seed %d)\n", r.Suite, r.Name, verdict, r.Count(), r.Violated, r.Seconds, r.Size, r.Seed)
	list(&b, "skipped", r.Skipped)
	for _, g := range r.Gates {
		if !g.Met {
			fmt.Fprintf(&b, "     gate not met: %s\n", g.What)
		}
	}
	for _, k := range r.Controls {
		if k.Found == "" {
			fmt.Fprintf(&b, "     control NOT caught: %s\n", k.Rule)
		}
	}
	for _, v := range r.Violations {
		fmt.Fprintf(&b, "     violation: %s\n     replay: go run ./internal/proof run %s --size %s --seed %d --only %q\n", v.What, r.Suite, r.Size, r.Seed, v.Case)
	}
	if r.Failure != "" {
		fmt.Fprintf(&b, "     could not be finished: %s\n", r.Failure)
	}
	if n := len(r.Controls); n > 0 {
		fmt.Fprintf(&b, "     %d negative controls\n", n)
	}
	c.progress.say("")
	fmt.Print(b.String())
}

func list(w io.Writer, what string, lines []string) {
	for _, l := range lines {
		fmt.Fprintf(w, "     %s: %s\n", what, l)
	}
}
