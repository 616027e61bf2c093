package decide_test

import (
	"testing"
	"time"

	. "github.com/evercred/evercred/internal/decide"
	"github.com/evercred/evercred/internal/ledger"
)

// unknown is one more send whose outcome is unknown, while the first attempt
// stands.
func unknown() turn {
	return turn{answer(Unknown), with(do(LookAgain), learn(LearnUnanswered), "")}
}

func stands(v Sight) Event { return left(v, Attempt{ID: "1", Refresh: v.Refresh, Sent: true}) }

// underLock is a flight from its begin to its first look under the lock.
func underLock(v Sight, rest ...turn) []turn {
	return append([]turn{{only(Begin), do(Look)}, {look(v), do(Lock)}, {only(LockTaken), do(LookAgain)}}, rest...)
}

func TestRulesOfRareEnds(t *testing.T) {
	closing := func(id, reason string) Action { return Action{Do: CloseAttempt, Attempt: id, CloseAs: reason} }
	elsewhere := func(n string) Sight { return sight("a"+n, "r"+n, -time.Second) }
	reread := turn{again(ended), do(Prepare)}
	for name, c := range map[string]struct {
		ask   Ask
		turns []turn
	}{
		"8a no time for another try": {turns: toSend(
			turn{answer(NotSent), Action{Do: Pause, Unsent: 1}},
			turn{only(TimeUp), with(fail(Unreachable), learn(LearnUnreachable), "not-sent")})},
		"8a stopped between two tries teaches nothing": {turns: toSend(
			turn{answer(NotSent), Action{Do: Pause, Unsent: 1}},
			turn{only(Stopped), with(fail(TimedOut), Lesson{}, "not-sent")})},
		"8b nor is a token repeated that was found dead meanwhile": {turns: toSend(unknown(),
			turn{Event{Kind: LookedAgain, Sight: ended, Facts: Facts{Dead: true}, Attempts: stands(ended).Attempts}, fail(WasRefused)})},
		"8b no time for a repeat": {turns: toSend(unknown(),
			turn{stands(ended), Action{Do: Pause, Repeat: 1}},
			turn{only(TimeUp), with(fail(UnknownOutcome), learn(LearnUnknown), "")})},
		"8b stopped before a repeat: what went before is still unknown": {turns: toSend(unknown(),
			turn{stands(ended), Action{Do: Pause, Repeat: 1}},
			turn{only(Stopped), with(fail(UnknownOutcome), learn(LearnUnknown), "")})},
		"8b a repeat that does not leave: still unknown": {turns: toSend(append(again8b(1),
			turn{answer(NotSent), Action{Do: Pause, Unsent: 1}}, turn{only(Paused), do(Send)},
			turn{answer(NotSent), Action{Do: Pause, Unsent: 2}}, turn{only(Paused), do(Send)},
			turn{answer(NotSent), with(fail(UnknownOutcome), learn(LearnUnknown), "not-sent")})...)},
		"8b a repeat that lost the lock: still unknown": {turns: toSend(append(again8b(1),
			turn{answer(LockLost), with(fail(Locked), learn(LearnUnknown), "not-sent")})...)},
		"8b logged out or in meanwhile: start over": {turns: toSend(unknown(),
			turn{again(elsewhere("2")), with(do(LookAgain), Lesson{}, "")},
			turn{again(elsewhere("2")), do(Prepare)})},
		"a repeat that cannot be prepared: still unknown": {turns: toSend(unknown(),
			turn{stands(ended), Action{Do: Pause, Repeat: 1}}, turn{only(Paused), do(Prepare)},
			turn{only(PrepareFailed), with(fail(CannotSave), learn(LearnUnknown), "")})},
		"what was tried does not count for an answer that came between": {turns: toSend(append([]turn{
			{answer(NotSent), Action{Do: Pause, Unsent: 1}}, {only(Paused), do(Send)}}, append(again8b(1),
			turn{answer(NotSent), Action{Do: Pause, Unsent: 1}})...)...)},
		"the user logs out while we wait for the lock": {turns: []turn{
			{only(Begin), do(Look)}, {look(ended), do(Lock)}, {watch(Sight{}), fail(NotFound)}}},
		"blanked while we wait: the lock will show": {turns: []turn{
			{only(Begin), do(Look)}, {look(ended), do(Lock)}, {watch(blanked, Facts{Cooldown: true}), do(KeepWaiting)}}},
		"what can be recovered is waited for": {turns: []turn{
			{only(Begin), do(Look)}, {look(ended), do(Lock)},
			{watch(ended, Facts{Cooldown: true, Escrow: true}), do(KeepWaiting)},
			{watch(ended, Facts{Cooldown: true, Unsaved: true}), do(KeepWaiting)}}},
		"unreadable under the lock": {turns: underLock(ended, turn{again(Sight{Kind: Unreadable}), fail(CannotRead)})},
		"5 blanked, and part of an answer that names nothing: lost": {turns: underLock(ended,
			turn{left(blanked, Attempt{ID: "1", Refresh: "r1", Sent: true, Answer: true, Verdict: Unknown}), closing("1", "lost")})},
		"5 blanked, and a commit without its token: lost": {turns: underLock(ended,
			turn{left(blanked, Attempt{ID: "1", Refresh: "r1", Sent: true, Answer: true, Verdict: Committed}), closing("1", "lost")})},
		"5 blanked, and nothing came back: lost": {turns: underLock(ended,
			turn{left(blanked, Attempt{ID: "1", Refresh: "r1", Sent: true}), closing("1", "lost")})},
		"5 blanked by the owner of another login: history": {turns: underLock(ended,
			turn{left(blanked, Attempt{ID: "1", Refresh: "r1", Sent: true, OtherLogin: true}), closing("1", "history")})},
		"5 never sent": {turns: underLock(ended,
			turn{left(ended, Attempt{ID: "1", Refresh: "r1"}), closing("1", "not-sent")})},
		"5 corrupt": {turns: underLock(ended,
			turn{left(ended, Attempt{ID: "1", Corrupt: true, Sent: true}), closing("1", "corrupt")})},
		"5 a dead process heard a foreign voice": {turns: underLock(ended,
			turn{left(ended, Attempt{ID: "1", Refresh: "r1", Sent: true, Answer: true, Verdict: Foreign}), closing("1", "foreign")})},
		"5 a dead process was limited": {turns: underLock(ended,
			turn{left(ended, Attempt{ID: "1", Refresh: "r1", Sent: true, Answer: true, Verdict: Limited}), with(closing("1", "limited"), learn(LearnLimited), "limited")})},
		"5 a dead process was refused": {turns: underLock(ended,
			turn{left(ended, Attempt{ID: "1", Refresh: "r1", Sent: true, Answer: true, Verdict: Refused}), with(closing("1", "refused"), learn(LearnDead), "refused")})},
		"5 a dead process was refused after a loss": {turns: underLock(ended,
			turn{left(ended, Attempt{ID: "1", Refresh: "r1", Sent: true}, Attempt{ID: "2", Refresh: "r1", Sent: true, Answer: true, Verdict: Refused}),
				with(closing("2", "refused"), Lesson{Kind: LearnDead, Lost: true}, "refused")})},
		"5 killed after the save": {turns: underLock(ended,
			turn{left(next, Attempt{ID: "1", Refresh: "r1", Sent: true, Answer: true, Verdict: Granted, Rotated: true}), with(closing("1", "history"), learn(LearnSpent), "history")})},
		"5 a grant without rotation teaches no spent token": {turns: underLock(ended,
			turn{left(next, Attempt{ID: "1", Refresh: "r1", Sent: true, Answer: true, Verdict: Granted}), closing("1", "history")})},
		"5 without rotation, somebody saved a newer access token": {turns: underLock(ended,
			turn{left(ended, Attempt{ID: "1", Refresh: "r1", Access: "a0", Sent: true, Answer: true, Verdict: Granted}), closing("1", "superseded")})},
		"5 without rotation, nobody did": {turns: underLock(ended,
			turn{left(ended, Attempt{ID: "1", Refresh: "r1", Access: "a1", Sent: true, Answer: true, Verdict: Granted}), Action{Do: Save, Attempt: "1", Recovered: true}})},
		"5 an open attempt of the same token stands: the next send says that one was left": {turns: underLock(ended,
			turn{stands(ended), Action{Do: Prepare, Lesson: Lesson{Kind: LearnUnanswered, Left: true}}})},
		"5 of two attempts that stand neither is superfluous": {turns: underLock(ended,
			turn{left(ended, Attempt{ID: "1", Refresh: "r1", Sent: true}, Attempt{ID: "2", Refresh: "r1", Sent: true}), Action{Do: Prepare, Lesson: Lesson{Kind: LearnUnanswered, Left: true}}})},
		"5 of three the oldest stays": {turns: underLock(ended,
			turn{left(ended, Attempt{ID: "1", Refresh: "r1", Sent: true}, Attempt{ID: "2", Refresh: "r1", Sent: true}, Attempt{ID: "3", Refresh: "r1", Sent: true}), closing("2", "repeated")})},
		"5 of three the one that proves a commit stays, and the last that may be under way": {turns: underLock(ended,
			turn{left(ended, Attempt{ID: "1", Refresh: "r1", Sent: true}, proof("2"), Attempt{ID: "3", Refresh: "r1", Sent: true}), Action{Do: Prepare, Lesson: Lesson{Kind: LearnUnanswered, Left: true}}})},
		"5 of four one is superfluous": {turns: underLock(ended,
			turn{left(ended, Attempt{ID: "1", Refresh: "r1", Sent: true}, proof("2"), Attempt{ID: "3", Refresh: "r1", Sent: true}, Attempt{ID: "4", Refresh: "r1", Sent: true}), closing("3", "repeated")})},
		"5 one that was answered is": {turns: underLock(ended,
			turn{left(ended, Attempt{ID: "1", Refresh: "r1", Sent: true}, Attempt{ID: "2", Refresh: "r1", Sent: true, Answer: true}, Attempt{ID: "3", Refresh: "r1", Sent: true}), closing("2", "repeated")})},
		"5 where nothing is under way, the one after the oldest": {turns: underLock(ended,
			turn{left(ended, Attempt{ID: "1", Refresh: "r1", Sent: true}, Attempt{ID: "2", Refresh: "r1", Sent: true, Answer: true}, proof("3")), closing("2", "repeated")})},
		"5 all that prove a commit stay, and it is not sent again": {turns: underLock(ended,
			turn{left(ended, proof("1"), proof("2"), proof("3")), with(fail(LostAnswer), Lesson{Kind: LearnDead, Lost: true}, "")})},
		"8b a repeat that was not answered says nothing of a commit: asked again": {turns: underLock(ended,
			turn{left(ended, proof("1"), Attempt{ID: "2", Refresh: "r1", Sent: true}), Action{Do: Prepare, Lesson: Lesson{Kind: LearnUnanswered, Left: true}}})},
		"8b one proof of a commit: repeated once more": {turns: underLock(ended,
			turn{left(ended, proof("1")), do(Prepare)})},
		"8b what an earlier flight proved committed is repeated once": {turns: underLock(ended,
			turn{left(ended, proof("1")), do(Prepare)}, turn{only(Prepared), do(Send)},
			unknown(), turn{left(ended, proof("1"), Attempt{ID: "2", Refresh: "r1", Sent: true}), Action{Do: Pause, Repeat: 1}},
			turn{only(Paused), do(Prepare)}, turn{only(Prepared), do(Send)},
			unknown(), turn{left(ended, proof("1"), Attempt{ID: "2", Refresh: "r1", Sent: true}), with(fail(UnknownOutcome), learn(LearnUnknown), "")})},
		"8b an attempt that is closed first takes nothing from the pause before a repeat": {turns: toSend(unknown(),
			turn{left(ended, Attempt{ID: "0", Corrupt: true}, Attempt{ID: "1", Refresh: "r1", Sent: true}), closing("0", "corrupt")},
			turn{only(AttemptClosed), do(LookAgain)},
			turn{stands(ended), Action{Do: Pause, Repeat: 1}})},
		"8d the store changed at every refusal": {turns: toSend(
			turn{answer(Refused), do(LookAgain)}, turn{again(elsewhere("2")), with(do(LookAgain), Lesson{}, "refused")},
			turn{again(elsewhere("2")), do(Prepare)}, turn{only(Prepared), do(Send)},
			turn{answer(Refused), do(LookAgain)}, turn{again(elsewhere("3")), with(fail(WasRefused), Lesson{}, "refused")})},
		"8d refused while another attempt stands: lost": {turns: underLock(ended,
			turn{stands(ended), Action{Do: Prepare, Lesson: Lesson{Kind: LearnUnanswered, Left: true}}}, turn{only(Prepared), do(Send)},
			turn{answer(Refused), do(LookAgain)}, turn{again(ended), with(fail(LostAnswer), Lesson{Kind: LearnDead, Lost: true}, "refused")})},
		"8d refused, and blanked by another who was refused": {turns: toSend(
			turn{answer(Refused), do(LookAgain)}, turn{again(blanked), with(do(LookAgain), Lesson{}, "refused")}, turn{again(blanked), fail(WasBlanked)})},
		"8e an answer that nobody foresaw": {turns: toSend(turn{answer(Verdict(99)), with(fail(NotEndpoint), learn(LearnForeign), "foreign")})},
		"an event that nobody foresaw":     {turns: []turn{{only(EventKind(99)), fail(Bug)}}},
		"7 the store keeps moving: three restarts": {turns: toSend(
			turn{answer(Moved), with(do(LookAgain), Lesson{}, "not-sent")}, reread, turn{only(Prepared), do(Send)},
			turn{answer(Moved), with(do(LookAgain), Lesson{}, "not-sent")}, reread, turn{only(PrepareMoved), do(LookAgain)}, reread, turn{only(Prepared), do(Send)},
			turn{answer(Moved), with(fail(Locked), Lesson{}, "not-sent")})},
		"9 unreadable at the save: from memory": {turns: toSend(
			turn{answer(Granted), do(Save)}, turn{moved(Sight{Kind: Unreadable}), do(ServeUnsaved)})},
		"9 somebody else's good login": {turns: toSend(
			turn{answer(Granted), do(Save)}, turn{moved(next), Action{Do: Serve, Adopted: true, CloseAs: "another-login", Dropped: true, Lesson: learn(LearnSpent)}})},
		"9 somebody else's login that ends within RefreshLate": {turns: toSend(
			turn{answer(Granted), do(Save)}, turn{moved(sight("a2", "r2", late)), with(do(LookAgain), learn(LearnSpent), "another-login")})},
		"9 without rotation, a newer access token of the same login": {turns: toSend(
			turn{Event{Kind: Answered, Verdict: Granted}, do(Save)}, turn{moved(sight("a2", "r1", time.Hour)), Action{Do: Serve, Adopted: true, CloseAs: "another-login", Dropped: true}})},
		"9 without rotation, only neighbours changed": {turns: toSend(
			turn{Event{Kind: Answered, Verdict: Granted}, do(Save)}, turn{moved(ended), do(Save)})},
		"5 logged out while the lock was waited for": {turns: underLock(ended,
			turn{left(Sight{}, Attempt{ID: "1", Refresh: "r1", Sent: true, Answer: true, Verdict: Granted, Rotated: true}), closing("1", "logged-out")},
			turn{only(AttemptClosed), do(LookAgain)}, turn{again(Sight{}), fail(NotFound)})},
		"10 what was recovered has grown old": {turns: underLock(ended,
			turn{left(ended, Attempt{ID: "1", Refresh: "r1", Sent: true, Answer: true, Verdict: Granted, Rotated: true}), Action{Do: Save, Attempt: "1", Recovered: true}},
			turn{only(Saved), with(do(Clear), learn(LearnGranted), "")}, turn{only(Cleared), do(LookAgain)},
			turn{again(elsewhere("2")), do(Prepare)}, turn{only(Prepared), do(Send)}, turn{answer(Granted), do(Save)},
			turn{only(Saved), with(do(Clear), learn(LearnGranted), "")}, turn{only(Cleared), do(Serve)})},
		"10 what was granted had ended when it was saved: once more, and no more": {turns: toSend(
			turn{answer(Granted), do(Save)}, turn{only(Saved), with(do(Clear), learn(LearnGranted), "")},
			turn{Event{Kind: Cleared, Sight: elsewhere("2")}, do(LookAgain)},
			turn{again(elsewhere("2")), do(Prepare)}, turn{only(Prepared), do(Send)}, turn{answer(Granted), do(Save)},
			turn{only(Saved), with(do(Clear), learn(LearnGranted), "")},
			turn{Event{Kind: Cleared, Sight: elsewhere("3")}, do(Serve)})},
		"11 the saver takes what a dead process left, and no more": {ask: Ask{SaveOnly: true}, turns: underLock(ended,
			turn{left(ended, Attempt{ID: "1", Refresh: "r1", Sent: true, Answer: true, Verdict: Granted, Rotated: true}), Action{Do: Save, Attempt: "1", Recovered: true}},
			turn{only(Saved), with(do(Clear), learn(LearnGranted), "")}, turn{only(Cleared), do(Serve)})},
		"11 the saver finds nothing left to save": {ask: Ask{SaveOnly: true}, turns: underLock(ended, turn{again(ended), do(Serve)})},
		"11 the successor in memory": {turns: underLock(ended,
			turn{again(ended, Facts{Unsaved: true, UnsavedRotated: true}), Action{Do: Save, FromMemory: true}},
			turn{moved(sight("a9", "r1", -time.Second)), do(Save)})},
		"11 the successor in memory has grown old while it waited": {turns: underLock(ended,
			turn{again(ended, Facts{Unsaved: true, UnsavedRotated: true}), Action{Do: Save, FromMemory: true}},
			turn{only(Saved), with(do(Clear), learn(LearnGranted), "")}, turn{only(Cleared), do(LookAgain)},
			turn{again(elsewhere("2")), do(Prepare)})},
		"11 the successor in memory, over a blank": {turns: []turn{{only(Begin), do(Look)}, {look(blanked, Facts{Unsaved: true}), do(Lock)}, {only(LockTaken), do(LookAgain)},
			{again(blanked, Facts{Unsaved: true}), Action{Do: Save, FromMemory: true, OverBlank: true}}}},
		"force ends spacing for nobody, a refused successor for those who force": {ask: Ask{Force: true}, turns: []turn{
			{only(Begin), do(Look)}, {look(ended, Facts{Refused: true}), do(Lock)}}},
		"a refused successor": {turns: []turn{{only(Begin), do(Look)}, {look(ended, Facts{Refused: true}), fail(APIRefuses)}}},
		"dead because an answer was lost": {turns: []turn{
			{only(Begin), do(Look)}, {look(ended, Facts{Dead: true, Lost: true}), fail(LostAnswer)}}},
		"exactly RefreshEarly is early":  {turns: []turn{{only(Begin), do(Look)}, {look(sight("a1", "r1", early)), Action{Do: Lock, Valid: true}}}},
		"exactly RefreshLate is patient": {turns: []turn{{only(Begin), do(Look)}, {look(sight("a1", "r1", late)), do(Lock)}}},
		"another with RefreshLate left is not adopted": {turns: []turn{
			{only(Begin), do(Look)}, {look(ended), do(Lock)}, {watch(sight("a2", "r2", late)), do(KeepWaiting)}, {watch(sight("", "r2", time.Hour)), do(KeepWaiting)}}},
		"exactly the end is not valid": {turns: []turn{{only(Begin), do(Look)}, {look(sight("a1", "", 0)), fail(NoRefresh)}}},
		"an escrow beside a good token is tidied without waiting": {turns: []turn{
			{only(Begin), do(Look)}, {look(fresh, Facts{Escrow: true}), Action{Do: Lock, Valid: true}}}},
		"read-only recovers nothing": {ask: Ask{ReadOnly: true}, turns: []turn{
			{only(Begin), do(Look)}, {look(fresh, Facts{Escrow: true}), do(Serve)}}},
	} {
		t.Run(name, func(t *testing.T) { converse(t, c.ask, c.turns) })
	}
}

func proof(id string) Attempt {
	return Attempt{ID: id, Refresh: "r1", Sent: true, Answer: true, Verdict: Committed}
}

func converse(t *testing.T, ask Ask, turns []turn) {
	t.Helper()
	s := State{Ask: ask}
	for i, turn := range turns {
		var got Action
		s, got = Next(s, turn.event)
		if got != turn.want {
			t.Fatalf("turn %d: %+v gives\n%+v, want\n%+v", i, turn.event, got, turn.want)
		}
	}
}

// §6.9: a store that changes at every save is left alone in the end.
func TestSavesAreBounded(t *testing.T) {
	s, _ := Next(State{Sending: "r1", Rotated: true, Locked: true}, answer(Granted))
	for n := 1; ; n++ {
		var a Action
		s, a = Next(s, moved(ended))
		if a.Do == ServeUnsaved {
			if n != MaxSaves+1 {
				t.Errorf("gave up after %d, want %d", n, MaxSaves+1)
			}
			return
		}
		if a.Do != Save || n > MaxSaves {
			t.Fatalf("save %d: %+v", n, a)
		}
	}
}

// What is remembered, to the letter and to the instant.
func TestMemoryAtItsBounds(t *testing.T) {
	had := ledger.Memory{Print: "r1", Spent: []string{"r0"}, Cooldown: &ledger.Cooldown{Until: now.Add(time.Minute)}}
	if m := Remember(had, Lesson{}, Note{Now: now, Print: "r2"}, times); m.Print != "r1" || m.Cooldown == nil || m.Version != ledger.FormatVersion {
		t.Errorf("learned from nothing: %+v", m)
	}
	for _, print := range []string{"", "r0"} {
		if m := Remember(had, learn(LearnSpent), Note{Print: print}, times); len(m.Spent) != 1 {
			t.Errorf("spent %q twice: %v", print, m.Spent)
		}
	}
	if m := Remember(had, learn(LearnSpent), Note{Print: "r1"}, times); len(m.Spent) != 2 || m.Cooldown == nil || len(had.Spent) != 1 {
		t.Errorf("a spent token: %+v", m)
	}
	if m := Remember(had, learn(LearnGranted), Note{Now: now, Print: "r1", Grant: ledger.Granted{Refresh: "r1"}}, times); len(m.Spent) != 1 || m.Granted.Refresh != "r1" || m.Cooldown != nil {
		t.Errorf("a grant without rotation: %+v", m)
	}
	if m := Remember(had, learn(LearnUnknown), Note{Now: now, Print: "r2"}, times); m.Print != "r2" || m.Cooldown.Count != 1 {
		t.Errorf("a lesson on another token: %+v", m)
	}
	sent := now.Add(-time.Minute)
	if m := Remember(had, Lesson{Kind: LearnDead, Lost: true}, Note{Now: now, Print: "r1", SentAt: sent}, times); m.Dead.Reason != string(LostAnswer) || !m.Dead.Lost.Equal(sent) || !m.Dead.At.Equal(now) {
		t.Errorf("lost: %+v", m.Dead)
	}
	if m := Remember(had, learn(LearnDead), Note{Now: now, Print: "r1", SentAt: sent}, times); m.Dead.Reason != string(WasRefused) || !m.Dead.Lost.IsZero() {
		t.Errorf("refused: %+v", m.Dead)
	}
	if f := Recall(ledger.Memory{Print: "", Dead: &ledger.Dead{}}, sight("a", "", 0), Ask{}, now, times); f != (Facts{}) {
		t.Errorf("of no refresh token: %+v", f)
	}
	foreign := Remember(had, learn(LearnForeign), Note{Now: now, Print: "r1", What: "what", Foreign: "unsupported_grant_type"}, times)
	if c := foreign.Cooldown; c.Reason != "unsupported_grant_type" || c.What != "what" {
		t.Errorf("foreign: %+v", c)
	}
	jitter := Note{Now: now, Print: "r1", RetryAt: now.Add(10 * time.Minute), What: "what", Jitter: func(d time.Duration) time.Duration { return d }}
	limited := Remember(ledger.Memory{}, learn(LearnLimited), jitter, times).Cooldown
	if d := limited.Until.Sub(now); d != 10*time.Minute+10*time.Minute/8 || limited.Count != 1 || limited.What != "what" {
		t.Errorf("limited with jitter: %+v", limited)
	}
	unreachable := Remember(ledger.Memory{}, learn(LearnUnreachable), jitter, times).Cooldown
	if d := unreachable.Until.Sub(now); d != times.CooldownUnreachableMin+times.CooldownUnreachableMin/8 {
		t.Errorf("jitter: %v", d)
	}
}

// R18, 6.12: spacing and cooldowns at their ends.
func TestRecallAtItsBounds(t *testing.T) {
	other := &ledger.Unanswered{Print: "r0", At: now}
	for d, want := range map[time.Duration]bool{
		0: true, times.Spacing - 1: true, times.Spacing: false, -times.Spacing: true, -times.Spacing - 1: false,
	} {
		if f := Recall(ledger.Memory{Unanswered: other}, ended, Ask{}, now.Add(d), times); f.Spacing != want {
			t.Errorf("spacing %v after: %v, want %v", d, f.Spacing, want)
		}
	}
	if Recall(ledger.Memory{Unanswered: &ledger.Unanswered{Print: "r1", At: now}}, ended, Ask{}, now, times).Spacing {
		t.Error("spacing for the token that was sent itself")
	}
	most := times.CooldownLimitedMax + times.CooldownLimitedMax/4
	for ahead, want := range map[time.Duration]bool{0: false, 1: true, most: true, most + 1: false} {
		m := ledger.Memory{Print: "r1", Cooldown: &ledger.Cooldown{Until: now.Add(ahead)}}
		if f := Recall(m, ended, Ask{}, now, times); f.Cooldown != want {
			t.Errorf("cooldown that ends in %v: %v, want %v", ahead, f.Cooldown, want)
		}
	}
	most = times.RefusedMax + times.RefusedMax/4
	for ahead, want := range map[time.Duration]bool{0: false, 1: true, most: true, most + 1: false} {
		m := ledger.Memory{Print: "r1", Refused: &ledger.Cooldown{Until: now.Add(ahead)}}
		if f := Recall(m, ended, Ask{}, now, times); f.Refused != want {
			t.Errorf("refusal that ends in %v: %v, want %v", ahead, f.Refused, want)
		}
	}
}

// R15b: when a refused token counts as a fresh successor that was refused.
func TestFreshRefused(t *testing.T) {
	within := times.RefusedWithin
	granted := func(lifetime time.Duration) ledger.Memory {
		return ledger.Memory{Granted: &ledger.Granted{At: now, Access: "a1", Lifetime: lifetime}}
	}
	replace := Ask{Replace: "a1"}
	for name, c := range map[string]struct {
		m    ledger.Memory
		v    Sight
		ask  Ask
		age  time.Duration
		want bool
	}{
		"at once":                         {granted(0), fresh, replace, 0, true},
		"within the time":                 {granted(8 * time.Hour), fresh, replace, within - 1, true},
		"at its end":                      {granted(8 * time.Hour), fresh, replace, within, false},
		"the clock went back":             {granted(8 * time.Hour), fresh, replace, 1 - within, true},
		"the clock went back further":     {granted(8 * time.Hour), fresh, replace, -within, false},
		"half of a short life":            {granted(within), fresh, replace, within / 2, false},
		"before half of a short life":     {granted(within), fresh, replace, within/2 - 1, true},
		"of one nanosecond":               {granted(2), fresh, replace, 0, true},
		"it has ended":                    {granted(8 * time.Hour), sight("a1", "r1", 0), replace, 0, false},
		"another was granted":             {granted(8 * time.Hour), sight("a2", "r1", time.Hour), Ask{Replace: "a2"}, 0, false},
		"another is stored":               {granted(8 * time.Hour), sight("a2", "r1", time.Hour), replace, 0, false},
		"forced":                          {granted(8 * time.Hour), fresh, Ask{Replace: "a1", Force: true}, 0, false},
		"nobody refused it":               {granted(8 * time.Hour), fresh, Ask{}, 0, false},
		"nothing was granted":             {ledger.Memory{}, fresh, replace, 0, false},
		"its lifetime is not known (neg)": {granted(-1), fresh, replace, within - 1, true},
	} {
		if f := Recall(c.m, c.v, c.ask, now.Add(c.age), times); f.FreshRefused != c.want {
			t.Errorf("%s: %v, want %v", name, f.FreshRefused, c.want)
		}
	}
}

// The doubling of refused successors outlives the grant between them, for as
// long as a refusal may last.
func TestRefusedSuccessorsKeepDoubling(t *testing.T) {
	refused := Remember(ledger.Memory{}, learn(LearnRefusedSuccessor), Note{Now: now, Print: "r1"}, times)
	if d := refused.Refused.Until.Sub(now); d != times.RefusedMin {
		t.Fatalf("first: %v", d)
	}
	grant := func(at time.Time) ledger.Memory {
		return Remember(refused, learn(LearnGranted), Note{Now: at, Print: "r1", Rotated: true, Grant: ledger.Granted{Refresh: "r2"}}, times)
	}
	end := refused.Refused.Until.Add(times.RefusedMax)
	m := grant(end.Add(-1))
	if m.Refused == nil || m.Refused.Count != 1 || !m.Refused.Until.IsZero() || m.Refused.Reason != string(APIRefuses) {
		t.Fatalf("forgotten by a grant: %+v", m.Refused)
	}
	again := Remember(m, learn(LearnRefusedSuccessor), Note{Now: now, Print: "r2"}, times)
	if d := again.Refused.Until.Sub(now); d != 2*times.RefusedMin || again.Refused.Count != 2 {
		t.Errorf("second: %v %+v", d, again.Refused)
	}
	if m := grant(end); m.Refused != nil {
		t.Errorf("kept for ever: %+v", m.Refused)
	}
}
