package evercred

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/evercred/evercred/internal/decide"
	"github.com/evercred/evercred/internal/ledger"
	"github.com/evercred/evercred/internal/seam"
)

// Source lends the access token of one stored login and keeps it fresh. It is
// a Provider, safe for concurrent use, and meant to live as long as the program.
//
// Any number of Sources, in one process or in many, may share one store: one
// of them refreshes, the others adopt what it saved.
type Source struct {
	store     Store
	codec     Codec
	refresher Refresher
	opts      Options
	seams     seam.Seams
	spare     *ledger.Volatile // what is remembered where the store has no ledger
	jitter    time.Duration

	cur atomic.Pointer[current]

	mu      sync.Mutex
	flight  *flight // nil: none under way
	looking bool    // a probe is under way
	closed  bool
	warned  time.Time  // the deadline that was warned of
	told    string     // why which token is not renewed, as it was told last
	unsaved *successor // granted, and not yet in the store
	owned   sync.WaitGroup

	life context.Context // ends with Close
	end  context.CancelFunc
}

var _ Provider = (*Source)(nil)

// current is what callers are served. It is immutable; a new one replaces it.
type current struct {
	token Token
	cred  Credential
	doc   Document
	// The hot path serves token while from <= now < until, in wall-clock
	// nanoseconds. from catches a clock that jumped back; until is the sooner of
	// the early window and the next probe, so that one comparison serves both.
	from, until int64
	early, late time.Time // when the windows begin; zero: never
	nextProbe   time.Time
	rejected    bool
}

// successor is a credential that the endpoint issued and no store holds yet.
type successor struct {
	outcome Outcome
	sent    string // fingerprint of the refresh token that it replaces
	access  string // and that of the access token beside it
}

func (u *successor) rotated() bool { return u.outcome.Credential.Refresh.Fingerprint() != u.sent }

// replaces reports whether the store still holds what u was granted for. Where
// the endpoint does not rotate, somebody may have saved a newer access token
// under the same refresh token.
func (u *successor) replaces(stored Credential) bool {
	return stored.Refresh.Fingerprint() == u.sent && (u.rotated() || stored.Access.Fingerprint() == u.access)
}

// New makes a Source. It touches neither store nor network. Close it if
// Options.Background is set, and whenever the program ends in an orderly way.
func New(store Store, codec Codec, refresher Refresher, opts *Options) *Source {
	s := &Source{store: store, codec: codec, refresher: refresher}
	s.life, s.end = context.WithCancel(context.Background())
	if opts != nil {
		s.opts = *opts
	}
	orElse(&s.opts.RefreshEarly, 10*time.Minute)
	orElse(&s.opts.RefreshLate, 30*time.Second)
	orElse(&s.opts.RefreshTimeout, 30*time.Second)
	orElse(&s.opts.Probe, time.Second)
	s.seams = s.opts.Seams.Filled()
	// A little jitter keeps many long-lived programs from turning up together.
	s.jitter = s.seams.Jitter(0, s.opts.RefreshEarly/20+1)
	s.spare = ledger.NewVolatile(s.seams)
	return s
}

// book is what all processes remember of the login that doc was; of a zero doc,
// of the one that is found now. It is asked for anew each time, because an owner
// may put a file in the place of a link (INTEROP §2).
func (s *Source) book(doc Document) ledger.Book {
	if l, ok := s.store.(ledgered); ok {
		return l.LedgerOf(doc)
	}
	return s.spare
}

// ledgered is a Store that has a ledger on disk: filestore and what is built on it.
type ledgered interface {
	// LedgerOf is that of where doc was found; of a zero doc, of where the login is
	// found now.
	LedgerOf(doc Document) *ledger.Ledger
}

// guarded is the Lock of such a Store.
type guarded interface{ Guard() *ledger.Guard }

func orElse(d *time.Duration, otherwise time.Duration) {
	if *d <= 0 {
		*d = otherwise
	}
}

// Token returns a token that is good for a request now. While the stored one
// is fresh this is one atomic load and one look at the wall clock. Near its
// end one caller refreshes it and the others are served at once; at its end all
// wait for the same flight. ctx bounds this caller's wait, never the flight.
func (s *Source) Token(ctx context.Context) (Token, error) {
	if c := s.cur.Load(); c != nil {
		if now := s.seams.Clock.Now().UnixNano(); now < c.until && now >= c.from {
			return c.token, nil
		}
	}
	return s.token(ctx)
}

// token is Token where something has to be done first.
func (s *Source) token(ctx context.Context) (Token, error) {
	if c := s.cur.Load(); c != nil && !c.rejected {
		c = s.probe(ctx, c)
		if c != nil && !c.rejected {
			now := s.seams.Clock.Now()
			switch {
			case c.early.IsZero() || now.Before(c.early):
				return c.token, nil
			case now.Before(c.late):
				return s.early(ctx, c)
			}
		}
	}
	r, err := s.join(ctx, purpose{})
	return r.Token, err
}

// early serves c while one caller renews it.
func (s *Source) early(ctx context.Context, c *current) (Token, error) {
	f, leader, err := s.board(ctx, purpose{})
	if err != nil {
		return Token{}, err
	}
	if !leader || s.opts.Background {
		return c.token, nil
	}
	select {
	case <-f.done:
		r, err := s.landed(f, purpose{})
		return r.Token, err
	case <-ctx.Done():
		r, err := s.meanwhile(purpose{}, f.late(ctx.Err()))
		return r.Token, err
	}
}

// Refreshed is what a Refresh did.
type Refreshed struct {
	Token Token
	// Granted: the endpoint issued it in this flight. Adopted: somebody else had
	// saved it. Recovered: it is the answer that a dead process left behind.
	Granted, Adopted, Recovered bool
	// Unsaved: it is served from memory because it could not be saved; the
	// ledger holds it, and the next process saves it.
	Unsaved bool
	// Err is why a valid token was not renewed though it was due; nil: it was
	// not due, or it was renewed.
	Err error
}

// Refresh runs the transaction of DESIGN §6 now and waits for it. Without
// force a fresh token is left alone. With force the token that is stored now is
// replaced: a hundred of them at once cause one grant, and past the login's own
// deadline the endpoint is asked once more.
func (s *Source) Refresh(ctx context.Context, force bool) (Refreshed, error) {
	return s.join(ctx, purpose{force: force})
}

// Reject tells the Source that a server refused t before its time. It has no
// effect unless t is the current token. The next Token looks again, adopts
// what somebody else saved, or refreshes.
func (s *Source) Reject(t Token) {
	for {
		c := s.cur.Load()
		if c == nil || c.rejected || !c.token.Equal(t) {
			return
		}
		r := *c
		r.rejected, r.until = true, math.MinInt64
		if s.cur.CompareAndSwap(c, &r) {
			return
		}
	}
}

// Close ends the Source: it waits for the flight under way, which stops if it
// has not sent anything yet and is finished and saved if it has. It is
// idempotent; afterwards every method returns ErrClosed.
func (s *Source) Close() error {
	s.mu.Lock()
	first := !s.closed
	s.closed = true
	s.mu.Unlock()
	s.end()
	s.owned.Wait()
	if first && s.unsavedSuccessor() != nil { // one last try: without a ledger, memory is all there is
		newFlight(s, purpose{save: true, last: true}).fly(context.Background())
	}
	s.cur.Store(nil)
	return nil
}

var errClosed = &Error{Kind: ErrClosed, Reason: ReasonClosed, What: "the source was closed"}

// purpose is what a caller wants of a flight.
type purpose struct {
	force bool
	save  bool // the saver's: nothing but to save what is unsaved
	last  bool // Close's: it outlives the Source
}

// join waits for a flight that gives a token nobody refused.
func (s *Source) join(ctx context.Context, p purpose) (Refreshed, error) {
	for tries := 0; ; tries++ {
		f, leader, err := s.board(ctx, p)
		if err != nil {
			return Refreshed{}, err
		}
		valid := f.valid
		if leader || p.force {
			valid = nil // whoever leads an early flight waits for it
		}
		for flying := true; flying; {
			select {
			case <-f.done:
				flying = false
			case <-valid:
				if r, err := s.meanwhile(p, nil); !r.Token.IsZero() {
					return r, err
				}
				valid = nil
			case <-ctx.Done():
				return s.meanwhile(p, f.late(ctx.Err()))
			}
		}
		// A flight that took off before the refusal, or for another purpose, may
		// bring back what this caller does not want.
		stale := !leader && (p.force != f.purpose.force && (p.force || f.err != nil) || f.purpose.save || s.refused(f.result.Token))
		if !stale || tries >= 3 {
			return s.landed(f, p)
		}
	}
}

// landed is the result of a flight: a token that is still good outweighs an
// error that says nothing about the login.
func (s *Source) landed(f *flight, p purpose) (Refreshed, error) {
	if f.err != nil && ReasonOf(f.err) == ReasonBug {
		return s.meanwhile(p, f.err)
	}
	return f.result, f.err
}

// meanwhile serves a token that is still good to a caller who cannot wait for
// the flight any longer (guarantee 6).
func (s *Source) meanwhile(p purpose, late error) (Refreshed, error) {
	c := s.good()
	if c == nil || p.force {
		return Refreshed{}, late
	}
	return Refreshed{Token: c.token, Err: late}, nil
}

// good is what is current, if it may be served; else nil.
func (s *Source) good() *current {
	c := s.cur.Load()
	if c == nil || c.rejected || !c.good(s.seams.Clock.Now()) {
		return nil
	}
	return c
}

// good: not past its end, as far as that is known.
func (c *current) good(now time.Time) bool {
	end := c.token.Expires()
	return end.IsZero() || now.Before(end)
}

func (s *Source) refused(t Token) bool {
	c := s.cur.Load()
	return c != nil && c.rejected && c.token.Equal(t)
}

// board returns the flight under way, or starts one.
func (s *Source) board(ctx context.Context, p purpose) (f *flight, leader bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, false, errClosed
	}
	if s.flight != nil {
		return s.flight, false, nil
	}
	f = newFlight(s, p)
	s.flight = f
	s.owned.Go(func() {
		defer func() {
			s.mu.Lock()
			s.flight = nil
			s.mu.Unlock()
			close(f.done)
		}()
		// Detached: the leader's end must not fail the others, and a request
		// that has left must be awaited.
		f.fly(context.WithoutCancel(ctx))
	})
	return f, true, nil
}

// probe asks the store whether it changed, at most every Options.Probe and not
// on the caller's time: a stat can hang on a network file system. It returns
// what is current afterwards; nil: look properly.
func (s *Source) probe(ctx context.Context, c *current) *current {
	now := s.seams.Clock.Now()
	if now.Before(c.nextProbe) && c.nextProbe.Sub(now) <= s.opts.Probe {
		return c
	}
	s.mu.Lock()
	if s.looking || s.closed {
		s.mu.Unlock()
		return c
	}
	s.looking = true
	done := make(chan struct{})
	// Close does not wait for it: a stat can hang for as long as a server is
	// gone. It reads and, at most, publishes to nobody.
	go func() {
		defer func() {
			s.mu.Lock()
			s.looking = false
			s.mu.Unlock()
			close(done)
		}()
		s.lookForChange(context.WithoutCancel(ctx), c, now)
	}()
	s.mu.Unlock()

	patience := time.NewTimer(s.seams.Times.ProbePatience)
	defer patience.Stop()
	select {
	case <-done:
	case <-patience.C:
		return c
	case <-ctx.Done():
		return c
	}
	return s.cur.Load()
}

// lookForChange is the probe itself. Its result counts only if nobody has
// published anything since c: a flight knows better.
func (s *Source) lookForChange(ctx context.Context, c *current, now time.Time) {
	defer func() { _ = recover() }() // a Store's panic shows in the next flight
	next := *c
	s.schedule(&next, now)
	if changed, err := s.changed(ctx, c.doc); err != nil || !changed {
		s.cur.CompareAndSwap(c, &next)
		return
	}
	m, _ := s.book(Document{}).Memory() // without it a short lifetime is not known as such
	doc, cred, err := s.load(ctx)
	u := s.unsavedSuccessor()
	switch {
	case err == nil && u != nil && u.sent == cred.Refresh.Fingerprint():
		s.cur.CompareAndSwap(c, &next) // the store is behind us; the saver sees to it
	case errors.Is(err, ErrNotFound), err == nil && cred.Blanked:
		s.cur.CompareAndSwap(c, nil)
	case err == nil:
		if slices.Contains(m.Spent, cred.Refresh.Fingerprint()) && !c.rejected && c.good(now) {
			s.cur.CompareAndSwap(c, &next) // a backup brought an older copy back (R20); what we have is newer
			return
		}
		adopted := s.makeCurrent(doc, cred, m, c, now)
		if s.cur.CompareAndSwap(c, adopted) && adopted.token.t != c.token.t {
			s.tell(Event{Kind: EventAdopted, Access: cred.Access.Fingerprint(), Refresh: cred.Refresh.Fingerprint()})
		}
	default:
		s.cur.CompareAndSwap(c, &next)
	}
}

func (s *Source) changed(ctx context.Context, last Document) (bool, error) {
	if p, ok := s.store.(Prober); ok {
		return p.Probe(ctx, last)
	}
	doc, err := s.store.Load(ctx)
	if err != nil {
		return errors.Is(err, ErrNotFound), err
	}
	return string(doc.Bytes()) != string(last.Bytes()), nil
}

// load reads and decodes. A document that does not parse is read again until
// it has rested for Times.Torn: some owners write in place (INTEROP §2).
func (s *Source) load(ctx context.Context) (Document, Credential, error) {
	for {
		doc, err := s.store.Load(ctx)
		if err != nil {
			return doc, Credential{}, err
		}
		cred, err := s.codec.Decode(doc.Bytes())
		if err == nil {
			return doc, cred, nil
		}
		err = at(err, doc.Place())
		rest := s.seams.Clock.Now().Sub(doc.Modified())
		if !errors.Is(err, ErrUnsafe) || doc.Modified().IsZero() || rest < 0 || rest > s.seams.Times.Torn {
			return doc, cred, err
		}
		if !sleep(ctx, s.life, s.seams.Times.LookMax) {
			return doc, cred, err
		}
	}
}

// at fills in the place of a codec's error, which knows the member at most.
func at(err error, place string) error {
	var e *Error
	if !errors.As(err, &e) || place == "" {
		return err
	}
	located := *e
	located.Where = strings.TrimSuffix(place+" ("+e.Where+")", " ()")
	return &located
}

// sleep waits; false: one of the contexts ended first.
func sleep(ctx, life context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
	case <-life.Done():
	}
	return false
}

// makeCurrent builds what callers are served of a credential. A reload with
// the same secret keeps the same Token, so that == and caches by Token work.
func (s *Source) makeCurrent(doc Document, cred Credential, m ledger.Memory, last *current, now time.Time) *current {
	c := &current{doc: doc, cred: cred}
	c.token = Token{&token{secret: cred.Access, expires: cred.Expires, companions: cred.Companions}}
	if last != nil && last.cred.Access.Equal(cred.Access) {
		c.rejected = last.rejected
		if last.token.Expires().Sub(cred.Expires).Abs() < time.Second { // documents keep no nanoseconds
			c.token = last.token
		}
	}
	if !cred.Expires.IsZero() {
		early, late := s.windows(cred, m)
		c.early, c.late = cred.Expires.Add(-early), cred.Expires.Add(-late)
	}
	s.schedule(c, now)
	return c
}

// schedule says when c leaves the hot path.
func (s *Source) schedule(c *current, now time.Time) {
	c.nextProbe = now.Add(s.opts.Probe)
	c.from, c.until = now.UnixNano(), c.nextProbe.UnixNano()
	if !c.early.IsZero() && c.early.Before(c.nextProbe) {
		c.until = c.early.UnixNano()
	}
	if c.rejected {
		c.until = math.MinInt64 // no clock is before it
	}
}

// windows are RefreshEarly and RefreshLate as they apply to a credential:
// lifetimes under an hour are renewed at 80 %, so that a short one is not
// forever near its end. The lifetime is known where the last grant was ours.
func (s *Source) windows(cred Credential, m ledger.Memory) (early, late time.Duration) {
	early, late = s.opts.RefreshEarly+s.jitter, s.opts.RefreshLate
	if m.Granted == nil || m.Granted.Access != cred.Access.Fingerprint() || m.Granted.Lifetime <= 0 {
		return early, late
	}
	if life := m.Granted.Lifetime; life < time.Hour {
		early = min(early, life/5)
		late = min(late, life/10)
	}
	return early, late
}

// publish makes a credential the one that callers are served, unless this
// process holds its successor.
func (s *Source) publish(v view, m ledger.Memory) Token {
	s.mu.Lock()
	stored := v.cred.Refresh.Fingerprint()
	switch u := s.unsaved; {
	case u == nil:
	case u.replaces(v.cred), v.cred.Blanked, slices.Contains(m.Spent, stored):
		v.cred = u.outcome.Credential // the store is behind us
	default:
		s.unsaved = nil // it has moved on
	}
	s.mu.Unlock()
	return s.offer(v, m)
}

// offer serves a credential from now on. A refusal of the same token that comes
// in meanwhile is kept.
func (s *Source) offer(v view, m ledger.Memory) Token {
	now := s.seams.Clock.Now()
	for {
		last := s.cur.Load()
		c := s.makeCurrent(v.doc, v.cred, m, last, now)
		if s.cur.CompareAndSwap(last, c) {
			s.warn(v.cred, now)
			return c.token
		}
	}
}

// warn tells, once for each deadline, that the login itself ends soon (R17).
func (s *Source) warn(cred Credential, now time.Time) {
	if cred.Deadline.IsZero() || cred.Deadline.Sub(now) > s.seams.Times.DeadlineWarning {
		return
	}
	s.mu.Lock()
	told := s.warned.Equal(cred.Deadline)
	s.warned = cred.Deadline
	s.mu.Unlock()
	if !told {
		s.tell(Event{Kind: EventDeadline, Until: cred.Deadline, Detail: "the login itself ends then; log in again with its owner before"})
	}
}

// rest keeps callers on the hot path for a moment after a flight that could
// not renew a valid token: one try a Probe is enough.
func (s *Source) rest() {
	now := s.seams.Clock.Now()
	c := s.cur.Load()
	if c == nil || c.rejected || c.early.IsZero() || now.Before(c.early) {
		return
	}
	next := *c
	until := now.Add(s.opts.Probe)
	if c.token.Expires().Before(until) {
		until = c.token.Expires()
	}
	next.from, next.until = now.UnixNano(), until.UnixNano()
	s.cur.CompareAndSwap(c, &next)
}

func (s *Source) unsavedSuccessor() *successor {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.unsaved
}

func (s *Source) setUnsaved(u *successor) (before *successor) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, s.unsaved = s.unsaved, u
	return before
}

// tellUnavailable tells, once, why a valid token is not renewed. That another
// process is at it, or that nobody is to, is no news.
func (s *Source) tellUnavailable(t Token, cause decide.Cause, err error) {
	if cause == decide.Locked || cause == decide.ReadOnly {
		return
	}
	news := t.Fingerprint() + string(cause)
	s.mu.Lock()
	old := s.told == news
	s.told = news
	s.mu.Unlock()
	if !old {
		s.tell(Event{Kind: EventUnavailable, Access: t.Fingerprint(), Err: err})
	}
}

// tell reports an event to logger and observer, outside all locks.
func (s *Source) tell(e Event) {
	e.At = s.seams.Clock.Now()
	if s.opts.Logger != nil {
		s.opts.Logger.LogAttrs(context.Background(), e.level(), "evercred: "+string(e.Kind), e.attrs()...)
	}
	if s.opts.Observe == nil {
		return
	}
	defer func() {
		if p := recover(); p != nil && s.opts.Logger != nil {
			s.opts.Logger.Error("evercred: Options.Observe panicked")
		}
	}()
	s.opts.Observe(e)
}

func (e Event) level() slog.Level {
	switch e.Kind {
	case EventGranted, EventAdopted, EventSavedLate, EventTakeover:
		return slog.LevelInfo
	case EventSaveFailed, EventLost, EventRefused:
		return slog.LevelError
	}
	return slog.LevelWarn
}

func (e Event) attrs() []slog.Attr {
	var a []slog.Attr
	add := func(k, v string) {
		if v != "" {
			a = append(a, slog.String(k, v))
		}
	}
	add("access", e.Access)
	add("refresh", e.Refresh)
	if !e.Until.IsZero() {
		a = append(a, slog.Time("until", e.Until))
	}
	add("detail", e.Detail)
	if e.Err != nil {
		add("error", e.Err.Error())
	}
	return a
}

// panicked turns a panic in a flight into an error. The value is shown only if
// it is the runtime's own: anybody else's may hold a secret.
func panicked(p any) error {
	e := &Error{Kind: ErrUnavailable, Reason: ReasonBug, What: "a bug: the refresh panicked"}
	if r, ok := p.(runtime.Error); ok {
		e.Err = r
	}
	return e
}
