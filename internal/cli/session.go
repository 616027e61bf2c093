package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/internal/fsys"
	"github.com/evercred/evercred/internal/seam"
	"github.com/evercred/evercred/internal/timing"
	"github.com/evercred/evercred/sources"
)

// session is one verb's use of a login: from the opening of the Source until
// its last flight has ended (DESIGN §4 "Time").
type session struct {
	app     *app
	login   *login
	src     sources.Lender
	ctx     context.Context // ends at --timeout
	signals chan os.Signal  // those that would end us, while we listen
	pipe    chan os.Signal
	ended   bool

	mu        sync.Mutex
	listening bool
	events    []evercred.Event
	calling   *call // the one that wait is in
}

// call is one call to the Source, and the signal that came meanwhile.
type call struct {
	over, left chan struct{} // the call has returned; nobody attends to signals any more
	by         os.Signal     // read after left
}

// interrupted: a signal came, and we shall die of it.
type interrupted struct{ by os.Signal }

func (e *interrupted) Error() string { return "interrupted by " + e.by.String() }

// within runs a verb's work on the login. What went wrong is told at once, and
// then the end of the flight is awaited: a request that has left must be.
func (a *app) within(work func(*session) error) error {
	l, err := a.login()
	if err != nil {
		return err
	}
	s := &session{app: a, login: l, signals: make(chan os.Signal, 16), pipe: make(chan os.Signal, 1)}
	s.login.options.Observe = s.note
	s.login.options.Seams = &seam.Seams{FS: wary{fsys.Default(), s.listen}}
	if s.src, err = a.open(s.login); err != nil {
		return err
	}
	defer s.deafen()
	var cancel context.CancelFunc
	s.ctx, cancel = context.WithTimeout(context.Background(), a.common.timeout)
	defer cancel()

	err = work(s)
	var by *interrupted
	if !errors.As(err, &by) && err != nil {
		err = exitStatus(a.report(err))
	}
	if late := s.end(nil); late != nil {
		return late
	}
	return err
}

// listen takes over the signals that would end us in the middle of a flight.
// Those that we were started to ignore (nohup, a background job) stay ignored.
// It costs as much as all the rest of serving a fresh token, so it waits until
// something is about to be written (see wary).
func (s *session) listen() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listening {
		return
	}
	s.listening = true
	for _, sig := range deadly {
		if !signal.Ignored(sig) {
			signal.Notify(s.signals, sig)
		}
	}
	// A reader that left must not kill us before the answer is saved: with this,
	// the write fails with EPIPE instead.
	signal.Notify(s.pipe, syscall.SIGPIPE)
	if c := s.calling; c != nil {
		c.left = make(chan struct{})
		go s.attend(c)
	}
}

// attend closes the Source when a signal comes, which ends a call that has not
// sent anything yet.
func (s *session) attend(c *call) {
	defer close(c.left)
	for {
		select {
		case <-c.over:
			return
		case sig := <-s.signals:
			if c.by != nil {
				s.mentionAnswer()
				continue
			}
			c.by = sig
			go s.src.Close() // end awaits it
		}
	}
}

func (s *session) deafen() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listening {
		signal.Stop(s.signals)
		signal.Stop(s.pipe)
	}
	s.listening = false
}

// forget drops the signals that came up to now.
func (s *session) forget() {
	s.deafen()
	for len(s.signals) > 0 {
		<-s.signals
	}
	s.listen()
}

func (s *session) isListening() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.listening
}

// wary is a file system that gives notice before anything on it is changed.
// Every flight that goes on to a lock begins with a file that it opens for
// writing, or with the folder for it (DESIGN §6.3).
type wary struct {
	fsys.FS
	before func()
}

func (w wary) OpenFile(name string, flag int, perm fs.FileMode) (fsys.File, error) {
	if flag&(os.O_WRONLY|os.O_RDWR|os.O_CREATE) != 0 {
		w.before()
	}
	return w.FS.OpenFile(name, flag, perm)
}

func (w wary) Mkdir(name string, perm fs.FileMode) error {
	w.before()
	return w.FS.Mkdir(name, perm)
}

// wait makes one call to the Source. If a signal came first, the result of the
// call is nobody's any more. The call is made here, and not on the side: most
// calls serve a fresh token, and are over before another goroutine has begun.
func wait[T any](s *session, do func(context.Context) (T, error)) (T, error) {
	c := &call{over: make(chan struct{})}
	s.setCall(c)
	stop := s.showProgress()
	defer stop()
	value, err := do(s.ctx)
	s.setCall(nil)
	close(c.over)
	if c.left != nil {
		<-c.left
	}
	if c.by != nil {
		stop()
		var nothing T
		return nothing, s.end(c.by)
	}
	return value, err
}

func (s *session) setCall(c *call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calling = c
}

// end closes the Source, which stops a flight that has not sent and awaits one
// that has, so that its answer is saved. sig is the signal that asked for it.
func (s *session) end(sig os.Signal) error {
	if s.ended {
		return nil
	}
	s.ended = true
	if !s.isListening() { // nothing was even begun
		return s.src.Close()
	}
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		s.src.Close()
	}()
	patience := time.NewTimer(time.Second)
	defer patience.Stop()
	for {
		select {
		case <-closed:
			return s.deathBy(sig)
		case <-patience.C:
			if sig == nil {
				s.app.mention("the refresh goes on; staying until its answer is saved")
			}
		case again := <-s.signals:
			if sig == nil {
				sig = again
				continue
			}
			s.mentionAnswer()
		}
	}
}

// mentionAnswer tells whoever asks twice why we are still here.
func (s *session) mentionAnswer() {
	s.app.mention("a refresh was sent, and without its answer the login is lost; it is awaited for %s at most", relative(timing.Default().Answer))
}

// deathBy is nil unless a signal came.
func (s *session) deathBy(sig os.Signal) error {
	if sig == nil {
		select {
		case sig = <-s.signals:
		default:
			return nil
		}
	}
	return &interrupted{sig}
}

// fresh is the token that token and exec hand out.
func (s *session) fresh() (evercred.Refreshed, error) {
	return wait(s, func(ctx context.Context) (evercred.Refreshed, error) {
		return s.src.Refresh(ctx, false)
	})
}

// note keeps an event for warn.
func (s *session) note(e evercred.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, e)
}

// warn tells what the user should know beside the token that is served.
func (s *session) warn(r evercred.Refreshed) {
	a := s.app
	switch {
	case r.Unsaved:
		a.complain("warning: the token is good, but it is not saved: ", r.Err)
	case r.Err == nil, errors.Is(r.Err, evercred.ErrLocked), reasonOf(r.Err) == evercred.ReasonReadOnly:
		// Another process renews it, or nobody is to.
	default:
		a.complain("warning: the token was not renewed and is served while it is valid: ", r.Err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.events {
		if e.Kind == evercred.EventDeadline {
			a.say("warning: the login itself ends %s", a.moment(e.Until))
			a.say1("hint: %s before; see `evercred help %s`", a.remedy(evercred.ReasonDeadline), evercred.ReasonDeadline)
		}
	}
}

// showProgress tells the user of a terminal what a long wait is for. Nothing is
// printed after stop has returned.
func (s *session) showProgress() (stop func()) {
	if !s.app.onTerminal() {
		return func() {}
	}
	ctx, cancel := context.WithCancel(s.ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.progress(ctx)
	}()
	return func() { cancel(); <-done }
}

// progress looks every second who holds the guard and tells each change.
func (s *session) progress(ctx context.Context) {
	ticks := time.NewTicker(time.Second)
	defer ticks.Stop()
	told := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
		st, err := s.src.Status(ctx)
		if err != nil || ctx.Err() != nil {
			return
		}
		if text := s.login.waitingFor(st.Ledger.Holder); text != told {
			s.app.mention("%s", text)
			told = text
		}
	}
}

func (l login) waitingFor(holder string) string {
	switch kind := l.kind(); {
	case kind == sources.Helper:
		return "waiting for the helper…"
	case kind == sources.Federation:
		return "exchanging the identity token…"
	case holder == "":
		return "waiting for the store…"
	case isSelf(holder):
		return "refreshing…"
	}
	return "waiting for " + holder + ", which is refreshing…"
}

// isSelf reports whether a Status names us as the holder.
func isSelf(holder string) bool {
	pid := 0
	_, err := fmt.Sscanf(holder, "pid %d", &pid)
	return err == nil && pid == os.Getpid()
}
