package model

import (
	"strconv"
	"time"

	"github.com/evercred/evercred/internal/decide"
	"github.com/evercred/evercred/internal/ledger"
)

// This file performs what internal/decide says, step by step as refresh.go
// does, on a world instead of a disk. A method here has the name of the one
// there; what others can see, or what a SIGKILL may part, is a step of its own.

// tell is the loop of perform: what came of the last action goes in, and the
// next one is begun.
func (m *machine) tell(e decide.Event) {
	c := &m.c
	c.state, c.act = decide.Next(c.state, e)
	if c.state.Seen == e.Sight {
		c.seen = c.latest
	}
	c.reply = reply{}
	if c.act.Lesson.Kind != decide.LearnNothing && c.guard && (learnFirst || c.act.Do != decide.Clear) {
		c.phase = noting
		return
	}
	m.noted()
}

// noted is the rest of learn.
func (m *machine) noted() {
	c := &m.c
	if c.act.CloseAs != "" && c.act.Do != decide.CloseAttempt && c.guard {
		if m.next() >= 0 {
			c.phase = shutting
			return
		}
		c.rec = -1
	}
	m.act()
}

// shut closes what learn closes, one after the other.
func (m *machine) shut() {
	m.close(m.next(), 0)
	if m.next() < 0 {
		m.c.rec = -1
		m.act()
	}
}

// next is the attempt that learn closes next; -1: none.
func (m *machine) next() int {
	switch m.c.act.CloseAs {
	case "refused", "logged-out", "another-login":
		for i, r := range m.w.records() {
			if r.ref == m.c.print {
				return i
			}
		}
		return -1
	}
	return int(m.c.rec)
}

// close ends an attempt.
func (m *machine) close(i int, heir uint8) {
	if heir != 0 {
		m.w.heir[m.w.recs[i].ref] = heir
	}
	m.w.remove(i)
	switch {
	case int(m.c.rec) == i:
		m.c.rec = -1
	case int(m.c.rec) > i:
		m.c.rec--
	}
}

// act begins an action.
func (m *machine) act() {
	c := &m.c
	switch c.act.Do {
	case decide.Look:
		c.looking = decide.Looked
	case decide.Lock:
		c.phase = wantGuard
	case decide.KeepWaiting:
		c.phase, c.back, c.snap = c.back, idle, 0
		if c.gone {
			m.tell(decide.Event{Kind: decide.LockHeld})
		}
	case decide.LookAgain:
		if c.phase = lookLocked; !lookUnderLock && c.state.After == decide.AfterLock && c.rounds == 0 {
			m.lookAgain2() // control: what was seen before the lock counts
		}
	case decide.CloseAttempt:
		c.phase = closing
	case decide.Prepare:
		c.phase = preparing
	case decide.Send:
		c.phase = checking
	case decide.Pause:
		c.phase = pausing
	case decide.Save:
		if m.choose() {
			c.phase = saving
		}
	case decide.Clear:
		c.phase = clearing
	default:
		m.ended()
		m.unlock()
		m.land()
	}
}

// readMemory is the first part of a look without the lock. It is one step with
// whatever made the client look: that is seen by nobody, and so might as well
// have happened just now.
func (m *machine) readMemory() {
	c := &m.c
	m.say("reads the shared memory")
	c.snap, c.phase = m.w.mem, readStore
	if !memoryFirst {
		c.latest, c.phase = m.w.doc, readRecords
	}
}

// readStore is the second part of a look without the lock.
func (m *machine) readStore() {
	c := &m.c
	m.say("reads the document: " + m.w.describe(m.w.doc))
	c.latest, c.phase = m.w.doc, readRecords
	if !m.of.fine {
		m.looked(c.looking)
	}
}

// readLocked reads all three at once: under the guard the ledger is still, and
// a reader of the ledger is seen by nobody.
func (m *machine) readLocked() {
	m.c.snap, m.c.latest = m.w.mem, m.w.doc
	m.say(m.w.describe(m.w.doc))
}

// looked is what decide is told of the latest look.
func (m *machine) looked(kind decide.EventKind) {
	c := &m.c
	e := m.event(kind)
	if c.gone && e.Sight.Kind != decide.Absent {
		e = decide.Event{Kind: decide.LockHeld}
	}
	m.tell(e)
}

func (m *machine) event(kind decide.EventKind) decide.Event {
	c, w := &m.c, &m.w
	e := decide.Event{Kind: kind, Sight: w.sight(c.latest)}
	e.Facts = decide.Recall(m.pool.ledger(c.snap), e.Sight, c.state.Ask, epoch, times)
	for _, r := range w.records() {
		a := m.attempt(0, r)
		if a.Answer && (a.Verdict == decide.Granted || e.Sight.Kind == decide.Present && a.Refresh != e.Sight.Refresh) {
			e.Facts.Escrow = true
		}
	}
	if u := c.unsaved; u != (successor{}) {
		e.Facts.Unsaved = refresh[u.sent] == e.Sight.Refresh || e.Sight.Kind == decide.Blanked && u.login == c.latest.login
		e.Facts.UnsavedRotated = u.ref != u.sent
		e.Facts.UnsavedGood = e.Facts.Unsaved && c.cur != 0 && !c.rejected && w.age[c.cur] != ageEnded
	}
	return e
}

// attempt is what decide may know of a record.
func (m *machine) attempt(i int, r record) decide.Attempt {
	c := &m.c
	a := decide.Attempt{ID: strconv.Itoa(i), Refresh: refresh[r.ref], Access: access[r.acc], Sent: r.marked || r.answer.some}
	a.OtherLogin = c.latest.login != 0 && c.latest.login != r.login
	a.Answer = r.answer.some
	if a.Answer {
		o := m.parse(r.answer, c.latest)
		a.Verdict = decide.Verdict(o.verdict)
		a.Rotated = o.ref != r.ref
		if a.Verdict == decide.Granted && o.ref == 0 {
			a.Verdict = decide.Unknown
		}
	}
	if a.Verdict == decide.Granted && r.ref != c.latest.ref {
		a.Descends = m.descends(r.ref, c.latest.ref)
	}
	return a
}

func (m *machine) descends(ref, from uint8) bool {
	for range m.w.heir {
		if from = m.w.heir[from]; from == 0 || from == ref {
			break
		}
	}
	return from != 0 && from == ref
}

// parse understands an answer for the credential that was sent.
func (m *machine) parse(a answer, sent view) answer {
	if decide.Verdict(a.verdict) == decide.Granted && a.ref == 0 {
		a.ref = sent.ref
	}
	return a
}

// wantGuard is the first half of step 3. Whoever waits looks at the store
// meanwhile; whoever does not wait fails at once.
func (m *machine) wantGuard(i int) {
	if decide.Presence(m.from.doc.kind) == decide.Absent {
		m.begin(i, "cannot lock what is not there")
		m.c.gone, m.c.looking, m.c.back = true, decide.Watched, wantGuard
		m.readMemory()
		m.done()
		return
	}
	free := !m.from.guarded || !exclusive
	if free {
		m.begin(i, "takes the guard")
		m.c.guard, m.w.guarded, m.c.phase = true, true, wantOwner
		if m.lockFree() {
			m.takeOwner()
		}
		m.done()
	}
	m.waiting(i, !free)
}

// lockFree: a lock of a dead client of ours is taken over at once.
func (m *machine) lockFree() bool {
	return m.w.lock == lockFree || m.w.lock == lockLeft || !exclusive
}

// takeOwner takes the owner's lock, in one step with the guard where it is free:
// whoever took it in between might as well have taken it before. The look that
// follows is one step with it too where nobody can steal it: what the user does
// in between might as well have been done before.
func (m *machine) takeOwner() {
	m.say("takes the owner's lock")
	m.c.own, m.w.lock = ownHeld, lockOurs
	m.tell(decide.Event{Kind: decide.LockTaken})
	if m.c.phase == lookLocked && m.safe() {
		m.say("looks again")
		m.lookAgain()
	}
}

// safe: no lock can be stolen any more, and nobody who stole one is at it.
func (m *machine) safe() bool { return m.w.left.thefts == 0 && m.w.alien == alien{} }

// wantOwner is the second half.
func (m *machine) wantOwner(i int) {
	m.w = *m.from
	free := m.lockFree()
	if free {
		m.begin(i, "")
		m.takeOwner()
		m.done()
	}
	m.waiting(i, !free)
}

// waiting is what else may happen to one that wants a lock. A patient one that
// gives up without a lock is not tried: nobody sees it, and it is as if it did
// no more. Nor is a look of one that could have the lock instead.
func (m *machine) waiting(i int, held bool) {
	if !held {
		return
	}
	if c := m.pool.clients.get(m.from.clients[i]); c.guard || !c.state.Patient {
		m.begin(i, "does not get the lock")
		m.unlock() // the guard, if it is the owner's lock that is held
		m.tell(decide.Event{Kind: decide.LockHeld})
		m.done()
	}
	m.begin(i, "looks while it waits")
	m.c.back, m.c.looking = m.c.phase, decide.Watched
	m.readMemory()
	m.done()
}

// lookAgain is step 4, and what step 5 needs to know.
func (m *machine) lookAgain() {
	m.readLocked()
	m.lookAgain2()
}

func (m *machine) lookAgain2() {
	c := &m.c
	if c.rounds++; c.rounds > maxRounds {
		m.broken("a flight does not end: more than " + strconv.Itoa(maxRounds) + " looks under the lock")
	}
	c.wasLost, c.lastLeft = -1, -1
	e := m.event(decide.LookedAgain)
	for i, r := range m.w.records() {
		a := m.attempt(i, r)
		if r.marked && r.ref == c.latest.ref && (a.Verdict == decide.Unknown || a.Verdict == decide.Committed) {
			age := int16(r.age)
			c.wasLost = max(c.wasLost, age)
			later := age < c.lastLeft
			if !lastCounts {
				later = !later
			}
			if !a.Answer && (c.lastLeft < 0 || later) {
				c.lastLeft = age
			}
		}
		e.Attempts = append(e.Attempts, a)
	}
	c.snap = 0
	m.tell(e)
}

// maxRounds bounds the looks under the lock of one flight.
const maxRounds = 30

func (m *machine) find(id string) int {
	if n, err := strconv.Atoi(id); err == nil && n < len(m.w.records()) {
		return n
	}
	return -1
}

// prepare is step 6.
func (m *machine) prepare() {
	c, w := &m.c, &m.w
	switch {
	case checkLocks && c.own != ownHeld:
		m.say("finds its lock gone before it prepares")
		m.tell(decide.Event{Kind: decide.PrepareFailed})
		return
	case w.doc != c.seen:
		m.say("finds another document before it prepares")
		m.tell(decide.Event{Kind: decide.PrepareMoved})
		return
	}
	m.say("records its attempt")
	if recordFirst {
		m.record()
	}
	c.sent, c.print, c.recovering = c.seen, c.seen.ref, false
	m.tell(decide.Event{Kind: decide.Prepared})
}

func (m *machine) record() {
	n := len(m.w.records())
	if n == maxRecords {
		m.broken("the ledger fills up: " + strconv.Itoa(n) + " attempts are open")
		return
	}
	s := m.c.seen
	m.w.recs[n] = record{used: true, ref: s.ref, acc: s.acc, login: s.login}
	m.c.rec = int8(n)
	if n >= m.of.records {
		m.broken("the ledger fills up: " + strconv.Itoa(n+1) + " attempts are open")
	}
}

// check, compare and send are step 7.
func (m *machine) check() {
	c := &m.c
	if m.of.endpoint == unreachable {
		m.say("does not reach the endpoint")
		m.tell(decide.Event{Kind: decide.Answered, Verdict: decide.NotSent})
		return
	}
	if checkLocks && c.own != ownHeld {
		m.say("finds its lock stolen before the first byte")
		m.tell(decide.Event{Kind: decide.Answered, Verdict: decide.LockLost})
		return
	}
	m.say("asks its locks before the first byte")
	if c.own != ownHeld {
		m.broken("a client goes on to send though its lock was stolen before")
	}
	if c.phase = comparing; m.safe() {
		m.compare() // nothing that the check could have missed
	}
}

func (m *machine) compare() {
	c, w := &m.c, &m.w
	if compareStored && (decide.Presence(w.doc.kind) == decide.Absent || w.doc.ref != c.sent.ref) {
		m.say("finds another document before the first byte")
		if c.rec >= 0 {
			m.close(int(c.rec), 0)
		}
		m.tell(decide.Event{Kind: decide.Answered, Verdict: decide.Moved})
		return
	}
	m.say("marks its attempt as sent")
	if c.rec >= 0 && markFirst {
		w.recs[c.rec].marked = true
	}
	m.send()
}

// send is one step with the mark: a client killed between the two leaves what
// one leaves whose request never arrives.
func (m *machine) send() {
	m.say("sends " + refresh[m.c.sent.ref])
	if m.w.doc.ref != m.c.sent.ref {
		m.broken(refresh[m.c.sent.ref] + " is sent though it is no longer stored")
	}
	m.w.oracle.sends++
	if m.of.calm > 0 {
		m.w.oracle.calm++
	}
	m.sending(m.c.sent.ref)
	m.c.phase = asked
}

// remember notes the lesson of the action that comes next.
func (m *machine) remember() {
	c, w := &m.c, &m.w
	mem := m.pool.ledger(w.mem)
	out, print := c.outcome, c.print
	failed := c.failed
	if c.act.Do == decide.CloseAttempt {
		if i := m.find(c.act.Attempt); i >= 0 {
			out, print = m.parse(w.recs[i].answer, c.latest), w.recs[i].ref
			c.outcome = out
		}
	}
	if print == 0 {
		print = c.seen.ref
	}
	note := decide.Note{
		Now: epoch, Print: refresh[print], SentAt: epoch, Rotated: out.ref != print,
		Grant: ledger.Granted{At: epoch, Access: access[out.acc], Refresh: refresh[out.ref], Lifetime: 8 * time.Hour},
	}
	if c.act.Lesson.Lost || c.act.Lesson.Left {
		since := c.wasLost
		if c.act.Lesson.Left {
			since = c.lastLeft
		}
		note.SentAt = time.Time{}
		if since >= 0 {
			note.SentAt = in(-int32(since))
		}
	}
	if failed && decide.Verdict(out.verdict) == decide.Foreign {
		note.Foreign = "endpoint-error"
	}
	w.mem = m.pool.memory(compress(decide.Remember(mem, c.act.Lesson, note, times)))
	if !learnFirst && c.act.Do == decide.Clear {
		m.cleared()
		return
	}
	m.noted()
}

// choose is the first part of save: which successor.
func (m *machine) choose() bool {
	c, w := &m.c, &m.w
	c.recovering = c.recovering || c.act.Recovered
	if c.act.Recovered {
		i := m.find(c.act.Attempt)
		if i < 0 {
			m.tell(decide.Event{Kind: decide.PrepareFailed})
			return false
		}
		c.rec, c.sent = int8(i), c.seen
		c.outcome, c.print = m.parse(w.recs[i].answer, c.seen), w.recs[i].ref
		c.login = c.seen.login
	}
	if u := c.unsaved; c.act.FromMemory {
		c.rec, c.sent = -1, c.seen
		c.outcome = answer{some: true, verdict: uint8(decide.Granted), acc: u.acc, ref: u.ref}
		c.print, c.login = u.sent, u.login
	}
	return true
}

// save is step 9. Comparing and swapping is one step: both sides hold the
// owner's write lock for it.
func (m *machine) save() {
	c, w := &m.c, &m.w
	if compareAndSwap && w.doc != c.seen {
		m.say("cannot save: the document changed")
		c.phase = saveLooking
		return
	}
	next := view{kind: uint8(decide.Present), acc: c.outcome.acc, ref: c.outcome.ref, login: c.login}
	m.say("saves " + w.describe(next))
	m.saved(w.doc, next)
	w.doc, c.seen, c.latest = next, next, next
	m.tell(decide.Event{Kind: decide.Saved})
}

// clear is step 10, an attempt a step.
func (m *machine) clear() {
	c := &m.c
	for i, r := range m.w.records() {
		if r.ref == c.print {
			m.say("closes the attempt: saved")
			m.close(i, c.outcome.ref)
			break
		}
	}
	for _, r := range m.w.records() {
		if r.ref == c.print {
			return
		}
	}
	if !learnFirst {
		c.phase = noting
		return
	}
	m.cleared()
}

func (m *machine) cleared() {
	m.c.unsaved, m.c.recovering, m.c.rec = successor{}, false, -1
	m.tell(decide.Event{Kind: decide.Cleared})
}

// unlock releases what is held, in one step with the last thing done under the
// lock: it only lets others go on, and whoever noticed that it was held could
// have noticed that before.
func (m *machine) unlock() {
	if m.c.own == ownHeld {
		m.w.lock = lockFree
	}
	m.c.own = ownNone
	if m.c.guard {
		m.c.guard, m.w.guarded = false, false
	}
}

// ended is serve, serveUnsaved and fail; land is what follows the release.
func (m *machine) ended() {
	c, w := &m.c, &m.w
	m.ends = append(m.ends, ending{some: true, do: c.act.Do, cause: c.act.Cause, seen: c.seen})
	switch c.act.Do {
	case decide.Serve:
		cur := c.seen.acc
		if u := c.unsaved; u != (successor{}) {
			mem := m.pool.memories.get(w.mem)
			if u.sent == c.seen.ref || decide.Presence(c.seen.kind) == decide.Blanked || mem.spent&(1<<c.seen.ref) != 0 {
				cur = u.acc
			} else {
				c.unsaved = successor{}
			}
		}
		m.say("is served a" + strconv.Itoa(int(cur)) + because(c.act.Cause))
		m.served(cur)
		if cur != c.cur {
			c.cur, c.rejected = cur, false
		}
	case decide.ServeUnsaved:
		c.unsaved = successor{acc: c.outcome.acc, ref: c.outcome.ref, login: c.login, sent: c.print}
		m.say("is served " + access[c.outcome.acc] + ", which could not be saved")
		if c.outcome.acc != c.cur {
			c.cur, c.rejected = c.outcome.acc, false
		}
	default:
		m.say("fails" + because(c.act.Cause))
		m.failed(c.act.Cause)
		if c.act.Cause == decide.NotFound || c.act.Cause == decide.WasBlanked {
			c.unsaved, c.cur, c.rejected = successor{}, 0, false
		}
	}
}

func (m *machine) land() {
	c := &m.c
	if c.act.Do == decide.Fail && c.act.Cause == decide.NotFound && !c.state.Locked {
		for _, r := range m.w.records() {
			if !r.answer.some { // not Pending
				continue
			}
			if forgetLogouts {
				c.phase = forgetting
				return
			}
			if !m.w.guarded {
				m.broken("the escrow outlives the login that its user ended")
			}
		}
	}
	m.reset()
}

func because(c decide.Cause) string {
	if c == decide.None {
		return ""
	}
	return " (" + string(c) + ")"
}
