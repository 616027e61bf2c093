// Package faults runs the real command under strace, which makes system calls
// of its transaction fail, one at a time, or kills it there (T4 of the proof).
package faults

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/evercred/evercred/internal/proof/stage"
	"github.com/evercred/evercred/internal/proof/suite"
)

// Suite is T4.
func Suite() suite.Suite {
	return suite.Suite{
		ID:       "T4",
		Name:     "faults",
		About:    "The real command, with system calls of its transaction made to fail, or to be its last.",
		Unit:     "runs",
		Needs:    []suite.Need{suite.Linux, suite.Strace},
		Sizes:    suite.Sizes{Smoke: 60, CI: 400, Full: 3200},
		Factor:   5,
		Run:      run,
		Controls: controls,
	}
}

// workers are how many cases run at once.
const workers = 3

func run(r *suite.Run) error {
	out, err := exec.CommandContext(r.Context(), "strace", "-V").Output()
	if err != nil {
		return fmt.Errorf("strace: %w", err)
	}
	version, _, _ := strings.Cut(string(out), "\n")
	r.Version("strace", strings.TrimPrefix(version, "strace -- version "))
	path, err := r.Build("./cmd/evercred", r.Factor)
	if err != nil {
		return err
	}
	program := stage.Program{Path: path}
	var faults []fault
	if f, ok := parse(r.Only); ok {
		faults = []fault{f}
	} else {
		most, err := rehearse(r, program)
		if err != nil {
			return err
		}
		faults = slices.DeleteFunc(plan(most, r.Rand("plan")), func(f fault) bool { return r.Only != "" && !f.asked(r.Only) })
		r.Figure("possible", len(faults))
	}
	return perform(r, program, faults)
}

// rehearse counts the calls of each scene that no fault disturbs.
func rehearse(r *suite.Run, program stage.Program) (map[string]map[string]int, error) {
	most := map[string]map[string]int{}
	for _, s := range scenes {
		if r.Only != "" && !strings.HasPrefix(r.Only, s.name+"/") && r.Only != s.name+", undisturbed" {
			continue
		}
		o, t, wrong, err := undisturbed(r, program, s)
		for n := 0; n < 5 && err == nil && (o.Code == 5 || o.Code == 6); n++ { // a machine too busy for shortened times
			o, t, wrong, err = undisturbed(r, program, s)
		}
		if err != nil {
			return nil, err
		}
		if o.Code != 0 || len(wrong) > 0 {
			r.Violation(s.name+", undisturbed", "exit %d: %s %v", o.Code, o.Messages, wrong)
		}
		most[s.name] = t.most
		r.Figure("calls traced, "+s.name, len(t.calls))
	}
	return most, nil
}

// undisturbed runs a scene under strace, without a fault.
func undisturbed(r *suite.Run, program stage.Program, s scene) (o stage.Outcome, t *trace, wrong []string, err error) {
	dir, err := r.Temp()
	if err != nil {
		return o, nil, nil, err
	}
	defer os.RemoveAll(dir)
	p, err := newPlace(r.Context(), s, dir, "strict", program)
	if err != nil {
		return o, nil, nil, err
	}
	defer p.login.Close()
	o, t, err = tracer{calls: strings.Join(calls(), ",")}.run(program.Command(r.Context(), p.login, "token"), filepath.Join(dir, "trace"))
	return o, t, p.login.Oracle(), err
}

// perform tries faults until as many as wanted have hit.
func perform(r *suite.Run, program stage.Program, faults []fault) error {
	var (
		wg           sync.WaitGroup
		once         sync.Once
		failure      error
		hits, misses atomic.Int64
		next         = make(chan fault)
	)
	for range workers {
		wg.Go(func() {
			for f := range next {
				hit, err := one(r, program, f)
				if err != nil && r.Context().Err() == nil {
					once.Do(func() { failure = fmt.Errorf("%v: %w", f, err) })
				}
				if hit {
					r.Progress(int(hits.Add(1)), f.String())
				} else {
					misses.Add(1)
				}
			}
		})
	}
	for _, f := range faults {
		if int(hits.Load()) >= r.N || r.Context().Err() != nil {
			break
		}
		next <- f
	}
	close(next)
	wg.Wait()
	r.Figure("faults that hit", hits.Load())
	r.Figure("faults whose occurrence did not come again", misses.Load())
	if r.Only == "" && r.Context().Err() == nil {
		r.Gate(int(hits.Load()) >= r.N, "%d runs in which the fault hit", r.N)
	}
	return failure
}

// one is a case from its directory to the table.
func one(r *suite.Run, program stage.Program, f fault) (hit bool, err error) {
	dir, err := r.Temp()
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(dir)
	// What has begun is ended even if the run is to stop: a strace that is killed
	// leaves what it started.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), 2*time.Minute)
	defer cancel()
	// A thread that came otherwise may have made the call less often: once more.
	var res result
	for n := 0; n < 3 && !res.fired; n++ {
		sub := filepath.Join(dir, fmt.Sprint(n))
		if err := os.Mkdir(sub, 0o700); err != nil {
			return false, err
		}
		if res, err = try(ctx, program, f, sub); err != nil {
			return false, err
		}
		if r.Only == "" {
			break
		}
	}
	if !res.fired {
		return false, nil
	}
	for _, why := range res.wrong {
		r.Violation(f.String(), "%s", why)
	}
	if len(res.wrong) == 0 {
		r.Saw(res.fault, res.outcome)
	}
	return true, nil
}
