// Package crashes kills a process of evercred, or cuts its power, at each
// operation on files, locks and network, and looks at what the next ones make
// of it.
//
// The disk is one in memory that knows what was synced; each process is the
// production code in a synctest bubble, run by this package's test.
package crashes

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"sync"

	"github.com/evercred/evercred/internal/proof/suite"
)

// Job is what the test is to do, in jobVar.
type Job struct {
	N             int
	Seed          uint64
	Only          string
	Shard, Shards int
}

// jobVar is the variable of the test's environment that holds its Job.
const jobVar = "EVERCRED_PROOF_CRASHES"

// Line is what the test says of one crash, or at its end.
type Line struct {
	Case, Fault, Outcome string
	Wrong                string // a broken promise; empty: none
	Points, Whole        int
}

// Suite is T3.
func Suite() suite.Suite {
	return suite.Suite{
		ID:       "T3",
		Name:     "crash points",
		About:    "SIGKILL and power cuts at every operation of refresh, recovery and save, and again in the recovery",
		Unit:     "states",
		Sizes:    suite.Sizes{Smoke: 400, CI: 4000, Full: 20000},
		Run:      run,
		Controls: controls(),
	}
}

// shards are the processes that share the work.
const shards = 2

func run(r *suite.Run) error {
	program, err := r.BuildTest("./internal/proof/crashes")
	if err != nil {
		return err
	}
	c := count{r: r}
	var group sync.WaitGroup
	errs := make([]error, shards)
	for i := range shards {
		group.Go(func() {
			errs[i] = c.work(r.Context(), program, Job{N: r.N, Seed: r.Seed, Only: r.Only, Shard: i, Shards: shards})
		})
	}
	group.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	if r.Only != "" {
		return nil
	}
	r.Figure("crash points", c.points)
	r.Figure("points with every legal subset tried", c.whole)
	r.Figure("states", c.states)
	if r.Size != suite.Smoke {
		r.Gate(c.states >= 3000, "at least 3,000 states: %d", c.states)
	}
	r.Gate(c.wrong == 0, "0 lost outside the excusable window, 0 torn, 0 stuck: %d", c.wrong)
	return nil
}

// count is what the shards found together.
type count struct {
	r             *suite.Run
	mu            sync.Mutex
	states, wrong int
	points, whole int
}

// work runs one shard and takes in what it says.
func (c *count) work(ctx context.Context, program string, job Job) error {
	text, err := json.Marshal(job)
	if err != nil {
		return err
	}
	dir, err := c.r.Temp()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, program, "-test.run=^TestCrashes$", "-test.timeout=0")
	cmd.Dir, cmd.Env = dir, suite.Env(dir, jobVar+"="+string(text), "GOMAXPROCS=1")
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var l Line
		if json.Unmarshal(lines.Bytes(), &l) == nil {
			c.take(l)
		} else {
			errs.WriteString(lines.Text() + "\n") // a panic, or the test's own words
		}
	}
	if err := cmd.Wait(); err != nil && ctx.Err() == nil {
		return fmt.Errorf("the crashes of shard %d: %w\n%s", job.Shard, err, errs.String())
	}
	return nil
}

func (c *count) take(l Line) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.points, c.whole = max(c.points, l.Points), max(c.whole, l.Whole)
	if l.Case == "" {
		return
	}
	c.states++
	c.r.Progress(c.states, "")
	if l.Wrong != "" {
		c.wrong++
		c.r.Violation(l.Case, "%s: %s", l.Case, l.Wrong)
		return
	}
	c.r.Saw(l.Fault, l.Outcome)
}
