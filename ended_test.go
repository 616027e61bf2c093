package evercred_test

import (
	"context"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/evercred/evercred"
)

// What was good when a flight looked may have ended when a caller stops waiting
// for it. (Found by the simulation.)
func TestATokenThatEndsWhileACallerWaits(t *testing.T) {
	inWorld(t, 15*time.Minute, func(w *world) {
		s := w.source()
		want(t, s, "a1")
		time.Sleep(15*time.Minute - 35*time.Second)
		w.ep.then(step{take: time.Minute})
		ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
		defer cancel()
		if tok, err := s.Token(ctx); err == nil {
			t.Errorf("a token is served that ended %v ago", w.clock.Now().Sub(tok.Expires()))
		}
	})
}

// A clock before 1970 makes no token good that a server refused.
func TestRejectBefore1970(t *testing.T) {
	inWorld(t, time.Hour, func(w *world) {
		w.clock.set(time.Date(1960, 1, 1, 0, 0, 0, 0, time.UTC).Sub(w.clock.Now()), 0)
		s := w.source()
		s.Reject(want(t, s, "a1"))
		want(t, s, "a2")
	})
}

// The lock was waited for until what the first look saw had ended.
func TestATokenThatEndsWhileTheLockIsHeld(t *testing.T) {
	inWorld(t, 20*time.Second, func(w *world) {
		l, err := w.store.Lock(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		defer l.Unlock()
		wantError(t, w.source(), evercred.ErrLocked, evercred.ReasonLocked)
	})
}

// The machine slept between the answer and its save, for longer than the token lives.
func TestATokenThatEndsBeforeItIsSaved(t *testing.T) {
	inWorld(t, -time.Minute, func(w *world) {
		s := w.source()
		w.store.FailSave(func() error {
			w.store.FailSave(nil)
			w.clock.set(0, 9*time.Hour)
			return nil
		})
		want(t, s, "a3")
		w.sends(2)
	})
}

// Where the endpoint does not rotate, a newer access token that somebody saved
// makes the successor in memory an old one.
func TestASuccessorInMemoryThatIsSuperseded(t *testing.T) {
	inWorld(t, -time.Minute, func(w *world) {
		s := w.source()
		w.ep.then(step{raw: response(200, `{"access_token":"a2","expires_in":60}`)})
		w.store.FailSave(func() error { return syscall.EIO })
		want(t, s, "a2")
		w.store.FailSave(nil)
		w.store.Set(w.login("o2", "r1", 8*time.Hour))
		time.Sleep(2 * time.Minute) // longer than the saver waits
		want(t, s, "o2")
		if got := string(w.store.Bytes()); !strings.Contains(got, `"o2"`) {
			t.Errorf("the older successor was saved over the newer one: %s", got)
		}
		w.sends(1)
	})
}
