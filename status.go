package evercred

import (
	"context"
	"fmt"
	"time"

	"github.com/evercred/evercred/internal/decide"
)

// Status reads the store and the ledger and says what Token would do. It never
// refreshes, takes no lock, writes nothing and holds no secret. An error means
// that ctx ended or the Source was closed; what is wrong with the login stands
// in Status.Err.
func (s *Source) Status(ctx context.Context) (Status, error) {
	st, _, err := s.status(ctx)
	return st, err
}

// status is Status, and the document that it is of.
func (s *Source) status(ctx context.Context) (Status, Document, error) {
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	if closed {
		return Status{}, Document{}, errClosed
	}
	f := newFlight(s, purpose{})
	f.ask = decide.Ask{ReadOnly: s.opts.ReadOnly}
	look := f.look(ctx, decide.Looked)
	if err := ctx.Err(); err != nil {
		return Status{}, Document{}, err
	}
	st := Status{
		Place: f.latest.doc.Place(), Notes: append(append([]string(nil), f.latest.doc.Notes()...), f.latest.cred.Notes...),
		Access: look.Sight.Access, Refresh: look.Sight.Refresh,
		Expires: f.latest.cred.Expires, Deadline: f.latest.cred.Deadline, Scopes: f.latest.cred.Scopes,
		Plan: f.latest.cred.Plan, Tier: f.latest.cred.Tier, ClientID: f.latest.cred.ClientID,
		Ledger: f.ledgerStatus(look.Facts),
	}
	if look.Facts.Unsaved {
		st.Notes = append(st.Notes, "a newer token is in the memory of this process, and could not be saved yet")
	}
	// What decide would do without going on to a lock is what Token would say.
	next := decide.State{Ask: f.ask}
	_, act := decide.Next(next, look)
	f.seen = f.latest
	st.State, st.Usable, st.Renewable = judge(look, act)
	if act.Cause != decide.None {
		st.Err = f.error(act.Cause)
	}
	if f.forgot != nil && st.Renewable { // a refresh would be refused under the lock
		st.Renewable, st.Err = false, cannot("the ledger cannot be read, so nothing can be renewed", ReasonCannotLock, f.forgot)
	}
	if st.Renewable && !st.Expires.IsZero() {
		early, _ := s.windows(f.latest.cred, f.memory)
		st.RenewAt = st.Expires.Add(-min(early, s.opts.RefreshEarly)) // without this Source's jitter
	}
	return st, f.latest.doc, nil
}

// judge names the state of a login.
func judge(look decide.Event, act decide.Action) (state State, usable, renewable bool) {
	v := look.Sight
	usable = v.Kind == decide.Present && v.Access != "" && v.Left > 0
	switch v.Kind {
	case decide.Absent:
		return StateLoggedOut, false, false
	case decide.Unreadable:
		return StateUnreadable, false, false
	case decide.Blanked:
		return StateBlanked, false, look.Facts.Escrow
	}
	renewable = v.Refresh != "" && !v.Deadline && !look.Facts.Dead && !(look.Facts.Spent && !look.Facts.Escrow)
	switch {
	case v.Refresh == "":
		return StateNoRenewal, usable, false
	case usable && v.Left > v.Early:
		return StateFresh, true, renewable
	case !renewable && !usable:
		return StateDead, false, false
	case usable:
		return StateExpiring, true, renewable
	}
	return StateExpired, false, renewable
}

func (f *flight) ledgerStatus(facts decide.Facts) LedgerStatus {
	l, m := LedgerStatus{Path: f.book.Path()}, f.memory
	l.Exists, _ = f.book.Exists()
	if m.Cooldown != nil && facts.Cooldown {
		l.CooldownUntil, l.CooldownWhy = m.Cooldown.Until, Reason(m.Cooldown.Reason)
	}
	if m.Granted != nil {
		l.LastGrant = m.Granted.At
	}
	records, _ := f.book.Attempts()
	for _, r := range records {
		l.Open++
		if a, _ := f.attempt(r, ""); a.Verdict == decide.Granted {
			l.Escrow++
		}
	}
	if h, held, err := f.book.Holder(); err == nil && held {
		l.Holder = fmt.Sprintf("pid %d since %s", h.ID.PID, h.Since.Format(time.TimeOnly))
	}
	return l
}
