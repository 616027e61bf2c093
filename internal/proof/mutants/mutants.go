// Package mutants asks of the tests what the tests ask of the code (T14): is
// every statement reached, and is a small mistake in it found?
package mutants

import (
	"fmt"
	"maps"
	"math"
	"strings"
	"sync"

	"github.com/evercred/evercred/internal/proof/suite"
)

// Suite is T14.
func Suite() suite.Suite {
	return suite.Suite{
		ID: "T14", Name: "mutants",
		About: "Statement coverage of transaction, lock, durable save and escrow, and small mistakes put into them that the tests must find.",
		Unit:  "mutants",
		Needs: []suite.Need{suite.Linux},
		Sizes: suite.Sizes{Smoke: 20, CI: 0, Full: 1000},
		Run:   run,
		Tried: func(r *suite.Record) (int, string) {
			n, _ := r.Figures[tried].(float64)
			return int(n), r.Unit
		},
		Controls: []suite.Control{
			{
				// Not by another statement in the source: go instruments the file on
				// disk, and not that of an overlay.
				Rule: "a statement without a test",
				Edits: []suite.Edit{{
					File: "internal/proof/mutants/unreachable.txt",
					Old:  "seal.go box if err",
					New:  "seal.go lid if err",
				}},
				Only: "coverage",
			},
			{
				Rule:  "tests that are not run",
				Edits: []suite.Edit{{File: "internal/proof/mutants/hunt.go", Old: `"-test.run="+pattern`, New: `"-test.run=^$", "-test.count="+pattern[:0]+"1"`}},
				Only:  decisions,
			},
		},
	}
}

// decisions is the case of a few mutants of internal/decide, whose tests take
// no time.
const decisions = "decisions"

// tried is the figure that says how many mutants were tried, of all that could be
// made.
const tried = "mutants tried"

// enough of the mutants must be found.
const enough = 0.9

func run(r *suite.Run) error {
	switch {
	case r.Only == "coverage":
		return coverage(r)
	case r.Only == decisions:
		return sample(r, subjects[:1], 20)
	case r.Only == "" && r.Size == suite.Smoke:
		return sample(r, subjects[:1], r.N)
	case r.Only != "":
		return sample(r, subjects, math.MaxInt)
	}
	if err := coverage(r); err != nil || r.N == 0 {
		return err
	}
	return sample(r, subjects, r.N)
}

// sample hunts n mutants, chosen by the seed.
func sample(r *suite.Run, of []subject, n int) error {
	p, err := instrument(r, of)
	if err != nil {
		return err
	}
	same, err := listing(equivalent)
	if err != nil {
		return err
	}
	var chosen []Mutant
	equal, idle := 0, maps.Clone(same)
	for _, m := range p.mutants {
		_, known := same[m.Key]
		delete(idle, m.Key)
		switch {
		case r.Only == m.Name:
			chosen = append(chosen, m)
		case known:
			equal++
		case r.Only == "" || r.Only == decisions:
			chosen = append(chosen, m)
		}
	}
	if len(chosen) == 0 {
		return fmt.Errorf("there is no mutant %q", r.Only)
	}
	if r.Only == "" && len(of) == len(subjects) {
		for key := range idle { // the source has changed, and the reason may no longer hold
			r.Violation("equivalent", "equivalent.txt speaks of what is not there: %s", key)
		}
	}
	all := len(chosen)
	r.Rand("sample").Shuffle(len(chosen), func(i, j int) { chosen[i], chosen[j] = chosen[j], chosen[i] })
	chosen = chosen[:min(n, len(chosen))]

	h := &hunter{r: r}
	if err := h.build(p, of); err != nil {
		return err
	}
	if err := h.learn(); err != nil {
		return err
	}
	var mu sync.Mutex
	found, done := 0, 0
	var survivors []string
	err = each(r, chosen, func(den string, m Mutant) error {
		killed, by := h.hunt(den, m)
		if r.Context().Err() != nil {
			return nil
		}
		by, output, _ := strings.Cut(by, "\n")
		mu.Lock()
		defer mu.Unlock()
		done++
		r.Progress(done, "")
		r.Saw(m.Operator, by)
		if killed {
			found++
			if r.Only == m.Name {
				r.Logf("%s: %s\n%s", m.Key, by, output)
			}
			return nil
		}
		survivors = append(survivors, m.Name+"  "+m.Key)
		if r.Only == m.Name {
			r.Violation(m.Name, "no test finds it: %s", m.Key)
		}
		return nil
	})
	if err != nil {
		return err
	}
	share := float64(found) / float64(len(chosen))
	r.Figure("mutants", all)
	r.Figure("mutants equivalent by hand", equal)
	r.Figure(tried, len(chosen))
	r.Figure("mutants found", found)
	r.Figure("mutants found, in percent", math.Round(share*1000)/10)
	r.Figure("mutants not found", survivors)
	r.Gate(share >= enough, "at least %.0f %% of the mutants are found: %d of %d tried, of %d", 100*enough, found, len(chosen), all)
	if share < enough && r.Only == decisions {
		r.Violation(decisions, "only %d of %d mutants are found", found, len(chosen))
	}
	return nil
}
