// Command proof tries to break evercred, and writes down what came of it. The
// suites are those of docs/proof.md.
//
//	go run ./internal/proof list
//	go run ./internal/proof run T3                 # a few seconds of one suite
//	go run ./internal/proof run all --size full    # what docs/proof records
//	go run ./internal/proof run T2 --seed 7 --only 1234
//	go run ./internal/proof table                  # fault × outcome, from docs/proof
//
// It touches nothing outside temporary directories, and sends to nothing but
// loopback.
package main

import (
	"github.com/evercred/evercred/internal/proof/clock"
	"github.com/evercred/evercred/internal/proof/crashes"
	"github.com/evercred/evercred/internal/proof/cuts"
	syscalls "github.com/evercred/evercred/internal/proof/faults"
	"github.com/evercred/evercred/internal/proof/fuzzing"
	"github.com/evercred/evercred/internal/proof/model"
	"github.com/evercred/evercred/internal/proof/mounts"
	"github.com/evercred/evercred/internal/proof/mutants"
	"github.com/evercred/evercred/internal/proof/partner"
	"github.com/evercred/evercred/internal/proof/sim"
	"github.com/evercred/evercred/internal/proof/storm"
	"github.com/evercred/evercred/internal/proof/suite"
)

func main() {
	suite.Main("internal/proof", suites(), elsewhere, tableCommand(), partner.Command())
}

// suites in the order of docs/proof.md.
func suites() []suite.Suite {
	return []suite.Suite{
		model.Suite(),
		sim.Suite(),
		crashes.Suite(),
		syscalls.Suite(),
		mounts.Suite(),
		partner.Suite(),
		storm.Suite(),
		cuts.Suite(),
		fuzzing.Suite(),
		mutants.Suite(),
		clock.Suite(),
	}
}

// elsewhere are the suites that need a library of somebody else's.
var elsewhere = []suite.Elsewhere{{Dir: "internal/proof/extra", IDs: []string{"T5", "T10", "P"}}}
