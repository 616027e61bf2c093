// Command extra holds the suites of the proof that need more than evercred's
// own module may: a FUSE library, a checker of histories, the SDKs of others.
// `go run ./internal/proof` at the top of the repository calls it.
package main

import (
	"github.com/evercred/evercred/internal/proof/extra/fuse"
	"github.com/evercred/evercred/internal/proof/extra/history"
	"github.com/evercred/evercred/internal/proof/extra/peers"
	"github.com/evercred/evercred/internal/proof/suite"
)

func main() {
	suite.Main("internal/proof/extra", suites(), nil, peers.Command())
}

func suites() []suite.Suite {
	return []suite.Suite{fuse.Suite(), history.Suite(), peers.Suite()}
}
