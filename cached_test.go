package evercred_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evercred/evercred"
)

// fresh gives a new token at each call, with that much life; 0: unknown.
func fresh(t testing.TB, life time.Duration) *scripted {
	n := 0
	var mu sync.Mutex
	return &scripted{token: func(context.Context) (evercred.Token, error) {
		mu.Lock()
		defer mu.Unlock()
		n++
		var opts evercred.TokenOptions
		if life > 0 {
			opts.Expires = time.Now().Add(life)
		}
		return evercred.NewToken("sk-test-"+strings.Repeat("x", n), &opts)
	}}
}

func TestCachedServesUntil(t *testing.T) {
	tests := []struct {
		name      string
		ttl, life time.Duration
		until     time.Duration
	}{
		{"its ttl", time.Minute, time.Hour, time.Minute},
		{"its ttl, end unknown", time.Minute, 0, time.Minute},
		{"the token's end", time.Hour, time.Minute, time.Minute},
		{"the token's end, no ttl", 0, time.Minute, time.Minute},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := fresh(t, tt.life)
				c := evercred.Cached(p, tt.ttl)
				first, err := c.Token(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(tt.until - 1)
				if got, err := c.Token(t.Context()); err != nil || got != first || p.called() != 1 {
					t.Errorf("an instant before: %v, %v after %d calls", got.Equal(first), err, p.called())
				}
				time.Sleep(time.Nanosecond)
				if got, err := c.Token(t.Context()); err != nil || got.Equal(first) || p.called() != 2 {
					t.Errorf("at the end: the same %v, %v after %d calls", got.Equal(first), err, p.called())
				}
			})
		})
	}
	t.Run("for ever", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := fresh(t, 0)
			c := evercred.Cached(p, 0)
			c.Token(t.Context())
			time.Sleep(50 * 365 * 24 * time.Hour)
			if c.Token(t.Context()); p.called() != 1 {
				t.Errorf("%d calls", p.called())
			}
		})
	})
	// Ends that have no nanoseconds of the epoch.
	for year, calls := range map[int]int{5: 3, 9999: 1} {
		t.Run(fmt.Sprint("the year ", year), func(t *testing.T) {
			p := &scripted{token: func(context.Context) (evercred.Token, error) {
				return evercred.NewToken("sk-test", &evercred.TokenOptions{Expires: time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC)})
			}}
			c := evercred.Cached(p, 0)
			for range 3 {
				c.Token(t.Context())
			}
			if p.called() != calls {
				t.Errorf("%d calls instead of %d", p.called(), calls)
			}
		})
	}
}

// What comes dead is handed on, since the provider may know better, and not kept.
func TestCachedKeepsNothingDead(t *testing.T) {
	dead := mustToken(t, "sk-test-dead", &evercred.TokenOptions{Expires: time.Now().Add(-time.Second)})
	p := giving(dead)
	c := evercred.Cached(p, time.Hour)
	for want := 1; want <= 2; want++ {
		if got, err := c.Token(t.Context()); err != nil || got != dead || p.called() != want {
			t.Errorf("%v, %v after %d calls, want %d", got, err, p.called(), want)
		}
	}
}

func TestCachedKeepsNoError(t *testing.T) {
	fail := true
	a := mustToken(t, "sk-test-a", nil)
	p := &scripted{token: func(context.Context) (evercred.Token, error) {
		if fail {
			return evercred.Token{}, evercred.ErrUnavailable
		}
		return a, nil
	}}
	c := evercred.Cached(p, time.Hour)
	if _, err := c.Token(t.Context()); !errors.Is(err, evercred.ErrUnavailable) {
		t.Errorf("%v", err)
	}
	fail = false
	if got, err := c.Token(t.Context()); err != nil || got != a {
		t.Errorf("%v, %v", got, err)
	}
}

// gated is a provider that waits for a word before it answers.
func gated(t testing.TB) (p *scripted, answer chan evercred.Token) {
	answer = make(chan evercred.Token)
	return &scripted{token: func(ctx context.Context) (evercred.Token, error) {
		select {
		case tok := <-answer:
			return tok, nil
		case <-ctx.Done():
			return evercred.Token{}, ctx.Err()
		}
	}}, answer
}

type result struct {
	token evercred.Token
	err   error
}

// ask starts n callers.
func ask(ctx context.Context, p evercred.Provider, n int) <-chan result {
	results := make(chan result, n)
	for range n {
		go func() {
			tok, err := p.Token(ctx)
			results <- result{tok, err}
		}()
	}
	return results
}

func TestCachedIsOneFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := mustToken(t, "sk-test-a", nil)
		p, answer := gated(t)
		c := evercred.Cached(p, time.Hour)
		results := ask(t.Context(), c, 50)
		synctest.Wait()
		if n := p.called(); n != 1 {
			t.Fatalf("%d calls for 50 callers", n)
		}
		answer <- a
		for range 50 {
			if r := <-results; r.err != nil || r.token != a {
				t.Errorf("%v, %v", r.token, r.err)
			}
		}
		if _, err := c.Token(t.Context()); err != nil || p.called() != 1 {
			t.Errorf("%v after %d calls", err, p.called())
		}
	})
}

// R19: the leader's context is cancelled; waiters get a result all the same.
func TestCachedR19LeaderCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		a := mustToken(t, "sk-test-a", nil)
		p, answer := gated(t)
		inner := p.token
		p.token = func(ctx context.Context) (evercred.Token, error) {
			if ctx.Value(key{}) != "leader's" {
				t.Error("the call lost the values of its first caller")
			}
			return inner(ctx)
		}
		c := evercred.Cached(p, time.Hour)
		ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "leader's"))
		leader := ask(ctx, c, 1)
		synctest.Wait()
		others := ask(t.Context(), c, 3)
		synctest.Wait()
		cancel()
		if r := <-leader; !errors.Is(r.err, context.Canceled) {
			t.Errorf("the leader got %v, %v", r.token, r.err)
		}
		answer <- a
		for range 3 {
			if r := <-others; r.err != nil || r.token != a {
				t.Errorf("a waiter got %v, %v", r.token, r.err)
			}
		}
		if n := p.called(); n != 1 {
			t.Errorf("%d calls", n)
		}
	})
}

// A waiter's deadline bounds its own wait, even if the provider hangs.
func TestCachedWaiterLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, answer := gated(t)
		c := evercred.Cached(p, time.Hour)
		leader := ask(t.Context(), c, 1)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.Token(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		answer <- mustToken(t, "sk-test-a", nil)
		if r := <-leader; r.err != nil {
			t.Error(r.err)
		}
	})
}

// A caller that is gone already starts nothing, but is served what is there.
func TestCachedCancelledCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := giving(mustToken(t, "sk-test-a", nil))
		c := evercred.Cached(p, time.Hour)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := c.Token(ctx)
		if synctest.Wait(); !errors.Is(err, context.Canceled) || p.called() != 0 {
			t.Errorf("%v after %d calls", err, p.called())
		}
		c.Token(t.Context())
		if _, err := c.Token(ctx); err != nil {
			t.Error(err)
		}
	})
}

// R19: the provider panics, or ends its goroutine as t.FailNow does; everybody
// gets an error, without the text of the panic, and the next call is a new one.
func TestCachedR19Panic(t *testing.T) {
	ends := map[string]func(){
		"panic":     func() { panic(canary) },
		"nil panic": func() { panic(nil) },
		"goexit":    runtime.Goexit,
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := mustToken(t, "sk-test-a", nil)
				gate := make(chan struct{})
				p := &scripted{}
				p.token = func(context.Context) (evercred.Token, error) {
					if p.called() == 1 {
						<-gate
						end()
					}
					return a, nil
				}
				c := evercred.Cached(p, time.Hour)
				results := ask(t.Context(), c, 5)
				synctest.Wait()
				close(gate)
				for range 5 {
					r := <-results
					if !errors.Is(r.err, evercred.ErrUnavailable) || !r.token.IsZero() || leaks(r.err.Error()) {
						t.Errorf("%v, %v", r.token, r.err)
					}
				}
				if got, err := c.Token(t.Context()); err != nil || got != a {
					t.Errorf("afterwards: %v, %v", got, err)
				}
			})
		})
	}
}

func TestCachedReject(t *testing.T) {
	a, b := mustToken(t, "sk-test-a", nil), mustToken(t, "sk-test-b", nil)
	p := giving(a, b)
	c := evercred.Cached(p, time.Hour)
	c.Token(t.Context())

	c.Reject(b) // not the one it holds
	if got, _ := c.Token(t.Context()); got != a {
		t.Error("the refusal of another token dropped this one")
	}
	c.Reject(mustToken(t, "sk-test-a", nil))
	if got, _ := c.Token(t.Context()); got != b {
		t.Error("a refused token is served")
	}
	if got := p.refusals(); len(got) != 2 || got[0] != "sk-test-b" || got[1] != "sk-test-a" {
		t.Errorf("the provider was told of %q", got)
	}
}

// A token that was refused while its call was under way is handed out and not kept.
func TestCachedRejectInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := mustToken(t, "sk-test-a", nil), mustToken(t, "sk-test-b", nil)
		p, answer := gated(t)
		c := evercred.Cached(p, time.Hour)
		results := ask(t.Context(), c, 1)
		synctest.Wait()
		c.Reject(a)
		answer <- a
		if r := <-results; r.err != nil || r.token != a {
			t.Errorf("%v, %v", r.token, r.err)
		}
		results = ask(t.Context(), c, 1)
		synctest.Wait()
		if n := p.called(); n != 2 {
			t.Fatalf("the refused token was kept: %d calls", n)
		}
		answer <- b
		if r := <-results; r.token != b {
			t.Errorf("%v, %v", r.token, r.err)
		}
	})
}

func TestCachedAllocatesNothing(t *testing.T) {
	c := evercred.Cached(giving(mustToken(t, "sk-test-a", nil)), time.Hour)
	c.Token(t.Context())
	if n := testing.AllocsPerRun(100, func() { c.Token(t.Context()) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
