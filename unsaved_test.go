package evercred_test

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evercred/evercred"
)

// A save that fails for minutes is tried again by one saver with growing pauses,
// not by more and more of them.
func TestF4OneSaverForOneSuccessor(t *testing.T) {
	inWorld(t, -time.Minute, func(w *world) {
		var n atomic.Int64
		w.store.FailSave(func() error { n.Add(1); return errors.New("no space") })
		s := w.source()
		want(t, s, "a2")
		last, g0 := n.Load(), runtime.NumGoroutine()
		for i := range 10 {
			time.Sleep(time.Minute)
			synctest.Wait()
			t.Logf("minute %d: %d saves, goroutines %d (at first %d)", i, n.Load()-last, runtime.NumGoroutine(), g0)
			last = n.Load()
			if runtime.NumGoroutine() > 5000 {
				break
			}
		}
		if runtime.NumGoroutine() > g0+5 {
			t.Errorf("leak")
		}
		w.store.FailSave(nil)
		time.Sleep(2 * time.Minute)
	})
}

func TestF4AnUnsavedTokenIsNotServedPastItsEnd(t *testing.T) {
	inWorld(t, -time.Minute, func(w *world) {
		w.ep.then(step{members: `,"expires_in":60`})
		s := w.fullDisk()
		time.Sleep(70 * time.Second)
		tok, err := s.Token(context.Background())
		t.Logf("%v %v expires %v now %v", tok.Reveal(), err, tok.Expires(), w.clock.Now())
		if err == nil && tok.Expires().Before(w.clock.Now()) {
			t.Error("expired token, nil error")
		}
		s.Close()
	})
}

// Without a ledger, memory is all there is.
func TestCloseTriesTheSaveOnceMore(t *testing.T) {
	inWorld(t, -time.Minute, func(w *world) {
		var full atomic.Bool
		full.Store(true)
		w.store.FailSave(func() error {
			if full.Load() {
				return errors.New("no space")
			}
			return nil
		})
		s := w.source()
		want(t, s, "a2")
		full.Store(false)
		s.Close()
		if w.stored().Refresh.Reveal() != "r2" {
			t.Error("successor lost at Close though the store works again (no ledger)")
		}
	})
}

func TestTheSaverGrantsNothing(t *testing.T) {
	inWorld(t, -time.Minute, func(w *world) {
		w.ep.then(step{members: `,"expires_in":60`})
		var full atomic.Bool
		full.Store(true)
		w.store.FailSave(func() error {
			if full.Load() {
				return errors.New("no space")
			}
			return nil
		})
		s := w.source()
		want(t, s, "a2")
		time.Sleep(65 * time.Second)
		full.Store(false)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		w.sends(1) // nobody asked for a token
	})
}

func TestAGrantAfterALateSaveIsAGrant(t *testing.T) {
	inWorld(t, -time.Minute, func(w *world) {
		w.ep.then(step{members: `,"expires_in":60`})
		var full atomic.Bool
		full.Store(true)
		w.store.FailSave(func() error {
			if full.Load() {
				return errors.New("no space")
			}
			return nil
		})
		s := w.source()
		want(t, s, "a2")
		time.Sleep(64 * time.Second)
		full.Store(false)
		r, err := s.Refresh(context.Background(), false)
		t.Logf("%+v %v %s", r, err, r.Token.Reveal())
		if !r.Granted {
			t.Error("a3 was granted in this flight, and Granted is false")
		}
	})
}

func TestARefusedUnsavedTokenIsNotServed(t *testing.T) {
	inWorld(t, -time.Minute, func(w *world) {
		w.store.FailSave(func() error { return errors.New("no space") })
		s := w.source()
		tok := want(t, s, "a2")
		s.Reject(tok)
		got, err := s.Token(context.Background())
		if err == nil && got.Equal(tok) {
			t.Error("the refused token is handed out again, nil error")
		}
		s.Close()
	})
}

const blanked = `{"mcpOAuth":{"x":1.50},"claudeAiOauth":{"accessToken":"","refreshToken":"","expiresAt":0,"scopes":["user:inference"],"subscriptionType":"max"}}`

func TestF4OneSaverOverABlank(t *testing.T) {
	inWorld(t, -time.Minute, func(w *world) {
		w.fullDisk()
		w.store.Set([]byte(blanked))
		g0 := runtime.NumGoroutine()
		time.Sleep(8 * time.Minute)
		synctest.Wait()
		if runtime.NumGoroutine() > g0+5 {
			t.Error("leak of savers")
		}
		w.store.FailSave(nil)
		time.Sleep(2 * time.Minute)
	})
}

// The store is blanked while a successor is in memory and the lock is held.
func TestNoEmptyTokenOverABlank(t *testing.T) {
	inWorld(t, -time.Minute, func(w *world) {
		s := w.fullDisk()
		l, err := w.store.Lock(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		w.store.Set([]byte(blanked))
		for range 100 {
			time.Sleep(100 * time.Millisecond)
			ctx, c := context.WithTimeout(context.Background(), 50*time.Millisecond)
			tok, err := s.Token(ctx)
			c()
			if err == nil && (tok.IsZero() || tok.Reveal() == "") {
				t.Errorf("empty token %q, nil error; saved late told: %v", tok.Reveal(), w.saw(evercred.EventSavedLate))
				break
			}
		}
		time.Sleep(5 * time.Second)
		l.Unlock()
	})
}

func TestSavedLateIsToldOnlyIfItWas(t *testing.T) {
	inWorld(t, -time.Minute, func(w *world) {
		w.fullDisk()
		w.store.Set(w.login("b1", "q1", time.Hour))
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if w.saw(evercred.EventSavedLate) {
			t.Error("told that it was saved late; nothing was ever saved")
		}
	})
}

func TestR8CloseWithAnUnsavedTokenDoesNotWait(t *testing.T) {
	inWorld(t, -time.Minute, func(w *world) {
		w.store.FailSave(func() error { return errors.New("no space") })
		s := w.source()
		tok := want(t, s, "a2")
		l, _ := w.store.Lock(context.Background())
		s.Reject(tok)
		go s.Token(context.Background())
		time.Sleep(10 * time.Millisecond)
		b := time.Now()
		s.Close()
		if d := time.Since(b); d > 5*time.Second {
			t.Errorf("Close waited %v for a flight that has sent nothing", d)
		}
		l.Unlock()
	})
}

func TestAGrantAfterADroppedRecoveryIsAGrant(t *testing.T) {
	inWorld(t, -time.Minute, func(w *world) {
		first := true
		w.store.FailSave(func() error { return errors.New("no space") })
		s := w.source()
		tok := want(t, s, "a2")
		w.store.FailSave(func() error {
			if first {
				first = false
				w.store.Set(w.login("b1", "q1", -time.Minute))
				return evercred.ErrConflict
			}
			return nil
		})
		w.ep.live = "q1"
		s.Reject(tok)
		r, err := s.Refresh(context.Background(), false)
		if err != nil || !r.Granted || r.Recovered {
			t.Errorf("granted in this flight: %+v %v", r, err)
		}
	})
}

func TestR20AnOlderCopyDoesNotBeatMemory(t *testing.T) {
	inWorld(t, time.Minute, func(w *world) {
		s := w.source()
		old := w.store.Bytes()
		want(t, s, "a2") // saved: r1 -> r2
		w.store.FailSave(func() error { return errors.New("no space") })
		if r, err := s.Refresh(context.Background(), true); err != nil || !r.Unsaved { // r2 -> r3
			t.Fatal(r, err)
		}
		w.store.Set(old) // a backup
		l, _ := w.store.Lock(context.Background())
		time.Sleep(10 * time.Second)
		want(t, s, "a3")
		time.Sleep(2 * time.Minute)
		want(t, s, "a3")
		l.Unlock()
		w.store.FailSave(nil)
	})
}

func TestTheEarlyWindowNeverWaitsWithAnUnsavedToken(t *testing.T) {
	inWorld(t, -time.Minute, func(w *world) {
		w.ep.then(step{members: `,"expires_in":100`})
		s := w.fullDisk()
		l, _ := w.store.Lock(context.Background())
		time.Sleep(85 * time.Second) // early
		worst := time.Duration(0)
		for range 5 {
			b := time.Now()
			if _, err := s.Token(context.Background()); err != nil {
				t.Error(err)
			}
			worst = max(worst, time.Since(b))
			time.Sleep(1100 * time.Millisecond)
		}
		if worst > 2*time.Second {
			t.Errorf("waited %v in the early window", worst)
		}
		l.Unlock()
		w.store.FailSave(nil)
	})
}
