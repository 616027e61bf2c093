//go:build unix

package ledger

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// both is a Book and a Keeper of one login.
type both struct {
	Book
	Keeper
}

func (b both) Memory() (Memory, error) { return b.Book.Memory() }

// each runs a test with the ledger on disk and with the one in memory.
func each(t *testing.T, f func(t *testing.T, b both)) {
	t.Run("disk", func(t *testing.T) {
		l := Open(quick(t), "doc", real())
		f(t, both{l, hold(t, l)})
	})
	t.Run("volatile", func(t *testing.T) {
		v := NewVolatile(real())
		f(t, both{v, v})
	})
}

func text(v any) string {
	b, err := json.Marshal(v)
	return fmt.Sprint(string(b), err)
}

func TestMemoryIsKept(t *testing.T) {
	each(t, func(t *testing.T, b both) {
		m, err := b.Memory()
		if err != nil || text(m) != text(Memory{}) {
			t.Fatalf("at first: %+v %v", m, err)
		}
		at := time.Unix(1e9, 5).UTC()
		want := Memory{
			Version:    FormatVersion,
			Print:      "p",
			Cooldown:   &Cooldown{Until: at, Reason: "rate-limited", Count: 3, What: "w"},
			Dead:       &Dead{At: at, Reason: "refused", Lost: at},
			Refused:    &Cooldown{Until: at, Reason: "api-refuses", Count: 1},
			Spent:      []string{"a", "b"},
			Granted:    &Granted{At: at, Access: "x", Lifetime: time.Hour},
			Unanswered: &Unanswered{Print: "q", At: at},
		}
		given := want.clone()
		given.Version, given.Corrupt = 0, true
		must(t, b.SetMemory(given))
		given.Spent[0], given.Dead.Reason = "changed", "afterwards"
		m, err = b.Memory()
		if err != nil || text(m) != text(want) {
			t.Fatalf("got  %s\nwant %s", text(m), text(want))
		}
		m.Spent[0], m.Cooldown.Count = "changed", 7
		if m, err := b.Keeper.Memory(); err != nil || text(m) != text(want) {
			t.Fatalf("what was read shares what is kept: %s", text(m))
		}
	})
}

func TestSpentIsBounded(t *testing.T) {
	each(t, func(t *testing.T, b both) {
		var m Memory
		for i := range 20 {
			m.Spent = append(m.Spent, fmt.Sprint(i))
		}
		must(t, b.SetMemory(m))
		got, err := b.Memory()
		if err != nil || len(got.Spent) != 16 || got.Spent[15] != "19" || got.Spent[0] != "4" {
			t.Errorf("%v %v", got.Spent, err)
		}
	})
}

func TestAttemptsFromBeginToHistory(t *testing.T) {
	each(t, func(t *testing.T, b both) {
		pending := func(want bool) {
			t.Helper()
			if got, err := b.Pending(); got != want || err != nil {
				t.Fatalf("pending: %v %v, want %v", got, err, want)
			}
		}
		deadline := time.Unix(5e9, 0).UTC()
		var records []Record
		for i := range 3 {
			r, err := b.Begin(Intent{Refresh: fmt.Sprint("r", i), Access: "a", Deadline: deadline})
			must(t, err)
			records = append(records, r)
		}
		in := records[0].Intent()
		if in.Version != FormatVersion || in.ID == "" || time.Since(in.At) > time.Minute || in.Holder != real().Procs.Self() ||
			in.Refresh != "r0" || in.Access != "a" || !in.Deadline.Equal(deadline) {
			t.Errorf("intent %+v", in)
		}
		open, err := b.Keeper.Attempts()
		must(t, err)
		seen, err := b.Book.Attempts()
		must(t, err)
		for i, list := range [][]Record{open, seen} {
			if len(list) != 3 {
				t.Fatalf("list %d has %d attempts", i, len(list))
			}
			for j, r := range list {
				if r.Intent().ID != records[j].Intent().ID || r.Corrupt() {
					t.Errorf("list %d, %d: %+v", i, j, r.Intent())
				}
			}
		}

		r := records[1]
		if _, ok := r.Sent(); ok || !r.NeverSent("") || r.HasAnswer() {
			t.Error("a new attempt was sent")
		}
		if raw, at, complete := r.Answer(); raw != nil || !at.IsZero() || complete {
			t.Error("a new attempt has an answer")
		}
		pending(false)
		must(t, r.MarkSending(time.Unix(100, 0)))
		if at, ok := r.Sent(); !ok || !at.Equal(time.Unix(100, 0)) || r.NeverSent(b.BootID()) {
			t.Errorf("marked: %v %v", at, ok)
		}
		pending(false)
		must(t, r.Finish(time.Unix(101, 0))) // an answer without a byte is none
		pending(false)

		must(t, r.MarkSending(time.Unix(200, 0)))
		must(t, r.Append([]byte("first")))
		pending(true)
		if raw, at, complete := r.Answer(); string(raw) != "first" || !at.Equal(time.Unix(200, 0)) || complete {
			t.Errorf("%q %v %v", raw, at, complete)
		}
		must(t, r.Finish(time.Unix(201, 0)))
		if raw, at, complete := r.Answer(); string(raw) != "first" || !at.Equal(time.Unix(201, 0)) || !complete {
			t.Errorf("%q %v %v", raw, at, complete)
		}

		must(t, r.MarkSending(time.Unix(300, 0))) // the answer before stays until there is another
		if raw, _, _ := r.Answer(); string(raw) != "first" {
			t.Errorf("%q", raw)
		}
		must(t, r.Append([]byte("second")))
		must(t, r.Append([]byte(strings.Repeat("x", keep))))
		must(t, r.Append([]byte("beyond")))
		must(t, r.Finish(time.Unix(301, 0)))
		if raw, _, complete := r.Answer(); len(raw) != keep || !strings.HasPrefix(string(raw), "secondx") || complete {
			t.Errorf("%d bytes, complete %v", len(raw), complete)
		}

		must(t, r.Close("saved", "successor", time.Unix(400, 0)))
		must(t, r.Close("dropped", "other", time.Unix(500, 0)))
		pending(false)
		if r.HasAnswer() {
			t.Error("a closed attempt keeps its answer")
		}
		if open, err := b.Keeper.Attempts(); len(open) != 2 || err != nil {
			t.Errorf("%d open, %v", len(open), err)
		}
		history, err := b.History()
		must(t, err)
		want := Closed{Intent: r.Intent(), Sent: time.Unix(300, 0).UTC(), Answered: time.Unix(301, 0).UTC(),
			ClosedAt: time.Unix(400, 0).UTC(), Reason: "saved", Successor: "successor"}
		if len(history) != 1 {
			t.Fatalf("history %+v", history)
		}
		got := history[0]
		got.Sent, got.Answered, got.ClosedAt = got.Sent.UTC(), got.Answered.UTC(), got.ClosedAt.UTC()
		if text(got) != text(want) {
			t.Errorf("got  %s\nwant %s", text(got), text(want))
		}
	})
}

// TestConcurrentUse is for the race detector, and ends (no two locks are taken
// in both orders).
func TestConcurrentUse(t *testing.T) {
	each(t, func(t *testing.T, b both) {
		var group sync.WaitGroup
		for i := range 4 {
			group.Go(func() {
				for range 10 {
					r, err := b.Begin(Intent{})
					if err == nil {
						_, perr := b.Pending()
						_, lerr := b.Keeper.Attempts()
						err = errors.Join(perr, lerr, r.MarkSending(time.Now()), r.Append([]byte("x")), r.Finish(time.Now()),
							b.SetMemory(Memory{Print: fmt.Sprint(i)}), r.Close("saved", "", time.Now()))
					}
					if err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		group.Wait()
		history, err := b.History()
		if len(history) != 40 || err != nil {
			t.Errorf("%d in history, %v", len(history), err)
		}
	})
}

// TestSights: they are the guard's own, and SetMemory with an older copy does
// not undo them.
func TestSights(t *testing.T) {
	l := Open(quick(t), "doc", real())
	g := hold(t, l)
	stale, err := g.Memory()
	must(t, err)
	sights := []Sight{{Path: "lock", Ino: 3, Boot: time.Minute}}
	must(t, g.SetSights(sights))
	stale.Print = "p"
	must(t, g.SetMemory(stale))
	must(t, g.Record([]Stamp{{Path: "lock", Ino: 9}}))
	if got := g.Sights(); text(got) != text(sights) {
		t.Errorf("%+v", got)
	}
	if m, err := g.Memory(); m.Print != "p" || err != nil {
		t.Errorf("%+v %v", m, err)
	}
	if got := g.Stamps(); len(got) != 1 || got[0].Ino != 9 {
		t.Errorf("%+v", got)
	}
	must(t, g.Release())
	if h, err := l.readHolder(); err != nil || !h.Released || len(h.Stamps) != 1 {
		t.Errorf("%+v %v", h, err)
	}
}
