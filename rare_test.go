package evercred_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/credtest"
	"github.com/evercred/evercred/filestore"
	"github.com/evercred/evercred/internal/fsys"
	"github.com/evercred/evercred/internal/fsys/faulty"
	"github.com/evercred/evercred/internal/ledger"
	"github.com/evercred/evercred/internal/seam"
)

// onDisk is a login in a file, on a disk that may fail.
type onDisk struct {
	*world
	path string
	disk *faulty.FS
}

func inDirectory(t *testing.T, left time.Duration, f func(*onDisk)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		dir, err := os.MkdirTemp("/dev/shm", "evercred-test-")
		if err != nil {
			dir = t.TempDir()
		}
		defer os.RemoveAll(dir)
		w := newWorld(t)
		w.store = credtest.NewStore(nil)
		d := &onDisk{w, filepath.Join(dir, "c.json"), &faulty.FS{Under: fsys.OS{}}}
		d.write(w.login("a1", "r1", left))
		f(d)
		w.check()
	})
}

func (d *onDisk) write(doc []byte) {
	d.t.Helper()
	if err := os.WriteFile(d.path, doc, 0o600); err != nil {
		d.t.Fatal(err)
	}
}

func (d *onDisk) seams() *seam.Seams { return &seam.Seams{FS: d.disk} }

func (d *onDisk) files() *filestore.Store {
	return filestore.New(d.path, &filestore.Options{Seams: d.seams()})
}

func (d *onDisk) open(store evercred.Store) *evercred.Source {
	s := evercred.New(store, codec, d.ep, &evercred.Options{Observe: d.observe, Seams: d.seams()})
	d.t.Cleanup(func() { s.Close() })
	return s
}

func (d *onDisk) saved() evercred.Credential {
	d.t.Helper()
	b, err := os.ReadFile(d.path)
	if err != nil {
		d.t.Fatal(err)
	}
	c, err := codec.Decode(b)
	if err != nil {
		d.t.Fatal(err)
	}
	return c
}

// noSave: the document cannot be replaced.
func noSave(c faulty.Call) error {
	if c.Op == "Rename" && strings.HasSuffix(c.Path, "c.json") {
		return syscall.EIO
	}
	return nil
}

// F4: whichever call of a whole transaction fails, and for good after the send
// or once, the successor is in the file or comes back, and no token that was
// answered is sent again.
func TestF4EveryCallOfATransactionMayFail(t *testing.T) {
	for name, arrange := range map[string]func(*onDisk){
		"the first refresh": func(*onDisk) {},
		"after a dead process that was answered": func(d *onDisk) {
			s := d.open(d.files())
			d.disk.Fail = func(c faulty.Call) error {
				if c.Op == "Rename" && strings.HasSuffix(c.Path, "c.json") {
					return syscall.EIO
				}
				return nil
			}
			want(d.t, s, "a2")
			s.Close()
			d.disk.Fail = nil
		},
		"after one that was not": func(d *onDisk) {
			d.ep.then(step{refuse: true, lose: errors.New("reset")}, step{unsent: errors.New("no network")}, step{unsent: errors.New("no network")}, step{unsent: errors.New("no network")})
			s := d.open(d.files())
			s.Token(context.Background())
			s.Close()
			time.Sleep(time.Hour)
		},
		"refused": func(d *onDisk) { d.ep.live = "another" },
	} {
		t.Run(name, func(t *testing.T) {
			calls := 0
			attempt := func(n int, fault error) {
				inDirectory(t, -time.Minute, func(d *onDisk) {
					arrange(d)
					d.disk.Reset()
					var at faulty.Call
					d.disk.Fail = func(c faulty.Call) error {
						if c.N == n && c.Op != "File.Close" {
							at = c
							return fault
						}
						return nil
					}
					s := d.open(d.files())
					tok, err := s.Token(context.Background())
					if calls == 0 {
						calls = len(d.disk.Calls())
					}
					if err != nil && !errors.Is(err, evercred.ErrUnsafe) && !errors.Is(err, evercred.ErrUnavailable) && !errors.Is(err, evercred.ErrLocked) && !errors.Is(err, evercred.ErrLoginRequired) {
						t.Errorf("%v: an error that says nothing: %v", at, err)
					}
					d.disk.Fail = nil
					s.Close()
					if name == "refused" {
						if err == nil || d.saved().Refresh.Reveal() != "r1" {
							t.Errorf("%v: %v, and the store holds %s", at, err, d.saved().Refresh.Reveal())
						}
						return
					}
					next := d.open(d.files())
					time.Sleep(time.Hour) // past every cooldown
					again, err := next.Token(context.Background())
					if err != nil {
						t.Errorf("%v: the next process: %v", at, err)
					}
					if tok.Reveal() != "" && again.Reveal() != tok.Reveal() {
						t.Errorf("%v: served %s, and then %s", at, tok.Reveal(), again.Reveal())
					}
					if got := d.saved().Access.Reveal(); got != again.Reveal() {
						t.Errorf("%v: the store holds %s, served is %s", at, got, again.Reveal())
					}
				})
			}
			attempt(-1, nil)
			if calls < 20 {
				t.Fatalf("only %d calls", calls)
			}
			for n := range calls {
				attempt(n, syscall.EIO)
			}
		})
	}
}

// odd is a Store of somebody's own, with a lock that does what the test says.
type odd struct {
	*credtest.Store
	lock func(ctx context.Context) (evercred.Lock, error)
}

func (o odd) Lock(ctx context.Context) (evercred.Lock, error) { return o.lock(ctx) }

func (w *world) odd(lock func(ctx context.Context) (evercred.Lock, error), change ...func(*evercred.Options)) *evercred.Source {
	o := &evercred.Options{Observe: w.observe, Seams: &seam.Seams{Clock: w.clock}}
	for _, c := range change {
		c(o)
	}
	s := evercred.New(odd{w.store, lock}, codec, w.ep, o)
	w.t.Cleanup(func() { s.Close() })
	return s
}

func TestR19ALockThatPanics(t *testing.T) {
	inWorld(t, -time.Minute, func(w *world) {
		broken := true
		s := w.odd(func(ctx context.Context) (evercred.Lock, error) {
			if broken {
				panic("lock")
			}
			return w.store.Lock(ctx)
		})
		if _, err := s.Token(context.Background()); !errors.Is(err, evercred.ErrUnsafe) {
			t.Errorf("%v", err)
		}
		w.sends(0)
		broken = false
		want(t, s, "a2")
	})
}

// R5: the login goes while we wait for its lock, or comes back at once.
func TestR5LogoutWhileLocking(t *testing.T) {
	for _, back := range []bool{false, true} {
		inWorld(t, -time.Minute, func(w *world) {
			doc := w.store.Bytes()
			s := w.odd(func(context.Context) (evercred.Lock, error) {
				w.store.Set(nil)
				if back {
					w.store.Set(doc)
				}
				return nil, &evercred.Error{Kind: evercred.ErrNotFound, Reason: evercred.ReasonNoFile, What: "no file"}
			})
			if back {
				if e := wantError(t, s, evercred.ErrLocked, evercred.ReasonLocked); errors.Is(e, evercred.ErrNotFound) {
					t.Errorf("a login that is there is not found: %v", e)
				}
			} else if _, err := s.Token(context.Background()); !errors.Is(err, evercred.ErrNotFound) {
				t.Errorf("%v", err)
			}
			w.sends(0)
		})
	}
}

// A lock that comes when nobody waits for it any more is given back.
func TestALockThatComesLateIsGivenBack(t *testing.T) {
	inWorld(t, -time.Minute, func(w *world) {
		s := w.odd(func(ctx context.Context) (evercred.Lock, error) {
			<-ctx.Done() // and it is taken all the same
			return w.store.Lock(context.Background())
		})
		time.AfterFunc(time.Second, func() { w.store.Set(w.login("a9", "r9", time.Hour)) })
		want(t, s, "a9")
		synctest.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		l, err := w.store.Lock(ctx)
		if err != nil {
			t.Fatalf("it was kept: %v", err)
		}
		l.Unlock()
		w.sends(0)
	})
}

// A Store whose Lock says only that the context ended.
func TestALockThatSaysOnlyThatTheTimeIsOver(t *testing.T) {
	wait := func(ctx context.Context) (evercred.Lock, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	inWorld(t, -time.Minute, func(w *world) {
		e := wantError(t, w.odd(wait), evercred.ErrLocked, evercred.ReasonLocked)
		if !errors.Is(e, context.DeadlineExceeded) {
			t.Errorf("without its cause: %v", e)
		}
	})
	inWorld(t, -time.Minute, func(w *world) {
		s := w.odd(wait)
		time.AfterFunc(time.Second, func() { s.Close() })
		wantError(t, s, evercred.ErrClosed, evercred.ReasonClosed)
	})
	inWorld(t, -time.Minute, func(w *world) { // one that says who holds it is not spoken over
		s := w.odd(func(context.Context) (evercred.Lock, error) {
			return nil, &evercred.Error{Kind: evercred.ErrLocked, Reason: evercred.ReasonLocked, What: "process 7 holds it"}
		})
		if e := wantError(t, s, evercred.ErrLocked, evercred.ReasonLocked); e.What != "process 7 holds it" {
			t.Errorf("%v", e)
		}
	})
	inWorld(t, -time.Minute, func(w *world) { // what is unsafe stays unsafe, and is not "held"
		s := w.odd(func(context.Context) (evercred.Lock, error) { return nil, errors.New("no locks here") })
		if e := wantError(t, s, evercred.ErrUnsafe, evercred.ReasonCannotLock); !strings.Contains(e.Error(), "no locks here") {
			t.Errorf("without its cause: %v", e)
		}
	})
}

// readied is a lock that can prepare.
type readied struct {
	evercred.Lock
	prepare func() error
}

func (r readied) Prepare(context.Context, evercred.Document) error { return r.prepare() }

func TestPrepare(t *testing.T) {
	preparing := func(w *world, prepare func() error) *evercred.Source {
		return w.odd(func(ctx context.Context) (evercred.Lock, error) {
			l, err := w.store.Lock(ctx)
			return readied{l, prepare}, err
		})
	}
	inWorld(t, -time.Minute, func(w *world) { // R6: another login between the look and the preparing
		calls := 0
		s := preparing(w, func() error {
			if calls++; calls > 1 {
				return nil
			}
			w.ep.live = "q1"
			w.store.Set(w.login("b1", "q1", -time.Minute))
			return &evercred.Error{Kind: evercred.ErrConflict, Reason: evercred.ReasonConflict, What: "moved"}
		})
		want(t, s, "a2")
		w.sends(1)
	})
	inWorld(t, -time.Minute, func(w *world) { // L3: the owner is writing
		s := preparing(w, func() error {
			return &evercred.Error{Kind: evercred.ErrLocked, Reason: evercred.ReasonLocked, What: "the owner writes"}
		})
		wantError(t, s, evercred.ErrLocked, evercred.ReasonLocked)
		w.sends(0)
	})
	inWorld(t, -time.Minute, func(w *world) { // F4
		s := preparing(w, func() error { return syscall.ENOSPC })
		if e := wantError(t, s, evercred.ErrUnsafe, evercred.ReasonCannotSave); !errors.Is(e, syscall.ENOSPC) {
			t.Errorf("without its cause: %v", e)
		}
		w.sends(0)
	})
	inWorld(t, 5*time.Minute, func(w *world) { // F4: the valid token is served
		want(t, preparing(w, func() error { return syscall.ENOSPC }), "a1")
		w.sends(0)
	})
	inWorld(t, time.Hour, func(w *world) { // R23: what was to be replaced was, and the other is good for a while
		s := preparing(w, func() error { return syscall.ENOSPC })
		loads := 0
		w.store.FailLoad(func() error {
			if loads++; loads == 2 { // the look under the lock
				w.store.Set(w.login("o2", "q2", 10*time.Second))
			}
			return nil
		})
		r, err := s.Refresh(context.Background(), true)
		if err != nil || r.Token.Reveal() != "o2" || !errors.Is(r.Err, syscall.ENOSPC) {
			t.Errorf("%+v %v", r, err)
		}
		w.sends(0)
	})
}

// A refresh looks at the store, looks again under the lock, and once more before
// the first byte; a look is one reading.
func TestARefreshReadsTheStoreThreeTimes(t *testing.T) {
	inWorld(t, -time.Minute, func(w *world) {
		loads := 0
		w.store.FailLoad(func() error { loads++; return nil })
		want(t, w.source(), "a2")
		if loads != 3 {
			t.Errorf("it was read %d times", loads)
		}
	})
}

// A flight keeps nothing of its callers, and what it lent ends with it: a Source
// lives as long as its program.
func TestAFlightLeavesNothingBehind(t *testing.T) {
	inWorld(t, -time.Minute, func(w *world) {
		var lent context.Context
		s := w.odd(func(ctx context.Context) (evercred.Lock, error) { lent = ctx; return w.store.Lock(ctx) })
		type key struct{}
		kept := func() weak.Pointer[[64]byte] {
			value := new([64]byte)
			if _, err := s.Token(context.WithValue(context.Background(), key{}, value)); err != nil {
				t.Fatal(err)
			}
			return weak.Make(value)
		}()
		if !errors.Is(lent.Err(), context.Canceled) {
			t.Errorf("the context of a flight that is over: %v", lent.Err())
		}
		lent = nil
		time.Sleep(time.Minute) // past its timers, which the runtime may keep until their time
		synctest.Wait()
		for range 3 {
			runtime.GC()
		}
		if kept.Value() != nil {
			t.Error("the context of a caller is kept")
		}
		runtime.KeepAlive(s)
	})
}

// silent is a Refresher that neither sends nor says why.
type silent struct{ *endpoint }

func (silent) Send(context.Context, evercred.Credential, evercred.Exchange) (evercred.Answer, error) {
	return evercred.Answer{}, nil
}

// faithful is a Refresher that keeps all of what was sent, and says no more than
// the contract asks for.
type faithful struct{ *endpoint }

func (r faithful) Parse(a evercred.Answer, sent evercred.Credential) evercred.Outcome {
	o := r.endpoint.Parse(a, sent)
	o.Err, o.Credential.Blanked = nil, sent.Blanked
	return o
}

// upright is a codec that is asked to write no blanked login.
type upright struct {
	evercred.Codec
	t *testing.T
}

func (c upright) Encode(doc []byte, cred evercred.Credential) ([]byte, error) {
	if cred.Blanked {
		c.t.Error("a successor is written as blanked")
	}
	return c.Codec.Encode(doc, cred)
}

func TestARefresherThatKeepsAllOfWhatWasSent(t *testing.T) {
	inDirectory(t, -time.Minute, func(d *onDisk) { // R22: recovered over a blank
		d.disk.Fail = noSave
		s := d.open(d.files())
		want(t, s, "a2")
		s.Close()
		d.disk.Fail = nil
		d.write([]byte(blanked))
		s = evercred.New(d.files(), upright{codec, t}, faithful{d.ep}, &evercred.Options{Seams: d.seams()})
		defer s.Close()
		want(t, s, "a2")
	})
	inWorld(t, -time.Minute, func(w *world) { // R9: how the answer was lost is said all the same
		reset := errors.New("connection reset")
		w.ep.then(step{refuse: true, lose: reset}, step{refuse: true, lose: reset}, step{refuse: true, lose: reset}, step{refuse: true, lose: reset})
		s := evercred.New(w.store, codec, faithful{w.ep}, &evercred.Options{Seams: &seam.Seams{Clock: w.clock}})
		defer s.Close()
		if e := wantError(t, s, evercred.ErrUnavailable, evercred.ReasonUnknownOutcome); !errors.Is(e, reset) {
			t.Errorf("without its cause: %v", e)
		}
	})
}

func TestARefresherThatSaysNothing(t *testing.T) {
	inWorld(t, -time.Minute, func(w *world) {
		s := evercred.New(w.store, codec, silent{w.ep}, &evercred.Options{Seams: &seam.Seams{Clock: w.clock}})
		defer s.Close()
		e := wantError(t, s, evercred.ErrUnavailable, evercred.ReasonUnreachable)
		if !strings.Contains(e.Error(), "a bug: the refresher neither sent nor said why") {
			t.Errorf("%v", e)
		}
	})
}

// R8, §6.7: Close, or the end of RefreshTimeout, before the first byte.
func TestR8TheEndBeforeTheFirstByte(t *testing.T) {
	inWorld(t, -time.Minute, func(w *world) {
		s := w.source()
		w.ep.then(step{connect: func() { go s.Close(); time.Sleep(time.Millisecond) }})
		wantError(t, s, evercred.ErrClosed, evercred.ReasonClosed)
		w.sends(0)
	})
	inWorld(t, -time.Minute, func(w *world) {
		s := w.source(func(o *evercred.Options) { o.RefreshTimeout = 2 * time.Second })
		w.ep.then(step{connect: func() { time.Sleep(3 * time.Second) }})
		e := wantError(t, s, evercred.ErrUnavailable, evercred.ReasonTimeout)
		if !errors.Is(e, context.DeadlineExceeded) || !e.RetryAt.IsZero() {
			t.Errorf("%v, again at %v", e, e.RetryAt)
		}
		w.sends(0)
		want(t, s, "a2") // it has taught nobody anything
	})
}

// §6.8b: no time for the pause before a repeat; or Close within it.
func TestR9TheEndBeforeARepeat(t *testing.T) {
	lost := step{refuse: true, lose: errors.New("reset")}
	inWorld(t, -time.Minute, func(w *world) {
		w.ep.then(lost, lost, lost)
		s := w.source(func(o *evercred.Options) { o.RefreshTimeout = 3 * time.Second })
		began := time.Now()
		e := wantError(t, s, evercred.ErrUnavailable, evercred.ReasonUnknownOutcome)
		if d := time.Since(began); d != time.Second || e.RetryAt.Sub(w.clock.Now()) < 30*time.Second {
			t.Errorf("after %v, again in %v", d, e.RetryAt.Sub(w.clock.Now()))
		}
		w.sends(2) // the second repeat would come 4 s after
	})
	inWorld(t, -time.Minute, func(w *world) {
		w.ep.then(lost, lost, lost)
		s := w.source()
		time.AfterFunc(500*time.Millisecond, func() { s.Close() })
		began := time.Now()
		_, err := s.Token(context.Background())
		if !errors.Is(err, evercred.ErrUnavailable) || time.Since(began) != 500*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		w.sends(1)
	})
	inWorld(t, -time.Minute, func(w *world) { // §6.8a: three tries within five seconds, and within the timeout
		for range 3 {
			w.ep.then(step{unsent: errors.New("refused")})
		}
		s := w.source(func(o *evercred.Options) { o.RefreshTimeout = 10 * time.Millisecond })
		wantError(t, s, evercred.ErrUnavailable, evercred.ReasonUnreachable)
		if w.ep.tries != 1 {
			t.Errorf("%d tries", w.ep.tries)
		}
	})
	inWorld(t, -time.Minute, func(w *world) { // or one that takes nearly all of the five
		slow := step{unsent: errors.New("refused"), take: 4900 * time.Millisecond}
		w.ep.then(slow, slow, slow)
		wantError(t, w.source(), evercred.ErrUnavailable, evercred.ReasonUnreachable)
		if w.ep.tries != 1 {
			t.Errorf("%d tries", w.ep.tries)
		}
	})
}

// R13: an end that the endpoint does not name is that of the last grant, or an
// hour if that is less.
func TestR13TheLastKnownLifetime(t *testing.T) {
	for first, want2 := range map[string]time.Duration{`,"expires_in":1800`: 30 * time.Minute, `,"expires_in":28800`: time.Hour} {
		inWorld(t, -time.Minute, func(w *world) {
			w.ep.then(step{members: first}, step{members: `,"scope":"x"`})
			s := w.source()
			want(t, s, "a2")
			time.Sleep(9 * time.Hour)
			tok := want(t, s, "a3")
			if left := tok.Expires().Sub(w.clock.Now()); left != want2 {
				t.Errorf("after %s: %v left, want %v", first, left, want2)
			}
		})
	}
}

// R4 where the endpoint keeps the old refresh token: blanked, and the successor
// in memory is the only place where it still is.
func TestR4AnUnsavedTokenWithoutRotation(t *testing.T) {
	inWorld(t, -time.Minute, func(w *world) {
		w.ep.then(step{raw: response(200, `{"token_type":"Bearer","access_token":"a2","expires_in":28800}`)})
		s := w.fullDisk()
		w.store.FailSave(nil)
		w.store.Set([]byte(`{"mcpOAuth":{"x":1.50},"claudeAiOauth":{"accessToken":"","refreshToken":"","expiresAt":0}}`))
		time.Sleep(5 * time.Minute)
		want(t, s, "a2")
		if c := w.stored(); c.Access.Reveal() != "a2" || c.Refresh.Reveal() != "r1" {
			t.Errorf("saved over the blank: %s, %s", c.Access.Reveal(), c.Refresh.Reveal())
		}
		w.sends(1)
	})
}

// comesBack is a file that is gone for the first few looks.
type comesBack struct {
	*filestore.Store
	mu   *sync.Mutex
	gone *int
}

func (c comesBack) Load(ctx context.Context) (evercred.Document, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if *c.gone > 0 {
		*c.gone--
		return evercred.Document{}, &evercred.Error{Kind: evercred.ErrNotFound, Reason: evercred.ReasonNoFile, What: "no file"}
	}
	return c.Store.Load(ctx)
}

// R5: what is left of a login that its user ended is closed, but not under the
// hands of a process that holds the guard, and not if the login is back.
func TestR5WhatIsLeftAfterALogout(t *testing.T) {
	inDirectory(t, -time.Minute, func(d *onDisk) {
		d.disk.Fail = func(c faulty.Call) error {
			if c.Op == "Rename" && strings.HasSuffix(c.Path, "c.json") {
				return syscall.EIO
			}
			return nil
		}
		s := d.open(d.files())
		want(t, s, "a2")
		s.Close()
		d.disk.Fail = nil
		book := d.files().Ledger()
		pending := func() string {
			p, err := book.Pending()
			return fmt.Sprint(p, err)
		}
		if pending() != "true <nil>" {
			t.Fatal("the answer is not pending")
		}

		gone := 1
		_, err := d.open(comesBack{d.files(), new(sync.Mutex), &gone}).Token(context.Background())
		if !errors.Is(err, evercred.ErrNotFound) || pending() != "true <nil>" {
			t.Errorf("back at once: %v, pending %s", err, pending())
		}

		doc, _ := os.ReadFile(d.path)
		os.Remove(d.path)
		guard, err := book.TryGuard()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.open(d.files()).Token(context.Background()); !errors.Is(err, evercred.ErrNotFound) || pending() != "true <nil>" {
			t.Errorf("under another's guard: %v, pending %s", err, pending())
		}
		guard.Release()
		follower := evercred.New(d.files(), codec, d.ep, &evercred.Options{ReadOnly: true, Seams: d.seams()})
		if _, err := follower.Token(context.Background()); !errors.Is(err, evercred.ErrNotFound) || pending() != "true <nil>" {
			t.Errorf("read only: %v, pending %s", err, pending())
		}
		follower.Close()
		if _, err := d.open(d.files()).Token(context.Background()); !errors.Is(err, evercred.ErrNotFound) || pending() != "false <nil>" {
			t.Errorf("logged out: %v, pending %s", err, pending())
		}
		if !d.saw(evercred.EventDropped) {
			t.Error("nobody was told")
		}
		history, err := book.History()
		if err != nil || len(history) != 1 || history[0].Reason != "logged-out" {
			t.Errorf("history: %+v %v", history, err)
		}
		d.write(doc)
	})
	inDirectory(t, time.Hour, func(d *onDisk) { // where nothing is left nothing is made
		os.Remove(d.path)
		if _, err := d.open(d.files()).Token(context.Background()); !errors.Is(err, evercred.ErrNotFound) {
			t.Error(err)
		}
		if made, err := os.ReadDir(filepath.Dir(d.path)); err != nil || len(made) > 0 {
			t.Errorf("made: %v %v", made, err)
		}
	})
}

// R20: the attempts of the older copy itself are not those of the successor
// that takes its place.
func TestR20AttemptsOfTheOlderCopyAreKept(t *testing.T) {
	inDirectory(t, -time.Minute, func(d *onDisk) {
		older, _ := os.ReadFile(d.path)
		s := d.open(d.files())
		d.ep.then(step{members: `,"expires_in":60`})
		want(t, s, "a2") // r1 is spent
		time.Sleep(5 * time.Minute)
		d.disk.Fail = func(c faulty.Call) error {
			if c.Op == "Rename" && strings.HasSuffix(c.Path, "c.json") {
				return syscall.EIO
			}
			return nil
		}
		want(t, s, "a3") // r2 is spent, and r3 in the escrow alone
		s.Close()
		d.disk.Fail = nil
		d.write(older)
		g, err := d.files().Ledger().TryGuard()
		if err != nil {
			t.Fatal(err)
		}
		first, _ := codec.Decode(older)
		r, err := g.Begin(ledger.Intent{Refresh: first.Refresh.Fingerprint()})
		if err == nil {
			err = r.MarkSending(time.Now())
		}
		if err = errors.Join(err, g.Release()); err != nil {
			t.Fatal(err)
		}
		want(t, d.open(d.files()), "a3")
		if got := d.saved().Refresh.Reveal(); got != "r3" {
			t.Errorf("the store holds %s", got)
		}
		d.sends(2)
	})
}

func (w *world) event(k evercred.EventKind) (found evercred.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.events {
		if e.Kind == k {
			found = e
		}
	}
	return found
}

// told is a lock with something to tell that cannot be given back in order.
type told struct{ evercred.Lock }

func (told) Notes() []string { return []string{"taken over from a dead process"} }

func (l told) Unlock() error { return errors.Join(errors.New("rmdir failed"), l.Lock.Unlock()) }

// Whoever observes learns of every irregular step.
func TestIrregularStepsAreTold(t *testing.T) {
	inWorld(t, -time.Minute, func(w *world) {
		s := w.odd(func(ctx context.Context) (evercred.Lock, error) {
			l, err := w.store.Lock(ctx)
			return told{l}, err
		})
		want(t, s, "a2")
		if e := w.event(evercred.EventTakeover); e.Detail != "taken over from a dead process" {
			t.Errorf("of the take-over: %+v", e)
		}
		if e := w.event(evercred.EventStrange); e.Err == nil || !strings.Contains(e.Err.Error(), "rmdir failed") {
			t.Errorf("of the lock: %+v", e)
		}
	})
	inDirectory(t, -time.Minute, func(d *onDisk) { // F4: the memory cannot be written
		d.disk.Fail = func(c faulty.Call) error {
			if c.Op == "Rename" && strings.HasSuffix(c.Path, "memory") {
				return syscall.EIO
			}
			return nil
		}
		want(t, d.open(d.files()), "a2")
		if e := d.event(evercred.EventStrange); !strings.Contains(e.Detail, "memory could not be written") || !errors.Is(e.Err, syscall.EIO) {
			t.Errorf("of the memory: %+v", e)
		}
	})
	for _, op := range []string{"File.Datasync", "File.WriteAt"} { // F4: the answer cannot be kept
		inDirectory(t, -time.Minute, func(d *onDisk) {
			bad := false
			d.ep.then(step{during: func() { bad = true }})
			d.disk.Fail = func(c faulty.Call) error {
				if bad && c.Op == op && strings.HasSuffix(c.Path, ".open") {
					return syscall.EIO
				}
				return nil
			}
			want(t, d.open(d.files()), "a2")
			if d.saved().Access.Reveal() != "a2" {
				t.Error("not saved")
			}
			if e := d.event(evercred.EventStrange); !strings.Contains(e.Detail, "could not be made durable") || !errors.Is(e.Err, syscall.EIO) {
				t.Errorf("%s: %+v", op, e)
			}
		})
	}
	inWorld(t, -time.Minute, func(w *world) { // and nothing is told of a regular one
		want(t, w.source(), "a2")
		for _, k := range []evercred.EventKind{evercred.EventStrange, evercred.EventTakeover, evercred.EventRecovered, evercred.EventAdopted, evercred.EventSavedLate, evercred.EventCooldown} {
			if w.saw(k) {
				t.Errorf("told of %v: %+v", k, w.event(k))
			}
		}
	})
}

// What Refresh says it did is what it did.
func TestWhatRefreshSays(t *testing.T) {
	inWorld(t, -time.Minute, func(w *world) {
		s := w.odd(func(ctx context.Context) (evercred.Lock, error) { <-ctx.Done(); return nil, ctx.Err() })
		time.AfterFunc(time.Second, func() { w.store.Set(w.login("a9", "r9", time.Hour)) })
		if r, err := s.Refresh(context.Background(), false); err != nil || !r.Adopted || r.Granted || r.Recovered || r.Unsaved {
			t.Errorf("adopted: %+v %v", r, err)
		}
	})
	inWorld(t, -time.Minute, func(w *world) {
		if r, err := w.source().Refresh(context.Background(), false); err != nil || !r.Granted || r.Adopted || r.Recovered || r.Unsaved || r.Err != nil {
			t.Errorf("granted: %+v %v", r, err)
		}
	})
	inDirectory(t, -time.Minute, func(d *onDisk) {
		d.disk.Fail = func(c faulty.Call) error {
			if c.Op == "Rename" && strings.HasSuffix(c.Path, "c.json") {
				return syscall.EIO
			}
			return nil
		}
		s := d.open(d.files())
		if r, err := s.Refresh(context.Background(), false); err != nil || !r.Unsaved || !r.Granted || r.Recovered || !errors.Is(r.Err, syscall.EIO) {
			t.Errorf("unsaved: %+v %v", r, err)
		}
		s.Close()
		d.disk.Fail = nil
		if r, err := d.open(d.files()).Refresh(context.Background(), false); err != nil || !r.Recovered || r.Granted || r.Unsaved || r.Err != nil {
			t.Errorf("recovered: %+v %v", r, err)
		}
	})
}

// R13: what was received by a dead process lives from when it came, not from
// when it is found.
func TestR13ALifetimeCountsFromTheArrival(t *testing.T) {
	inDirectory(t, -time.Minute, func(d *onDisk) {
		d.ep.then(step{members: `,"scope":"user:inference"`})
		d.disk.Fail = func(c faulty.Call) error {
			if c.Op == "Rename" && strings.HasSuffix(c.Path, "c.json") {
				return syscall.EIO
			}
			return nil
		}
		s := d.open(d.files())
		want(t, s, "a2")
		came := time.Now()
		s.Close()
		d.disk.Fail = nil
		time.Sleep(30 * time.Minute)
		tok := want(t, d.open(d.files()), "a2")
		if left := tok.Expires().Sub(came); left > time.Hour+time.Second || left < time.Hour-time.Second {
			t.Errorf("it lives %v from its arrival, want 1h", left)
		}
	})
}

// Every cooldown is told once, with its end and its cause, and those who come
// within it learn both.
func TestCooldownsAreTold(t *testing.T) {
	for reason, steps := range map[evercred.Reason][]step{
		evercred.ReasonUnreachable:   {{unsent: errors.New("refused")}, {unsent: errors.New("refused")}, {unsent: errors.New("refused")}},
		evercred.ReasonNotEndpoint:   {{refuse: true, raw: response(403, "<html>")}},
		evercred.ReasonEndpointError: {{refuse: true, raw: response(400, `{"error":"unsupported_grant_type"}`)}},
		evercred.ReasonRateLimited:   {{refuse: true, raw: response(429, "", "Retry-After: 600")}},
	} {
		inWorld(t, -time.Minute, func(w *world) {
			w.ep.then(steps...)
			s := w.source()
			first := wantError(t, s, evercred.ErrUnavailable, reason)
			e := w.event(evercred.EventCooldown)
			if e.Err == nil || !e.Until.After(w.clock.Now()) || !first.RetryAt.Equal(e.Until) {
				t.Errorf("%s: told %+v, the error says %v", reason, e, first.RetryAt)
			}
			again := wantError(t, s, evercred.ErrUnavailable, reason)
			if !again.RetryAt.Equal(e.Until) {
				t.Errorf("%s: again at %v, and then at %v", reason, e.Until, again.RetryAt)
			}
		})
	}
}

// R13: what is strange of an answer is told once, however often its save is tried.
func TestStrangeAnswersAreToldOnce(t *testing.T) {
	inWorld(t, -time.Minute, func(w *world) {
		w.ep.then(step{members: `,"expires_in":-5`, during: func() {
			w.store.Set([]byte(strings.Replace(string(w.store.Bytes()), `"max"`, `"pro"`, 1))) // the owner writes a neighbour
		}})
		want(t, w.source(), "a2")
		n := 0
		w.mu.Lock()
		for _, e := range w.events {
			if e.Kind == evercred.EventStrange {
				n++
			}
		}
		w.mu.Unlock()
		if n != 1 {
			t.Errorf("told %d times", n)
		}
	})
}

// R4 with deadlines: a blank that bears another login's deadline is not the
// place for our successor.
func TestR4ABlankOfAnotherLogin(t *testing.T) {
	for name, c := range map[string]struct {
		ours, theirs time.Duration
		saved        bool
	}{
		"none": {0, 0, true}, "ours alone": {time.Hour, 0, true}, "theirs alone": {0, time.Hour, true},
		"the same": {time.Hour, time.Hour, true}, "another": {time.Hour, 2 * time.Hour, false},
	} {
		inWorld(t, -time.Minute, func(w *world) {
			member := func(d time.Duration) string {
				if d == 0 {
					return ""
				}
				return fmt.Sprintf(`,"refreshTokenExpiresAt":%d`, w.clock.start.Add(d+24*time.Hour).UnixMilli())
			}
			w.store.Set([]byte(strings.Replace(string(w.store.Bytes()), `,"scopes"`, member(c.ours)+`,"scopes"`, 1)))
			s := w.fullDisk()
			w.store.FailSave(nil)
			w.store.Set(fmt.Appendf(nil, `{"mcpOAuth":{"x":1.50},"claudeAiOauth":{"accessToken":"","refreshToken":"","expiresAt":0%s}}`, member(c.theirs)))
			time.Sleep(10 * time.Minute)
			synctest.Wait()
			if got := w.stored().Access.Reveal() == "a2"; got != c.saved {
				t.Errorf("%s: saved over the blank: %v, want %v", name, got, c.saved)
			}
			s.Close()
		})
	}
}

// What an error says of time is the time that was meant.
func TestErrorsNameTheirTimes(t *testing.T) {
	inWorld(t, -time.Minute, func(w *world) { // 6.12: spacing
		w.ep.then(step{refuse: true, lose: errors.New("reset")}, step{unsent: errors.New("no network")}, step{unsent: errors.New("no network")}, step{unsent: errors.New("no network")})
		s := w.source()
		sent := w.clock.Now()
		s.Token(context.Background())
		w.store.Set(w.login("b1", "q1", -time.Minute)) // the next generation
		e := wantError(t, s, evercred.ErrUnavailable, evercred.ReasonSpacing)
		if !e.RetryAt.Equal(sent.Add(2 * time.Minute)) {
			t.Errorf("again %v after the send", e.RetryAt.Sub(sent))
		}
	})
	inWorld(t, -time.Minute, func(w *world) { // R9: a loss
		sent := w.clock.Now()
		w.ep.then(step{lose: errors.New("reset")})
		s := w.source()
		e := wantError(t, s, evercred.ErrLoginRequired, evercred.ReasonLostAnswer)
		if !strings.Contains(e.Error(), sent.Format(time.RFC3339)) {
			t.Errorf("lost at %v: %v", sent, e)
		}
		time.Sleep(time.Hour) // and whoever comes later hears the same time
		e = wantError(t, s, evercred.ErrLoginRequired, evercred.ReasonLostAnswer)
		if !strings.Contains(e.Error(), sent.Format(time.RFC3339)) {
			t.Errorf("later: %v", e)
		}
		if e := w.event(evercred.EventLost); !e.Until.Equal(sent) {
			t.Errorf("told: %+v", e)
		}
	})
	inWorld(t, -time.Minute, func(w *world) { // 8b: lost since the first commit
		sent := w.clock.Now()
		w.ep.then(commit, commit)
		e := wantError(t, w.source(), evercred.ErrLoginRequired, evercred.ReasonLostAnswer)
		if !strings.Contains(e.Error(), sent.Format(time.RFC3339)) {
			t.Errorf("lost at %v: %v", sent, e)
		}
	})
	inWorld(t, -time.Minute, func(w *world) { // the cause of a cooldown is repeated in it
		for range 3 {
			w.ep.then(step{unsent: errors.New("no route to host")})
		}
		s := w.source()
		wantError(t, s, evercred.ErrUnavailable, evercred.ReasonUnreachable)
		if e := wantError(t, s, evercred.ErrUnavailable, evercred.ReasonUnreachable); !strings.Contains(e.Error(), "no route to host") {
			t.Errorf("%v", e)
		}
	})
}

// R8: a caller who stops waiting learns what the flight was waiting for.
func TestWhatACallerWaitedFor(t *testing.T) {
	ask := func(s *evercred.Source) error {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_, err := s.Token(ctx)
		return err
	}
	inWorld(t, -time.Minute, func(w *world) {
		l, err := w.store.Lock(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if err := ask(w.source()); !errors.Is(err, evercred.ErrLocked) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("for the lock: %v", err)
		}
		l.Unlock()
		time.Sleep(time.Minute)
	})
	inWorld(t, -time.Minute, func(w *world) {
		w.ep.then(step{take: 10 * time.Second})
		if err := ask(w.source()); !errors.Is(err, evercred.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("for the answer: %v", err)
		}
		time.Sleep(time.Minute)
	})
}

// F4: nothing leaves without its mark in the escrow, and the error says why.
func TestF4NoMarkNoSend(t *testing.T) {
	inDirectory(t, -time.Minute, func(d *onDisk) {
		writes := 0
		d.disk.Fail = func(c faulty.Call) error {
			if c.Op == "File.WriteAt" && strings.HasSuffix(c.Path, ".open") {
				if writes++; writes > 1 { // the intent is the first
					return syscall.EIO
				}
			}
			return nil
		}
		e := wantError(t, d.open(d.files()), evercred.ErrUnsafe, evercred.ReasonCannotSave)
		if !errors.Is(e, syscall.EIO) || !strings.Contains(e.Error(), "recorded before it is made") {
			t.Errorf("%v", e)
		}
		d.sends(0)
	})
}

// F4: an attempt that cannot be begun, and one that cannot be closed.
func TestF4TheRecordOfAnAttempt(t *testing.T) {
	inDirectory(t, -time.Minute, func(d *onDisk) {
		d.disk.Fail = func(c faulty.Call) error {
			if c.Op == "OpenFile" && strings.HasSuffix(c.Path, ".open") {
				return syscall.EIO
			}
			return nil
		}
		e := wantError(t, d.open(d.files()), evercred.ErrUnsafe, evercred.ReasonCannotSave)
		if !errors.Is(e, syscall.EIO) || !strings.Contains(e.Error(), "recorded before it is made") {
			t.Errorf("%v", e)
		}
		d.sends(0)
	})
	inDirectory(t, -time.Minute, func(d *onDisk) {
		d.disk.Fail = func(c faulty.Call) error {
			if c.Op == "Rename" && strings.HasSuffix(c.Path, ".closed") {
				return syscall.EIO
			}
			return nil
		}
		want(t, d.open(d.files()), "a2")
		if e := d.event(evercred.EventStrange); !strings.Contains(e.Detail, "could not be closed") || !errors.Is(e.Err, syscall.EIO) {
			t.Errorf("told %+v", e)
		}
		d.disk.Fail = nil
		want(t, d.open(d.files()), "a2")
		d.sends(1)
	})
}

// R15b: that the API refuses fresh tokens is told, with the time until when.
func TestR15bIsTold(t *testing.T) {
	inWorld(t, -time.Minute, func(w *world) {
		s := w.source()
		s.Reject(want(t, s, "a2"))
		e := wantError(t, s, evercred.ErrUnavailable, evercred.ReasonAPIRefuses)
		if told := w.event(evercred.EventCooldown); !strings.Contains(told.Detail, "refuses fresh tokens") || !told.Until.Equal(e.RetryAt) || e.RetryAt.IsZero() {
			t.Errorf("told %+v, the error says %v", told, e.RetryAt)
		}
	})
}

// F4: what the memory holds against a grant is not known where it cannot be read:
// nothing is sent.
func TestF4AMemoryThatCannotBeRead(t *testing.T) {
	blind := func(c faulty.Call) error {
		if c.Op == "OpenFile" && filepath.Base(c.Path) == "memory" {
			return syscall.EIO
		}
		return nil
	}
	inDirectory(t, -time.Minute, func(d *onDisk) {
		d.disk.Fail = blind
		if e := wantError(t, d.open(d.files()), evercred.ErrUnsafe, evercred.ReasonCannotSave); !errors.Is(e, syscall.EIO) {
			t.Errorf("without its cause: %v", e)
		}
		d.sends(0)
	})
	inDirectory(t, 5*time.Minute, func(d *onDisk) {
		d.disk.Fail = blind
		want(t, d.open(d.files()), "a1")
		d.sends(0)
	})
}

// R4: an answer that cannot be read at first is no reason to give a blanked login up.
func TestR4AnAnswerThatCannotBeReadAtFirst(t *testing.T) {
	inDirectory(t, -time.Minute, func(d *onDisk) {
		d.disk.Fail = noSave
		s := d.open(d.files())
		want(t, s, "a2")
		s.Close()
		d.write([]byte(blanked))
		failed := false
		d.disk.Fail = func(c faulty.Call) error {
			if !failed && c.Op == "OpenFile" && strings.HasSuffix(c.Path, ".open") {
				failed = true
				return syscall.EIO
			}
			return nil
		}
		want(t, d.open(d.files()), "a2")
		if !failed || d.saved().Refresh.Reveal() != "r2" {
			t.Errorf("failed %v; the store holds %s", failed, d.saved().Refresh.Reveal())
		}
	})
}

// R21: waiters leave when another process has learned that nobody can refresh,
// though the document is as it was and the lock is held on.
func TestR21WaitersLearnFromTheMemory(t *testing.T) {
	inDirectory(t, -time.Minute, func(d *onDisk) {
		guard, err := d.files().Ledger().TryGuard()
		if err != nil {
			t.Fatal(err)
		}
		defer guard.Release()
		time.AfterFunc(time.Second, func() {
			rest := &ledger.Cooldown{Until: time.Now().Add(time.Minute), Reason: string(evercred.ReasonRateLimited), Count: 1}
			if err := guard.SetMemory(ledger.Memory{Print: d.saved().Refresh.Fingerprint(), Cooldown: rest}); err != nil {
				t.Error(err)
			}
		})
		began := time.Now()
		wantError(t, d.open(d.files()), evercred.ErrUnavailable, evercred.ReasonRateLimited)
		if waited := time.Since(began); waited > 2*time.Second {
			t.Errorf("waited %v", waited)
		}
		d.sends(0)
	})
}

// led is a file whose owner moves a link before the next look.
type led struct {
	*filestore.Store
	move *func()
}

func (l led) Load(ctx context.Context) (evercred.Document, error) {
	if move := *l.move; move != nil {
		*l.move = nil
		move()
	}
	return l.Store.Load(ctx)
}

// What is remembered of one place says nothing of the login in another
// (INTEROP §2): a link may lead elsewhere between the memory and the document.
func TestAMovedLoginHasItsOwnMemory(t *testing.T) {
	inDirectory(t, -time.Minute, func(d *onDisk) {
		link := d.path
		place := func(name string) string { return filepath.Join(filepath.Dir(link), name, "c.json") }
		lead := func(name string) {
			os.Remove(link)
			if err := os.Symlink(place(name), link); err != nil {
				t.Fatal(err)
			}
		}
		doc, _ := os.ReadFile(link)
		for _, name := range []string{"here", "there"} {
			d.path = place(name)
			os.Mkdir(filepath.Dir(d.path), 0o700)
			d.write(doc)
		}
		d.path = link
		lead("here")
		d.ep.then(step{refuse: true, raw: response(429, "{}")})
		wantError(t, d.open(d.files()), evercred.ErrUnavailable, evercred.ReasonRateLimited)
		move := func() { lead("there") }
		want(t, d.open(led{d.files(), &move}), "a2")
	})
}

// R9, R22: nothing came back, and then another program that sent the spent token
// blanked the login: that an answer was lost is told.
func TestALossThatABlankShows(t *testing.T) {
	inWorld(t, 5*time.Minute, func(w *world) {
		w.ep.then(step{lose: errors.New("reset")})
		s := w.source()
		sent := w.clock.Now()
		want(t, s, "a1")
		time.Sleep(6 * time.Minute)
		loads := 0
		w.store.FailLoad(func() error {
			if loads++; loads == 2 { // the look under the lock
				w.store.Set([]byte(blanked))
			}
			return nil
		})
		wantError(t, s, evercred.ErrLoginRequired, evercred.ReasonBlanked)
		if e := w.event(evercred.EventLost); !e.Until.Equal(sent) {
			t.Errorf("told %+v, sent at %v", e, sent)
		}
		w.sends(1)
	})
}

// R20: the successor in the escrow descends from every copy of its line, even
// where the process that saved a step of it was killed before it noted that.
func TestR20TheLineOfDescent(t *testing.T) {
	for name, c := range map[string]struct {
		copied  int
		unnoted bool
	}{"the oldest copy": {0, false}, "a later copy": {1, false}, "a step that nobody noted": {0, true}} {
		inDirectory(t, -time.Minute, func(d *onDisk) {
			var copies [2][]byte
			s := d.open(d.files())
			for i := range copies { // r1 and r2 are spent
				copies[i], _ = os.ReadFile(d.path)
				d.ep.then(step{members: `,"expires_in":60`})
				d.disk.Fail = func(call faulty.Call) error {
					if i == 0 && c.unnoted && call.Op == "Rename" && strings.HasSuffix(call.Path, ".closed") {
						return syscall.EIO
					}
					return nil
				}
				want(t, s, fmt.Sprint("a", i+2))
				time.Sleep(5 * time.Minute)
			}
			d.disk.Fail = noSave
			want(t, s, "a4") // r3 is spent, and r4 in the escrow alone
			s.Close()
			d.disk.Fail = nil
			d.write(copies[c.copied])
			if tok, err := d.open(d.files()).Token(context.Background()); err != nil || tok.Reveal() != "a4" {
				t.Errorf("%s: %v %v", name, tok.Reveal(), err)
			}
			d.sends(3)
		})
	}
}

// F4: an attempt that a dead process left and that cannot be closed: nothing is
// sent beside it.
func TestF4AnOldAttemptThatCannotBeClosed(t *testing.T) {
	inDirectory(t, -time.Minute, func(d *onDisk) {
		d.ep.then(step{refuse: true, raw: response(403, "<html>")})
		s := d.open(d.files())
		fail := func(c faulty.Call) error {
			if c.Op == "Rename" && strings.HasSuffix(c.Path, ".closed") {
				return syscall.EIO
			}
			return nil
		}
		d.disk.Fail = fail
		wantError(t, s, evercred.ErrUnavailable, evercred.ReasonNotEndpoint)
		s.Close()
		time.Sleep(time.Hour)
		e := wantError(t, d.open(d.files()), evercred.ErrUnsafe, evercred.ReasonCannotSave)
		if !errors.Is(e, syscall.EIO) || !strings.Contains(e.Error(), "cannot be closed") {
			t.Errorf("%v", e)
		}
		d.sends(1)
		d.disk.Fail = nil
		time.Sleep(time.Hour)
		want(t, d.open(d.files()), "a2")
	})
}

// TestR20AHistoryThatCannotBeRead: while nobody can tell which tokens descend
// from which, no attempt is closed for belonging to another login.
func TestR20AHistoryThatCannotBeRead(t *testing.T) {
	inDirectory(t, -time.Minute, func(d *onDisk) {
		older, _ := os.ReadFile(d.path)
		s := d.open(d.files())
		d.ep.then(step{members: `,"expires_in":60`})
		want(d.t, s, "a2") // r1 is spent
		time.Sleep(5 * time.Minute)
		fail := func(op, in string) func(faulty.Call) error {
			return func(c faulty.Call) error {
				if c.Op == op && strings.HasSuffix(c.Path, in) {
					return syscall.EIO
				}
				return nil
			}
		}
		d.disk.Fail = fail("Rename", "c.json")
		want(d.t, s, "a3") // r2 is spent, and r3 in the escrow alone
		s.Close()
		d.write(older)
		d.disk.Fail = fail("OpenFile", ".closed")
		other := d.open(d.files())
		e := wantError(t, other, evercred.ErrUnsafe, evercred.ReasonCannotSave)
		if !errors.Is(e, syscall.EIO) {
			t.Errorf("%v", e)
		}
		other.Close()
		d.disk.Fail = nil
		tok, err := d.open(d.files()).Token(context.Background())
		if err != nil || tok.Reveal() != "a3" {
			t.Errorf("the successor in the escrow is gone: %v", err)
		}
	})
}

// TestR7ABlankAfterALostAnswer: another program sent the spent token and blanked
// the login; that an answer of ours was lost before is said all the same.
func TestR7ABlankAfterALostAnswer(t *testing.T) {
	inDirectory(t, time.Minute, func(d *onDisk) {
		s := d.open(d.files())
		d.ep.then(step{lose: errors.New("reset")})
		want(t, s, "a1") // served, for it is good for a minute
		d.sends(1)
		left := d.clock.Now().UTC().Format(time.RFC3339)
		d.write([]byte(`{"claudeAiOauth":{"accessToken":"","refreshToken":"","expiresAt":0}}`))
		time.Sleep(2 * time.Second)
		e := wantError(t, s, evercred.ErrLoginRequired, evercred.ReasonBlanked)
		if !strings.Contains(e.Error(), "the answer to the refresh of "+left+" was lost") {
			t.Errorf("%v, sent at %s", e, left)
		}
	})
}

// TestABlankAfterAnAnswer: what was answered, if without a token, was not lost.
func TestABlankAfterAnAnswer(t *testing.T) {
	inDirectory(t, time.Minute, func(d *onDisk) {
		s := d.open(d.files())
		d.ep.then(busy)
		want(t, s, "a1")
		d.sends(1)
		d.write([]byte(blanked))
		time.Sleep(2 * time.Second)
		if e := wantError(t, s, evercred.ErrLoginRequired, evercred.ReasonBlanked); strings.Contains(e.Error(), "was lost") {
			t.Errorf("%v", e)
		}
	})
}
