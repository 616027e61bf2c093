package evercred_test

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
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
		w.store.FailSave(func() error { return errors.New("no space") })
		s := w.source()
		want(t, s, "a2")
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
