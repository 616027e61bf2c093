package clock

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/internal/issuer"
)

// timed is one case: what is done, to a login whose access token ends in left,
// and what must come of it.
type timed struct {
	group, name string
	left        time.Duration
	do          func(*bench)
}

const (
	day     = 24 * time.Hour
	expired = -time.Minute
)

// cases are all of them.
func cases() []timed {
	var all []timed
	for _, group := range [][]timed{stored(), answered(), deadlines(), limits(), cooldowns(), phases(), asleep(), short(), locks()} {
		all = append(all, group...)
	}
	return all
}

// stored: what the document may say of the end of the access token.
func stored() []timed {
	var list []timed
	add := func(name, expiresAt string, want func(*bench, *evercred.Source)) {
		list = append(list, timed{"an expiresAt in the file", name, time.Hour, func(b *bench) {
			b.set(expiresAt)
			s := b.source()
			want(b, s)
		}})
	}
	good := func(b *bench, s *evercred.Source) { b.old(s); b.requests(0) }
	over := func(b *bench, s *evercred.Source) { b.renewed(s); b.requests(1); b.expires(8 * time.Hour) }
	unknown := func(b *bench, s *evercred.Source) {
		good(b, s)
		t, _ := s.Token(context.Background())
		s.Reject(t) // it is used until a server refuses it
		b.renewed(s)
		b.requests(1)
	}
	in := func(d time.Duration) time.Time { return time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC).Add(d) }
	add("in an hour", fmt.Sprint(in(time.Hour).UnixMilli()), good)
	add("with a fraction", fmt.Sprint(in(time.Hour).UnixMilli(), ".75"), good)
	add("with an exponent", "1.9e12", good)
	add("after 2038", "2147483648000", good)
	add("the end of 9999", "253402300799999", good)
	add("seconds for milliseconds", fmt.Sprint(in(time.Hour).Unix()), over)
	add("microseconds for milliseconds", fmt.Sprint(in(time.Hour).UnixMicro()), over)
	add("the year 10000", "253402300800000", over)
	add("the largest int64", "9223372036854775807", over)
	add("beyond int64", "9223372036854775808", over)
	add("1e400", "1e400", over)
	add("-1e400", "-1e400", over)
	add("zero", "0", over)
	add("negative", "-1795435200000", over)
	add("1999", "946684799999", over)
	add("a string", fmt.Sprintf(`"%d"`, in(time.Hour).UnixMilli()), unknown)
	add("null", "null", unknown)
	add("absent", "", unknown)
	add("a boolean", "true", unknown)
	add("a list", "[]", unknown)
	return list
}

// answered: what the endpoint may say of the lifetime.
func answered() []timed {
	var list []timed
	for _, c := range []struct {
		name, expiresIn string
		left            time.Duration
		strange         bool
	}{
		{"eight hours", "28800", 8 * time.Hour, false},
		{"a fraction", "3600.5", time.Hour, false},
		{"a float", "3.6e3", time.Hour, false},
		{"a year", "31536000", 365 * day, false},
		{"366 days", "31622400", 366 * day, false},
		{"a second more", "31622401", time.Hour, true},
		{"ten years", "315360000", time.Hour, true},
		{"1e30", "1e30", time.Hour, true},
		{"1e400", "1e400", time.Hour, true},
		{"zero", "0", time.Hour, true},
		{"half a second", "0.5", time.Hour, true},
		{"negative", "-28800", time.Hour, true},
		{"null", "null", time.Hour, true},
		{"absent", "", time.Hour, true},
		{"a boolean", "true", time.Hour, true},
		{"milliseconds for seconds", "2880000000", time.Hour, true},
	} {
		list = append(list, timed{"an expires_in in the answer", c.name, expired, func(b *bench) {
			b.endpoint.Script(1, issuer.Fault{Members: map[string]string{"expires_in": c.expiresIn}})
			b.renewed(b.source())
			b.requests(1)
			b.expires(c.left)
			if c.strange {
				b.told(evercred.EventStrange)
			}
		}})
	}
	list = append(list, timed{"an expires_in in the answer", "a string", expired, func(b *bench) {
		b.endpoint.Script(1, issuer.Fault{Members: map[string]string{"expires_in": `"7200"`}})
		b.renewed(b.source())
		b.requests(1)
		if left := b.stored().Expires.Sub(b.clock.Now()); left < time.Hour-time.Minute || left > 2*time.Hour {
			b.fail("the store says that the token ends in %v", left)
		}
	}}, timed{"an expires_in in the answer", "absent after one of ten minutes", expired, func(b *bench) {
		b.endpoint.Script(1, issuer.Fault{Members: map[string]string{"expires_in": "600"}})
		b.endpoint.Script(2, issuer.Fault{Members: map[string]string{"expires_in": ""}})
		s := b.source()
		b.renewed(s)
		time.Sleep(10 * time.Minute)
		b.fresh(s)
		b.requests(2)
		b.expires(10 * time.Minute)
	}})
	return list
}

// deadlines: the end of the login itself.
func deadlines() []timed {
	var list []timed
	add := func(name, value string, left time.Duration, want func(*bench, *evercred.Source)) {
		list = append(list, timed{"a deadline of the login", name, left, func(b *bench) {
			b.set(fmt.Sprint(time.Now().Add(left).UnixMilli()), `"refreshTokenExpiresAt":`+value)
			want(b, b.source())
		}})
	}
	at := func(d time.Duration) string {
		return fmt.Sprint(time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC).Add(d).UnixMilli())
	}
	dead := func(b *bench, s *evercred.Source) {
		b.refused(s, evercred.ErrLoginRequired)
		b.requests(0)
		if _, err := s.Refresh(context.Background(), true); err != nil { // --force asks once
			b.fail("forced: %v", err)
		}
		b.requests(1)
	}
	alive := func(b *bench, s *evercred.Source) { b.renewed(s); b.requests(1) }
	add("passed", at(-time.Hour), expired, dead)
	add("passed, and the token is good", at(-time.Hour), 5*time.Minute, func(b *bench, s *evercred.Source) { b.old(s); b.requests(0) })
	add("in a month", at(30*day), expired, alive)
	add("in two days", at(2*day), expired, func(b *bench, s *evercred.Source) { alive(b, s); b.told(evercred.EventDeadline) })
	add("the clock jumps past it", at(time.Hour), 5*time.Minute, func(b *bench, s *evercred.Source) {
		b.clock.jump(2 * time.Hour)
		dead(b, s)
	})
	add("and back before it", at(-time.Hour), expired, func(b *bench, s *evercred.Source) {
		b.refused(s, evercred.ErrLoginRequired)
		b.clock.jump(-2 * time.Hour)
		b.old(s) // nothing was learned that would outlast the jump
		b.requests(0)
	})
	for _, odd := range []string{"0", "-1", `"soon"`, "null", "1e400", "1795435200", "true"} {
		add("odd: "+odd, odd, expired, alive)
	}
	for _, c := range []struct {
		name, value string
		want        time.Duration
	}{{"a month", "2592000", 30 * day}, {"zero", "0", 0}, {"negative", "-5", 0}, {"1e30", "1e30", 0}, {"a boolean", "true", 0}} {
		list = append(list, timed{"a deadline of the login", "the answer says " + c.name, expired, func(b *bench) {
			b.endpoint.Script(1, issuer.Fault{Members: map[string]string{"refresh_token_expires_in": c.value}})
			b.renewed(b.source())
			var got time.Duration
			if d := b.stored().Deadline; !d.IsZero() {
				got = d.Sub(b.clock.Now())
			}
			if (got - c.want).Abs() > 2*time.Second {
				b.fail("the deadline is in %v, want %v", got, c.want)
			}
		}})
	}
	return list
}

// limits: what Retry-After may say, under clocks that disagree.
func limits() []timed {
	date := func(d time.Duration) func(*bench) string {
		return func(b *bench) string { return time.Now().Add(b.server + d).UTC().Format(http.TimeFormat) }
	}
	text := func(s string) func(*bench) string { return func(*bench) string { return s } }
	var list []timed
	for _, c := range []struct {
		name        string
		skew        time.Duration // of the endpoint's clock
		header      func(*bench) string
		least, most time.Duration
	}{
		{"none", 0, text(""), time.Minute, 70 * time.Second},
		{"zero", 0, text("0"), time.Minute, 70 * time.Second},
		{"five seconds", 0, text("5"), time.Minute, 70 * time.Second},
		{"negative", 0, text("-5"), time.Minute, 70 * time.Second},
		{"nonsense", 0, text("soon"), time.Minute, 70 * time.Second},
		{"ten minutes", 0, text("600"), 10 * time.Minute, 12 * time.Minute},
		{"an hour", 0, text("3600"), time.Hour, time.Hour},
		{"ten years", 0, text("315360000"), time.Hour, time.Hour},
		{"more than an int64", 0, text("99999999999999999999"), time.Hour, time.Hour},
		{"a date in ten minutes", 0, date(10 * time.Minute), 9 * time.Minute, 12 * time.Minute},
		{"a date in ten years", 0, date(3650 * day), time.Hour, time.Hour},
		{"a date that has passed", 0, date(-time.Hour), time.Minute, 70 * time.Second},
		{"a date of 1960", 0, text("Fri, 01 Jan 1960 00:00:00 GMT"), time.Minute, 70 * time.Second},
		{"a date by a clock a day ahead", day, date(10 * time.Minute), time.Hour, time.Hour},
		{"a date by a clock a day behind", -day, date(10 * time.Minute), time.Minute, 70 * time.Second},
	} {
		list = append(list, timed{"a Retry-After", c.name, expired, func(b *bench) {
			b.server = c.skew
			b.endpoint.Script(1, issuer.Limited(c.header(b)))
			s := b.source()
			e := b.refused(s, evercred.ErrUnavailable)
			if rest := e.RetryAt.Sub(b.clock.Now()); rest < c.least-time.Second || rest > c.most+time.Second {
				b.fail("the rest is %v, want %v to %v", rest, c.least, c.most)
			}
			time.Sleep(c.least - 5*time.Second)
			b.refused(b.source(), evercred.ErrUnavailable) // another process heeds it as well
			b.requests(1)
			time.Sleep(c.most - c.least + 10*time.Second)
			b.renewed(s)
			b.requests(2)
		}})
	}
	return list
}
