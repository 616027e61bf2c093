package ledger

import (
	"bytes"
	"errors"
	"sync"
	"time"
)

// Attempt is one attempt, in the folder or in memory; see Record.
type Attempt struct {
	intent  Intent
	corrupt bool
	ours    bool // begun by this process: then what is not noted did not happen
	tape    tape
	seal    func(off int64, p []byte) ([]byte, error) // nil: the answer is kept in clear

	mu     sync.Mutex
	sends  []send
	off    int64 // where the next frame goes
	broken error // of a piece of the current answer: what follows it is not kept
	closed bool
}

// tape is where an attempt is kept.
type tape interface {
	write(frame []byte, off int64) error
	sync() error
	conclude(Closed) error
}

// Intent is what was written before anything was sent.
func (a *Attempt) Intent() Intent { return a.intent }

// Corrupt reports whether the intent cannot be understood.
func (a *Attempt) Corrupt() bool { return a.corrupt }

// MarkSending notes that a request is about to leave. It is not synced: the
// page cache survives the process, and a power cut is told by the boot id.
func (a *Attempt) MarkSending(at time.Time) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.frame(frameSend, appendStop(at, 0)); err != nil {
		return err
	}
	a.sends = append(a.sends, send{at: at})
	a.broken = nil
	return nil
}

// Append keeps a piece of the raw answer.
func (a *Attempt) Append(p []byte) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := current(&a.sends)
	s.total += int64(len(p))
	p = p[:min(len(p), max(0, keep-len(s.raw)))]
	if len(p) == 0 {
		return a.broken
	}
	s.raw = append(s.raw, p...)
	if a.broken == nil {
		a.broken = a.piece(p)
	}
	return a.broken
}

// piece writes a piece of the answer, sealed where answers are.
func (a *Attempt) piece(p []byte) error {
	if a.seal == nil {
		return a.frame(frameData, p)
	}
	sealed, err := a.seal(a.off, p)
	if err != nil {
		return err
	}
	return a.frame(frameSeal, sealed)
}

// Finish ends an answer and makes it durable.
func (a *Attempt) Finish(at time.Time) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := current(&a.sends)
	err := a.frame(frameEnd, appendStop(at, s.total))
	s.end = at
	return errors.Join(a.broken, err, a.tape.sync())
}

// frame writes one frame behind the last good one.
func (a *Attempt) frame(kind byte, payload []byte) error {
	b := appendFrame(nil, kind, payload)
	if a.off+int64(len(b)) > maxAttempt {
		return errTooLong
	}
	if err := a.tape.write(b, a.off); err != nil {
		return err
	}
	a.off += int64(len(b))
	return nil
}

var errTooLong = errors.New("attempt is too long")

// Sent is when the last request was marked.
func (a *Attempt) Sent() (time.Time, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.sends) == 0 {
		return time.Time{}, false
	}
	at := a.sends[len(a.sends)-1].at
	return at, !at.IsZero()
}

// NeverSent reports whether surely no request left.
func (a *Attempt) NeverSent(bootID string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.sends) > 0 || a.corrupt {
		return false
	}
	return a.ours || bootID != "" && bootID == a.intent.Holder.Boot
}

// HasAnswer reports whether at least one byte of an answer is kept.
func (a *Attempt) HasAnswer() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.answered() != nil
}

// Answer is the last answer of which anything is kept.
func (a *Attempt) Answer() (raw []byte, at time.Time, complete bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.answered()
	if s == nil {
		return nil, time.Time{}, false
	}
	at = s.end
	if at.IsZero() {
		at = s.at // earlier than it came: a lifetime counted from here ends early, not late
	}
	return bytes.Clone(s.raw), at, !s.end.IsZero() && s.total == int64(len(s.raw))
}

// answered is the last request of which something came back.
func (a *Attempt) answered() *send {
	for i := len(a.sends) - 1; i >= 0; i-- {
		if len(a.sends[i].raw) > 0 {
			return &a.sends[i]
		}
	}
	return nil
}

// Close reduces the attempt to fingerprints, times and the reason.
func (a *Attempt) Close(reason, successor string, at time.Time) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return nil
	}
	c := Closed{Intent: a.intent, ClosedAt: at, Reason: reason, Successor: successor}
	c.Version = FormatVersion
	if len(a.sends) > 0 {
		c.Sent = a.sends[len(a.sends)-1].at
	}
	if s := a.answered(); s != nil {
		c.Answered = s.end
	}
	if err := a.tape.conclude(c); err != nil {
		return err
	}
	a.closed, a.sends = true, nil
	return nil
}

// lookOnly is the tape of an attempt seen without the guard.
type lookOnly struct{}

func (lookOnly) write([]byte, int64) error { return ErrReadOnly }
func (lookOnly) sync() error               { return ErrReadOnly }
func (lookOnly) conclude(Closed) error     { return ErrReadOnly }
