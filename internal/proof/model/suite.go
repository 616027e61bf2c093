// Package model explores every state of a small world: clients that do what
// internal/decide says, the endpoint, the store, the ledger, locks that can be
// stolen, messages that can be lost, and SIGKILL between any two steps.
//
// What decides is production's own code; the model performs it (flight.go) as
// refresh.go does.
package model

import (
	"fmt"

	"github.com/evercred/evercred/internal/proof/suite"
)

// Suite is T1. Its unit is the state.
func Suite() suite.Suite {
	return suite.Suite{
		ID: "T1", Name: "model",
		About:    "Every state of a small world: production's decisions under kills, lost messages and stolen locks.",
		Unit:     "states",
		Sizes:    suite.Sizes{Smoke: 50_000, CI: 500_000, Full: 5_000_000},
		Run:      run,
		Controls: controls(),
	}
}

func run(r *suite.Run) error {
	states, seconds := 0, 0.0
	for _, c := range cases(r.Size) {
		if !r.Wanted(c.Name) {
			continue
		}
		res, err := explore(r.Context(), &c, func(n, depth int) {
			r.Progress(states+n, fmt.Sprintf("(%s, depth %d)", c.Name, depth))
		})
		if err != nil {
			return err
		}
		states += res.states
		seconds += res.took.Seconds()
		for o, n := range res.counts {
			r.SawMany(o.fault, o.outcome, n)
		}
		if res.violation != "" {
			r.Violation(c.Name, "%s", res.violation)
		}
		r.Figure(c.Name, map[string]any{"states": res.states, "steps": res.steps, "depth": res.depth, "seconds": res.took.Seconds()})
	}
	r.Figure("states", states)
	if r.Only == "" && r.Size != suite.InControl {
		r.Gate(states >= r.N, "%d states explored, all that there are, in %.0f s", states, seconds)
	}
	return nil
}
