package evercred_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evercred/evercred"
)

func TestFreshTokenIsServedWithoutARequest(t *testing.T) {
	inWorld(t, time.Hour, func(w *world) {
		s := w.source()
		a, b := want(t, s, "a1"), want(t, s, "a1")
		if a != b {
			t.Error("the same secret, another Token")
		}
		w.sends(0)
	})
}

// R1: many see the same expired token.
func TestR1OneGrantForEveryGoroutine(t *testing.T) {
	inWorld(t, -time.Minute, func(w *world) {
		w.ep.then(step{take: 300 * time.Millisecond})
		s := w.source()
		together(500, func() { want(t, s, "a2") })
		w.sends(1)
		c := w.stored()
		if c.Refresh.Reveal() != "r2" || c.Plan != "max" || c.Scopes[0] != "user:inference" {
			t.Errorf("stored %s, plan %s, scopes %v", c.Refresh.Reveal(), c.Plan, c.Scopes)
		}
		if got := time.Until(c.Expires); got < 7*time.Hour {
			t.Errorf("stored expiry in %v", got)
		}
		if !w.saw(evercred.EventGranted) {
			t.Error("no event")
		}
	})
}

// R1, R23: Sources that share nothing but the store exclude each other by its lock.
func TestR1OneGrantForManySources(t *testing.T) {
	inWorld(t, -time.Minute, func(w *world) {
		w.ep.then(step{take: 300 * time.Millisecond})
		together(50, func() { want(t, w.source(), "a2") })
		w.sends(1)
	})
}

func TestR23AHundredForcedRefreshesCauseOneGrant(t *testing.T) {
	inWorld(t, time.Hour, func(w *world) {
		w.ep.then(step{take: 300 * time.Millisecond})
		together(100, func() {
			r, err := w.source().Refresh(context.Background(), true)
			if err != nil || r.Token.Reveal() != "a2" {
				t.Errorf("%v %v", r.Token.Reveal(), err)
			}
		})
		w.sends(1)
	})
}

func TestEarlyWindow(t *testing.T) {
	inWorld(t, 5*time.Minute, func(w *world) {
		w.ep.then(step{take: 300 * time.Millisecond})
		s := w.source()
		// The first caller of a cold Source runs the flight and waits; the others
		// get the valid token at once.
		want(t, s, "a2")
		w.sends(1)
	})
	inWorld(t, 11*time.Minute, func(w *world) {
		s := w.source()
		want(t, s, "a1")
		time.Sleep(5 * time.Minute)
		w.ep.then(step{take: 300 * time.Millisecond})
		leader := make(chan string)
		go func() {
			tok, _ := s.Token(context.Background())
			leader <- tok.Reveal()
		}()
		time.Sleep(100 * time.Millisecond)
		began := time.Now()
		want(t, s, "a1")
		if d := time.Since(began); d > 10*time.Millisecond {
			t.Errorf("a follower waited %v in the early window", d)
		}
		if got := <-leader; got != "a2" {
			t.Errorf("the leader got %s", got)
		}
		want(t, s, "a2")
		w.sends(1)
	})
}

// A cold Source in the early window: whoever cannot wait for the flight, and
// whoever comes second, gets the token that is still good.
func TestEarlyWindowOfAColdSource(t *testing.T) {
	inWorld(t, 5*time.Minute, func(w *world) {
		w.ep.then(step{take: 10 * time.Second})
		s := w.source()
		leader := make(chan string)
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
			defer cancel()
			tok, err := s.Token(ctx)
			if err != nil {
				t.Error(err)
			}
			leader <- tok.Reveal()
		}()
		time.Sleep(time.Second)
		began := time.Now()
		want(t, s, "a1")
		if d := time.Since(began); d > 10*time.Millisecond {
			t.Errorf("a follower waited %v", d)
		}
		if got := <-leader; got != "a1" {
			t.Errorf("the leader got %s", got)
		}
		s.Close()
		if w.stored().Access.Reveal() != "a2" {
			t.Error("the flight was not finished")
		}
	})
}

func TestBackground(t *testing.T) {
	inWorld(t, 11*time.Minute, func(w *world) {
		s := w.source(func(o *evercred.Options) { o.Background = true })
		want(t, s, "a1")
		time.Sleep(5 * time.Minute)
		w.ep.then(step{take: 300 * time.Millisecond})
		want(t, s, "a1")
		time.Sleep(100 * time.Millisecond)
		s.Close()
		w.sends(1)
		if w.stored().Access.Reveal() != "a2" {
			t.Error("Close did not wait for the flight")
		}
	})
}

// R8: the caller's context ends in mid-flight.
func TestR8TheFlightOutlivesItsCallers(t *testing.T) {
	inWorld(t, -time.Minute, func(w *world) {
		w.ep.then(step{take: 10 * time.Second})
		s := w.source()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if _, err := s.Token(ctx); !errors.Is(err, evercred.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		s.Close()
		if w.stored().Access.Reveal() != "a2" {
			t.Error("the flight was not finished and saved")
		}
		if _, err := s.Token(context.Background()); !errors.Is(err, evercred.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	})
}

// R8: before the first byte, Close stops the flight.
func TestR8CloseStopsWhatWasNotSent(t *testing.T) {
	inWorld(t, -time.Minute, func(w *world) {
		l, err := w.store.Lock(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		defer l.Unlock()
		s := w.source()
		failed := make(chan error)
		go func() { _, err := s.Token(context.Background()); failed <- err }()
		synctest.Wait()
		began := time.Now()
		s.Close()
		if err := <-failed; !errors.Is(err, evercred.ErrLocked) && !errors.Is(err, evercred.ErrClosed) {
			t.Errorf("%v", err)
		}
		if d := time.Since(began); d > time.Second {
			t.Errorf("Close took %v", d)
		}
		w.sends(0)
	})
}

// R2: the owner refreshes while we wait for the lock.
func TestR2AdoptWhileWaiting(t *testing.T) {
	inWorld(t, -time.Minute, func(w *world) {
		l, _ := w.store.Lock(context.Background())
		defer l.Unlock()
		s := w.source()
		go func() {
			time.Sleep(2 * time.Second)
			w.store.Set(w.login("o2", "q2", 8*time.Hour))
		}()
		began := time.Now()
		want(t, s, "o2")
		if d := time.Since(began); d > 2200*time.Millisecond {
			t.Errorf("left %v after the start", d)
		}
		w.sends(0)
		if !w.saw(evercred.EventAdopted) {
			t.Error("no event")
		}
	})
}

// R3: the owner's answer arrives between our load and our lock.
func TestR3TheLookUnderTheLockDecides(t *testing.T) {
	inWorld(t, -time.Minute, func(w *world) {
		l, _ := w.store.Lock(context.Background())
		s := w.source()
		go func() {
			time.Sleep(time.Second)
			w.store.Set(w.login("o2", "q2", 8*time.Hour))
			l.Unlock()
		}()
		want(t, s, "o2")
		w.sends(0)
	})
}

func TestL1AHeldLockEndsInErrLocked(t *testing.T) {
	inWorld(t, -time.Minute, func(w *world) {
		l, _ := w.store.Lock(context.Background())
		defer l.Unlock()
		began := time.Now()
		wantError(t, w.source(func(o *evercred.Options) { o.RefreshTimeout = 3 * time.Second }), evercred.ErrLocked, evercred.ReasonLocked)
		if d := time.Since(began); d < 2*time.Second || d > 4*time.Second {
			t.Errorf("after %v", d)
		}
	})
	inWorld(t, 5*time.Minute, func(w *world) { // early: never waits for a lock
		l, _ := w.store.Lock(context.Background())
		defer l.Unlock()
		began := time.Now()
		want(t, w.source(), "a1")
		if d := time.Since(began); d > time.Second {
			t.Errorf("waited %v", d)
		}
	})
}

// R4: a loser blanks the store after our grant.
func TestR4OurSaveReplacesABlank(t *testing.T) {
	inWorld(t, -time.Minute, func(w *world) {
		w.ep.then(step{during: func() {
			w.store.Set([]byte(strings.NewReplacer(`"a1"`, `""`, `"r1"`, `""`).Replace(string(w.store.Bytes()))))
		}})
		want(t, w.source(), "a2")
		if w.stored().Refresh.Reveal() != "r2" || !w.saw(evercred.EventOverBlank) {
			t.Error("not saved over the blank, or not told")
		}
	})
}

// R5: the user logs out during our grant.
func TestR5LogoutDuringTheGrant(t *testing.T) {
	inWorld(t, -time.Minute, func(w *world) {
		w.ep.then(step{during: func() { w.store.Set(nil) }})
		s := w.source()
		wantError(t, s, evercred.ErrNotFound, evercred.ReasonNoFile)
		if w.store.Bytes() != nil || !w.saw(evercred.EventDropped) {
			t.Error("the login was revived, or nothing was told")
		}
		wantError(t, s, evercred.ErrNotFound, evercred.ReasonNoFile)
		w.sends(1)
	})
}

// R6: the user logs in to another account during our grant.
func TestR6LoginDuringTheGrant(t *testing.T) {
	inWorld(t, -time.Minute, func(w *world) {
		w.ep.then(step{during: func() { w.store.Set(w.login("b1", "q1", time.Hour)) }})
		want(t, w.source(), "b1")
		if w.stored().Refresh.Reveal() != "q1" || !w.saw(evercred.EventDropped) {
			t.Error("the new login was overwritten, or nothing was told")
		}
	})
}

// The owner rewrites its settings meanwhile: a conflict of bytes, not of logins.
func TestSaveAfterAForeignChange(t *testing.T) {
	inWorld(t, -time.Minute, func(w *world) {
		w.ep.then(step{during: func() {
			w.store.Set([]byte(strings.Replace(string(w.store.Bytes()), `"max"`, `"pro"`, 1)))
		}})
		want(t, w.source(), "a2")
		if c := w.stored(); c.Refresh.Reveal() != "r2" || c.Plan != "pro" {
			t.Errorf("%s, plan %s", c.Refresh.Reveal(), c.Plan)
		}
	})
}

// R9: the answer is lost. With a retry window the same token is recovered.
func TestR9LostAnswers(t *testing.T) {
	reset := errors.New("connection reset")
	t.Run("not committed", func(t *testing.T) {
		inWorld(t, -time.Minute, func(w *world) {
			w.ep.then(step{refuse: true, lose: reset}, step{refuse: true, raw: response(503, "busy")})
			want(t, w.source(), "a2")
			w.sends(3)
		})
	})
	t.Run("committed, no retry window", func(t *testing.T) {
		inWorld(t, -time.Minute, func(w *world) {
			w.ep.then(step{lose: reset})
			s := w.source()
			sent := w.clock.Now()
			e := wantError(t, s, evercred.ErrLoginRequired, evercred.ReasonLostAnswer)
			if !strings.Contains(e.What, "refresh of "+sent.Format(time.RFC3339)+" was lost") {
				t.Errorf("sent at %s: %v", sent.Format(time.RFC3339), e)
			}
			if !w.saw(evercred.EventUnknown) {
				t.Error("the unknown outcome was not told")
			}
			w.sends(2)
			wantError(t, s, evercred.ErrLoginRequired, evercred.ReasonLostAnswer)
			w.sends(2) // R10: remembered
			if w.stored().Refresh.Reveal() != "r1" || !w.saw(evercred.EventLost) {
				t.Error("the store was touched, or the loss was not told")
			}
		})
	})
	t.Run("never answered: four sends, then a cooldown", func(t *testing.T) {
		inWorld(t, -time.Minute, func(w *world) {
			for range 9 {
				w.ep.then(step{refuse: true, lose: reset})
			}
			s := w.source()
			e := wantError(t, s, evercred.ErrUnavailable, evercred.ReasonUnknownOutcome)
			w.sends(4)
			if e.RetryAt.IsZero() || !errors.Is(e, reset) {
				t.Errorf("it does not say when to try again, or why: %v", e)
			}
			wantError(t, s, evercred.ErrUnavailable, evercred.ReasonUnknownOutcome)
			w.sends(4)
		})
	})
	t.Run("early: one send, and the valid token", func(t *testing.T) {
		inWorld(t, 5*time.Minute, func(w *world) {
			w.ep.then(step{refuse: true, lose: reset})
			s := w.source()
			want(t, s, "a1")
			want(t, s, "a1")
			w.sends(1)
			time.Sleep(45 * time.Second)
			want(t, s, "a2") // the next call repeats
		})
	})
}

// R9b: what never left is known not to be spent.
func TestR9bNeverLeft(t *testing.T) {
	refused := errors.New("connection refused")
	inWorld(t, -time.Minute, func(w *world) {
		w.ep.then(step{unsent: refused}, step{unsent: refused})
		want(t, w.source(), "a2")
		w.sends(1)
		if w.saw(evercred.EventUnknown) {
			t.Error("counted as spent")
		}
	})
	inWorld(t, -time.Minute, func(w *world) {
		for range 9 {
			w.ep.then(step{unsent: refused})
		}
		s := w.source()
		if e := wantError(t, s, evercred.ErrUnavailable, evercred.ReasonUnreachable); e.What != "the token endpoint cannot be reached" || !errors.Is(e, refused) {
			t.Errorf("%v", e)
		}
		began := time.Now()
		wantError(t, s, evercred.ErrUnavailable, evercred.ReasonUnreachable) // R21: at once
		if d := time.Since(began); d > 100*time.Millisecond {
			t.Errorf("the second caller waited %v", d)
		}
		time.Sleep(3 * time.Second)
		w.ep.script = nil
		want(t, s, "a2")
	})
}

// R10: invalid_grant leaves the store as it is and is remembered.
func TestR10Refused(t *testing.T) {
	inWorld(t, -time.Minute, func(w *world) {
		w.ep.live = "gone"
		before := w.store.Bytes()
		s := w.source()
		e := wantError(t, s, evercred.ErrLoginRequired, evercred.ReasonRefused)
		var re *evercred.RefreshError
		if !errors.As(e, &re) || re.Code != "invalid_grant" || re.Status != 400 {
			t.Errorf("%v", e)
		}
		wantError(t, s, evercred.ErrLoginRequired, evercred.ReasonRefused)
		w.sends(1)
		if string(before) != string(w.store.Bytes()) {
			t.Error("the store was touched")
		}
		w.store.Set(w.login("b1", "q1", time.Hour)) // a new login is a new chance
		want(t, s, "b1")
	})
	inWorld(t, -time.Minute, func(w *world) { // loop once if it changed
		w.ep.live = "r7"
		w.ep.then(step{during: func() { w.store.Set(w.login("a7", "r7", -time.Second)) }})
		want(t, w.source(), "a2")
		w.sends(2)
	})
}

// R11: 429 with any Retry-After.
func TestR11Limited(t *testing.T) {
	for after, least := range map[string]time.Duration{"3600": time.Hour, "0": time.Minute, "": time.Minute, "soon": time.Minute, "315360000": time.Hour} {
		inWorld(t, -time.Minute, func(w *world) {
			header := "Retry-After: " + after
			if after == "" {
				header = "X-Other: 1"
			}
			w.ep.then(step{refuse: true, raw: response(429, "{}", header)})
			s := w.source()
			e := wantError(t, s, evercred.ErrUnavailable, evercred.ReasonRateLimited)
			if got := time.Until(e.RetryAt); got < least || got > least+least/8 {
				t.Errorf("Retry-After %q: try again in %v", after, got)
			}
			time.Sleep(least - time.Second)
			wantError(t, s, evercred.ErrUnavailable, evercred.ReasonRateLimited)
			w.sends(1)
			time.Sleep(least/8 + 2*time.Second)
			want(t, s, "a2")
		})
	}
	inWorld(t, 5*time.Minute, func(w *world) { // the valid token is served
		w.ep.then(step{refuse: true, raw: response(429, "{}")})
		s := w.source()
		for range 5 {
			want(t, s, "a1")
			time.Sleep(2 * time.Second)
		}
		w.sends(1)
	})
}

// R12: whatever stands between us and the endpoint says nothing about the login.
func TestR12NotTheEndpoint(t *testing.T) {
	for _, raw := range []string{
		"HTTP/1.1 403 X\r\nContent-Type: text/html\r\nContent-Length: 24\r\n\r\n<html>error 1010</html> ",
		response(404, `{"error":"invalid_grant"}`),
		response(400, `{"type":"error","error":{"type":"invalid_request_error","message":"x"}}`),
		response(401, `{"error":"invalid_client"}`),
		response(307, "", "Location: http://127.0.0.1:2/"), // R14
	} {
		inWorld(t, -time.Minute, func(w *world) {
			w.ep.then(step{refuse: true, raw: raw})
			s := w.source()
			if _, err := s.Token(context.Background()); !errors.Is(err, evercred.ErrUnavailable) {
				t.Errorf("%.20q: %v", raw, err)
			}
			w.sends(1)
			time.Sleep(3 * time.Second)
			want(t, s, "a2")
		})
	}
}

// R13: strange lifetimes are tolerated; the tokens are good.
func TestR13StrangeLifetimes(t *testing.T) {
	for members, life := range map[string]time.Duration{
		`,"expires_in":0`: time.Hour, `,"expires_in":-5`: time.Hour, `,"expires_in":"soon"`: time.Hour, `,"expires_in":315360000`: time.Hour, `,"x":1`: time.Hour,
		`,"expires_in":1800`: 30 * time.Minute,
	} {
		inWorld(t, -time.Minute, func(w *world) {
			w.ep.then(step{members: members})
			s := w.source()
			tok := want(t, s, "a2")
			if got := time.Until(tok.Expires()); got > life || got < life-time.Second {
				t.Errorf("%s: ends in %v", members, got)
			}
			want(t, s, "a2")
			w.sends(1)
		})
	}
}

// Short lifetimes are renewed at 80 %, not at every call.
func TestShortLifetimes(t *testing.T) {
	inWorld(t, -time.Minute, func(w *world) {
		for range 3 {
			w.ep.then(step{members: `,"expires_in":100`})
		}
		s := w.source()
		want(t, s, "a2")
		time.Sleep(70 * time.Second)
		want(t, s, "a2")
		w.sends(1)
		time.Sleep(12 * time.Second)
		want(t, s, "a3")
		w.sends(2)
	})
}

// R13: answers that are no use. Nothing is stored as garbage.
func TestR13UselessAnswers(t *testing.T) {
	for _, body := range []string{
		`{"error":"x","access_token":"a"}`, ``, `{"access_token":""}`, `{"access_token":"a\u0007b","refresh_token":"r1"}`, `{"access_token":"x","token_type":"mac"}`,
	} {
		inWorld(t, -time.Minute, func(w *world) {
			before := w.store.Bytes()
			for range 9 {
				w.ep.then(step{refuse: true, raw: response(200, body)})
			}
			if _, err := w.source().Token(context.Background()); !errors.Is(err, evercred.ErrUnavailable) {
				t.Errorf("%s: %v", body, err)
			}
			if string(before) != string(w.store.Bytes()) {
				t.Errorf("%s: stored", body)
			}
			if w.ep.sends > 4 {
				t.Errorf("%s: %d requests", body, w.ep.sends)
			}
		})
	}
	inWorld(t, -time.Minute, func(w *world) { // another refresh token proves the commit: repeat once at most
		for range 9 {
			w.ep.then(step{refuse: true, raw: response(200, `{"access_token":"","refresh_token":"zz"}`)})
		}
		wantError(t, w.source(), evercred.ErrLoginRequired, evercred.ReasonLostAnswer)
		w.sends(2)
	})
}

func TestOmittedRefreshTokenIsKept(t *testing.T) {
	inWorld(t, -time.Minute, func(w *world) {
		w.ep.then(step{refuse: true, raw: response(200, `{"access_token":"a2","expires_in":60}`)})
		want(t, w.source(), "a2")
		if got := w.stored().Refresh.Reveal(); got != "r1" {
			t.Errorf("stored %s", got)
		}
	})
}

// R15: eight refusals at once cause one grant.
func TestR15Reject(t *testing.T) {
	inWorld(t, time.Hour, func(w *world) {
		s := w.source()
		old := want(t, s, "a1")
		together(8, func() {
			s.Reject(old)
			want(t, s, "a2")
		})
		w.sends(1)
		s.Reject(old) // not current any more: no effect
		want(t, s, "a2")
		w.sends(1)
	})
	inWorld(t, time.Hour, func(w *world) { // adopt what somebody else saved
		s := w.source()
		old := want(t, s, "a1")
		w.store.Set(w.login("o2", "q2", time.Hour))
		s.Reject(old)
		want(t, s, "o2")
		w.sends(0)
	})
}

// R15b: an API that always says 401 gets no storm of grants.
func TestR15bRefusedSuccessor(t *testing.T) {
	inWorld(t, time.Hour, func(w *world) {
		s := w.source()
		s.Reject(want(t, s, "a1"))
		s.Reject(want(t, s, "a2"))
		e := wantError(t, s, evercred.ErrUnavailable, evercred.ReasonAPIRefuses)
		for range 20 {
			time.Sleep(time.Minute)
			wantError(t, s, evercred.ErrUnavailable, evercred.ReasonAPIRefuses)
		}
		w.sends(1)
		if got := e.RetryAt; got.IsZero() {
			t.Error("it does not say when to try again")
		}
		time.Sleep(time.Hour)
		want(t, s, "a3")
		w.sends(2)
	})
}

// R17: the login's own deadline.
func TestR17Deadline(t *testing.T) {
	withDeadline := func(w *world, left, deadline time.Duration) []byte {
		return []byte(strings.Replace(string(w.login("a1", "r1", left)), `"scopes"`, fmt.Sprintf(`"refreshTokenExpiresAt":%d,"scopes"`, w.clock.Now().Add(deadline).UnixMilli()), 1))
	}
	inWorld(t, 0, func(w *world) {
		w.store.Set(withDeadline(w, time.Hour, 48*time.Hour))
		want(t, w.source(), "a1")
		if !w.saw(evercred.EventDeadline) {
			t.Error("no warning three days ahead")
		}
	})
	inWorld(t, 0, func(w *world) {
		w.store.Set(withDeadline(w, 5*time.Minute, -time.Hour))
		s := w.source()
		want(t, s, "a1")
		time.Sleep(6 * time.Minute)
		wantError(t, s, evercred.ErrLoginRequired, evercred.ReasonDeadline)
		w.sends(0)
		if r, err := s.Refresh(context.Background(), true); err != nil || !r.Granted {
			t.Errorf("force asks once: %v", err)
		}
		w.sends(1)
	})
}

// R18: the wall clock jumps.
func TestR18ClockJumps(t *testing.T) {
	inWorld(t, 2*time.Hour, func(w *world) {
		s := w.source()
		want(t, s, "a1")
		w.clock.set(0, 24*time.Hour) // the laptop slept for a day
		want(t, s, "a2")
		w.sends(1)
	})
	inWorld(t, 2*time.Hour, func(w *world) {
		s := w.source()
		want(t, s, "a1")
		w.clock.set(-48*time.Hour, 0)
		w.store.Set(w.login("o2", "q2", 8*time.Hour))
		time.Sleep(time.Second)
		want(t, s, "o2") // a change is noticed all the same
		w.sends(0)
	})
}

// R18, §6.7: the machine slept between the lock and the send: look again first.
func TestR18SleepBeforeTheSend(t *testing.T) {
	inWorld(t, -time.Minute, func(w *world) {
		w.ep.then(step{connect: func() { w.clock.set(0, time.Hour) }})
		want(t, w.source(), "a2")
		w.sends(1)
		if w.ep.tries != 2 {
			t.Errorf("%d tries; the one after the sleep must be stopped, and the next one go through", w.ep.tries)
		}
	})
	inWorld(t, -time.Minute, func(w *world) { // what was slept before the lock is of no account
		w.clock.set(0, time.Hour)
		want(t, w.source(), "a2")
		if w.ep.tries != 1 {
			t.Errorf("%d tries", w.ep.tries)
		}
	})
}

// R3, §6.7: the store changes while we connect, after the look under the lock.
func TestR3TheStoreChangesWhileConnecting(t *testing.T) {
	inWorld(t, -time.Minute, func(w *world) {
		w.ep.then(step{connect: func() { w.store.Set(w.login("o2", "q2", 8*time.Hour)) }})
		want(t, w.source(), "o2")
		w.sends(0)
	})
}

// R19: panics do not strand anybody.
func TestR19Panics(t *testing.T) {
	inWorld(t, -time.Minute, func(w *world) {
		s := w.source()
		w.store.FailLoad(func() error { panic("secret-r1") })
		together(5, func() {
			_, err := s.Token(context.Background())
			if !errors.Is(err, evercred.ErrUnavailable) || strings.Contains(err.Error(), "secret-r1") {
				t.Errorf("%v", err)
			}
		})
		w.store.FailLoad(nil)
		want(t, s, "a2")
	})
	inWorld(t, -time.Minute, func(w *world) {
		s := w.source()
		w.ep.then(step{during: func() { panic("in the endpoint") }})
		if _, err := s.Token(context.Background()); !errors.Is(err, evercred.ErrUnavailable) {
			t.Errorf("%v", err)
		}
		// The lock is free again, and the commit of which nobody knows is found out.
		wantError(t, s, evercred.ErrLoginRequired, evercred.ReasonLostAnswer)
	})
	inWorld(t, -time.Minute, func(w *world) {
		s := w.source(func(o *evercred.Options) { o.Observe = func(evercred.Event) { panic("in the observer") } })
		want(t, s, "a2")
	})
}

// R20: a backup brings an older document back.
func TestR20OlderCopy(t *testing.T) {
	inWorld(t, -time.Minute, func(w *world) {
		s := w.source()
		old := w.store.Bytes()
		want(t, s, "a2")
		w.store.Set(old)
		time.Sleep(2 * time.Second)
		want(t, s, "a2") // still good, and newer than the file
		time.Sleep(8 * time.Hour)
		wantError(t, s, evercred.ErrLoginRequired, evercred.ReasonOlderCopy)
		w.sends(1)
	})
}

// L4: the lock is stolen while we hold it.
func TestL4StolenLock(t *testing.T) {
	inWorld(t, -time.Minute, func(w *world) { // after the send: finish, save by compare-and-swap
		w.ep.then(step{during: func() { w.store.Steal() }})
		want(t, w.source(), "a2")
		if w.stored().Refresh.Reveal() != "r2" {
			t.Error("the successor was lost")
		}
	})
	inWorld(t, -time.Minute, func(w *world) { // before the send: stop
		s := w.source()
		loads := 0
		w.store.FailLoad(func() error {
			if loads++; loads == 2 { // the look under the lock
				w.store.Steal()
			}
			return nil
		})
		wantError(t, s, evercred.ErrLocked, evercred.ReasonLocked)
		w.sends(0)
		if !w.saw(evercred.EventLockStolen) {
			t.Error("not told")
		}
	})
}

// §6.11: the save fails after the grant; losing the token is the bug.
func TestF4SaveFailsAfterTheGrant(t *testing.T) {
	inWorld(t, -time.Minute, func(w *world) {
		var full atomic.Bool
		full.Store(true)
		w.store.FailSave(func() error {
			if full.Load() {
				return errors.New("no space left on device")
			}
			return nil
		})
		s := w.source()
		want(t, s, "a2")
		if !w.saw(evercred.EventSaveFailed) {
			t.Error("not said loudly")
		}
		time.Sleep(30 * time.Second)
		want(t, s, "a2")
		if w.stored().Refresh.Reveal() != "r1" {
			t.Fatal("it was saved?")
		}
		full.Store(false)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if w.stored().Refresh.Reveal() != "r2" || !w.saw(evercred.EventSavedLate) {
			t.Error("it was not saved when it could be")
		}
		want(t, s, "a2")
		w.sends(1)
	})
}

// The old token in the store is still valid, but its successor is in memory: the
// store must not win over it, and a new login must.
func TestF4AnUnsavedSuccessorIsNotForgotten(t *testing.T) {
	inWorld(t, 5*time.Minute, func(w *world) {
		s := w.fullDisk()
		for range 30 {
			time.Sleep(5 * time.Second)
			want(t, s, "a2")
		}
		w.sends(1)
		w.store.Set(w.login("b1", "q1", time.Hour))
		time.Sleep(2 * time.Second)
		want(t, s, "b1")
		w.store.FailSave(nil)
		time.Sleep(10 * time.Minute)
		want(t, s, "b1")
		if w.stored().Refresh.Reveal() != "q1" {
			t.Error("the new login was overwritten")
		}
	})
}

// Guarantee 6: a valid token is served through any outage of the store.
func TestUnreadableStoreServesFromMemory(t *testing.T) {
	inWorld(t, time.Hour, func(w *world) {
		s := w.source()
		want(t, s, "a1")
		good := w.store.Bytes()
		w.store.Set([]byte("{half a docu"))
		time.Sleep(5 * time.Second)
		want(t, s, "a1")
		w.store.Set(good)
		time.Sleep(2 * time.Second)
		want(t, s, "a1")
	})
	inWorld(t, 11*time.Minute, func(w *world) { // and it is told why it is not renewed
		s := w.source()
		want(t, s, "a1")
		good := w.store.Bytes()
		defer w.store.Set(good)
		w.store.Set([]byte("{half a docu"))
		time.Sleep(5 * time.Minute)
		want(t, s, "a1")
		if e := w.event(evercred.EventUnavailable); evercred.ReasonOf(e.Err) != evercred.ReasonUnreadable {
			t.Errorf("told %+v", e)
		}
	})
}

// INTEROP §2: an owner that writes in place lets a reader meet half a file.
func TestTornDocumentIsReadAgain(t *testing.T) {
	inWorld(t, time.Hour, func(w *world) {
		good := w.store.Bytes()
		w.store.Set(good[:20])
		go func() {
			time.Sleep(500 * time.Millisecond)
			w.store.Set(good)
		}()
		want(t, w.source(), "a1")
	})
	inWorld(t, time.Hour, func(w *world) {
		w.store.Set([]byte(`{"mcpOAuth":{"x":1.50},`))
		began := time.Now()
		wantError(t, w.source(), evercred.ErrUnsafe, evercred.ReasonUnreadable)
		if d := time.Since(began); d < time.Second || d > 3*time.Second {
			t.Errorf("given up after %v", d)
		}
	})
}

func TestExternalChangesAreNoticedWithinProbe(t *testing.T) {
	inWorld(t, time.Hour, func(w *world) {
		s := w.source()
		want(t, s, "a1")
		w.store.Set(w.login("o2", "q2", time.Hour))
		time.Sleep(time.Second)
		want(t, s, "o2")
		w.store.Set(nil)
		time.Sleep(time.Second)
		wantError(t, s, evercred.ErrNotFound, evercred.ReasonNoFile)
		w.store.Set(w.login("o3", "q3", time.Hour))
		want(t, s, "o3")
	})
}

// L8: a stat that hangs does not hang the callers.
func TestL8AHangingStoreDoesNotHangCallers(t *testing.T) {
	inWorld(t, time.Hour, func(w *world) {
		store := hangingStore{w.store, make(chan struct{})}
		s := evercred.New(store, codec, w.ep, nil)
		defer s.Close()
		defer close(store.released)
		want(t, s, "a1")
		for range 5 {
			time.Sleep(2 * time.Second)
			began := time.Now()
			want(t, s, "a1")
			if d := time.Since(began); d > 20*time.Millisecond {
				t.Errorf("a caller waited %v", d)
			}
		}
	})
}

func TestReadOnlyFollowsAndNeverRefreshes(t *testing.T) {
	inWorld(t, 5*time.Minute, func(w *world) {
		s := w.source(func(o *evercred.Options) { o.ReadOnly = true })
		want(t, s, "a1")
		time.Sleep(6 * time.Minute)
		wantError(t, s, evercred.ErrUnavailable, evercred.ReasonReadOnly)
		w.store.Set(w.login("o2", "q2", time.Hour))
		want(t, s, "o2")
		w.sends(0)
	})
}

func TestUnknownExpiryIsUsedUntilRefused(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		w.store.Set([]byte(`{"mcpOAuth":{"x":1.50},"claudeAiOauth":{"accessToken":"a1","refreshToken":"r1"}}`))
		s := w.source()
		tok := want(t, s, "a1")
		time.Sleep(100 * time.Hour)
		want(t, s, "a1")
		s.Reject(tok)
		want(t, s, "a2")
		w.sends(1)
	})
}

// §6.12: the next generation keeps its distance from an unanswered send.
func TestSpacingAfterAnUnansweredSend(t *testing.T) {
	inWorld(t, -time.Minute, func(w *world) {
		w.ep.then(step{refuse: true, lose: errors.New("timeout")})
		s := w.source()
		want(t, s, "a2")
		if _, err := s.Refresh(context.Background(), true); !errors.Is(err, evercred.ErrUnavailable) {
			t.Errorf("%v", err)
		}
		w.sends(2)
		time.Sleep(2 * time.Minute)
		if r, err := s.Refresh(context.Background(), true); err != nil || r.Token.Reveal() != "a3" {
			t.Errorf("%v", err)
		}
	})
}

func TestStatus(t *testing.T) {
	for name, c := range map[string]struct {
		doc               string
		state             evercred.State
		usable, renewable bool
		err               error
	}{
		"fresh":                    {"", evercred.StateFresh, true, true, nil},
		"expired":                  {`{"claudeAiOauth":{"accessToken":"a","refreshToken":"r","expiresAt":1000}}`, evercred.StateExpired, false, true, nil},
		"blanked":                  {`{"claudeAiOauth":{"accessToken":"","refreshToken":"","expiresAt":0}}`, evercred.StateBlanked, false, false, evercred.ErrLoginRequired},
		"usable, and cannot renew": {`{"claudeAiOauth":{"accessToken":"a","expiresAt":4102444800000}}`, evercred.StateNoRenewal, true, false, nil},
		"cannot renew":             {`{"claudeAiOauth":{"accessToken":"a","expiresAt":1000}}`, evercred.StateNoRenewal, false, false, evercred.ErrLoginRequired},
		"logged out":               {`{"mcpOAuth":{}}`, evercred.StateLoggedOut, false, false, evercred.ErrNotFound},
		"unreadable":               {`[]`, evercred.StateUnreadable, false, false, evercred.ErrUnsafe},
		"dead":                     {`{"claudeAiOauth":{"accessToken":"a","refreshToken":"r","expiresAt":1600000000000,"refreshTokenExpiresAt":1600000000000}}`, evercred.StateDead, false, false, evercred.ErrLoginRequired},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			doc := []byte(c.doc)
			if c.doc == "" {
				doc = w.login("a1", "r1", time.Hour)
			}
			w.store = newStore(doc)
			time.Sleep(5 * time.Second)
			st, err := w.source().Status(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			if st.State != c.state || st.Usable != c.usable || st.Renewable != c.renewable || !errors.Is(st.Err, c.err) {
				t.Errorf("%s: %+v", name, st)
			}
			w.sends(0)
		})
	}
}
