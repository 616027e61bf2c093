package decide_test

import (
	"testing"
	"time"

	. "github.com/evercred/evercred/internal/decide"
)

// A scenario is a conversation: each event and the action that must answer it.
type turn struct {
	event Event
	want  Action
}

const (
	early = 10 * time.Minute
	late  = 30 * time.Second
)

func sight(access, refresh string, left time.Duration) Sight {
	return Sight{Kind: Present, Access: access, Refresh: refresh, Left: left, Early: early, Late: late}
}

var (
	fresh   = sight("a1", "r1", time.Hour)
	near    = sight("a1", "r1", 5*time.Minute)
	ended   = sight("a1", "r1", -time.Minute)
	next    = sight("a2", "r2", 8*time.Hour)
	blanked = Sight{Kind: Blanked}
)

// olderCopy is a look at a spent token, beside an attempt whose token came of it.
var olderCopy = Event{Kind: LookedAgain, Sight: sight("a0", "r0", time.Hour), Facts: Facts{Spent: true},
	Attempts: []Attempt{{ID: "1", Refresh: "r1", Access: "a1", Sent: true, Answer: true, Verdict: Granted, Rotated: true, Descends: true}}}

func look(v Sight, f ...Facts) Event   { return seen(Looked, v, f) }
func again(v Sight, f ...Facts) Event  { return seen(LookedAgain, v, f) }
func watch(v Sight, f ...Facts) Event  { return seen(Watched, v, f) }
func moved(v Sight) Event              { return seen(SaveMoved, v, nil) }
func answer(v Verdict) Event           { return Event{Kind: Answered, Verdict: v, Rotated: v == Granted} }
func only(k EventKind) Event           { return Event{Kind: k} }
func left(v Sight, a ...Attempt) Event { e := again(v); e.Attempts = a; return e }
func seen(k EventKind, v Sight, f []Facts) Event {
	e := Event{Kind: k, Sight: v}
	if len(f) > 0 {
		e.Facts = f[0]
	}
	return e
}

func do(d Do) Action            { return Action{Do: d} }
func fail(c Cause) Action       { return Action{Do: Fail, Cause: c} }
func serve(c Cause) Action      { return Action{Do: Serve, Cause: c} }
func adopt() Action             { return Action{Do: Serve, Adopted: true} }
func learn(k LessonKind) Lesson { return Lesson{Kind: k} }
func with(a Action, l Lesson, closeAs string) Action {
	a.Lesson, a.CloseAs = l, closeAs
	return a
}

// toSend is a flight from its begin to its first send, on an expired token.
func toSend(rest ...turn) []turn {
	return append([]turn{
		{only(Begin), do(Look)},
		{look(ended), do(Lock)},
		{only(LockTaken), do(LookAgain)},
		{again(ended), do(Prepare)},
		{only(Prepared), do(Send)},
	}, rest...)
}

func TestNext(t *testing.T) {
	for name, c := range map[string]struct {
		ask   Ask
		turns []turn
	}{
		"a fresh token is served (1)":           {turns: []turn{{only(Begin), do(Look)}, {look(fresh), do(Serve)}}},
		"absent is not found, never recovered":  {turns: []turn{{only(Begin), do(Look)}, {look(Sight{}, Facts{Escrow: true}), fail(NotFound)}}},
		"blanked needs a login":                 {turns: []turn{{only(Begin), do(Look)}, {look(blanked), fail(WasBlanked)}}},
		"unreadable":                            {turns: []turn{{only(Begin), do(Look)}, {look(Sight{Kind: Unreadable}), fail(CannotRead)}}},
		"no refresh token, valid":               {turns: []turn{{only(Begin), do(Look)}, {look(sight("a1", "", 5*time.Minute)), serve(NoRefresh)}}},
		"no refresh token, ended":               {turns: []turn{{only(Begin), do(Look)}, {look(sight("a1", "", 0)), fail(NoRefresh)}}},
		"R17 past the deadline, valid":          {turns: []turn{{only(Begin), do(Look)}, {look(deadline(near)), serve(Deadline)}}},
		"R17 past the deadline, ended":          {turns: []turn{{only(Begin), do(Look)}, {look(deadline(ended)), fail(Deadline)}}},
		"R17 force asks once":                   {ask: Ask{Force: true}, turns: []turn{{only(Begin), do(Look)}, {look(deadline(ended)), do(Lock)}}},
		"R10 dead is remembered":                {turns: []turn{{only(Begin), do(Look)}, {look(ended, Facts{Dead: true}), fail(WasRefused)}}},
		"R20 an older copy is never sent":       {turns: []turn{{only(Begin), do(Look)}, {look(ended, Facts{Spent: true}), fail(OlderCopy)}}},
		"R11 a cooldown serves the valid token": {turns: []turn{{only(Begin), do(Look)}, {look(near, Facts{Cooldown: true}), serve(Cooldown)}}},
		"R11 a cooldown without one":            {turns: []turn{{only(Begin), do(Look)}, {look(ended, Facts{Cooldown: true}), fail(Cooldown)}}},
		"read-only never locks":                 {ask: Ask{ReadOnly: true}, turns: []turn{{only(Begin), do(Look)}, {look(near), serve(ReadOnly)}}},
		"read-only, ended":                      {ask: Ask{ReadOnly: true}, turns: []turn{{only(Begin), do(Look)}, {look(ended, Facts{Escrow: true}), fail(ReadOnly)}}},
		"R2 adopt while waiting": {turns: []turn{
			{only(Begin), do(Look)}, {look(ended), do(Lock)}, {watch(ended), do(KeepWaiting)}, {watch(next), adopt()}}},
		"R21 waiters leave together when nobody can": {turns: []turn{
			{only(Begin), do(Look)}, {look(ended), do(Lock)}, {watch(ended, Facts{Cooldown: true}), fail(Cooldown)}}},
		"L1 a held lock serves the valid token":   {turns: []turn{{only(Begin), do(Look)}, {look(near), Action{Do: Lock, Valid: true}}, {only(LockHeld), serve(Locked)}}},
		"L1 a held lock without one":              {turns: []turn{{only(Begin), do(Look)}, {look(ended), do(Lock)}, {only(LockHeld), fail(Locked)}}},
		"L6 a lock that cannot be made, valid":    {turns: []turn{{only(Begin), do(Look)}, {look(near), Action{Do: Lock, Valid: true}}, {only(LockUnsafe), serve(CannotLock)}}},
		"L6 a lock that cannot be made, no token": {turns: []turn{{only(Begin), do(Look)}, {look(ended), do(Lock)}, {only(LockUnsafe), fail(CannotLock)}}},
		"R3 the look under the lock decides": {turns: []turn{
			{only(Begin), do(Look)}, {look(ended), do(Lock)}, {only(LockTaken), do(LookAgain)}, {again(next), adopt()}}},
		"the same access token is not another": {turns: []turn{
			{only(Begin), do(Look)}, {look(near), Action{Do: Lock, Valid: true}}, {only(LockTaken), do(LookAgain)}, {again(near), do(Prepare)}}},
		"R23 force adopts what another one granted": {ask: Ask{Force: true}, turns: []turn{
			{only(Begin), do(Look)}, {look(fresh), do(Lock)}, {only(LockTaken), do(LookAgain)}, {again(next), adopt()}}},
		"R15 a rejected token that was replaced already": {ask: Ask{Replace: "a0"}, turns: []turn{{only(Begin), do(Look)}, {look(fresh), do(Serve)}}},
		"R15b a fresh successor refused": {ask: Ask{Replace: "a1"}, turns: []turn{
			{only(Begin), do(Look)}, {look(fresh), do(Lock)}, {only(LockTaken), do(LookAgain)},
			{again(fresh, Facts{FreshRefused: true}), with(fail(APIRefuses), learn(LearnRefusedSuccessor), "")}}},
		"6.12 spacing": {ask: Ask{Replace: "a1"}, turns: []turn{{only(Begin), do(Look)}, {look(fresh, Facts{Spacing: true}), fail(Spacing)}}},
		"F4 no grant where it could not be saved": {turns: []turn{
			{only(Begin), do(Look)}, {look(near), Action{Do: Lock, Valid: true}}, {only(LockTaken), do(LookAgain)}, {again(near), do(Prepare)}, {only(PrepareFailed), serve(CannotSave)}}},
		"granted": {turns: toSend(
			turn{answer(Granted), do(Save)},
			turn{only(Saved), with(do(Clear), learn(LearnGranted), "")},
			turn{only(Cleared), do(Serve)})},
		"R9b never left: three tries": {turns: toSend(
			turn{answer(NotSent), Action{Do: Pause, Unsent: 1}}, turn{only(Paused), do(Send)},
			turn{answer(NotSent), Action{Do: Pause, Unsent: 2}}, turn{only(Paused), do(Send)},
			turn{answer(NotSent), with(fail(Unreachable), learn(LearnUnreachable), "not-sent")})},
		"R9 unknown: the same token again after a look": {turns: toSend(
			turn{answer(Unknown), with(do(LookAgain), learn(LearnUnanswered), "")},
			turn{left(ended, Attempt{ID: "1", Refresh: "r1", Sent: true}), Action{Do: Pause, Repeat: 1}},
			turn{only(Paused), do(Prepare)}, turn{only(Prepared), do(Send)},
			turn{answer(Granted), do(Save)})},
		"R9 unknown, but somebody saved a successor": {turns: toSend(
			turn{answer(Unknown), with(do(LookAgain), learn(LearnUnanswered), "")}, turn{again(next), adopt()})},
		"R9 at most four sends": {turns: toSend(append(append(append(
			again8b(1), again8b(2)...), again8b(3)...),
			turn{answer(Unknown), with(do(LookAgain), learn(LearnUnanswered), "")},
			turn{left(ended, Attempt{ID: "1", Refresh: "r1", Sent: true}), with(fail(UnknownOutcome), learn(LearnUnknown), "")})...)},
		"8b what was committed is repeated once": {turns: toSend(
			turn{answer(Committed), with(do(LookAgain), learn(LearnUnanswered), "")},
			turn{again(ended), Action{Do: Pause, Repeat: 1}},
			turn{only(Paused), do(Prepare)}, turn{only(Prepared), do(Send)},
			turn{answer(Unknown), with(do(LookAgain), learn(LearnUnanswered), "")},
			turn{again(ended), with(fail(UnknownOutcome), learn(LearnUnknown), "")})},
		"8b the early window sends once": {turns: []turn{
			{only(Begin), do(Look)}, {look(near), Action{Do: Lock, Valid: true}}, {only(LockTaken), do(LookAgain)}, {again(near), do(Prepare)}, {only(Prepared), do(Send)},
			{answer(Unknown), with(do(LookAgain), learn(LearnUnanswered), "")},
			{again(near), with(serve(UnknownOutcome), learn(LearnUnknown), "")}}},
		"R11 limited": {turns: toSend(turn{answer(Limited), with(fail(RateLimited), learn(LearnLimited), "limited")})},
		"R12 foreign": {turns: toSend(turn{answer(Foreign), with(fail(NotEndpoint), learn(LearnForeign), "foreign")})},
		"R10 refused, and the store is as it was": {turns: toSend(
			turn{answer(Refused), do(LookAgain)},
			turn{again(ended), with(fail(WasRefused), learn(LearnDead), "refused")})},
		"R10 refused, but the store changed: start over once": {turns: toSend(
			turn{answer(Refused), do(LookAgain)},
			turn{again(sight("a2", "r2", -time.Second)), with(do(LookAgain), Lesson{}, "refused")},
			turn{again(sight("a2", "r2", -time.Second)), do(Prepare)})},
		"8d refused after an unknown: the answer was lost": {turns: toSend(append(again8b(1),
			turn{answer(Refused), do(LookAgain)},
			turn{again(ended), with(fail(LostAnswer), Lesson{Kind: LearnDead, Lost: true}, "refused")})...)},
		"L4 a lock lost before the send": {turns: toSend(turn{answer(LockLost), with(fail(Locked), Lesson{}, "not-sent")})},
		"the store moved before the send": {turns: toSend(
			turn{answer(Moved), with(do(LookAgain), Lesson{}, "not-sent")}, turn{again(next), adopt()})},
		"R4 blanked meanwhile: written over": {turns: toSend(
			turn{answer(Granted), do(Save)}, turn{moved(blanked), Action{Do: Save, OverBlank: true}})},
		"R5 logged out meanwhile: nothing is written": {turns: toSend(
			turn{answer(Granted), do(Save)}, turn{moved(Sight{}), Action{Do: Fail, Cause: NotFound, CloseAs: "logged-out", Dropped: true, Lesson: learn(LearnSpent)}})},
		"R6 logged in meanwhile: adopted": {turns: toSend(
			turn{answer(Granted), do(Save)}, turn{moved(sight("b1", "q1", time.Hour)), Action{Do: Serve, Adopted: true, CloseAs: "another-login", Dropped: true, Lesson: learn(LearnSpent)}})},
		"an older copy came back meanwhile: the attempt stays (R20)": {turns: toSend(
			turn{answer(Granted), do(Save)},
			turn{seen(SaveMoved, sight("a0", "r0", time.Hour), []Facts{{Spent: true}}), do(LookAgain)},
			turn{olderCopy, Action{Do: Save, Attempt: "1", Recovered: true}})},
		"the owner rewrote its settings meanwhile": {turns: toSend(turn{answer(Granted), do(Save)}, turn{moved(ended), do(Save)})},
		"11 the save failed":                       {turns: toSend(turn{answer(Granted), do(Save)}, turn{only(SaveFailed), do(ServeUnsaved)})},
		"5 the answer that a dead process left": {turns: recovered(ended, Attempt{ID: "7", Refresh: "r1", Access: "a1", Sent: true, Answer: true, Verdict: Granted, Rotated: true},
			Action{Do: Save, Attempt: "7", Recovered: true})},
		"R22 recovered over a blank": {turns: recovered(blanked, Attempt{ID: "7", Refresh: "r1", Access: "a1", Sent: true, Answer: true, Verdict: Granted, Rotated: true},
			Action{Do: Save, Attempt: "7", Recovered: true, OverBlank: true})},
		"another login was blanked: not revived": {turns: recovered(blanked, Attempt{ID: "7", Refresh: "r1", Answer: true, Sent: true, Verdict: Granted, Rotated: true, OtherLogin: true},
			Action{Do: CloseAttempt, Attempt: "7", CloseAs: "history", Lesson: learn(LearnSpent)})},
		"5 history": {turns: recovered(next, Attempt{ID: "7", Refresh: "r1", Sent: true, Answer: true, Verdict: Granted, Rotated: true},
			Action{Do: CloseAttempt, Attempt: "7", CloseAs: "history", Lesson: learn(LearnSpent)})},
		"5 it never left": {turns: recovered(ended, Attempt{ID: "7", Refresh: "r1"},
			Action{Do: CloseAttempt, Attempt: "7", CloseAs: "not-sent"})},
		"5 without rotation, a newer access token wins": {turns: recovered(sight("a3", "r1", -time.Second), Attempt{ID: "7", Refresh: "r1", Access: "a1", Sent: true, Answer: true, Verdict: Granted},
			Action{Do: CloseAttempt, Attempt: "7", CloseAs: "superseded"})},
		"5 what was recovered may be old": {turns: append(recovered(ended, Attempt{ID: "7", Refresh: "r1", Access: "a1", Sent: true, Answer: true, Verdict: Granted, Rotated: true},
			Action{Do: Save, Attempt: "7", Recovered: true}),
			turn{only(Saved), with(do(Clear), learn(LearnGranted), "")},
			turn{only(Cleared), do(LookAgain)},
			turn{again(sight("a2", "r2", -time.Hour)), do(Prepare)})},
		"an unknown attempt stands: repeated at once": {turns: recovered(ended, Attempt{ID: "7", Refresh: "r1", Sent: true}, with(do(Prepare), Lesson{Kind: LearnUnanswered, Left: true}, ""))},
		"R20 the successor in the escrow wins over an older copy": {turns: []turn{
			{only(Begin), do(Look)}, {look(ended, Facts{Escrow: true, Spent: true}), do(Lock)}, {only(LockTaken), do(LookAgain)},
			{spentBeside(Attempt{ID: "7", Refresh: "r5", Access: "a5", Sent: true, Answer: true, Verdict: Granted, Rotated: true, Descends: true}), Action{Do: Save, Attempt: "7", Recovered: true}}}},
		"R20 but not if it is another login's": {turns: []turn{
			{only(Begin), do(Look)}, {look(ended, Facts{Escrow: true, Spent: true}), do(Lock)}, {only(LockTaken), do(LookAgain)},
			{spentBeside(Attempt{ID: "7", Refresh: "r5", Access: "a5", Sent: true, Answer: true, Verdict: Granted, Rotated: true}), Action{Do: CloseAttempt, Attempt: "7", CloseAs: "history", Lesson: learn(LearnSpent)}}}},
		"8b a commit that was answered twice without a token is a loss": {turns: []turn{
			{only(Begin), do(Look)}, {look(ended), do(Lock)}, {only(LockTaken), do(LookAgain)},
			{left(ended, Attempt{ID: "1", Refresh: "r1", Sent: true, Answer: true, Verdict: Committed}, Attempt{ID: "2", Refresh: "r1", Sent: true, Answer: true, Verdict: Committed}),
				with(fail(LostAnswer), Lesson{Kind: LearnDead, Lost: true}, "")}}},
		"a day of 503 leaves two attempts": {turns: []turn{
			{only(Begin), do(Look)}, {look(ended), do(Lock)}, {only(LockTaken), do(LookAgain)},
			{left(ended, Attempt{ID: "1", Refresh: "r1", Sent: true}, Attempt{ID: "2", Refresh: "r1", Sent: true}, Attempt{ID: "3", Refresh: "r1", Sent: true}),
				Action{Do: CloseAttempt, Attempt: "2", CloseAs: "repeated"}}}},
		"a refusal that a dead process heard, after a loss": {turns: []turn{
			{only(Begin), do(Look)}, {look(ended), do(Lock)}, {only(LockTaken), do(LookAgain)},
			{left(ended, Attempt{ID: "1", Refresh: "r1", Sent: true}, Attempt{ID: "2", Refresh: "r1", Sent: true, Answer: true, Verdict: Refused}),
				Action{Do: CloseAttempt, Attempt: "2", CloseAs: "refused", Lesson: Lesson{Kind: LearnDead, Lost: true}}}}},
		"told to end before the send: that teaches nothing": {turns: toSend(turn{answer(Halted), with(fail(TimedOut), Lesson{}, "not-sent")})},
		"what did not leave after a loss is still a loss": {turns: toSend(append(again8b(1),
			turn{answer(NotSent), Action{Do: Pause, Unsent: 1}}, turn{only(Paused), do(Send)},
			turn{answer(NotSent), Action{Do: Pause, Unsent: 2}}, turn{only(Paused), do(Send)},
			turn{answer(NotSent), with(fail(UnknownOutcome), learn(LearnUnknown), "not-sent")})...)},
		"the store moved while a repeat was prepared: its sends still count": {turns: toSend(append(again8b(1)[:3],
			turn{only(PrepareMoved), do(LookAgain)},
			turn{left(ended, Attempt{ID: "1", Refresh: "r1", Sent: true}), with(do(Prepare), Lesson{Kind: LearnUnanswered, Left: true}, "")})...)},
		"11 the saver saves and grants nothing": {ask: Ask{SaveOnly: true}, turns: []turn{
			{only(Begin), do(Look)}, {look(ended, Facts{Unsaved: true}), do(Lock)}, {only(LockTaken), do(LookAgain)}, {again(ended), do(Serve)}}},
		"11 what is in memory is saved, whatever others learned": {turns: []turn{
			{only(Begin), do(Look)}, {look(ended, Facts{Unsaved: true}), do(Lock)}, {only(LockTaken), do(LookAgain)},
			{again(ended, Facts{Unsaved: true, Dead: true, Cooldown: true}), Action{Do: Save, FromMemory: true}}}},
		"11 and over a blank": {turns: []turn{
			{only(Begin), do(Look)}, {look(blanked, Facts{Unsaved: true}), do(Lock)}, {only(LockTaken), do(LookAgain)},
			{again(blanked, Facts{Unsaved: true}), Action{Do: Save, FromMemory: true, OverBlank: true}}}},
		"9 a lock that is lost between two sends": {turns: toSend(append(again8b(1), turn{answer(LockLost), with(fail(Locked), learn(LearnUnknown), "not-sent")})...)},
		"a committed attempt is never superfluous": {turns: []turn{
			{only(Begin), do(Look)}, {look(ended), do(Lock)}, {only(LockTaken), do(LookAgain)},
			{left(ended, Attempt{ID: "1", Refresh: "r1", Sent: true}, Attempt{ID: "2", Refresh: "r1", Sent: true, Answer: true, Verdict: Committed}, Attempt{ID: "3", Refresh: "r1", Sent: true}, Attempt{ID: "4", Refresh: "r1", Sent: true}),
				Action{Do: CloseAttempt, Attempt: "3", CloseAs: "repeated"}}}},
		"a look that is passed over changes nothing": {turns: []turn{
			{only(Begin), do(Look)}, {look(near), Action{Do: Lock, Valid: true}}, {watch(Sight{Kind: Unreadable}), do(KeepWaiting)}, {only(LockHeld), serve(Locked)}}},
	} {
		t.Run(name, func(t *testing.T) {
			s := State{Ask: c.ask}
			for i, turn := range c.turns {
				var got Action
				s, got = Next(s, turn.event)
				if got != turn.want {
					t.Fatalf("turn %d:\n got %+v\nwant %+v", i, got, turn.want)
				}
			}
		})
	}
}

func deadline(v Sight) Sight { v.Deadline = true; return v }

func again8b(n int) []turn {
	return []turn{
		{answer(Unknown), with(do(LookAgain), learn(LearnUnanswered), "")},
		{left(ended, Attempt{ID: "1", Refresh: "r1", Sent: true}), Action{Do: Pause, Repeat: n}},
		{only(Paused), do(Prepare)}, {only(Prepared), do(Send)},
	}
}

func recovered(v Sight, a Attempt, want Action) []turn {
	return []turn{
		{only(Begin), do(Look)}, {look(v, Facts{Escrow: true}), Action{Do: Lock, Valid: v.Left > late}},
		{only(LockTaken), do(LookAgain)}, {left(v, a), want},
	}
}

func spentBeside(a Attempt) Event {
	e := again(ended, Facts{Escrow: true, Spent: true})
	e.Attempts = []Attempt{a}
	return e
}
