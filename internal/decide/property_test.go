package decide_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	. "github.com/evercred/evercred/internal/decide"
)

// TestNextKeepsItsPromises answers every action with whatever may come of it,
// and holds what no conversation may break.
func TestNextKeepsItsPromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := driver{t: t}
		d.run(State{Ask: Ask{
			Force:    rapid.Bool().Draw(t, "force"),
			ReadOnly: rapid.IntRange(0, 9).Draw(t, "readOnly") == 0,
			Replace:  rapid.SampledFrom([]string{"", "a1"}).Draw(t, "replace"),
		}})
	})
}

type driver struct {
	t        *rapid.T
	sends    map[string]int // by refresh token, in this flight
	prepared bool
	granted  bool
	tidied   int
	last     Sight // the latest look under the lock
}

func (d *driver) run(s State) {
	d.sends = map[string]int{}
	e, a := Event{Kind: Begin}, Action{}
	for step := 0; ; step++ {
		if step > 200 {
			d.t.Fatalf("no end: %+v", s)
		}
		s, a = Next(s, e)
		switch a.Do {
		case Serve:
			if a.Cause != None && !(s.Seen.Left > 0 && s.Seen.Access != s.Replace) {
				d.t.Fatalf("served a token that is not valid: %+v %+v", s, a)
			}
			return
		case ServeUnsaved:
			if !d.granted {
				d.t.Fatal("a successor that nobody granted")
			}
			return
		case Fail:
			if a.Cause == Bug {
				d.t.Fatalf("no rule for %+v in %+v", e, s)
			}
			return
		}
		e = d.answer(s, a)
	}
}

func (d *driver) answer(s State, a Action) Event {
	t := d.t
	if a.Do >= LookAgain && !s.Locked {
		t.Fatalf("%+v without the lock", a)
	}
	if s.ReadOnly && a.Do >= Lock {
		t.Fatal("read-only took a lock")
	}
	switch a.Do {
	case Look:
		return d.see(Looked)
	case Lock, KeepWaiting:
		return pickEvent(t, d.see(Watched), only(LockTaken), only(LockTaken), only(LockHeld), only(LockUnsafe))
	case LookAgain, CloseAttempt:
		if a.Do == CloseAttempt {
			if d.tidied++; d.tidied > 8 {
				return only(PrepareFailed)
			}
			if rapid.Bool().Draw(t, "closed") {
				return only(AttemptClosed)
			}
		}
		e := d.see(LookedAgain)
		d.last = e.Sight
		if d.tidied < 4 {
			e.Attempts = rapid.SliceOfN(rapid.Custom(anAttempt), 0, 2).Draw(t, "attempts")
		}
		return e
	case Prepare:
		d.prepared = true
		return pickEvent(t, only(Prepared), only(Prepared), only(Prepared), only(PrepareMoved), only(PrepareFailed))
	case Send:
		if !d.prepared || s.Sending == "" || d.last.Kind != Present || d.last.Refresh != s.Sending {
			t.Fatalf("sent %q; prepared %t; the look under the lock saw %+v", s.Sending, d.prepared, d.last)
		}
		if s.Facts.Dead || s.Facts.Spent || s.Facts.Cooldown || s.Facts.Spacing {
			t.Fatalf("sent against the shared memory: %+v", s.Facts)
		}
		v := rapid.SampledFrom([]Verdict{Unknown, Granted, Committed, Limited, Refused, Foreign, NotSent, LockLost, Moved}).Draw(t, "verdict")
		if v < NotSent {
			if d.sends[s.Sending]++; d.sends[s.Sending] > 4*(MaxRestarts+1) {
				t.Fatal("a storm")
			}
			d.prepared = false // one record a send
		}
		d.granted = d.granted || v == Granted
		return Event{Kind: Answered, Verdict: v, Rotated: rapid.Bool().Draw(t, "rotated"), Replied: rapid.Bool().Draw(t, "replied")}
	case Pause:
		return pickEvent(t, only(Paused), only(Paused), only(TimeUp))
	case Save:
		if a.Attempt == "" && !a.FromMemory && !d.granted {
			t.Fatal("saved what nobody granted")
		}
		d.granted = true
		return pickEvent(t, only(Saved), only(Saved), d.see(SaveMoved), only(SaveFailed))
	case Clear:
		return only(Cleared)
	}
	t.Fatalf("no such action: %+v", a)
	return Event{}
}

func pickEvent(t *rapid.T, events ...Event) Event {
	return events[rapid.IntRange(0, len(events)-1).Draw(t, "event")]
}

func (d *driver) see(k EventKind) Event {
	v := rapid.Custom(aSight).Draw(d.t, "sight")
	return Event{Kind: k, Sight: v, Facts: rapid.Custom(someFacts).Draw(d.t, "facts")}
}

func aSight(t *rapid.T) Sight {
	v := Sight{Kind: rapid.SampledFrom([]Presence{Present, Present, Present, Present, Absent, Blanked, Unreadable}).Draw(t, "kind"), Early: early, Late: late}
	if v.Kind == Present {
		v.Access = rapid.SampledFrom([]string{"a1", "a1", "a2", "a3", ""}).Draw(t, "access")
		v.Refresh = rapid.SampledFrom([]string{"r1", "r1", "r1", "r2", ""}).Draw(t, "refresh")
		v.Left = rapid.SampledFrom([]time.Duration{-time.Hour, 0, 10 * time.Second, time.Minute, time.Hour, Forever}).Draw(t, "left")
		v.Deadline = rapid.IntRange(0, 9).Draw(t, "deadline") == 0
	}
	return v
}

func someFacts(t *rapid.T) Facts {
	rare := func(name string) bool { return rapid.IntRange(0, 7).Draw(t, name) == 0 }
	return Facts{Escrow: rare("escrow"), Dead: rare("dead"), Lost: rare("lost"), Spent: rare("spent"),
		Cooldown: rare("cooldown"), Refused: rare("refused"), FreshRefused: rare("freshRefused"), Spacing: rare("spacing")}
}

func anAttempt(t *rapid.T) Attempt {
	return Attempt{
		ID: "1", Refresh: rapid.SampledFrom([]string{"r1", "r2"}).Draw(t, "refresh"), Access: "a1",
		Sent: rapid.Bool().Draw(t, "sent"), Answer: rapid.Bool().Draw(t, "answer"),
		Corrupt: rapid.IntRange(0, 9).Draw(t, "corrupt") == 0, Rotated: rapid.Bool().Draw(t, "rotated"),
		Verdict:    rapid.SampledFrom([]Verdict{Unknown, Granted, Committed, Limited, Refused, Foreign}).Draw(t, "verdict"),
		OtherLogin: rapid.Bool().Draw(t, "otherLogin"),
	}
}
