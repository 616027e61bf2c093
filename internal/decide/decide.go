// Package decide is the refresh of DESIGN §6 as a pure function: what to do
// next, given what was seen. refresh.go of the root package performs it, and
// the model of the proof explores it, so that the two cannot drift.
//
// Nothing here reads a clock, a disk or a secret. Times are durations left as
// the performer saw them, secrets are fingerprints.
package decide

import (
	"slices"
	"time"
)

// Next returns what to do, given that e came of the last action of s. The
// first event is Begin. After Serve, ServeUnsaved or Fail the flight is over,
// and the performer releases its locks.
func Next(s State, e Event) (State, Action) {
	switch e.Kind {
	case Begin:
		return s, Action{Do: Look}
	case Looked:
		return s.looked(e)
	case Watched:
		return s.watched(e)
	case LockHeld:
		return s.settle(Locked)
	case LockUnsafe:
		return s.settle(CannotLock)
	case LockTaken:
		s.Locked = true
		return s, Action{Do: LookAgain}
	case LookedAgain:
		return s.lookedAgain(e)
	case AttemptClosed:
		return s, Action{Do: LookAgain}
	case Prepared:
		return s, Action{Do: Send}
	case PrepareMoved: // the flight's last attempt, if there is one, was sent: it stays
		return s.restart("")
	case PrepareFailed:
		return s.giveUp(CannotSave, s.unknownSoFar(), "")
	case Answered:
		return s.answered(e)
	case Paused:
		if s.Again { // the attempt of this send is spent: a new record for a new send
			s.Again = false
			return s, Action{Do: Prepare}
		}
		return s, Action{Do: Send}
	case TimeUp:
		return s.unsent(Unreachable, Lesson{Kind: LearnUnreachable})
	case Stopped:
		return s.stopped()
	case Saved:
		return s, Action{Do: Clear, Lesson: Lesson{Kind: LearnGranted}}
	case SaveMoved:
		return s.saveMoved(e)
	case SaveFailed: // step 11
		return s, Action{Do: ServeUnsaved}
	case Cleared:
		return s.cleared(e)
	}
	return s, Action{Do: Fail, Cause: Bug}
}

// looked is steps 1 and 2: a look without any lock.
func (s State) looked(e Event) (State, Action) {
	s.Seen, s.Facts = e.Sight, e.Facts
	s.First = s.Seen.Access
	if s.Force && s.Replace == "" {
		s.Replace = s.Seen.Access
	}
	escrow := (s.Facts.Escrow || s.Facts.Unsaved) && !s.ReadOnly && (s.Seen.Kind == Present || s.Seen.Kind == Blanked)
	if !escrow {
		if a, done := s.verdict(); done {
			return s, a
		}
	}
	// The early window never waits for a lock, and neither does the mere
	// tidying of somebody else's escrow beside a good token; and the saver comes again.
	good := s.acceptable()
	s.Patient = !s.SaveOnly && !s.Facts.UnsavedGood && !(good && s.Seen.Left > s.Seen.Late)
	return s, Action{Do: Lock, Valid: good && !s.Patient && !s.SaveOnly}
}

// watched is step 3: what is seen while waiting for the lock. A thousand
// waiters leave together, without the lock, when one of them has refreshed, or
// has learned that nobody can.
func (s State) watched(e Event) (State, Action) {
	if s.another(e.Sight) {
		s.Seen = e.Sight
		return s, Action{Do: Serve, Adopted: true}
	}
	if e.Sight.Kind == Absent {
		s.Seen = e.Sight
		return s, Action{Do: Fail, Cause: NotFound}
	}
	if e.Sight.Kind == Present && !e.Facts.Escrow && !e.Facts.Unsaved {
		if cause := e.Facts.obstacle(s.Force); cause != None {
			s.Seen, s.Facts = e.Sight, e.Facts
			return s.settle(cause)
		}
	}
	return s, Action{Do: KeepWaiting}
}

// lookedAgain is steps 4 and 5, and the second look of step 8: this snapshot
// is the authority.
func (s State) lookedAgain(e Event) (State, Action) {
	after := s.After
	s.After = AfterLock
	if after == AfterRefusal {
		return s.afterRefusal(e)
	}
	s.Seen, s.Facts = e.Sight, e.Facts
	if s.Seen.Kind == Unreadable {
		return s.settle(CannotRead)
	}
	if next, a, found := s.recover(e.Attempts); found {
		if a.Do == CloseAttempt { // and then the same look again, for the same reason
			next.After = after
		}
		return next, a
	}
	if s.Seen.Refresh != s.Sending {
		s.Sends, s.Committed = 0, false
	}
	stand := standing(e.Attempts, s.Seen)
	s.Standing = len(stand) > 0
	s.Committed = s.Committed || slices.ContainsFunc(stand, committed)
	if spare := superfluous(stand); s.Sends == 0 && spare != nil { // a day of 503 must not fill the folder
		return s, closing(*spare, "repeated")
	}
	if s.Facts.Unsaved && (s.Seen.Kind == Present || s.Seen.Kind == Blanked) { // step 11
		// Recovering: it has waited in memory, and may itself have grown old.
		s.Sending, s.SendingAccess, s.Rotated, s.Recovering = s.Seen.Refresh, s.Seen.Access, s.Facts.UnsavedRotated, true
		return s, Action{Do: Save, FromMemory: true, OverBlank: s.Seen.Kind == Blanked}
	}
	if s.another(s.Seen) {
		return s, Action{Do: Serve, Adopted: true}
	}
	if after == AfterUnknown && !twice(stand) {
		return s.repeat()
	}
	if a, done := s.verdict(); done {
		return s, a
	}
	if s.SaveOnly { // there is nothing left to save
		return s, Action{Do: Serve}
	}
	if twice(stand) {
		return s.giveUp(LostAnswer, Lesson{Kind: LearnDead, Lost: true}, "")
	}
	if s.Sends > s.allowed() {
		return s.exhausted()
	}
	if s.Facts.FreshRefused { // step 12: a storm, not an expiry
		return s.giveUp(APIRefuses, Lesson{Kind: LearnRefusedSuccessor}, "")
	}
	s.Sending = s.Seen.Refresh
	s.SendingAccess = s.Seen.Access
	a := Action{Do: Prepare}
	if slices.ContainsFunc(stand, unanswered) { // the sender is dead, its request may not be (step 12)
		a.Lesson = Lesson{Kind: LearnUnanswered, Left: true}
	}
	return s, a
}

// recover is step 5: the attempts that ended flights left behind. It reports
// whether one of them asks for something to be done first.
func (s State) recover(attempts []Attempt) (State, Action, bool) {
	for _, at := range attempts {
		switch {
		case s.Seen.Kind == Absent:
			return s, closing(at, "logged-out"), true
		case at.Corrupt:
			return s, closing(at, "corrupt"), true
		case !at.Sent && !at.Answer:
			return s, closing(at, "not-sent"), true
		case s.olderCopy(at):
			// A backup brought a spent token back: the successor in the escrow is the login.
		case s.Seen.Kind == Blanked && at.OtherLogin, s.Seen.Kind == Present && s.Seen.Refresh != at.Refresh:
			a := closing(at, "history")
			if at.Verdict == Granted && at.Rotated { // killed after the save, before it was noted
				a.Lesson = Lesson{Kind: LearnSpent}
			}
			return s, a, true
		case !at.Answer:
			if s.Seen.Kind == Blanked { // nothing left to send, nothing came back
				return s, closing(at, "lost"), true
			}
			continue
		}
		switch at.Verdict {
		case Granted:
			if s.superseded(at) {
				return s, closing(at, "superseded"), true
			}
			s.Sending, s.SendingAccess, s.Rotated, s.Recovering = at.Refresh, at.Access, at.Rotated, true
			if s.olderCopy(at) {
				s.Sending = s.Seen.Refresh // that is what the save replaces
			}
			return s, Action{Do: Save, Attempt: at.ID, Recovered: true, OverBlank: s.Seen.Kind == Blanked}, true
		case Unknown, Committed:
			if s.Seen.Kind == Blanked {
				return s, closing(at, "lost"), true
			}
			continue
		case Limited:
			a := closing(at, "limited")
			a.Lesson = Lesson{Kind: LearnLimited}
			return s, a, true
		case Refused:
			a := closing(at, "refused")
			a.Lesson = Lesson{Kind: LearnDead, Lost: len(standing(attempts, s.Seen)) > 0}
			return s, a, true
		default:
			return s, closing(at, "foreign"), true
		}
	}
	return s, Action{}, false
}

// olderCopy: the store holds a token that rotated before, and not the one of an
// attempt that holds a successor (§6.2).
func (s State) olderCopy(at Attempt) bool {
	return s.Facts.Spent && at.Descends && s.Seen.Kind == Present && s.Seen.Refresh != at.Refresh && at.Answer && at.Verdict == Granted && at.Rotated
}

// superseded: the endpoint does not rotate, and somebody saved a newer access
// token under the same refresh token.
func (s State) superseded(at Attempt) bool {
	return !at.Rotated && s.Seen.Kind == Present && s.Seen.Access != at.Access
}

func closing(at Attempt, reason string) Action {
	return Action{Do: CloseAttempt, Attempt: at.ID, CloseAs: reason}
}

// standing are the attempts of unknown fate for the stored token, oldest first.
func standing(attempts []Attempt, seen Sight) []Attempt {
	var stand []Attempt
	for _, at := range attempts {
		if at.Refresh == seen.Refresh && at.Sent && (!at.Answer || at.Verdict == Unknown || at.Verdict == Committed) {
			stand = append(stand, at)
		}
	}
	return stand
}

// superfluous is an attempt that tells nothing which the others do not: not the
// oldest, since when a loss is possible, not one that proves a commit, and not
// the last one without an answer, whose request may still be under way.
func superfluous(stand []Attempt) *Attempt {
	if len(stand) <= MaxStanding {
		return nil
	}
	last := len(stand) - 1
	for last > 0 && !unanswered(stand[last]) {
		last--
	}
	for i := 1; i < len(stand); i++ {
		if i != last && !committed(stand[i]) {
			return &stand[i]
		}
	}
	return nil
}

func committed(at Attempt) bool { return at.Answer && at.Verdict == Committed }

// twice: what was committed was answered again, and again without a token that
// can be used. Nobody will get more out of this endpoint (8b).
func twice(stand []Attempt) bool {
	first := slices.IndexFunc(stand, committed)
	return first >= 0 && slices.ContainsFunc(stand[first+1:], committed)
}

// unanswered: of one that stands, nothing came back at all.
func unanswered(at Attempt) bool { return !at.Answer }

// verdict is what steps 1, 2 and 12 say before anything is spent. done is
// false when a grant is the thing to do.
func (s State) verdict() (a Action, done bool) {
	end := func(c Cause) (Action, bool) { _, a := s.settle(c); return a, true }
	switch s.Seen.Kind {
	case Unreadable:
		return end(CannotRead)
	case Absent:
		return Action{Do: Fail, Cause: NotFound}, true
	case Blanked:
		return Action{Do: Fail, Cause: WasBlanked}, true
	}
	switch {
	case s.acceptable() && s.Seen.Left > s.Seen.Early:
		return Action{Do: Serve}, true
	case s.ReadOnly:
		return end(ReadOnly)
	case s.Seen.Deadline && !s.Force:
		return end(Deadline)
	case s.Seen.Refresh == "":
		return end(NoRefresh)
	}
	if c := s.Facts.obstacle(s.Force); c != None {
		return end(c)
	}
	return Action{}, false
}

// obstacle is what the shared memory has against a grant of the stored token.
func (f Facts) obstacle(force bool) Cause {
	switch {
	case f.Dead && f.Lost:
		return LostAnswer
	case f.Dead:
		return WasRefused
	case f.Spent:
		return OlderCopy
	case f.Cooldown:
		return Cooldown
	case f.Refused && !force:
		return APIRefuses
	case f.Spacing:
		return Spacing
	}
	return None
}

// answered is step 8.
func (s State) answered(e Event) (State, Action) {
	if e.Verdict != NotSent {
		s.Unsent = 0
	}
	switch e.Verdict {
	case NotSent: // 8a
		s.Unsent++
		if s.Patient && s.Unsent < MaxUnsent {
			return s, Action{Do: Pause, Unsent: s.Unsent}
		}
		if s.Sends > 0 { // the repeat did not leave; what came before it is still unknown
			return s.giveUp(UnknownOutcome, s.unknownSoFar(), "not-sent")
		}
		return s.giveUp(Unreachable, Lesson{Kind: LearnUnreachable}, "not-sent")
	case Halted:
		return s.stopped()
	case LockLost: // L4: not yet sent, so stop
		return s.giveUp(Locked, s.unknownSoFar(), "not-sent")
	case Moved:
		return s.restart("not-sent")
	case Granted:
		s.Rotated = e.Rotated
		return s, Action{Do: Save}
	case Unknown, Committed: // 8b
		s.Sends++
		s.Committed = s.Committed || e.Verdict == Committed
		s.After = AfterUnknown
		return s, Action{Do: LookAgain, Lesson: Lesson{Kind: LearnUnanswered, Skip: e.Replied}}
	case Limited: // 8c
		return s.giveUp(RateLimited, Lesson{Kind: LearnLimited}, "limited")
	case Refused: // 8d
		s.After = AfterRefusal
		return s, Action{Do: LookAgain}
	}
	return s.giveUp(NotEndpoint, Lesson{Kind: LearnForeign}, "foreign") // 8e
}

// cleared is the end of step 10. What a dead process left may itself have grown
// old, and what came before the machine slept may have ended: then everything
// starts again, for the second once.
func (s State) cleared(e Event) (State, Action) {
	old := s.Recovering
	if !old && !s.Ended && e.Sight.Kind == Present && e.Sight.Left <= 0 {
		old, s.Ended = true, true
	}
	s.Recovering = false
	if old && !s.SaveOnly {
		return s, Action{Do: LookAgain}
	}
	return s, Action{Do: Serve}
}

// repeat is step 8b after the second look found the store unmoved: the same
// refresh token to the same host again.
func (s State) repeat() (State, Action) {
	if s.Seen.Kind != Present || s.Seen.Refresh != s.Sending {
		return s.restart("")
	}
	if cause := s.Facts.obstacle(s.Force); cause != None { // learned by another while we waited for the answer
		return s.settle(cause)
	}
	if !s.Patient || s.Sends > s.allowed() {
		return s.exhausted()
	}
	s.Again = true
	return s, Action{Do: Pause, Repeat: s.Sends}
}

// allowed is how often one token is sent again.
func (s State) allowed() int {
	if s.Committed { // what was committed can only be recovered, and that shows at once
		return 1
	}
	return MaxRepeats
}

func (s State) exhausted() (State, Action) {
	return s.giveUp(UnknownOutcome, Lesson{Kind: LearnUnknown}, "")
}

// unknownSoFar is the lesson of a flight that ends for another reason after a
// send whose outcome is unknown.
func (s State) unknownSoFar() Lesson {
	if s.Sends > 0 {
		return Lesson{Kind: LearnUnknown}
	}
	return Lesson{}
}

// unsent ends a flight in which no further send will leave.
func (s State) unsent(c Cause, l Lesson) (State, Action) {
	if s.Sends > 0 {
		return s.exhausted()
	}
	return s.giveUp(c, l, "not-sent")
}

// stopped ends a flight that was told to end, or had no time left, before it
// could send. That teaches nobody anything.
func (s State) stopped() (State, Action) { return s.unsent(TimedOut, Lesson{}) }

// afterRefusal is step 8d after the second look.
func (s State) afterRefusal(e Event) (State, Action) {
	sent := s.Sending
	s.Seen, s.Facts = e.Sight, e.Facts
	if s.Seen.Kind == Present && s.Seen.Refresh == sent {
		lost := s.Sends > 0 || s.Standing
		cause := WasRefused
		if lost {
			cause = LostAnswer
		}
		return s.giveUp(cause, Lesson{Kind: LearnDead, Lost: lost}, "refused")
	}
	if s.Restarts > 0 {
		return s.giveUp(WasRefused, Lesson{}, "refused")
	}
	return s.restart("refused")
}

// saveMoved is step 9 where the store no longer holds what was loaded.
func (s State) saveMoved(e Event) (State, Action) {
	s.Seen, s.Facts = e.Sight, e.Facts
	s.Saves++
	var spent Lesson // where the successor is dropped, what it replaced is spent all the same
	if s.Rotated {
		spent.Kind = LearnSpent
	}
	switch {
	case s.Seen.Kind == Unreadable || s.Saves > MaxSaves:
		return s, Action{Do: ServeUnsaved}
	case s.Seen.Kind == Absent: // the user logged out
		return s, Action{Do: Fail, Cause: NotFound, CloseAs: "logged-out", Dropped: true, Lesson: spent}
	case s.Seen.Kind == Blanked: // a loser did that (R4, R22)
		return s, Action{Do: Save, OverBlank: true}
	case s.Seen.Refresh == s.Sending && (s.Rotated || s.Seen.Access == s.SendingAccess):
		return s, Action{Do: Save}
	case s.Facts.Spent: // an older copy came back meanwhile (R20): step 5 knows whether ours follows it
		return s.restart("")
	}
	// Another login, or a newer token of the same one (R6).
	if s.acceptable() && s.Seen.Left > s.Seen.Late {
		return s, Action{Do: Serve, Adopted: true, CloseAs: "another-login", Dropped: true, Lesson: spent}
	}
	next, a := s.restart("another-login")
	if a.Lesson.Kind == LearnNothing {
		a.Lesson = spent
	}
	return next, a
}

// restart goes back to step 4, a few times at most.
func (s State) restart(closeAs string) (State, Action) {
	s.Restarts++
	if s.Restarts > MaxRestarts {
		return s.giveUp(Locked, s.unknownSoFar(), closeAs)
	}
	s.After, s.Again = AfterLock, false
	return s, Action{Do: LookAgain, CloseAs: closeAs}
}

// giveUp ends without a successor: what was learned, and how the attempt is closed.
func (s State) giveUp(c Cause, l Lesson, closeAs string) (State, Action) {
	next, a := s.settle(c)
	a.Lesson, a.CloseAs = l, closeAs
	return next, a
}

// settle ends without a successor: the token that was seen is served while it
// is valid (guarantee 6); only without one is c an error.
func (s State) settle(c Cause) (State, Action) {
	if s.acceptable() {
		return s, Action{Do: Serve, Cause: c}
	}
	return s, Action{Do: Fail, Cause: c}
}

// acceptable: what was seen holds a valid token that nobody asked to replace.
func (s State) acceptable() bool { return s.good(s.Seen, 0) }

// another: v holds an access token other than the first one seen, with more
// than RefreshLate left (step 4).
func (s State) another(v Sight) bool { return v.Access != s.First && s.good(v, v.Late) }

func (s State) good(v Sight, least time.Duration) bool {
	return v.Kind == Present && v.Access != "" && v.Left > least && (s.Replace == "" || v.Access != s.Replace)
}
