package clock

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/internal/issuer"
)

// cooldowns: what was learned before a jump.
func cooldowns() []timed {
	var list []timed
	rests := []struct {
		name    string
		faults  []issuer.Fault
		longest time.Duration
	}{
		{"after a 429", []issuer.Fault{issuer.Limited("3600")}, time.Hour},
		{"after an unknown outcome", []issuer.Fault{issuer.StatusBefore(503), issuer.StatusBefore(503), issuer.StatusBefore(503), issuer.StatusBefore(503)}, time.Minute},
		{"after a page", []issuer.Fault{issuer.Page(403, "no")}, 5 * time.Second},
	}
	for _, r := range rests {
		for _, d := range []time.Duration{2 * time.Hour, 400 * day, -10 * time.Minute, -day, -400 * day} {
			list = append(list, timed{"a jump in a cooldown", fmt.Sprintf("%s, %v", r.name, d), expired, func(b *bench) {
				for i, f := range r.faults {
					b.endpoint.Script(i+1, f)
				}
				b.set("0")
				s := b.source()
				b.refused(s, evercred.ErrUnavailable)
				n := b.endpoint.Requests()
				b.clock.jump(d)
				switch {
				case d > 0, -d > 2*time.Hour: // over, or further ahead than any could be
					b.renewed(b.source())
					b.requests(n + 1)
				default:
					// It goes on, for at most as long as the jump was and a quarter more than the
					// longest; nobody is sent into a storm.
					b.source().Token(context.Background())
					if got := b.endpoint.Requests(); got > n+1 {
						b.fail("%d requests at once", got-n)
					}
					time.Sleep(-d + r.longest + r.longest/4 + time.Second)
					b.renewed(s)
				}
			}})
		}
	}
	// Spacing: nothing came back of a send, and somebody else put a new
	// generation there.
	for _, d := range []time.Duration{0, 10 * time.Minute, -10 * time.Minute, -day} {
		list = append(list, timed{"a jump in the spacing", fmt.Sprint("of ", d), expired, func(b *bench) {
			for i := range 4 {
				b.endpoint.Script(i+1, issuer.ResetBefore())
			}
			s := b.source()
			b.refused(s, evercred.ErrUnavailable)
			n := b.endpoint.Requests()
			b.login = b.endpoint.LoginFor(b.login.ClientID)
			b.set("0")
			b.clock.jump(d)
			if d != 0 { // it is judged by no clock that jumped
				b.renewed(s)
				return
			}
			b.refused(s, evercred.ErrUnavailable)
			b.requests(n)
			time.Sleep(2 * time.Minute)
			b.renewed(s)
		}})
	}
	for _, d := range []time.Duration{0, 2 * time.Hour, -2 * time.Hour, -30 * day} {
		list = append(list, timed{"a jump while the API refuses fresh tokens", fmt.Sprint("of ", d), expired, func(b *bench) {
			s := b.source()
			t := b.fresh(s)
			s.Reject(t)
			b.refused(s, evercred.ErrUnavailable)
			b.requests(1)
			b.clock.jump(d)
			for range 50 {
				s.Token(context.Background())
				time.Sleep(time.Second)
			}
			if n := b.endpoint.Requests(); n > 2 || d == 0 && n > 1 {
				b.fail("%d requests", n)
			}
		}})
	}
	return list
}

// phases: the clock jumps, or the machine sleeps, in each phase of a refresh.
func phases() []timed {
	var list []timed
	for _, phase := range []string{"before the call", "while connecting", "before the answer", "in a pause", "before the save", "after the save"} {
		for _, d := range []time.Duration{5 * time.Minute, day, 400 * day, -5 * time.Minute, -day, -400 * day} {
			list = append(list, timed{"a jump of the clock " + phase, fmt.Sprint("of ", d), expired, func(b *bench) {
				b.refreshWith(phase, func() { b.clock.jump(d) })
			}})
		}
		for _, d := range []time.Duration{500 * time.Millisecond, 5 * time.Minute, 9 * time.Hour} {
			list = append(list, timed{"a sleep of the machine " + phase, fmt.Sprint("of ", d), expired, func(b *bench) {
				b.refreshWith(phase, func() { b.clock.sleep(d) })
			}})
		}
	}
	list = append(list, timed{"a jump of the clock before the call", "to 1960", expired, func(b *bench) {
		b.clock.jump(time.Date(1960, 1, 1, 0, 0, 0, 0, time.UTC).Sub(b.clock.Now()))
		s := b.source()
		b.old(s) // by this clock the token has 67 years left
		s.Reject(b.fresh(s))
		for range 20 {
			b.fresh(s)
			time.Sleep(2 * time.Second)
		}
		b.renewed(b.source())
		if n := b.endpoint.Requests(); n > 2 {
			b.fail("%d requests in 40 s", n)
		}
	}}, timed{"a jump of the clock before the call", "to 2200", expired, func(b *bench) {
		b.clock.jump(time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC).Sub(b.clock.Now()))
		b.renewed(b.source())
		b.requests(1)
		b.expires(8 * time.Hour)
	}})
	return list
}

// refreshWith makes something happen in a phase of the first refresh.
func (b *bench) refreshWith(phase string, happen func()) {
	b.set("0") // ended by any clock
	most := 2
	s := b.source()
	switch phase {
	case "before the call":
		happen()
		most = 1
	case "while connecting":
		b.connecting = happen
	case "before the answer":
		b.committed = happen
	case "in a pause":
		b.endpoint.Script(1, issuer.StatusBefore(503))
		b.committed = func() { time.AfterFunc(500*time.Millisecond, happen) }
		most = 3
	case "before the save":
		b.saving = happen
	case "after the save":
		b.renewed(s)
		happen()
	}
	t, err := s.Token(context.Background())
	if err != nil {
		b.fail("no token: %v", err)
	}
	if b.endpoint.Grants() == 0 {
		b.fail("no grant")
	}
	_ = t // it may have ended by a jump while it was on its way; then the next call sees that
	for range 3 {
		b.renewed(s)
		b.renewed(b.source())
	}
	if n := b.endpoint.Requests(); n > most {
		b.fail("%d requests, want at most %d", n, most)
	}
}

// asleep: a token that died in a sleep is not believed, although the monotonic
// clock has stood still.
func asleep() []timed {
	var list []timed
	for _, d := range []time.Duration{2 * time.Hour, 9 * time.Hour, 30 * day} {
		list = append(list, timed{"a sleep with a token in memory", fmt.Sprint("of ", d), time.Hour, func(b *bench) {
			s := b.source()
			b.old(s)
			b.clock.sleep(d)
			b.renewed(s) // at once: not even a probe is due
			b.requests(1)
		}}, timed{"a jump with a token in memory", fmt.Sprint("of ", d), time.Hour, func(b *bench) {
			s := b.source()
			b.old(s)
			b.clock.jump(d)
			b.renewed(s)
			b.requests(1)
		}}, timed{"a jump with a token in memory", fmt.Sprint("of ", -d), time.Hour, func(b *bench) {
			s := b.source()
			b.old(s)
			b.clock.jump(-d)
			b.old(s) // it lives longer by that clock, and a 401 overrules it
			s.Reject(b.fresh(s))
			b.renewed(s)
			b.requests(1)
		}}, timed{"a jump with a token in memory", fmt.Sprintf("of %v, and back", d), time.Hour, func(b *bench) {
			s := b.source()
			b.old(s)
			b.clock.jump(d)
			b.clock.jump(-d)
			b.old(s)
			b.requests(0)
		}})
	}
	list = append(list, timed{"a token that ends while a refresh fails", "no connection", 3 * time.Second, func(b *bench) {
		s := b.source()
		b.pipes.Close()
		t, err := s.Token(context.Background())
		if end := t.Expires(); err == nil && !b.clock.Now().Before(end) {
			b.fail("a token is served that ended %v ago", b.clock.Now().Sub(end))
		}
	}}, timed{"a token that ends while a refresh fails", "no answer, and the caller has 40 s", 32 * time.Second, func(b *bench) {
		b.endpoint.Script(1, issuer.Slow(35*time.Second, 0))
		s := b.source()
		ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
		defer cancel()
		t, err := s.Token(ctx)
		if end := t.Expires(); err == nil && !b.clock.Now().Before(end) {
			b.fail("a token is served that ended %v ago", b.clock.Now().Sub(end))
		}
		time.Sleep(10 * time.Minute)
		b.given = true // strict, and the answer did not come in time
	}}, timed{"a token that ends while a refresh fails", "another program holds the lock", 5 * time.Second, func(b *bench) {
		first, _ := b.plant(0)
		defer os.Remove(first)
		t, err := b.source().Token(context.Background())
		if end := t.Expires(); err == nil && !b.clock.Now().Before(end) {
			b.fail("a token is served that ended %v ago", b.clock.Now().Sub(end))
		}
	}}, timed{"a token that ends while a refresh fails", "a sleep while connecting, no connection", 5 * time.Minute, func(b *bench) {
		s := b.source()
		b.connecting = func() { b.clock.sleep(time.Hour); b.pipes.Close() }
		t, err := s.Token(context.Background())
		if end := t.Expires(); err == nil && !b.clock.Now().Before(end) {
			b.fail("a token is served that ended %v ago", b.clock.Now().Sub(end))
		}
	}})
	return list
}

// short: lifetimes shorter than the windows.
func short() []timed {
	var list []timed
	for _, c := range []struct {
		life        time.Duration
		early, late time.Duration
	}{
		{20 * time.Minute, 0, 0}, {5 * time.Minute, 0, 0}, {time.Minute, 0, 0}, {20 * time.Second, 0, 0}, {5 * time.Second, 0, 0},
		{time.Minute, time.Hour, 0}, {time.Minute, 0, 10 * time.Minute}, {time.Minute, time.Hour, time.Hour},
	} {
		list = append(list, timed{"a lifetime shorter than the windows", fmt.Sprintf("%v, early %v, late %v", c.life, c.early, c.late), expired, func(b *bench) {
			b.endpoint.Behave(func(h *issuer.Behaviour) { h.Lifetime = c.life })
			b.options.RefreshEarly, b.options.RefreshLate = c.early, c.late
			s := b.source()
			span := 6 * c.life
			for end := time.Now().Add(span); time.Now().Before(end); time.Sleep(span / 300) {
				b.fresh(s)
				if len(b.wrong) > 0 {
					break
				}
			}
			most := int(span/(c.life*7/10)) + 2 // renewed at 80 % of its life
			if n := b.endpoint.Requests(); n > most {
				b.fail("%d requests in %v", n, span)
			}
		}})
	}
	return list
}
