package model

import (
	"context"
	"testing"

	"github.com/evercred/evercred/internal/proof/suite"
)

// A change of internal/decide that breaks a promise fails here at once; `go run
// ./internal/proof run T1` looks further.
func TestSmoke(t *testing.T) {
	for _, c := range cases(suite.Smoke) {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			r, err := explore(context.Background(), &c, nil)
			if err != nil || r.violation != "" {
				t.Error(err, r.violation)
			}
			t.Logf("%d states, %d steps, %v", r.states, r.steps, r.took)
		})
	}
}
