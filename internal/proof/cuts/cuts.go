// Package cuts breaks the connection to the token endpoint at every byte: of
// the answer, of the request, of the TLS handshake, and before them all. What
// evercred makes of it must be right each time: not sent, unknown, granted.
//
// The production grant and Source run in a synctest bubble, in this package's
// test, over a network in memory.
package cuts

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"sync"

	"github.com/evercred/evercred/internal/proof/suite"
)

// Job is what the test is to do, in jobVar.
type Job struct {
	N             int // how many cuts, at least; all of them if there are fewer
	Only          string
	Shard, Shards int
}

// jobVar is the variable of the test's environment that holds its Job.
const jobVar = "EVERCRED_PROOF_CUTS"

// Line is what the test says of one cut.
type Line struct {
	Case, Fault, Outcome string
	Wrong                string // a broken promise; empty: none
}

// Suite is T9.
func Suite() suite.Suite {
	return suite.Suite{
		ID:       "T9",
		Name:     "cuts",
		About:    "the answer cut at every byte on every profile; connect, TLS and the request cut as well",
		Unit:     "cuts",
		Sizes:    suite.Sizes{Smoke: 500, CI: every, Full: every},
		Run:      run,
		Controls: controls(),
	}
}

// every is more than there are.
const every = 100000

// shards are the processes that share the work.
const shards = 2

func run(r *suite.Run) error {
	program, err := r.BuildTest("./internal/proof/cuts")
	if err != nil {
		return err
	}
	c := count{r: r}
	var group sync.WaitGroup
	errs := make([]error, shards)
	for i := range shards {
		group.Go(func() {
			errs[i] = c.work(program, Job{N: r.N, Only: r.Only, Shard: i, Shards: shards})
		})
	}
	group.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	if r.Only == "" {
		r.Figure("cuts", c.done)
		r.Gate(c.done > 0 && c.wrong == 0, "classification right in 100 %%: %d of %d", c.done-c.wrong, c.done)
	}
	return nil
}

// count is what the shards found together.
type count struct {
	r           *suite.Run
	mu          sync.Mutex
	done, wrong int
}

// work runs one shard and takes in what it says.
func (c *count) work(program string, job Job) error {
	text, err := json.Marshal(job)
	if err != nil {
		return err
	}
	dir, err := c.r.Temp()
	if err != nil {
		return err
	}
	ctx := c.r.Context()
	cmd := exec.CommandContext(ctx, program, "-test.run=^TestCuts$", "-test.timeout=0")
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
		return fmt.Errorf("the cuts of shard %d: %w\n%s", job.Shard, err, errs.String())
	}
	return nil
}

func (c *count) take(l Line) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done++
	c.r.Progress(c.done, "")
	if l.Wrong != "" {
		c.wrong++
		c.r.Violation(l.Case, "%s: %s", l.Case, l.Wrong)
		return
	}
	c.r.Saw(l.Fault, l.Outcome)
}
