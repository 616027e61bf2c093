// Package clock is suite T15: what clocks, endpoints and files say of time, and
// what comes of it, in bubbles of fake time.
package clock

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"

	"github.com/evercred/evercred/internal/proof/suite"
)

// Suite is T15.
func Suite() suite.Suite {
	return suite.Suite{
		ID: "T15", Name: "time", Unit: "cases",
		About:    "clocks that jump and machines that sleep in every phase, and every odd number for a time in files and answers",
		Sizes:    suite.Sizes{Smoke: 60, CI: 60, Full: 60},
		Run:      run,
		Controls: controls,
	}
}

// report is what came of one case.
type report struct {
	Group string   `json:"group"`
	Name  string   `json:"name"`
	Wrong []string `json:"wrong,omitempty"`
}

func run(r *suite.Run) error {
	test, err := r.BuildTest("./internal/proof/clock")
	if err != nil {
		return err
	}
	dir, err := r.Temp()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(r.Context(), test, "-test.run=^TestCases$", "-clock.json", "-clock.only="+r.Only)
	cmd.Dir, cmd.Env = dir, suite.Env(dir)
	out, err := cmd.CombinedOutput()
	last, n, wrong := "the first", 0, 0
	for line := range bytes.Lines(out) {
		var c report
		if len(line) == 0 || line[0] != '{' || json.Unmarshal(line, &c) != nil {
			continue
		}
		n, last = n+1, c.Name
		if len(c.Wrong) == 0 {
			r.Saw(c.Group, "as it must be")
			continue
		}
		r.Saw(c.Group, "wrong")
		for _, what := range c.Wrong {
			wrong++
			r.Violation(c.Name, "%s", what)
		}
		r.Progress(n, "")
	}
	if err != nil && r.Context().Err() == nil {
		if n == 0 {
			return fmt.Errorf("the cases of time: %w\n%s", err, out)
		}
		r.Violation(last, "the case after this one ended the process: %v: %.2000s", err, tail(out))
	}
	if r.Only == "" {
		r.Gate(n >= r.N, "%d cases of time, at least %d", n, r.N)
	}
	r.Gate(wrong == 0, "each comes out as it must")
	return nil
}

func tail(b []byte) []byte { return b[max(0, len(b)-2000):] }
