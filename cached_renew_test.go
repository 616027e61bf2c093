package evercred_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evercred/evercred"
)

// server is a provider of tokens with an end, that can be told to fail.
type server struct {
	life time.Duration

	mu    sync.Mutex
	calls int
	err   error
}

func (s *server) Token(context.Context) (evercred.Token, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	if s.err != nil {
		return evercred.Token{}, s.err
	}
	return evercred.NewToken(fmt.Sprintf("sk-test-%d", s.calls), &evercred.TokenOptions{Expires: time.Now().Add(s.life)})
}

func (s *server) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// asked reports how often it was since the last time.
func (s *server) asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.calls
	s.calls = 0
	return n
}

var outage = &evercred.Error{Kind: evercred.ErrUnavailable, Reason: evercred.ReasonUnreachable, What: "no connection"}

func TestCachedRenewsEarly(t *testing.T) {
	for life, early := range map[time.Duration]time.Duration{time.Hour: 10 * time.Minute, 10 * time.Minute: 2 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			s := &server{life: life}
			c := evercred.CachedWith(s, evercred.CacheOptions{Early: 10 * time.Minute})
			first, _ := c.Token(t.Context())
			time.Sleep(life - early - 1)
			if got, err := c.Token(t.Context()); err != nil || got != first {
				t.Errorf("%v: renewed too early, %v", life, err)
			}
			time.Sleep(time.Nanosecond)
			if got, err := c.Token(t.Context()); err != nil || got.Equal(first) {
				t.Errorf("%v: not renewed, %v", life, err)
			}
		})
	}
}

// While one caller renews early, the others are served the token that is good.
func TestCachedRenewsEarlyForOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		n := 0
		p := &scripted{token: func(context.Context) (evercred.Token, error) {
			if n++; n > 1 {
				<-release
			}
			return evercred.NewToken(fmt.Sprintf("sk-test-%d", n), &evercred.TokenOptions{Expires: time.Now().Add(time.Hour)})
		}}
		c := evercred.CachedWith(p, evercred.CacheOptions{Early: time.Minute})
		first, _ := c.Token(t.Context())
		time.Sleep(time.Hour - time.Minute)
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if got, err := c.Token(ended); err != nil || got != first || p.called() != 1 {
			t.Errorf("a caller without time: %v", err)
		}
		renewed := make(chan evercred.Token)
		go func() {
			got, _ := c.Token(t.Context())
			renewed <- got
		}()
		synctest.Wait()
		for range 100 {
			if got, err := c.Token(t.Context()); err != nil || got != first {
				t.Fatalf("not served meanwhile: %v", err)
			}
		}
		close(release)
		if got := <-renewed; got.Equal(first) || got.IsZero() || p.called() != 2 {
			t.Errorf("the first caller got the old token, after %d calls", p.called())
		}
	})
}

// A good token is served through an outage, and the provider is left alone for
// longer and longer (FAILURES R11, R21).
func TestCachedOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{life: time.Hour}
		c := evercred.CachedWith(s, evercred.CacheOptions{Early: 10 * time.Minute, Pause: 2 * time.Second, PauseMax: time.Minute})
		first, _ := c.Token(t.Context())
		s.fail(outage)
		s.asked()
		time.Sleep(50 * time.Minute)
		for range 10 * 60 * 10 {
			if got, err := c.Token(t.Context()); err != nil || got != first {
				t.Fatalf("a good token is not served: %v", err)
			}
			time.Sleep(100*time.Millisecond - 1)
		}
		if n := s.asked(); n < 10 || n > 16 { // 2, 4, … 60 s
			t.Errorf("asked %d times in 10 minutes", n)
		}
		time.Sleep(2 * time.Minute)
		var wg sync.WaitGroup
		for range 500 {
			wg.Go(func() {
				_, err := c.Token(t.Context())
				var e *evercred.Error
				if !errors.Is(err, evercred.ErrUnavailable) || !errors.As(err, &e) || !e.RetryAt.After(time.Now()) {
					t.Errorf("%v without a time", err)
				}
			})
		}
		wg.Wait()
		if n := s.asked(); n != 1 {
			t.Errorf("500 callers asked %d times", n)
		}
		s.fail(nil)
		time.Sleep(66 * time.Second)
		if _, err := c.Token(t.Context()); err != nil {
			t.Errorf("after the outage: %v", err)
		}
		s.fail(outage)
		time.Sleep(2 * time.Hour)
		c.Token(t.Context())
		time.Sleep(2200*time.Millisecond + 1)
		s.asked()
		if c.Token(t.Context()); s.asked() != 1 {
			t.Error("a success did not shorten the pause again")
		}
	})
}

func TestCachedKeepsToRetryAt(t *testing.T) {
	tests := []struct{ wish, min, max time.Duration }{
		{-time.Hour, 2 * time.Second, 2200 * time.Millisecond},
		{10 * time.Minute, 10 * time.Minute, 11 * time.Minute},
		{10 * 365 * 24 * time.Hour, time.Hour, 66 * time.Minute},
	}
	for _, tt := range tests {
		synctest.Test(t, func(t *testing.T) {
			s := &server{err: &evercred.Error{Kind: evercred.ErrUnavailable, Reason: evercred.ReasonRateLimited, RetryAt: time.Now().Add(tt.wish)}}
			c := evercred.CachedWith(s, evercred.CacheOptions{Pause: 2 * time.Second, PauseMax: time.Minute})
			c.Token(t.Context())
			time.Sleep(tt.min - 1)
			if c.Token(t.Context()); s.asked() != 1 {
				t.Errorf("%v: asked in the pause", tt.wish)
			}
			time.Sleep(tt.max - tt.min + 2)
			if c.Token(t.Context()); s.asked() != 1 {
				t.Errorf("%v: not asked after it", tt.wish)
			}
		})
	}
}

// What a human has to mend is cheap to look at, and mended is mended.
func TestCachedPausesForOutagesOnly(t *testing.T) {
	for _, kind := range []error{evercred.ErrConfig, evercred.ErrUnsafe, evercred.ErrLoginRequired, evercred.ErrNotFound} {
		s := &server{life: time.Hour, err: &evercred.Error{Kind: kind}}
		c := evercred.CachedWith(s, evercred.CacheOptions{Pause: time.Hour})
		c.Token(t.Context())
		s.fail(nil)
		if _, err := c.Token(t.Context()); err != nil {
			t.Errorf("%v: %v", kind, err)
		}
	}
}

// A server that refuses every token does not drive the provider (FAILURES R15b).
func TestR15bCached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{life: time.Hour}
		c := evercred.CachedWith(s, evercred.CacheOptions{Early: time.Minute, Pause: 2 * time.Second, PauseMax: time.Minute})
		reject := c.Reject
		paused := 0
		for range 10 * 60 {
			for range 8 {
				if tok, err := c.Token(t.Context()); err == nil {
					reject(tok)
					reject(tok) // by another request
				} else if e := err.(*evercred.Error); e.Reason == evercred.ReasonAPIRefuses && e.RetryAt.After(time.Now()) {
					paused++
				} else {
					t.Fatal(err)
				}
			}
			time.Sleep(time.Second)
		}
		if n := s.asked(); n < 10 || n > 17 || paused < 4000 {
			t.Errorf("%d tokens were made and refused in 10 minutes, %d callers told", n, paused)
		}
		time.Sleep(2 * time.Minute)
		old, _ := c.Token(t.Context())
		time.Sleep(10 * time.Minute)
		s.asked()
		reject(old)
		if _, err := c.Token(t.Context()); err != nil || s.asked() != 1 {
			t.Errorf("a token that was good for long, and then refused, is not replaced at once: %v", err)
		}
	})
}

// A token that is refused while it is being renewed is not served when that fails.
func TestCachedServesNothingRefusedAfterAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		first := true
		p := &scripted{token: func(context.Context) (evercred.Token, error) {
			if first {
				first = false
				return evercred.NewToken("sk-test-1", &evercred.TokenOptions{Expires: time.Now().Add(time.Hour)})
			}
			<-release
			return evercred.Token{}, outage
		}}
		c := evercred.CachedWith(p, evercred.CacheOptions{Early: time.Minute})
		tok, _ := c.Token(t.Context())
		time.Sleep(time.Hour - time.Second)
		result := make(chan error)
		go func() {
			_, err := c.Token(t.Context())
			result <- err
		}()
		synctest.Wait()
		c.Reject(tok)
		close(release)
		if err := <-result; !errors.Is(err, evercred.ErrUnavailable) {
			t.Errorf("%v", err)
		}
	})
}
