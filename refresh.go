package evercred

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/evercred/evercred/internal/crash"
	"github.com/evercred/evercred/internal/decide"
	"github.com/evercred/evercred/internal/ledger"
)

// flight is one refresh in this process, shared by all its callers. It reads
// like DESIGN §6: internal/decide says what to do next, and the methods below,
// in the order of its steps, do it. Everything but done, result, err and phase
// belongs to the flight's own goroutine.
type flight struct {
	s       *Source
	purpose purpose
	phase   atomic.Int32 // decide.Do, for the error of a caller that stops waiting

	valid  chan struct{} // closed when the store's token turned out to be good while it is renewed
	done   chan struct{} // closed when result and err are final
	result Refreshed
	err    error

	ask    decide.Ask
	until  time.Time // end of waiting, connecting and starting to send (monotonic)
	unsent time.Time // end of the tries that do not leave (8a); zero: none was made
	ctx    context.Context
	stop   context.CancelFunc // ends what has not been sent
	lock   Lock
	taking chan taken
	book   ledger.Book
	keeper ledger.Keeper
	slept  time.Duration // sleep of the machine before the lock was taken

	latest  view // the latest look
	seen    view // the look that decide goes by (State.Seen); after a save: what was saved
	memory  ledger.Memory
	forgot  error           // why the memory cannot be read
	print   string          // fingerprint of the refresh token that is, or was, to be replaced
	records []ledger.Record // the open attempts: those of the last look under the lock, and ours since
	record  ledger.Record   // the attempt of the last send, or the one being recovered
	sent    Credential      // what the last send sent
	sentAt  time.Time
	outcome Outcome
	cause   error // what stood in the way last
	pause   time.Duration
	// Of the attempts that stand for the stored token: the first, since when a
	// loss is possible, and the last of those that nothing came back of, whose
	// request may still be under way.
	wasLost, lastLeft time.Time

	recovering bool // the save under way is of an attempt that was left behind
}

// view is one look at the store; err says why it failed.
type view struct {
	doc  Document
	cred Credential
	err  error
}

// taken is what came of Store.Lock.
type taken struct {
	lock Lock
	err  error
}

func newFlight(s *Source, p purpose) *flight {
	return &flight{s: s, purpose: p, stop: func() {}, book: s.book(Document{}), valid: make(chan struct{}), done: make(chan struct{})}
}

// fly runs the flight to its end. It always completes: a panic becomes an
// error, and whatever it held is released.
func (f *flight) fly(ctx context.Context) {
	landed := false
	defer func() {
		if p := recover(); p != nil || !landed { // Goexit is no panic
			f.result, f.err = Refreshed{}, panicked(p)
		}
	}()
	f.ctx, f.until = ctx, time.Now().Add(f.s.opts.RefreshTimeout)
	defer func() { f.stop() }()
	defer f.unlock()

	f.ask = decide.Ask{Force: f.purpose.force, ReadOnly: f.s.opts.ReadOnly, SaveOnly: f.purpose.save}
	if c := f.s.cur.Load(); c != nil && c.rejected {
		f.ask.Replace = c.token.Fingerprint()
	}
	f.perform(ctx)
	landed = true
}

// limit bounds what can take long. The first look goes without: the timer would
// cost a process that serves a fresh token as much as the look.
func (f *flight) limit() {
	ctx, cancel := context.WithDeadline(f.ctx, f.until)
	f.ctx, f.stop = ctx, cancel
	if !f.purpose.last {
		landed := context.AfterFunc(f.s.life, cancel) // Close ends what has not been sent
		f.stop = func() { landed(); cancel() }        // or the Source would keep each flight's context until then
	}
}

// perform is the loop of the transaction.
func (f *flight) perform(ctx context.Context) {
	state, event := decide.State{Ask: f.ask}, decide.Event{Kind: decide.Begin}
	for {
		var act decide.Action
		state, act = decide.Next(state, event)
		f.ask = state.Ask
		if state.Seen == event.Sight {
			// What is served and saved must be what was decided on: a look that
			// decide passed over (half a file, met while waiting) counts for nothing.
			f.seen = f.latest
		}
		f.phase.Store(int32(act.Do))
		f.learn(act)
		switch act.Do {
		case decide.Look: // 1, 2
			event = f.look(ctx, decide.Looked)
		case decide.Lock: // 3
			if act.Valid { // nobody else has to wait for this flight
				f.s.publish(f.seen, f.memory)
				close(f.valid)
			}
			f.limit()
			event = f.takeLock(state.Patient)
		case decide.KeepWaiting:
			event = f.watch()
		case decide.LookAgain: // 4, 5
			event = f.lookAgain(ctx)
		case decide.CloseAttempt:
			event = f.closeAttempt(ctx, act)
		case decide.Prepare: // 6
			event = f.prepare(ctx)
		case decide.Send: // 7, 8
			event = f.send()
		case decide.Pause:
			event = f.wait(act)
		case decide.Save: // 9
			event = f.save(ctx, act)
		case decide.Clear: // 10
			event = f.clear()
		case decide.ServeUnsaved: // 11
			f.serveUnsaved()
			return
		case decide.Serve:
			f.serve(act)
			return
		default:
			f.fail(act)
			return
		}
	}
}

// look is steps 1 and 2: the store and the shared memory, without any lock.
func (f *flight) look(ctx context.Context, kind decide.EventKind) decide.Event {
	// The memory first: a document that is newer than the memory is harmless, but
	// a token that was stored before another process noted it as spent would pass
	// for an older copy.
	f.recall()
	f.latest.doc, f.latest.cred, f.latest.err = f.s.load(ctx)
	if f.moved() {
		f.recall()
		f.latest.doc, f.latest.cred, f.latest.err = f.s.load(ctx)
	}
	return f.looked(kind)
}

// moved reports whether the look found the login in another place than before,
// whose ledger is another one, and goes by that from now on. Under a lock the
// ledger is the lock's.
func (f *flight) moved() bool {
	if f.keeper != nil {
		return false
	}
	book := f.s.book(f.latest.doc)
	if book.Path() == f.book.Path() {
		return false
	}
	f.book = book
	return true
}

// recall reads the shared memory. A ledger that cannot be read is refused under
// the lock (lookAgain); until then the valid token is served.
func (f *flight) recall() {
	if f.keeper != nil {
		f.memory, f.forgot = f.keeper.Memory()
	} else {
		f.memory, f.forgot = f.book.Memory()
	}
}

// looked is what decide is told of the latest look.
func (f *flight) looked(kind decide.EventKind) decide.Event {
	event := decide.Event{Kind: kind, Sight: f.sight()}
	event.Facts = decide.Recall(f.memory, event.Sight, f.ask, f.now(), *f.s.seams.Times)
	event.Facts.Escrow = f.escrow(event.Sight)
	if u := f.s.unsavedSuccessor(); u != nil {
		f.unsaved(u, &event)
	}
	return event
}

// unsaved tells whether the successor in memory is that of what is stored.
func (f *flight) unsaved(u *successor, event *decide.Event) {
	c := u.outcome.Credential
	event.Facts.Unsaved = u.replaces(f.latest.cred) || event.Sight.Kind == decide.Blanked && !f.ofOther(c.Deadline)
	event.Facts.UnsavedRotated = u.rotated()
	event.Facts.UnsavedGood = event.Facts.Unsaved && f.s.good() != nil
}

// ofOther reports whether a deadline is that of another login than the one in
// the latest look. With the tokens blanked, nothing else is left to tell.
func (f *flight) ofOther(deadline time.Time) bool {
	stored := f.latest.cred.Deadline
	return !deadline.IsZero() && !stored.IsZero() && !deadline.Equal(stored)
}

// escrow reports whether the ledger holds an answer that can be acted on: a
// successor of what is stored, or what is left of one that is stored already.
// A part of an answer that names no successor is of no use to a look.
func (f *flight) escrow(v decide.Sight) bool {
	pending, err := f.book.Pending()
	if err == nil && !pending {
		return false
	}
	records, rerr := f.book.Attempts()
	if errors.Join(err, rerr) != nil {
		// There may be one. Beside a blanked login that is the difference between
		// its rescue and its end, so what can be read under the lock decides.
		return v.Kind == decide.Blanked
	}
	for _, r := range records {
		a, _ := f.attempt(r, "") // whence it descends is asked under the lock
		if a.Answer && (a.Verdict == decide.Granted || v.Kind == decide.Present && a.Refresh != v.Refresh) {
			return true
		}
	}
	return false
}

// sight is what decide may know of the latest look.
func (f *flight) sight() decide.Sight {
	switch {
	case errors.Is(f.latest.err, ErrNotFound):
		return decide.Sight{Kind: decide.Absent}
	case f.latest.err != nil:
		return decide.Sight{Kind: decide.Unreadable}
	}
	c := f.latest.cred
	v := decide.Sight{Kind: decide.Present, Access: c.Access.Fingerprint(), Refresh: c.Refresh.Fingerprint()}
	if c.Blanked {
		v.Kind = decide.Blanked
	}
	v.Early, v.Late = f.s.windows(c, f.memory)
	now := f.now()
	v.Left = decide.Forever
	if !c.Expires.IsZero() {
		v.Left = c.Expires.Sub(now)
	}
	v.Deadline = !c.Deadline.IsZero() && !now.Before(c.Deadline)
	return v
}

// takeLock is step 3: the guard, then the owner's locks. It is taken on the
// side, so that the store can be watched meanwhile.
func (f *flight) takeLock(patient bool) decide.Event {
	f.taking = make(chan taken, 1)
	take := f.s.store.Lock
	ctx, cancel := f.ctx, context.CancelFunc(func() {})
	if !patient {
		if t, ok := f.s.store.(TryLocker); ok {
			take = t.TryLock
		} else {
			ctx, cancel = context.WithTimeout(ctx, f.s.seams.Times.TryMax)
		}
	}
	// One goroutine, and unlock awaits it: a lock that is taken after the flight
	// lost interest must still be released.
	go func(out chan<- taken) {
		defer cancel()
		defer func() {
			if p := recover(); p != nil {
				out <- taken{err: panicked(p)}
			}
		}()
		l, err := take(ctx)
		out <- taken{l, err}
	}(f.taking)
	f.pause = f.s.seams.Times.LookMin
	return f.watch()
}

// watch waits for the lock, or for the next look at the store, which is what
// lets a thousand waiters leave together.
func (f *flight) watch() decide.Event {
	timer := time.NewTimer(f.pause)
	defer timer.Stop()
	select {
	case t := <-f.taking:
		f.taking = nil
		return f.lockTaken(t)
	case <-timer.C:
	}
	f.pause = min(f.pause*5/4, f.s.seams.Times.LookMax)
	f.recall()
	if changed, err := f.s.changed(f.ctx, f.latest.doc); err == nil && !changed {
		return f.looked(decide.Watched)
	}
	return f.look(f.ctx, decide.Watched)
}

func (f *flight) lockTaken(t taken) decide.Event {
	switch {
	case t.err == nil:
	case errors.Is(t.err, ErrNotFound): // the user logged out meanwhile
		if event := f.look(f.ctx, decide.Watched); event.Sight.Kind == decide.Absent {
			return event
		}
		return decide.Event{Kind: decide.LockHeld} // it is back, so nothing of ErrNotFound in the error
	case errors.Is(t.err, ErrLocked), f.ctx.Err() != nil:
		f.cause = t.err
		return decide.Event{Kind: decide.LockHeld}
	default:
		f.cause = t.err
		return decide.Event{Kind: decide.LockUnsafe}
	}
	f.lock = t.lock
	f.slept = f.sleptSoFar()
	if g, ok := t.lock.(guarded); ok {
		f.keeper = g.Guard()
	} else {
		f.keeper, f.book = f.s.spare, f.s.spare
	}
	if n, ok := t.lock.(Noter); ok {
		for _, note := range n.Notes() {
			f.s.tell(Event{Kind: EventTakeover, Detail: note})
		}
	}
	crash.At(crash.DuringLock)
	return decide.Event{Kind: decide.LockTaken}
}

// sleptSoFar is how long the machine has slept since it was started.
func (f *flight) sleptSoFar() time.Duration {
	return f.s.seams.Clock.Boot() - f.s.seams.Clock.Awake()
}

// unlock releases what is held, or is still being taken.
func (f *flight) unlock() {
	if f.taking != nil {
		f.stop()
		if t := <-f.taking; t.lock != nil {
			f.lock = t.lock
		}
	}
	if f.lock != nil {
		if err := f.lock.Unlock(); err != nil {
			f.s.tell(Event{Kind: EventStrange, Detail: "a lock could not be released", Err: err})
		}
	}
}

// lookAgain is step 4, and what step 5 needs to know.
func (f *flight) lookAgain(ctx context.Context) decide.Event {
	f.wasLost, f.lastLeft = time.Time{}, time.Time{}
	event := f.look(ctx, decide.LookedAgain)
	records, err := f.keeper.Attempts()
	err = errors.Join(f.forgot, err)
	for _, r := range records {
		a, unclear := f.attempt(r, f.keeper.BootID())
		event.Attempts = append(event.Attempts, a)
		err = errors.Join(err, unclear) // which is the login's successor: none may be closed
	}
	if err != nil {
		reason := ReasonCannotSave
		if errors.Is(err, ledger.ErrNewer) {
			reason = ReasonNewerLedger
		}
		f.cause = cannot("the ledger cannot be read", reason, err)
		return decide.Event{Kind: decide.PrepareFailed}
	}
	f.records = records
	return event
}

// attempt is what decide may know of a record (step 5). An error: it is not
// known which token it descends from.
func (f *flight) attempt(r ledger.Record, boot string) (a decide.Attempt, err error) {
	intent := r.Intent()
	a = decide.Attempt{ID: intent.ID, Refresh: intent.Refresh, Access: intent.Access, Corrupt: r.Corrupt(), Sent: !r.NeverSent(boot)}
	a.OtherLogin = f.ofOther(intent.Deadline)
	a.Answer = r.HasAnswer()
	if a.Answer {
		o := f.parse(r, f.latest.cred)
		a.Verdict = verdicts[o.Verdict]
		a.Rotated = o.Credential.Refresh.Fingerprint() != intent.Refresh
		if o.Verdict == Granted && o.Credential.Refresh.IsZero() {
			a.Verdict = decide.Unknown // the stored half is gone, and the answer names none
		}
	}
	stored := f.latest.cred.Refresh.Fingerprint()
	at, marked := r.Sent()
	if !marked { // a power cut may take the mark and leave the intent
		at = intent.At
	}
	if a.Sent && intent.Refresh == stored && (a.Verdict == decide.Unknown || a.Verdict == decide.Committed) {
		if f.wasLost.IsZero() || at.Before(f.wasLost) {
			f.wasLost = at
		}
		if !a.Answer && at.After(f.lastLeft) {
			f.lastLeft = at
		}
	}
	if a.Verdict == decide.Granted && intent.Refresh != stored {
		a.Descends, err = f.descends(intent.Refresh, stored)
	}
	return a, err
}

// unanswered is when a request left for this login of which no answer is known;
// zero: never. It is for the message alone, so what cannot be read says nothing.
func (f *flight) unanswered() time.Time {
	records, _ := f.book.Attempts()
	for _, r := range records {
		if at, sent := r.Sent(); sent && !r.HasAnswer() && !f.ofOther(r.Intent().Deadline) {
			return at
		}
	}
	return time.Time{}
}

// descends follows the grants that the ledger knows from one refresh token to
// another (R20).
func (f *flight) descends(refresh, from string) (bool, error) {
	history, err := f.book.History()
	if err != nil {
		return false, err
	}
	next := make(map[string]string, len(history))
	for _, c := range history {
		if c.Successor != "" {
			next[c.Refresh] = c.Successor
		}
	}
	for range len(history) {
		if from = next[from]; from == "" || from == refresh {
			break
		}
	}
	return from != "" && from == refresh, nil
}

var verdicts = [...]decide.Verdict{
	Unknown: decide.Unknown, Granted: decide.Granted, Committed: decide.Committed,
	Limited: decide.Limited, Refused: decide.Refused, Foreign: decide.Foreign,
}

// parse understands the answer that a record holds.
func (f *flight) parse(r ledger.Record, sent Credential) Outcome {
	raw, at, _ := r.Answer()
	return f.s.refresher.Parse(NewAnswer(raw, at), sent)
}

func (f *flight) closeAttempt(ctx context.Context, act decide.Action) decide.Event {
	r := f.find(act.Attempt)
	if r == nil {
		return decide.Event{Kind: decide.AttemptClosed}
	}
	if act.CloseAs == "lost" {
		at, _ := r.Sent()
		f.s.tell(Event{Kind: EventLost, Until: at, Detail: "the answer to a refresh was lost"})
	}
	successor := ""
	if act.Lesson.Kind == decide.LearnSpent { // killed after the save, before it was noted
		successor = f.outcome.Credential.Refresh.Fingerprint() // learn has just read it: descends follows it
		if l, ok := f.lock.(Settler); ok {
			if err := l.Settle(ctx); err != nil { // the attempt is still the safety copy
				f.cause = cannot("the document is not known to be on disk", ReasonCannotSave, err)
				return decide.Event{Kind: decide.PrepareFailed}
			}
		}
	}
	if err := r.Close(act.CloseAs, successor, f.now()); err != nil {
		f.cause = cannot("an attempt in the ledger cannot be closed", ReasonCannotSave, err)
		return decide.Event{Kind: decide.PrepareFailed}
	}
	return decide.Event{Kind: decide.AttemptClosed}
}

func (f *flight) find(id string) ledger.Record {
	for _, r := range f.records {
		if r.Intent().ID == id {
			return r
		}
	}
	return nil
}

// prepare is step 6: everything that can fail fails before the token is spent.
func (f *flight) prepare(ctx context.Context) decide.Event {
	if p, ok := f.lock.(Preparer); ok {
		if err := p.Prepare(ctx, f.seen.doc); err != nil {
			f.cause = err
			if errors.Is(err, ErrConflict) {
				return decide.Event{Kind: decide.PrepareMoved}
			}
			return decide.Event{Kind: decide.PrepareFailed}
		}
	}
	r, err := f.keeper.Begin(ledger.Intent{
		Refresh:  f.seen.cred.Refresh.Fingerprint(),
		Access:   f.seen.cred.Access.Fingerprint(),
		Deadline: f.seen.cred.Deadline,
	})
	if err != nil {
		f.cause = cannot("the attempt cannot be recorded before it is made", ReasonCannotSave, err)
		return decide.Event{Kind: decide.PrepareFailed}
	}
	f.records = append(f.records, r)
	f.record, f.sent, f.sentAt = r, f.seen.cred, time.Time{}
	f.print, f.recovering = f.sent.Refresh.Fingerprint(), false
	return decide.Event{Kind: decide.Prepared}
}

// send is steps 7 and 8: verify, send once, and make the answer durable before
// anybody understands it.
func (f *flight) send() decide.Event {
	if f.unsent.IsZero() {
		f.unsent = time.Now().Add(f.s.seams.Times.UnsentWithin)
	}
	ctx, cancel := context.WithDeadline(f.ctx, f.unsent)
	defer cancel()
	x := &exchange{f: f}
	answer, err := f.s.refresher.Send(ctx, f.sent, x)
	if x.sent.IsZero() || errors.Is(err, ErrNotSent) {
		return f.notSent(x, err)
	}
	f.sentAt, f.unsent = x.sent, time.Time{}
	if ferr := f.record.Finish(answer.At()); ferr != nil || x.err != nil {
		f.s.tell(Event{Kind: EventStrange, Detail: "the answer could not be made durable in the ledger; it is saved directly", Err: errors.Join(ferr, x.err)})
	}
	crash.At(crash.AfterAnswer)
	f.outcome = f.s.refresher.Parse(answer, f.sent)
	event := decide.Event{Kind: decide.Answered, Verdict: verdicts[f.outcome.Verdict], Rotated: f.outcome.Rotated, Replied: err == nil}
	f.cause = err
	if said := f.outcome.Err; said != nil {
		f.cause = errors.Join(err, said) // how it broke off, and what came before
	}
	if f.outcome.Verdict == Unknown || f.outcome.Verdict == Committed {
		f.s.tell(Event{Kind: EventUnknown, Refresh: f.sent.Refresh.Fingerprint(), Until: f.sentAt, Detail: "a refresh was sent and no usable answer came", Err: f.cause})
	}
	return event
}

func (f *flight) notSent(x *exchange, err error) decide.Event {
	f.cause = err
	if x.err != nil { // not even its mark could be written (step 6)
		f.cause = cannot("the attempt cannot be recorded before it is made", ReasonCannotSave, x.err)
		return decide.Event{Kind: decide.PrepareFailed}
	}
	verdict := decide.NotSent
	switch {
	case f.ctx.Err() != nil:
		verdict = decide.Halted
	case x.moved:
		verdict = decide.Moved
	case x.lockLost:
		verdict = decide.LockLost
		f.s.tell(Event{Kind: EventLockStolen, Detail: "before anything was sent", Err: err})
	case err == nil:
		f.cause = &Error{Kind: ErrUnavailable, Reason: ReasonBug, What: "a bug: the refresher neither sent nor said why"}
	}
	if verdict == decide.Moved {
		f.unsent = time.Time{} // what comes next is another try
		if cerr := f.record.Close("not-sent", "", f.now()); cerr == nil {
			f.record = nil
		}
	}
	return decide.Event{Kind: decide.Answered, Verdict: verdict}
}

// exchange is what the flight lends to Refresher.Send.
type exchange struct {
	f        *flight
	sent     time.Time
	lockLost bool
	moved    bool
	err      error // of making the answer durable
}

// Ready is the last check before the first byte (step 7).
func (x *exchange) Ready() error {
	f := x.f
	if err := f.ctx.Err(); err != nil {
		return err
	}
	if err := f.lock.Check(); err != nil {
		x.lockLost = true
		return err
	}
	if slept := f.sleptSoFar(); slept-f.slept > time.Second {
		x.moved, f.slept = true, slept // look again, and then ask the locks again
		return errors.New("the machine slept since the lock was taken")
	}
	_, cred, err := f.s.load(f.ctx)
	if err != nil || !cred.Refresh.Equal(f.sent.Refresh) {
		x.moved = true
		return errors.New("the store changed since the lock was taken")
	}
	crash.At(crash.BeforeSend)
	// The mark is the last thing that can fail. One without a send does no harm;
	// a send without one would pass for none after our death.
	x.err = f.record.MarkSending(f.now())
	return x.err
}

// Sending notes that the token may be spent from now on.
func (x *exchange) Sending() { x.sent = x.f.now() }

// Received makes a piece of the answer durable (step 8).
func (x *exchange) Received(p []byte) {
	if err := x.f.record.Append(p); err != nil {
		x.err = err
	}
	crash.At(crash.DuringAnswer)
}

// wait is the pause before a send is tried or repeated (8a, 8b).
func (f *flight) wait(act decide.Action) decide.Event {
	t := f.s.seams.Times
	d := pick(t.Repeat, act.Repeat)
	if act.Unsent > 0 {
		d = pick(t.UnsentPause, act.Unsent)
	}
	until := f.until
	if act.Unsent > 0 && f.unsent.Before(until) {
		until = f.unsent
	}
	if time.Now().Add(d).After(until) {
		return decide.Event{Kind: decide.TimeUp}
	}
	if !sleep(f.ctx, f.s.life, d) {
		return decide.Event{Kind: decide.Stopped}
	}
	return decide.Event{Kind: decide.Paused}
}

func pick(waits []time.Duration, n int) time.Duration {
	if n <= 0 || len(waits) == 0 {
		return 0
	}
	return waits[min(n, len(waits))-1]
}

// save is step 9: the successor goes into the store by compare-and-swap.
func (f *flight) save(ctx context.Context, act decide.Action) decide.Event {
	f.recovering = f.recovering || act.Recovered
	if act.Recovered { // step 5: what a dead process left
		if f.record = f.find(act.Attempt); f.record == nil {
			f.cause = errors.New("the attempt is gone")
			return decide.Event{Kind: decide.PrepareFailed} // there is nothing to serve either
		}
		f.sent = f.seen.cred
		f.outcome = f.parse(f.record, f.seen.cred)
		f.print = f.record.Intent().Refresh
	}
	if act.FromMemory {
		u := f.s.unsavedSuccessor()
		if u == nil {
			f.cause = errors.New("the successor is gone")
			return decide.Event{Kind: decide.PrepareFailed}
		}
		f.record, f.sent, f.outcome, f.print = nil, f.seen.cred, u.outcome, u.sent
	}
	f.fill()
	if act.OverBlank {
		f.s.tell(Event{Kind: EventOverBlank, Detail: "the login was blanked by a process that refreshed with the spent token"})
	}
	data, err := f.s.codec.Encode(f.seen.doc.Bytes(), f.outcome.Credential)
	if err == nil {
		var doc Document
		if doc, err = f.s.store.Save(ctx, f.seen.doc, data); err == nil {
			f.seen = view{doc: doc, cred: f.outcome.Credential}
			f.latest = f.seen
			return decide.Event{Kind: decide.Saved}
		}
	}
	if errors.Is(err, ErrConflict) {
		return f.look(ctx, decide.SaveMoved)
	}
	f.cause = err
	return decide.Event{Kind: decide.SaveFailed}
}

// fill gives the successor an end where the endpoint named none, or none that
// can be believed (step 8).
func (f *flight) fill() {
	c := &f.outcome.Credential
	c.Blanked = false
	if f.outcome.Lifetime <= 0 {
		t := f.s.seams.Times
		f.outcome.Lifetime = t.LifetimeUnknown
		if g := f.memory.Granted; g != nil && g.Lifetime > 0 {
			f.outcome.Lifetime = min(f.outcome.Lifetime, g.Lifetime)
		}
		at := f.now()
		if _, arrived, _ := f.record.Answer(); !arrived.IsZero() {
			at = arrived
		}
		c.Expires = at.Add(f.outcome.Lifetime)
	}
	for _, strange := range f.outcome.Strange {
		f.s.tell(Event{Kind: EventStrange, Detail: strange})
	}
	f.outcome.Strange = nil
}

// clear is step 10: the attempt is closed after the read-back. What it taught
// was noted before (learn).
func (f *flight) clear() decide.Event {
	f.closeAll("saved", f.outcome.Credential.Refresh.Fingerprint())
	kind := EventGranted
	if f.recovering {
		kind = EventRecovered
	}
	if f.s.setUnsaved(nil) != nil {
		kind = EventSavedLate
	}
	f.result.Recovered, f.result.Granted = f.recovering, !f.recovering
	f.s.tell(Event{Kind: kind, Access: f.seen.cred.Access.Fingerprint(), Refresh: f.seen.cred.Refresh.Fingerprint(), Until: f.seen.cred.Expires})
	f.record = nil
	return decide.Event{Kind: decide.Cleared, Sight: f.sight()}
}

// closeAll closes every attempt of the refresh token that was sent.
func (f *flight) closeAll(reason, successor string) {
	for _, r := range f.records {
		if r.Intent().Refresh != f.print {
			continue
		}
		if err := r.Close(reason, successor, f.now()); err != nil {
			f.s.tell(Event{Kind: EventStrange, Detail: "an attempt in the ledger could not be closed", Err: err})
		}
	}
}

// learn does what comes before an action: the lesson goes into the shared
// memory, the attempt is closed.
func (f *flight) learn(act decide.Action) {
	if act.Lesson.Kind != decide.LearnNothing && f.keeper != nil {
		if r := f.recordOf(act); act.Do == decide.CloseAttempt && r != nil {
			f.outcome = f.parse(r, f.latest.cred) // what a dead process heard
		}
		f.remember(act)
	}
	if act.CloseAs == "" || act.Do == decide.CloseAttempt || f.keeper == nil {
		return
	}
	switch act.CloseAs {
	case "refused", "logged-out", "another-login":
		f.closeAll(act.CloseAs, "")
	default:
		if f.record != nil {
			_ = f.record.Close(act.CloseAs, "", f.now())
		}
	}
	f.record = nil
	if act.Dropped {
		f.s.tell(Event{Kind: EventDropped, Detail: "the user logged out or in meanwhile; the new token was not written"})
	}
}

func (f *flight) remember(act decide.Action) {
	m, err := f.keeper.Memory()
	if err != nil {
		m = f.memory
	}
	c := f.outcome.Credential
	note := decide.Note{
		Now: f.now(), Print: f.print, SentAt: f.sentAt, Rotated: c.Refresh.Fingerprint() != f.print,
		Grant:  ledger.Granted{At: f.now(), Access: c.Access.Fingerprint(), Refresh: c.Refresh.Fingerprint(), Lifetime: f.outcome.Lifetime},
		Jitter: func(d time.Duration) time.Duration { return f.s.seams.Jitter(0, d) },
	}
	if note.Print == "" {
		note.Print = f.seen.cred.Refresh.Fingerprint()
	}
	if act.Do == decide.CloseAttempt {
		if r := f.recordOf(act); r != nil {
			note.Print = r.Intent().Refresh
		}
	}
	switch {
	case act.Lesson.Lost:
		note.SentAt = f.wasLost
	case act.Lesson.Left:
		note.SentAt = f.lastLeft
	}
	if f.outcome.Err != nil {
		note.RetryAt, note.What = f.outcome.Err.RetryAfter, f.outcome.Err.Error()
		if f.outcome.Err.Code != "" {
			note.Foreign = string(ReasonEndpointError)
		}
	} else if f.cause != nil {
		note.What = f.cause.Error()
	}
	m = decide.Remember(m, act.Lesson, note, *f.s.seams.Times)
	if err := f.keeper.SetMemory(m); err != nil {
		f.s.tell(Event{Kind: EventStrange, Detail: "the ledger's memory could not be written", Err: err})
	}
	f.memory = m
	f.tellLesson(act.Lesson.Kind, m)
}

func (f *flight) recordOf(act decide.Action) ledger.Record {
	if act.Attempt != "" {
		return f.find(act.Attempt)
	}
	return f.record
}

func (f *flight) tellLesson(kind decide.LessonKind, m ledger.Memory) {
	switch kind {
	case decide.LearnDead:
		e := Event{Kind: EventRefused, Refresh: m.Print, Err: f.cause}
		if !m.Dead.Lost.IsZero() {
			e.Kind, e.Until = EventLost, m.Dead.Lost
		}
		f.s.tell(e)
	case decide.LearnUnreachable, decide.LearnForeign, decide.LearnUnknown, decide.LearnLimited:
		f.s.tell(Event{Kind: EventCooldown, Until: m.Cooldown.Until, Err: f.cause})
	case decide.LearnRefusedSuccessor:
		f.s.tell(Event{Kind: EventCooldown, Until: m.Refused.Until, Detail: "the API refuses fresh tokens"})
	}
}

// serve is the good end: what was last seen or saved is handed out.
func (f *flight) serve(act decide.Action) {
	if act.Adopted {
		f.result.Adopted = true
		f.s.tell(Event{Kind: EventAdopted, Access: f.seen.cred.Access.Fingerprint(), Refresh: f.seen.cred.Refresh.Fingerprint()})
	}
	token := f.s.publish(f.seen, f.memory)
	if act.Cause != decide.None && f.unfit(token) {
		f.fail(act)
		return
	}
	f.result.Token = token
	if act.Cause != decide.None {
		f.result.Err = f.error(act.Cause)
		f.s.rest()
		f.s.tellUnavailable(f.result.Token, act.Cause, f.result.Err)
	}
}

// unfit: what was good when the flight looked has ended while it waited, or what
// is published in its place, a successor still unsaved, is the one that was refused.
func (f *flight) unfit(t Token) bool {
	return t.Fingerprint() == f.ask.Replace || !t.Expires().IsZero() && !f.now().Before(t.Expires())
}

// serveUnsaved is step 11: the token is good, and losing it is the bug. It is
// served from memory, its attempt stays in the ledger, and the save is tried
// again until it succeeds or the Source is closed.
func (f *flight) serveUnsaved() {
	c := f.outcome.Credential
	u := &successor{f.outcome, f.print, f.sent.Access.Fingerprint()}
	err := cannot("the new token could not be saved; it is kept and the save is tried again", ReasonCannotSave, f.cause)
	if f.s.setUnsaved(u) == nil {
		f.s.owned.Go(f.s.saveLater)
		f.s.tell(Event{Kind: EventSaveFailed, Access: c.Access.Fingerprint(), Refresh: c.Refresh.Fingerprint(), Err: err})
	}
	token := f.s.offer(view{doc: f.seen.doc, cred: c}, f.memory)
	if !c.Expires.IsZero() && !f.now().Before(c.Expires) || c.Access.Fingerprint() == f.ask.Replace {
		f.err = err // saved it would be renewed; unsaved it cannot be
		return
	}
	f.result = Refreshed{Token: token, Granted: !f.recovering, Recovered: f.recovering, Unsaved: true, Err: err}
}

// saveLater tries to save what is unsaved, with backoff, until it is saved,
// somebody else's login has taken its place, or the Source is closed.
func (s *Source) saveLater() {
	for d := s.seams.Times.SaveRetryMin; ; d = min(2*d, s.seams.Times.SaveRetryMax) {
		sleep(context.Background(), s.life, d)
		f, _, err := s.board(context.Background(), purpose{save: true})
		if err != nil { // closed
			return
		}
		<-f.done
		if s.unsavedSuccessor() == nil {
			return
		}
	}
}

// fail is the end without a token, unless memory still has a good one that the
// cause says nothing about.
func (f *flight) fail(act decide.Action) {
	err := f.error(act.Cause)
	switch act.Cause {
	case decide.NotFound, decide.WasBlanked:
		f.s.setUnsaved(nil)
		f.s.cur.Store(nil)
		if act.Cause == decide.NotFound {
			f.forget()
		}
	default:
		if r, late := f.s.meanwhile(f.purpose, err); late == nil {
			f.result.Token, f.result.Err = r.Token, r.Err
			f.s.rest()
			f.s.tellUnavailable(r.Token, act.Cause, err)
			return
		}
	}
	f.err = err
}

// forget closes what the ledger still holds of a login that its user ended: a
// successor in the escrow must not come back into the next login (R5). The
// owner's locks cannot be taken beside a document that is not there; the guard
// alone can, and keeps a process that is refreshing from losing its record.
func (f *flight) forget() {
	if f.s.opts.ReadOnly || f.keeper != nil {
		return
	}
	l, ok := f.book.(*ledger.Ledger)
	if !ok {
		return
	}
	if left, err := l.Remains(); err != nil || !left {
		return
	}
	guard, err := l.TryGuard()
	if err != nil {
		return // whoever holds it sees the same
	}
	defer guard.Release()
	if _, _, err := f.s.load(context.WithoutCancel(f.ctx)); !errors.Is(err, ErrNotFound) {
		return
	}
	if t, ok := f.s.store.(interface{ Tidy(*ledger.Guard) }); ok {
		t.Tidy(guard)
	}
	records, err := guard.Attempts()
	for _, r := range records {
		err = errors.Join(err, r.Close("logged-out", "", f.now()))
	}
	if len(records) > 0 {
		f.s.tell(Event{Kind: EventDropped, Detail: "the user logged out; a token that was never saved is gone with the login", Err: err})
	}
}

func (f *flight) now() time.Time { return f.s.seams.Clock.Now() }

// late is the error of a caller whose context ended while the flight went on.
func (f *flight) late(ctxErr error) error {
	what, kind := "the refresh did not end in time; it goes on", ErrUnavailable
	if do := decide.Do(f.phase.Load()); do == decide.Lock || do == decide.KeepWaiting {
		what, kind = "another process holds the refresh lock", ErrLocked
	}
	return &Error{Kind: kind, Reason: ReasonTimeout, What: what, Err: ctxErr}
}

// cannot is an ErrUnsafe with a cause that may already be one.
func cannot(what string, reason Reason, err error) error {
	var e *Error
	if errors.As(err, &e) && e.Kind == ErrUnsafe {
		return err
	}
	return &Error{Kind: ErrUnsafe, Reason: reason, What: what, Err: err}
}

// error says what stands in the way of a successor.
func (f *flight) error(cause decide.Cause) error {
	e := &Error{Reason: Reason(cause), Where: f.seen.doc.Place()}
	switch cause {
	case decide.NotFound, decide.CannotRead:
		return f.seen.err
	case decide.WasBlanked:
		e.Kind, e.What = ErrLoginRequired, "the login was blanked by its owner: the endpoint refused its refresh token"
		if at := f.unanswered(); !at.IsZero() {
			e.What = "the login was blanked by its owner, after the answer to the refresh of " + at.Format(time.RFC3339) + " was lost"
		}
	case decide.Deadline:
		e.Kind, e.What = ErrLoginRequired, "the login itself ended at "+f.seen.cred.Deadline.Format(time.RFC3339)
	case decide.NoRefresh:
		e.Kind, e.What = ErrLoginRequired, "the access token ended and there is no refresh token"
	case decide.WasRefused:
		e.Kind, e.What, e.Err = ErrLoginRequired, "the endpoint refused the refresh token for good", f.refusal()
	case decide.LostAnswer:
		at := f.wasLost
		if f.memory.Dead != nil && !f.memory.Dead.Lost.IsZero() {
			at = f.memory.Dead.Lost
		}
		e.Kind, e.What = ErrLoginRequired, "the answer to the refresh of "+at.Format(time.RFC3339)+" was lost, and the old token is spent"
	case decide.OlderCopy:
		e.Kind, e.What = ErrLoginRequired, "the file went back to an older copy: its refresh token was already used"
	case decide.Cooldown:
		return f.coolingDown(f.memory.Cooldown)
	case decide.APIRefuses:
		e.Kind, e.What = ErrUnavailable, "the API refuses fresh tokens"
		if r := f.memory.Refused; r != nil {
			e.RetryAt = r.Until
		}
	case decide.Spacing:
		e.Kind, e.What = ErrUnavailable, "an earlier refresh may still be under way"
		if u := f.memory.Unanswered; u != nil {
			e.RetryAt = u.At.Add(f.s.seams.Times.Spacing)
		}
	case decide.ReadOnly:
		e.Kind, e.What = ErrUnavailable, "the token has to be renewed, and refreshing is switched off"
	case decide.Unreachable, decide.NotEndpoint, decide.RateLimited, decide.UnknownOutcome:
		return f.unavailable(cause)
	case decide.Locked:
		return f.notLocked()
	case decide.TimedOut:
		if f.s.life.Err() != nil {
			return errClosed
		}
		e.Kind, e.What, e.Err = ErrUnavailable, "no time was left to send the refresh", f.cause
	case decide.CannotLock:
		return cannot("the refresh lock cannot be made", ReasonCannotLock, f.cause)
	case decide.CannotSave:
		if errors.Is(f.cause, ErrLocked) { // the owner is writing
			return f.cause
		}
		return cannot("a new token could not be saved, so none was asked for", ReasonCannotSave, f.cause)
	default:
		e.Kind, e.Reason, e.What = ErrUnavailable, ReasonBug, "a bug: no rule for what was seen"
	}
	return e
}

// refusal repeats the endpoint's words only in the flight that heard them.
func (f *flight) refusal() error {
	if f.outcome.Err != nil && f.outcome.Verdict == Refused {
		return f.outcome.Err
	}
	return nil
}

func (f *flight) coolingDown(c *ledger.Cooldown) error {
	if c == nil {
		return &Error{Kind: ErrUnavailable, Reason: ReasonUnreachable, What: "refreshing rests after a failure"}
	}
	return &Error{
		Kind: ErrUnavailable, Reason: Reason(c.Reason), RetryAt: c.Until,
		What: fmt.Sprintf("refreshing rests until %s after a failure (%s)", c.Until.Format(time.TimeOnly), c.What),
	}
}

func (f *flight) unavailable(cause decide.Cause) error {
	e := &Error{Kind: ErrUnavailable, Reason: Reason(cause), Err: f.cause}
	if f.memory.Cooldown != nil {
		e.RetryAt = f.memory.Cooldown.Until
	}
	switch cause {
	case decide.Unreachable:
		e.What = "the token endpoint cannot be reached"
	case decide.RateLimited:
		e.What = "the token endpoint asks for a pause"
	case decide.UnknownOutcome:
		e.What = "the refresh was sent and no usable answer came"
	default:
		e.What = "what answered is not the token endpoint, or refused the request for a reason of its own"
		if f.outcome.Err != nil && f.outcome.Err.Code != "" {
			e.Reason, e.What = ReasonEndpointError, "the token endpoint refused the request, not the login"
		}
	}
	return e
}

func (f *flight) notLocked() error {
	var e *Error
	if errors.As(f.cause, &e) {
		if e.Kind == ErrLocked {
			return f.cause
		}
	}
	if f.s.life.Err() != nil {
		return errClosed
	}
	return &Error{Kind: ErrLocked, Reason: ReasonLocked, What: "another process holds the refresh lock", Where: f.seen.doc.Place(), Err: f.cause}
}
