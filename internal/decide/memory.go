package decide

import (
	"slices"
	"time"

	"github.com/evercred/evercred/internal/ledger"
	"github.com/evercred/evercred/internal/timing"
)

// maxSpent is how many rotated refresh tokens are remembered (DESIGN §6.2).
const maxSpent = 16

// Recall says what memory holds against the sight, now (DESIGN §6.2, §6.12).
// What was learned of one refresh token is void for any other; what was spent
// stays spent.
func Recall(m ledger.Memory, s Sight, ask Ask, now time.Time, t timing.Protocol) Facts {
	var f Facts
	if s.Refresh == "" {
		return f
	}
	f.Spent = slices.Contains(m.Spent, s.Refresh)
	if u := m.Unanswered; u != nil && u.Print != s.Refresh {
		f.Spacing = now.Before(u.At.Add(t.Spacing)) && !now.Before(u.At.Add(-t.Spacing))
	}
	if m.Print == s.Refresh {
		f.Dead = m.Dead != nil
		f.Lost = f.Dead && !m.Dead.Lost.IsZero()
		f.Cooldown = running(m.Cooldown, now, t.CooldownLimitedMax)
		f.Refused = running(m.Refused, now, t.RefusedMax)
	}
	if g := m.Granted; g != nil && ask.Replace != "" && !ask.Force && g.Access == ask.Replace && s.Access == ask.Replace {
		// A token that has ended was not refused for being what it is.
		age, fresh := now.Sub(g.At), t.RefusedWithin
		if g.Lifetime > 0 {
			fresh = min(fresh, g.Lifetime/2)
		}
		f.FreshRefused = s.Left > 0 && age > -fresh && age < fresh
	}
	return f
}

// running: a cooldown that lies further ahead than any could is the work of a
// clock that jumped back, and over.
func running(c *ledger.Cooldown, now time.Time, longest time.Duration) bool {
	return c != nil && now.Before(c.Until) && c.Until.Sub(now) <= longest+longest/4
}

// Note is what a lesson needs to know beside its kind.
type Note struct {
	Now     time.Time
	Print   string    // the refresh token that the lesson speaks of
	SentAt  time.Time // LearnUnanswered, LearnDead with Lost: when the request left
	RetryAt time.Time // LearnLimited: the endpoint's wish; zero: none
	Rotated bool      // LearnGranted
	What    string    // for people; no secret
	Foreign string    // LearnForeign: the reason, where it is known more exactly
	Grant   ledger.Granted
	// Jitter returns a random duration in [0, d), and 0 for none.
	Jitter func(d time.Duration) time.Duration
}

// Remember returns m with the lesson in it.
func Remember(m ledger.Memory, l Lesson, n Note, t timing.Protocol) ledger.Memory {
	m.Version = ledger.FormatVersion
	m.Spent = slices.Clone(m.Spent)
	switch l.Kind {
	case LearnNothing:
		return m
	case LearnUnanswered:
		if !l.Skip {
			m.Unanswered = &ledger.Unanswered{Print: n.Print, At: n.SentAt}
		}
		return m
	case LearnSpent:
		m.Spent = spend(m.Spent, n.Print)
		return m
	case LearnGranted:
		return granted(m, n, t)
	}
	if m.Print != n.Print {
		m.Print, m.Cooldown, m.Dead, m.Refused = n.Print, nil, nil, nil
	}
	switch l.Kind {
	case LearnDead:
		m.Dead = &ledger.Dead{At: n.Now, Reason: string(WasRefused)}
		if l.Lost {
			m.Dead.Reason, m.Dead.Lost = string(LostAnswer), n.SentAt
		}
	case LearnUnreachable:
		m.Cooldown = double(m.Cooldown, Unreachable, n, t.CooldownUnreachableMin, t.CooldownUnreachableMax)
	case LearnForeign:
		why := NotEndpoint
		if n.Foreign != "" {
			why = Cause(n.Foreign)
		}
		m.Cooldown = double(m.Cooldown, why, n, t.CooldownUnreachableMin, t.CooldownUnreachableMax)
	case LearnUnknown:
		m.Cooldown = double(m.Cooldown, UnknownOutcome, n, t.CooldownUnknownMin, t.CooldownUnknownMax)
	case LearnLimited:
		m.Cooldown = limited(n, t)
	case LearnRefusedSuccessor:
		m.Refused = double(m.Refused, APIRefuses, n, t.RefusedMin, t.RefusedMax)
	}
	return m
}

func granted(m ledger.Memory, n Note, t timing.Protocol) ledger.Memory {
	if n.Rotated {
		m.Spent = spend(m.Spent, n.Print)
	}
	// The count of refused successors outlives the change of tokens, because the
	// change is ours: without it the doubling would start again each time.
	if r := m.Refused; r != nil && n.Now.Sub(r.Until) < t.RefusedMax {
		m.Refused = &ledger.Cooldown{Reason: r.Reason, Count: r.Count}
	} else {
		m.Refused = nil
	}
	m.Print, m.Cooldown, m.Dead = n.Grant.Refresh, nil, nil
	g := n.Grant
	m.Granted = &g
	return m
}

func spend(spent []string, print string) []string {
	if print == "" || slices.Contains(spent, print) {
		return spent
	}
	spent = append(spent, print)
	return spent[max(0, len(spent)-maxSpent):]
}

// double is a cooldown twice as long as the last of its kind.
func double(last *ledger.Cooldown, why Cause, n Note, least, most time.Duration) *ledger.Cooldown {
	count := 1
	if last != nil && last.Reason == string(why) {
		count = last.Count + 1
	}
	d := least
	for i := 1; i < count && d < most; i++ {
		d *= 2
	}
	d = min(d, most)
	return &ledger.Cooldown{Until: n.Now.Add(d + n.jitter(d/8)), Reason: string(why), Count: count, What: n.What}
}

// limited believes Retry-After between one minute and one hour (R11).
func limited(n Note, t timing.Protocol) *ledger.Cooldown {
	d := t.CooldownLimitedMin
	if !n.RetryAt.IsZero() {
		d = min(max(n.RetryAt.Sub(n.Now), t.CooldownLimitedMin), t.CooldownLimitedMax)
	}
	return &ledger.Cooldown{Until: n.Now.Add(min(d+n.jitter(d/8), t.CooldownLimitedMax)), Reason: string(RateLimited), Count: 1, What: n.What}
}

func (n Note) jitter(d time.Duration) time.Duration {
	if n.Jitter == nil {
		return 0
	}
	return n.Jitter(d)
}
