// Package sim is suite T2: production code in bubbles of fake time, with a
// machine, a disk, processes, other programs and an endpoint that a seed drives.
package sim

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/evercred/evercred/internal/proof/suite"
)

// Suite is T2.
func Suite() suite.Suite {
	return suite.Suite{
		ID: "T2", Name: "simulation", Unit: "seeds",
		About:    "production code in a world that a seed decides: up to four processes, kills, power cuts, full disks, jumping clocks, other refreshers, and an endpoint with every fault",
		Sizes:    suite.Sizes{Smoke: 500, CI: 100_000, Full: 100_000},
		Run:      run,
		Tried:    suite.Asked,
		Controls: controls,
	}
}

// replays is how many seeds are run twice.
const replays = 200

func run(r *suite.Run) error {
	test, err := r.BuildTest("./internal/proof/sim")
	if err != nil {
		return err
	}
	t := &tally{r: r, test: test, hashes: map[uint64]string{}}
	if r.Only != "" {
		seed, err := strconv.ParseUint(r.Only, 10, 64)
		if err != nil {
			return fmt.Errorf("a case of T2 is a seed: %w", err)
		}
		return t.worker(seed, 1, 1)
	}
	workers := runtime.NumCPU()
	if err := t.workers(workers, r.N); err != nil || r.Size == suite.InControl {
		return err
	}
	same, err := t.replay(workers, min(replays, r.N))
	if err != nil {
		return err
	}
	r.Figure("replays", same)
	for name, n := range t.counts {
		r.Figure(name, n)
	}
	r.Gate(same == min(replays, r.N), "%d seeds replay exactly", min(replays, r.N))
	r.Gate(t.seeds >= r.N, "%d seeds", r.N)
	r.Gate(t.wrong == 0, "0 violations")
	return nil
}

// replay runs the first n seeds again and counts those with the same history.
// The scheduler of a busy machine interrupts a goroutine that has waited for the
// processor too long, in the first run as well, so a seed that differs is tried
// again until two runs of it agree.
func (t *tally) replay(workers, n int) (same int, err error) {
	first := t.hashes
	t.hashes, t.again = map[uint64]string{}, true
	if err := t.workers(workers, n); err != nil {
		return 0, err
	}
	for seed := t.r.Seed; seed < t.r.Seed+uint64(n); seed++ {
		seen := map[string]bool{first[seed]: true}
		for len(seen) < 6 && !seen[t.hashes[seed]] {
			seen[t.hashes[seed]] = true
			if err := t.worker(seed, 1, 1); err != nil {
				return 0, err
			}
		}
		if seen[t.hashes[seed]] {
			same++
			continue
		}
		t.r.Violation(fmt.Sprint(seed), "the same seed gave another history")
	}
	return same, nil
}

// tally is what the workers report.
type tally struct {
	r    *suite.Run
	test string

	mu     sync.Mutex
	again  bool // the seeds are run a second time, for their hashes
	hashes map[uint64]string
	counts map[string]int
	seeds  int
	wrong  int
}

// workers share out n seeds: worker k of w takes every w-th.
func (t *tally) workers(w, n int) error {
	errs := make([]error, w)
	var wg sync.WaitGroup
	for k := range w {
		wg.Go(func() {
			errs[k] = t.worker(t.r.Seed+uint64(k), w, (n-k+w-1)/w)
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// silence is how long one seed may take before it is said to hang.
const silence = 90 * time.Second

// worker runs n seeds in a process of its own, which has one processor.
func (t *tally) worker(from uint64, step, n int) error {
	if n <= 0 {
		return nil
	}
	ctx, stop := context.WithCancel(t.r.Context())
	defer stop()
	cmd := exec.CommandContext(ctx, t.test, "-test.run=^TestSeeds$", "-test.timeout=0", "-sim.json",
		fmt.Sprint("-sim.from=", from), fmt.Sprint("-sim.step=", step), fmt.Sprint("-sim.n=", n))
	dir, err := t.r.Temp()
	if err != nil {
		return err
	}
	cmd.Dir, cmd.Env = dir, suite.Env(dir)
	var rest strings.Builder
	cmd.Stderr = &rest
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	watchdog := time.AfterFunc(silence, stop)
	defer watchdog.Stop()
	seed, done := from, 0
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		watchdog.Reset(silence)
		line := lines.Text()
		if !strings.HasPrefix(line, "{") {
			rest.WriteString(line + "\n")
			continue
		}
		var l struct {
			Begins uint64
			report
		}
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			return err
		}
		if l.Begins != 0 {
			seed = l.Begins
			continue
		}
		done++
		t.add(&l.report)
	}
	err = cmd.Wait()
	switch {
	case t.r.Context().Err() != nil && done < n: // interrupted, or a control that has found its violation
		return nil
	case done < n:
		t.violation(seed, fmt.Sprintf("the process of the seed ended (%v): %.2000s", err, rest.String()))
	case err != nil:
		return fmt.Errorf("the worker of seed %d: %w\n%s", from, err, rest.String())
	}
	return nil
}

// report is what came of one seed.
type report struct {
	Seed    uint64         `json:"seed"`
	Hash    string         `json:"hash,omitempty"`
	Saw     []string       `json:"saw,omitempty"`
	Outcome string         `json:"outcome,omitempty"`
	Wrong   []string       `json:"wrong,omitempty"`
	Calls   int            `json:"calls"`
	Counts  map[string]int `json:"counts,omitempty"`
}

func (t *tally) add(r *report) {
	t.mu.Lock()
	if r.Seed < t.r.Seed+replays {
		t.hashes[r.Seed] = r.Hash
	}
	if t.again {
		t.mu.Unlock()
		return
	}
	t.seeds++
	n := t.seeds
	if t.counts == nil {
		t.counts = map[string]int{}
	}
	t.counts["calls answered"] += r.Calls
	for name, n := range r.Counts {
		t.counts[name] += n
	}
	t.mu.Unlock()
	if len(r.Saw) == 0 {
		r.Saw = []string{"nothing is done to it"}
	}
	for _, what := range r.Saw {
		t.r.Saw(what, r.Outcome)
	}
	for _, wrong := range r.Wrong {
		t.violation(r.Seed, wrong)
	}
	if n%100 == 0 {
		t.r.Progress(n, "")
	}
}

func (t *tally) violation(seed uint64, what string) {
	t.mu.Lock()
	t.wrong++
	t.mu.Unlock()
	t.r.Violation(fmt.Sprint(seed), "%s", what)
}
