package decide_test

import (
	"fmt"
	"testing"
	"time"

	. "github.com/evercred/evercred/internal/decide"
	"github.com/evercred/evercred/internal/ledger"
	"github.com/evercred/evercred/internal/timing"
)

var (
	now   = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	times = timing.Default()
)

func TestCooldownsDoubleAndAreCapped(t *testing.T) {
	for _, c := range []struct {
		kind  LessonKind
		first time.Duration
		last  time.Duration
	}{
		{LearnUnreachable, 2 * time.Second, time.Minute},
		{LearnForeign, 2 * time.Second, time.Minute},
		{LearnUnknown, 30 * time.Second, 15 * time.Minute},
	} {
		var m ledger.Memory
		want := c.first
		for range 12 {
			m = Remember(m, learn(c.kind), Note{Now: now, Print: "r1"}, times)
			if got := m.Cooldown.Until.Sub(now); got != want {
				t.Fatalf("lesson %d: cooldown %v, want %v", c.kind, got, want)
			}
			want = min(2*want, c.last)
		}
		if !Recall(m, ended, Ask{}, now, times).Cooldown {
			t.Error("not recalled")
		}
		if Recall(m, sight("a1", "r2", 0), Ask{}, now, times).Cooldown {
			t.Error("a cooldown outlived the change of the stored token")
		}
		if Recall(m, ended, Ask{}, m.Cooldown.Until, times).Cooldown {
			t.Error("a cooldown outlived its end")
		}
	}
}

// R11: Retry-After of an hour, zero, none, nonsense (zero) and ten years.
func TestRetryAfterIsBounded(t *testing.T) {
	for wish, want := range map[time.Duration]time.Duration{
		time.Hour: time.Hour, 0: time.Minute, -time.Hour: time.Minute, 10 * time.Minute: 10 * time.Minute, 10 * 365 * 24 * time.Hour: time.Hour,
	} {
		m := Remember(ledger.Memory{}, learn(LearnLimited), Note{Now: now, Print: "r1", RetryAt: now.Add(wish), Jitter: func(d time.Duration) time.Duration { return d - 1 }}, times)
		if got := m.Cooldown.Until.Sub(now); got < want || got > want+want/8 {
			t.Errorf("Retry-After %v: cooldown %v, want %v and a little jitter", wish, got, want)
		}
	}
	if m := Remember(ledger.Memory{}, learn(LearnLimited), Note{Now: now, Print: "r1"}, times); m.Cooldown.Until.Sub(now) != time.Minute {
		t.Error("no Retry-After: a minute")
	}
}

// R18: a cooldown that a jump of the clock put out of all reach is over.
func TestClockJumpsEndCooldowns(t *testing.T) {
	m := Remember(ledger.Memory{}, learn(LearnLimited), Note{Now: now, Print: "r1"}, times)
	if Recall(m, ended, Ask{}, now.Add(-48*time.Hour), times).Cooldown {
		t.Error("the clock jumped back by two days and the cooldown lasts them")
	}
}

// R20, §6.2: the last 16 spent tokens are never sent again.
func TestSpentTokensAreRemembered(t *testing.T) {
	var m ledger.Memory
	for i := range 20 {
		m = Remember(m, learn(LearnGranted), Note{Now: now, Print: fmt.Sprint("r", i), Rotated: true,
			Grant: ledger.Granted{At: now, Access: "a", Refresh: fmt.Sprint("r", i+1)}}, times)
	}
	if len(m.Spent) != 16 {
		t.Fatalf("%d remembered", len(m.Spent))
	}
	for i := range 20 {
		if got := Recall(m, sight("x", fmt.Sprint("r", i), 0), Ask{}, now, times).Spent; got != (i >= 4) {
			t.Errorf("r%d spent: %t", i, got)
		}
	}
	if Recall(m, sight("x", "r20", 0), Ask{}, now, times).Spent {
		t.Error("the successor counts as spent")
	}
	if m := Remember(ledger.Memory{}, learn(LearnGranted), Note{Now: now, Print: "r1"}, times); len(m.Spent) != 0 {
		t.Error("a token that did not rotate counts as spent")
	}
}

// R15b, §6.12: an hour, doubling over our own grants, until the store changes hands.
func TestRefusedSuccessors(t *testing.T) {
	m := ledger.Memory{}
	at, want := now, time.Hour
	for i := range 3 {
		print := fmt.Sprint("r", i)
		m = Remember(m, learn(LearnRefusedSuccessor), Note{Now: at, Print: print}, times)
		if got := m.Refused.Until.Sub(at); got != want {
			t.Fatalf("round %d: %v, want %v", i, got, want)
		}
		if !Recall(m, sight("a", print, time.Hour), Ask{Replace: "a"}, at, times).Refused {
			t.Fatal("not recalled")
		}
		at = m.Refused.Until.Add(time.Second)
		if Recall(m, sight("a", print, time.Hour), Ask{Replace: "a"}, at, times).Refused {
			t.Fatal("recalled after its end")
		}
		m = Remember(m, learn(LearnGranted), Note{Now: at, Print: print, Rotated: true,
			Grant: ledger.Granted{At: at, Access: fmt.Sprint("a", i), Refresh: fmt.Sprint("r", i+1)}}, times)
		f := Recall(m, sight(fmt.Sprint("a", i), fmt.Sprint("r", i+1), time.Hour), Ask{Replace: fmt.Sprint("a", i)}, at.Add(time.Minute), times)
		if !f.FreshRefused || f.Refused {
			t.Fatalf("round %d: a refusal of the fresh successor is not seen as such: %+v", i, f)
		}
		want *= 2
	}
}

// §6.12: the next generation keeps its distance from an unanswered send; the
// same one does not have to.
func TestSpacing(t *testing.T) {
	m := Remember(ledger.Memory{}, learn(LearnUnanswered), Note{Now: now, Print: "r1", SentAt: now}, times)
	if Recall(m, sight("a", "r1", 0), Ask{}, now, times).Spacing {
		t.Error("a repeat has to wait")
	}
	if !Recall(m, sight("a", "r2", 0), Ask{}, now.Add(119*time.Second), times).Spacing {
		t.Error("the next generation does not wait")
	}
	if Recall(m, sight("a", "r2", 0), Ask{}, now.Add(120*time.Second), times).Spacing {
		t.Error("it waits for ever")
	}
	if m := Remember(ledger.Memory{}, Lesson{Kind: LearnUnanswered, Skip: true}, Note{Now: now, Print: "r1", SentAt: now}, times); m.Unanswered != nil {
		t.Error("an answered send counts as unanswered")
	}
}

func TestDeadIsOfOneToken(t *testing.T) {
	m := Remember(ledger.Memory{}, Lesson{Kind: LearnDead, Lost: true}, Note{Now: now, Print: "r1", SentAt: now.Add(-time.Minute)}, times)
	if f := Recall(m, ended, Ask{}, now, times); !f.Dead || !f.Lost {
		t.Errorf("%+v", f)
	}
	if f := Recall(m, next, Ask{}, now, times); f.Dead || f.Lost {
		t.Errorf("a new login inherits: %+v", f)
	}
}
