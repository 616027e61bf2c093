package evercred

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Cached keeps what p gives for ttl, and never past the token's own end. A ttl
// of zero or less means until that end, or until a refusal. It is for providers
// that work at each call, such as a command or a server; a Source needs none.
//
// Callers that find nothing cached share one call of p. It has the
// values of the first caller's context and nobody's cancellation, so that one
// caller's end fails no other (FAILURES R19): each ctx bounds its own caller's
// wait. A p that can hang must bound itself. A panic in p becomes an error for
// all who wait. Errors are handed on and not kept.
//
// It is a Rejecter: it drops the token if it holds it, and passes the refusal on.
func Cached(p Provider, ttl time.Duration) Provider {
	return &cached{provider: p, ttl: ttl}
}

type cached struct {
	provider Provider
	ttl      time.Duration
	lease    atomic.Pointer[lease]

	mu    sync.Mutex // guards fetch, and lease against a change between look and store
	fetch *fetch     // nil: none
}

// lease is a token and when it may be served, by the wall clock: a laptop that
// slept must not believe a dead token, and a clock that was set back must not
// keep one for days.
type lease struct {
	token       Token
	from, until time.Time // zero until: no end
}

func (e *lease) good(now time.Time) bool {
	return e != nil && !now.Before(e.from) && (e.until.IsZero() || now.Before(e.until))
}

// fetch is one call of the provider; token and err are set when done is closed.
type fetch struct {
	done     chan struct{}
	token    Token
	err      error
	rejected []Token // while it was under way
}

func (c *cached) Token(ctx context.Context) (Token, error) {
	if e := c.lease.Load(); e.good(wallClock()) {
		return e.token, nil
	}
	if err := ctx.Err(); err != nil {
		return Token{}, err
	}
	e, f := c.join(ctx)
	if f == nil {
		return e.token, nil
	}
	select {
	case <-f.done:
		return f.token, f.err
	case <-ctx.Done():
		return Token{}, ctx.Err()
	}
}

// Reject tells the provider first, and forgets then: so what is asked for after
// forgetting is asked of a provider that knows.
func (c *cached) Reject(t Token) {
	if r, ok := c.provider.(Rejecter); ok {
		r.Reject(t)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.lease.Load(); e != nil && e.token.Equal(t) {
		c.lease.Store(nil)
	}
	if c.fetch != nil {
		c.fetch.rejected = append(c.fetch.rejected, t)
	}
}

// join returns a good lease, or the fetch to wait for.
func (c *cached) join(ctx context.Context) (*lease, *fetch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.lease.Load(); e.good(wallClock()) {
		return e, nil
	}
	if c.fetch == nil {
		c.fetch = &fetch{done: make(chan struct{})}
		// It ends when the provider's call does; its waiters own it.
		go c.run(context.WithoutCancel(ctx), c.fetch)
	}
	return nil, c.fetch
}

// run always ends in land, whatever the provider does.
func (c *cached) run(ctx context.Context, f *fetch) {
	returned := false
	defer func() {
		if v := recover(); !returned {
			f.token, f.err = Token{}, crashed(v)
		}
		c.land(f)
	}()
	f.token, f.err = c.provider.Token(ctx)
	returned = true
}

// crashed is the error for a provider that did not return. It names the type of
// what was thrown, and not its text, which may hold anything.
func crashed(v any) error {
	what := "the provider ended its goroutine"
	if v != nil {
		what = fmt.Sprintf("the provider panicked with a value of type %T", v)
	}
	return &Error{Kind: ErrUnavailable, Reason: ReasonBug, What: what}
}

// land keeps a good answer, unless it was refused before it came, and lets the
// waiters go.
func (c *cached) land(f *fetch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fetch = nil
	if f.err == nil && !f.refused() {
		c.lease.Store(c.keep(f.token))
	}
	close(f.done)
}

func (f *fetch) refused() bool {
	for _, t := range f.rejected {
		if t.Equal(f.token) {
			return true
		}
	}
	return false
}

// keep says how long t may be served.
func (c *cached) keep(t Token) *lease {
	e := &lease{token: t, from: wallClock(), until: t.Expires()}
	if c.ttl > 0 {
		if end := e.from.Add(c.ttl); e.until.IsZero() || end.Before(e.until) {
			e.until = end
		}
	}
	return e
}

// wallClock is the wall clock alone: without the monotonic reading, which stands
// still while a laptop sleeps (FAILURES R18).
func wallClock() time.Time { return time.Now().Round(0) }
