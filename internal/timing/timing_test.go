package timing_test

import (
	"testing"
	"time"

	"github.com/evercred/evercred/internal/timing"
)

func TestScaledShortensWaitsAndNothingElse(t *testing.T) {
	p := timing.Default()
	q := p.Scaled(20)
	if q.Settle != 5*time.Millisecond || q.StaleAge != 3*time.Second || q.Repeat[2] != 600*time.Millisecond {
		t.Errorf("not shortened: %+v", q)
	}
	if q.LifetimeUnknown != time.Hour || q.Answer != p.Answer || q.History != p.History {
		t.Errorf("what is no wait was shortened: %+v", q)
	}
	if p.Repeat[2] != 12*time.Second {
		t.Error("the original changed")
	}
}
