// Package peers lets other programs that renew a login do what evercred does:
// the same race and the same kills, each with its own code, on the same machine
// and endpoint. What they lose is a figure; only what evercred loses is a
// violation.
package peers

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/evercred/evercred/internal/issuer"
	"github.com/evercred/evercred/internal/proof/suite"
)

// Suite is the row P of docs/proof.md.
func Suite() suite.Suite {
	return suite.Suite{
		ID: "P", Name: "peers", Unit: "repeats of each cell",
		About: "the same race and the same kills for evercred, the official SDKs, npm tools and the crate before it",
		Needs: []suite.Need{suite.Linux, suite.Root, suite.Node, suite.NPM},
		Sizes: suite.Sizes{Smoke: 1, CI: 1, Full: 4},
		Run:   run,
		Controls: []suite.Control{
			{
				Rule: "no lock between processes",
				Edits: []suite.Edit{
					{File: "internal/ledger/guard.go", Old: "err := f.TryLock()", New: "var err error"},
					{File: "filestore/lock.go", Old: "if s.opts.Owner != nil {", New: "if false {"},
				},
			},
			{
				Rule:  "SIGTERM waits for the answer",
				Edits: []suite.Edit{{File: "internal/cli/session.go", Old: "signal.Notify(s.signals, sig)", New: "_ = sig"}},
				Only:  "kill/evercred, the command/strict/SIGTERM/while the answer is delayed/0",
			},
		},
	}
}

// window is for how long the idempotent endpoint repeats an answer.
const window = 5 * time.Minute

func run(r *suite.Run) error {
	all, err := field(r)
	if err != nil {
		return err
	}
	n, err := newLoopback()
	if err != nil {
		return err
	}
	defer n.close()
	var rows []Row
	var killed []Killed
	ours := true
	for i := range all {
		p := &all[i]
		lead, err := n.lead(r, p)
		if err != nil {
			return err
		}
		for _, profile := range []issuer.Profile{issuer.Strict(), issuer.Idempotent(window)} {
			first := len(rows)
			for _, clients := range crowds(r.Size, p) {
				row, err := n.races(r, p, profile, clients)
				if err != nil {
					return err
				}
				r.Progress(row.Races, fmt.Sprintf("(%s, %s, %d clients)", p.name, row.Profile, clients))
				if row.Races > 0 {
					rows = append(rows, row)
				}
				ours = ours && (!p.ours || row.Races == 0 || row.Grants == "1" && row.Reuses == 0 && row.Lost == 0 && row.Bytes == "0")
			}
			if r.Only != "" && !strings.HasPrefix(r.Only, "kill/"+p.name+"/"+name(profile)) {
				continue
			}
			k, err := n.storm(r, p, profile, lead)
			if err != nil {
				return err
			}
			killed = append(killed, k...)
			if first < len(rows) { // clients are killed one at a time, so this belongs to no crowd
				rows[first].Kill, rows[first].Term = lostOf(k, "SIGKILL"), lostOf(k, "SIGTERM")
			}
		}
	}
	r.Figure("peers", rows)
	r.Figure("killed", killed)
	r.Figure("not driven", notDriven)
	r.Gate(ours, "evercred: 1 grant, 0 reuses, 0 lost, 0 bytes of neighbours at each number of clients up to %d", slices.Max(crowds(r.Size, &all[0])))
	return nil
}

// crowds are how many clients race. A node takes half a second to load, which CI
// does not have sixteen times.
func crowds(size string, p *peer) []int {
	switch {
	case size == suite.Full:
		return []int{2, 4, 8, 16, 64}
	case size == suite.Smoke:
		return []int{2, 4}
	case p.argv[0] == "node":
		return []int{2, 4, 8}
	}
	return []int{2, 4, 8, 16}
}

// lostOf sums the moments up.
func lostOf(all []Killed, signal string) string {
	lost, kills := 0, 0
	for _, k := range all {
		if k.Signal == signal {
			lost, kills = lost+k.Lost, kills+k.Kills
		}
	}
	return fmt.Sprintf("%d of %d", lost, kills)
}
