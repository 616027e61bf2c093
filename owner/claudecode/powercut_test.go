package claudecode_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/credtest"
	"github.com/evercred/evercred/internal/ledger"
	"github.com/evercred/evercred/internal/procid"
	"github.com/evercred/evercred/internal/seam"
)

// otherBoot is the process table of a boot that the power cut ended.
type otherBoot struct{ procid.System }

func (o otherBoot) Self() procid.ID {
	id := o.System.Self()
	id.Boot = "another"
	return id
}

// A power cut takes the mark of a request and leaves its intent: what was lost
// must be told as lost, with a time, to every later process too.
func TestLostWithThePower(t *testing.T) {
	l := newLogin(t, -time.Hour, credtest.Behaviour{})
	before := l.stored()
	g, err := ledger.Open(l.dir, ".credentials.json", (&seam.Seams{Procs: otherBoot{}}).Filled()).TryGuard()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.Begin(ledger.Intent{Refresh: before.Refresh.Fingerprint(), Access: before.Access.Fingerprint()}); err != nil {
		t.Fatal(err)
	}
	g.Release()
	l.ep.Revoke(l.id) // the request had left, and spent the token
	for range 2 {
		_, err := l.open().Token(context.Background())
		var e *evercred.Error
		if !errors.As(err, &e) || e.Reason != evercred.ReasonLostAnswer {
			t.Errorf("want lost-answer, got: %v", err)
		}
	}
}
