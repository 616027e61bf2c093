// Package storm is T8 of the proof: 64 processes and 4 refreshers of somebody
// else's on one login that is renewed all the time, while some of them are
// killed and others stopped. What they all did is kept as a History, for the
// checker of histories (T10).
package storm

import (
	"fmt"
	"time"

	"github.com/evercred/evercred/internal/issuer"
	"github.com/evercred/evercred/internal/proof/suite"
)

// Suite is T8.
func Suite() suite.Suite {
	return suite.Suite{
		ID: "T8", Name: "storm", Unit: "rotations",
		About:    "64 processes and 4 foreign refreshers on one login, under SIGKILL and SIGSTOP: nothing is lost and nothing is spent twice.",
		Needs:    []suite.Need{suite.Linux},
		Sizes:    suite.Sizes{Smoke: 40, CI: 300, Full: 10000, Unscaled: 20},
		Factor:   10,
		Run:      run,
		Controls: controls(),
	}
}

// Weather is one kind of storm.
type Weather struct {
	Name    string
	Profile issuer.Profile
	// Share of the run's rotations, and the fewest.
	Share, Least int
	// Unjudged: only the History is wanted.
	Unjudged bool
}

// The endpoint has a retry window, or none.
var (
	Window = Weather{"idempotent", issuer.Idempotent(10 * time.Minute), 1, 1, false}
	Strict = Weather{"strict", issuer.Strict(), 5, 20, false}
)

func run(r *suite.Run) error {
	for _, w := range []Weather{Window, Strict} {
		if !r.Wanted(w.Name) {
			continue
		}
		n := max(r.N/w.Share, w.Least)
		if _, err := Storm(r, w, n); err != nil {
			return fmt.Errorf("%s: %w", w.Name, err)
		}
	}
	return nil
}

// perLogin bounds the rotations of one login, and so the time until what was
// done to it is judged.
func perLogin(r *suite.Run) int {
	switch r.Size {
	case suite.Full:
		return 1000
	case suite.InControl:
		return 40
	}
	return 150
}

// Storm makes n rotations at least in one kind of weather. Each login is one
// episode: when it dies, a new one is laid.
func Storm(r *suite.Run, w Weather, n int) (History, error) {
	programs, err := build(r)
	if err != nil {
		return nil, err
	}
	var all History
	t := newTally(r, w)
	began := time.Now()
	for i := 0; t.rotations < n && r.Context().Err() == nil; i++ {
		e, err := newEpisode(r, w, programs, fmt.Sprint(w.Name, i))
		if err != nil {
			return all, err
		}
		err = e.run(min(n-t.rotations, perLogin(r)), t.rotations)
		if err == nil {
			all = append(all, t.add(e))
		}
		e.close()
		if err != nil {
			return all, err
		}
	}
	if !w.Unjudged {
		t.close(time.Since(began))
	}
	return all, nil
}

type programs struct{ evercred, client, foreign string }

func build(r *suite.Run) (p programs, err error) {
	for _, b := range []struct {
		pkg  string
		path *string
	}{
		{"./cmd/evercred", &p.evercred},
		{"./internal/proof/storm/client", &p.client},
		{"./internal/proof/storm/foreign", &p.foreign},
	} {
		if *b.path, err = r.Build(b.pkg, r.Factor); err != nil {
			return p, err
		}
	}
	return p, nil
}
