package evercred_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/filestore"
)

// §6.8b: by whatever flight; a commit is not undone by waiting.
func TestACommittedTokenIsRepeatedOnce(t *testing.T) {
	inWorld(t, -time.Minute, func(w *world) {
		for range 999 {
			w.ep.then(step{refuse: true, raw: response(200, `{"access_token":"","refresh_token":"zz"}`)})
		}
		s := w.source()
		for range 120 {
			s.Token(context.Background())
			time.Sleep(time.Minute)
		}
		w.ep.mu.Lock()
		n := w.ep.sends
		w.ep.mu.Unlock()
		if n > 2 {
			t.Errorf("%d sends of a committed token", n)
		}
	})
}

// A day of 503 must not fill the ledger.
func TestADayOfUnknownOutcomes(t *testing.T) {
	inWorld(t, -time.Minute, func(w *world) {
		for range 9999 {
			w.ep.then(step{refuse: true, raw: response(503, `busy`)})
		}
		s := w.source()
		for range 24 * 60 {
			s.Token(context.Background())
			time.Sleep(time.Minute)
		}
		st, _ := s.Status(context.Background())
		w.ep.mu.Lock()
		n := w.ep.sends
		w.ep.mu.Unlock()
		if st.Ledger.Open > 6 || st.Ledger.Escrow > 0 {
			t.Errorf("after a day of 503: %d sends, %d open attempts, %d escrow", n, st.Ledger.Open, st.Ledger.Escrow)
		}
	})
}

// A forced refresh that fails says nothing to those who did not force.
func TestAForcedFailureIsNobodyElses(t *testing.T) {
	inWorld(t, 2*time.Hour, func(w *world) {
		for range 9 {
			w.ep.then(step{unsent: errors.New("refused")})
		}
		s := w.source()
		go s.Refresh(context.Background(), true)
		time.Sleep(time.Millisecond)
		_, err := s.Token(context.Background())
		if err != nil {
			t.Errorf("valid token of 2 h not served: %v", err)
		}
	})
}

func TestAForcedFailureIsNobodyElsesLate(t *testing.T) {
	inWorld(t, 20*time.Second, func(w *world) {
		for range 9 {
			w.ep.then(step{unsent: errors.New("refused")})
		}
		s := w.source(func(o *evercred.Options) { o.RefreshEarly = time.Minute })
		go s.Refresh(context.Background(), true)
		time.Sleep(time.Millisecond)
		_, err := s.Token(context.Background())
		if err != nil {
			t.Errorf("valid token of 20 s not served: %v", err)
		}
	})
}

// R15b: a token that was refused at its end was not refused for being fresh.
func TestR15bAnEndIsNoRefusal(t *testing.T) {
	inWorld(t, -time.Minute, func(w *world) {
		w.ep.then(step{members: `,"expires_in":300`})
		s := w.source()
		tok := want(t, s, "a2")
		time.Sleep(290 * time.Second)
		s.Reject(tok)                // the API's clock is a little ahead
		time.Sleep(30 * time.Second) // it has expired by now on every clock
		_, err := s.Token(context.Background())
		if err != nil {
			t.Errorf("%v", err)
		}
	})
}

func TestR19Goexit(t *testing.T) {
	inWorld(t, -time.Minute, func(w *world) {
		s := w.source(func(o *evercred.Options) {
			o.Observe = func(e evercred.Event) {
				if e.Kind == evercred.EventGranted {
					runtime.Goexit()
				}
			}
		})
		tok, err := s.Token(context.Background())
		if err == nil && tok.IsZero() {
			t.Error("empty token, nil error")
		}
	})
}

// What did not leave after a loss does not make the loss known.
func TestR9UnknownThenUnreachable(t *testing.T) {
	inWorld(t, -time.Minute, func(w *world) {
		w.ep.then(step{refuse: true, lose: errors.New("reset")})
		for range 3 {
			w.ep.then(step{unsent: errors.New("refused")})
		}
		s := w.source()
		_, err := s.Token(context.Background())
		var e *evercred.Error
		errors.As(err, &e)
		t.Logf("%v; retry in %v", err, e.RetryAt.Sub(w.clock.Now()))
		if e.RetryAt.Sub(w.clock.Now()) < 25*time.Second {
			t.Error("cooldown after unknown too short")
		}
	})
}

func TestR19PanicInTheEarlyWindow(t *testing.T) {
	inWorld(t, 5*time.Minute, func(w *world) {
		w.ep.then(step{during: func() { panic("x") }})
		s := w.source()
		_, err := s.Token(context.Background())
		if err != nil {
			t.Errorf("good for 5 min, got %v", err)
		}
	})
}

func TestAColdSourceKeepsOneCallerWaiting(t *testing.T) {
	inWorld(t, 5*time.Minute, func(w *world) {
		w.ep.then(step{take: 20 * time.Second})
		s := w.source()
		var mu sync.Mutex
		slow := 0
		together(8, func() {
			b := time.Now()
			if _, err := s.Token(context.Background()); err != nil {
				t.Error(err)
			}
			if time.Since(b) > time.Second {
				mu.Lock()
				slow++
				mu.Unlock()
			}
		})
		if slow > 1 {
			t.Errorf("%d of 8 callers waited for the flight, want 1", slow)
		}
	})
}

func TestALossIsOfOneLogin(t *testing.T) {
	inWorld(t, -time.Minute, func(w *world) {
		w.ep.then(step{refuse: true, raw: response(503, "busy"), during: func() { w.store.Set(w.login("b1", "q1", -time.Minute)) }})
		e := wantError(t, w.source(), evercred.ErrLoginRequired, evercred.ReasonRefused)
		t.Log(e)
	})
}

// A Store may embed another and wrap its lock.
func TestAWrappedStoreWorks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p := filepath.Join(t.TempDir(), "c.json")
		os.WriteFile(p, w.login("a1", "r1", -time.Minute), 0o600)
		s := evercred.New(wrapped{filestore.New(p, nil)}, codec, w.ep, nil)
		defer s.Close()
		_, err := s.Token(context.Background())
		if err != nil {
			t.Error(err)
		}
	})
}

func TestL8CloseDoesNotWaitForAHangingStat(t *testing.T) {
	w := worldAt(t)
	w.store = newStore(w.login("a1", "r1", time.Hour))
	h := hangingStore{w.store, make(chan struct{})}
	s := evercred.New(h, codec, w.ep, &evercred.Options{Probe: time.Millisecond})
	want(t, s, "a1")
	time.Sleep(5 * time.Millisecond)
	want(t, s, "a1")
	closed := make(chan bool)
	go func() { s.Close(); close(closed) }()
	select {
	case <-closed:
	case <-time.After(2 * time.Second):
		t.Error("Close hangs with the stat")
	}
	close(h.released)
	<-closed
}

func TestSourceUnderStress(t *testing.T) {
	w := worldAt(t)
	w.store = newStore(w.login("a1", "r1", time.Hour))
	s := evercred.New(w.store, codec, w.ep, &evercred.Options{Probe: time.Microsecond, Seams: nil})
	stop := time.Now().Add(2 * time.Second)
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			for i := 0; time.Now().Before(stop); i++ {
				tok, err := s.Token(context.Background())
				if err == nil && tok.IsZero() {
					t.Error("empty")
				}
				switch i % 50 {
				case 7:
					s.Reject(tok)
				case 13:
					s.Status(context.Background())
				case 20:
					w.store.Set(w.store.Bytes())
				}
			}
		})
	}
	time.Sleep(1900 * time.Millisecond)
	s.Close()
	wg.Wait()
}

type wrapped struct{ *filestore.Store }

type loud struct{ evercred.Lock }

func (w wrapped) Lock(ctx context.Context) (evercred.Lock, error) {
	l, err := w.Store.Lock(ctx)
	return loud{l}, err
}

var (
	busy   = step{refuse: true, raw: response(503, `busy`)}
	commit = step{refuse: true, raw: response(200, `{"access_token":"","refresh_token":"zz"}`)}
)

// §6.8b: the attempt that proves a commit is kept, whatever comes after it.
func TestACommitIsRememberedAmongOtherOutcomes(t *testing.T) {
	inWorld(t, -time.Minute, func(w *world) {
		w.ep.then(busy, busy, busy, busy, commit, busy, busy, busy, busy, busy, busy, commit)
		s := w.source()
		for range 240 {
			s.Token(context.Background())
			time.Sleep(time.Minute)
		}
		wantError(t, s, evercred.ErrLoginRequired, evercred.ReasonLostAnswer)
		w.sends(12) // and no more: at the second proof it is lost
	})
}

// A refusal comes while an early flight is under way.
func TestR8AContextBoundsEveryWait(t *testing.T) {
	inWorld(t, 5*time.Minute, func(w *world) {
		w.ep.then(step{take: 20 * time.Second})
		s := w.source()
		go s.Token(context.Background())
		time.Sleep(time.Millisecond)
		tok := want(t, s, "a1")
		s.Reject(tok)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		b := time.Now()
		_, err := s.Token(ctx)
		if d := time.Since(b); d > 2*time.Second {
			t.Errorf("waited %v with a ctx of 1 s: %v", d, err)
		}
	})
}

// §6.8a: a slow connection for the old token takes nothing from the new one.
func TestR9bEachTokenHasItsOwnTime(t *testing.T) {
	inWorld(t, -time.Minute, func(w *world) {
		w.ep.then(step{connect: func() {
			time.Sleep(4900 * time.Millisecond)
			w.store.Set(w.login("b1", "q1", -time.Minute))
		}}, step{unsent: errors.New("refused")})
		w.ep.live = "q1"
		if _, err := w.source().Token(context.Background()); err != nil {
			t.Errorf("one failed connection of the new login, and: %v", err)
		}
	})
}

// An unknown outcome leaves a cooldown, however the repeat ends.
func TestR9ALockLostBetweenTwoSends(t *testing.T) {
	inWorld(t, -time.Minute, func(w *world) {
		for range 20 {
			w.ep.then(busy, step{connect: func() { w.store.Steal() }})
		}
		s := w.source()
		for range 5 {
			if _, err := s.Token(context.Background()); err == nil {
				t.Error("a token, though nothing was granted")
			}
		}
		w.ep.mu.Lock()
		n := w.ep.sends
		w.ep.mu.Unlock()
		if n > 1 {
			t.Errorf("%d sends in 5 calls without a pause", n)
		}
	})
}
