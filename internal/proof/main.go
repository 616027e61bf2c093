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

import "github.com/evercred/evercred/internal/proof/suite"

func main() {
	suite.Main("internal/proof", []suite.Suite{}, nil)
}
