package evercred

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
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
func Cached(p Provider, ttl time.Duration) *Cache {
	return CachedWith(p, CacheOptions{TTL: ttl})
}

// CacheOptions tune CachedWith. Zero members mean: for nothing of the kind.
type CacheOptions struct {
	// TTL is how long a token is kept, never past its own end.
	TTL time.Duration
	// Early is how long before it would be dropped a token is renewed, but at
	// most a fifth of the time for which it is kept. The first caller asks for the
	// next one and waits; the others are served the old one, and so is the first
	// if the provider fails.
	Early time.Duration
	// Pause is how long the provider is left alone after an error that matches
	// ErrUnavailable. It doubles with each such error in a row up to PauseMax, and
	// is longer if Error.RetryAt says so, up to an hour; up to a tenth is added by
	// chance. Meanwhile callers are served the token that they have, if it is
	// still good, else that error at once (FAILURES R11, R21).
	//
	// So is the provider of tokens that a server refuses (FAILURES R15b): after
	// the first refusal it is asked again at once, after a further one of a token
	// younger than PauseMax it pauses, and the error has ReasonAPIRefuses.
	Pause, PauseMax time.Duration
}

// CachedWith is Cached for providers whose tokens have an end, or whose failures
// are dear.
func CachedWith(p Provider, o CacheOptions) *Cache {
	o.PauseMax = max(o.PauseMax, o.Pause)
	return &Cache{provider: p, opts: o}
}

// Cache is the Provider of Cached and CachedWith, and a Rejecter. It is safe for
// concurrent use.
type Cache struct {
	provider Provider
	opts     CacheOptions
	lease    atomic.Pointer[lease]

	mu       sync.Mutex // guards what follows, and lease against a change between look and store
	fetch    *fetch     // nil: none
	rest     rest
	failures int // of the provider, in a row
	refusals int // of young tokens, in a row
}

// lease is a token and when it may be served, by the wall clock: a laptop that
// slept must not believe a dead token, and a clock that was set back must not
// keep one for days.
type lease struct {
	token       Token
	from, until time.Time // zero until: no end
	renew       time.Time // zero: not before until
	// The hot path serves token while first <= now < last, in wall-clock
	// nanoseconds: from, and the sooner of renew and until.
	first, last int64
}

func (e *lease) good(now time.Time) bool {
	return e != nil && !now.Before(e.from) && (e.until.IsZero() || now.Before(e.until))
}

// fresh: good, and not to be renewed.
func (e *lease) fresh(now time.Time) bool {
	return e.good(now) && (e.renew.IsZero() || now.Before(e.renew))
}

// rest is when the provider is left alone, by the wall clock, and what callers
// are told.
type rest struct {
	from, until time.Time
	err         error
}

func (r rest) holds(now time.Time) bool { return !now.Before(r.from) && now.Before(r.until) }

// fetch is one call of the provider; token and err are set when done is closed.
type fetch struct {
	done     chan struct{}
	token    Token
	err      error
	rejected []Token // while it was under way
}

// Token gives the token that is kept, or asks the provider; see Cached. Its
// errors are the provider's, and those of CacheOptions.Pause.
func (c *Cache) Token(ctx context.Context) (Token, error) {
	e := c.lease.Load()
	if e != nil {
		if now := time.Now().UnixNano(); now < e.last && now >= e.first {
			return e.token, nil
		}
	}
	return c.ask(ctx, e)
}

// ask is Token where the first look is not enough.
func (c *Cache) ask(ctx context.Context, e *lease) (Token, error) {
	if err := ctx.Err(); err != nil {
		if e.good(wallClock()) {
			return e.token, nil
		}
		return Token{}, err
	}
	old, f, err := c.join(ctx)
	if f == nil {
		return old, err
	}
	select {
	case <-f.done:
		err = f.err
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err == nil {
		return f.token, nil
	}
	if e := c.lease.Load(); !old.IsZero() && e.good(wallClock()) {
		return e.token, nil
	}
	return Token{}, err
}

// Reject drops t if it is kept, and passes the refusal on if the provider is a
// Rejecter.
func (c *Cache) Reject(t Token) {
	// First the provider: what is asked for after forgetting is asked of one that
	// knows.
	if r, ok := c.provider.(Rejecter); ok {
		r.Reject(t)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.lease.Load(); e != nil && e.token.Equal(t) {
		c.lease.Store(nil)
		c.countRefusal(e)
	}
	if c.fetch != nil {
		c.fetch.rejected = append(c.fetch.rejected, t)
	}
}

// countRefusal keeps a server that refuses everything from driving the provider.
func (c *Cache) countRefusal(e *lease) {
	if wallClock().Sub(e.from) >= c.opts.PauseMax {
		c.refusals = 0
	}
	c.refusals++
	if c.refusals > 1 {
		c.pause(c.refusals-1, &Error{Kind: ErrUnavailable, Reason: ReasonAPIRefuses, What: "a server refuses tokens as soon as they are made"})
	}
}

// join returns the fetch to wait for, or without one what is to be answered at
// once. With a fetch, a token is what may be served if that fails.
func (c *Cache) join(ctx context.Context) (Token, *fetch, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, e := wallClock(), c.lease.Load()
	var old Token
	if e.good(now) {
		old = e.token
	}
	switch {
	case e.fresh(now), c.fetch != nil && !old.IsZero():
		return old, nil, nil
	case c.fetch != nil:
		return Token{}, c.fetch, nil
	case c.rest.holds(now) && !old.IsZero():
		return old, nil, nil
	case c.rest.holds(now):
		return Token{}, nil, c.rest.err
	}
	c.fetch = &fetch{done: make(chan struct{})}
	// It ends when the provider's call does; its waiters own it.
	go c.run(context.WithoutCancel(ctx), c.fetch)
	return old, c.fetch, nil
}

// run always ends in land, whatever the provider does.
func (c *Cache) run(ctx context.Context, f *fetch) {
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
func (c *Cache) land(f *fetch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fetch = nil
	switch {
	case f.err == nil:
		c.failures = 0
		if !f.refused() {
			c.lease.Store(c.keep(f.token))
		}
	case errors.Is(f.err, ErrUnavailable):
		c.failures++
		f.err = c.pause(c.failures, f.err)
	}
	close(f.done)
}

// pauseLimit bounds what a provider may ask for, as for a Source (FAILURES R11).
const pauseLimit = time.Hour

// pause begins the nth pause in a row, and returns err with its end in it.
func (c *Cache) pause(n int, err error) error {
	if c.opts.Pause <= 0 {
		return err
	}
	now, wait := wallClock(), c.opts.Pause
	for ; n > 1 && wait < c.opts.PauseMax; n-- {
		wait *= 2
	}
	wait = min(wait, c.opts.PauseMax)
	e, ok := err.(*Error)
	if ok {
		wait = max(wait, min(e.RetryAt.Sub(now), pauseLimit))
	}
	wait += rand.N(wait/10 + 1) // so that a fleet does not come back as one
	c.rest = rest{from: now, until: now.Add(wait), err: err}
	if ok {
		told := *e
		told.RetryAt = c.rest.until
		c.rest.err = &told
	}
	return c.rest.err
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
func (c *Cache) keep(t Token) *lease {
	e := &lease{token: t, from: wallClock(), until: t.Expires()}
	if c.opts.TTL > 0 {
		if end := e.from.Add(c.opts.TTL); e.until.IsZero() || end.Before(e.until) {
			e.until = end
		}
	}
	if c.opts.Early > 0 && !e.until.IsZero() {
		e.renew = e.until.Add(-min(c.opts.Early, e.until.Sub(e.from)/5))
	}
	e.first = e.from.UnixNano()
	left := time.Duration(math.MaxInt64 - e.first) // what lies beyond has no nanoseconds
	for _, end := range []time.Time{e.renew, e.until} {
		if !end.IsZero() {
			left = min(left, end.Sub(e.from))
		}
	}
	e.last = e.first + int64(left)
	return e
}

// wallClock is the wall clock alone: without the monotonic reading, which stands
// still while a laptop sleeps (FAILURES R18).
func wallClock() time.Time { return time.Now().Round(0) }
