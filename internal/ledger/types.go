package ledger

import (
	"time"

	"github.com/evercred/evercred/internal/procid"
)

// FormatVersion is the version of everything in a ledger. A record of a higher
// one is left untouched.
const FormatVersion = 1

// Memory is what every process of ours knows of one login (DESIGN §6.2).
// Fingerprints only; never a secret.
type Memory struct {
	Version int `json:"version"`

	// Print is the fingerprint of the stored refresh token that Cooldown, Dead
	// and Refused speak of; they are void as soon as the store holds another.
	Print    string    `json:"print,omitempty"`
	Cooldown *Cooldown `json:"cooldown,omitempty"`
	Dead     *Dead     `json:"dead,omitempty"`
	Refused  *Cooldown `json:"refused,omitempty"` // the API refuses fresh successors (DESIGN §6.12)

	// Spent are the last 16 refresh tokens that rotated, newest last.
	Spent []string `json:"spent,omitempty"`
	// Granted is the last grant of ours.
	Granted *Granted `json:"granted,omitempty"`
	// Unanswered is the last send that stayed unanswered (DESIGN §6.12).
	Unanswered *Unanswered `json:"unanswered,omitempty"`

	// Sights are what waiters saw of other programs' locks (INTEROP §3.3). Only
	// SetSights changes them.
	Sights []Sight `json:"sights,omitempty"`

	// Corrupt: there is a record and it cannot be understood; the rest is zero.
	Corrupt bool `json:"-"`
}

// Cooldown is a time of no grants.
type Cooldown struct {
	Until  time.Time `json:"until"`
	Reason string    `json:"reason"` // an evercred.Reason
	Count  int       `json:"count"`  // how many in a row: each doubles the next
	What   string    `json:"what,omitempty"`
}

// Dead is a refusal for good.
type Dead struct {
	At     time.Time `json:"at"`
	Reason string    `json:"reason"`
	// Lost is when the answer was lost that would have carried the successor; zero: none was.
	Lost time.Time `json:"lost,omitzero"`
}

// Granted notes a grant.
type Granted struct {
	At       time.Time     `json:"at"`
	Access   string        `json:"access"`  // fingerprint of the access token issued
	Refresh  string        `json:"refresh"` // and of the refresh token stored with it
	Lifetime time.Duration `json:"lifetime"`
}

// Unanswered notes a send without answer.
type Unanswered struct {
	Print string    `json:"print"`
	At    time.Time `json:"at"`
}

// Sight is one look at a lock of another program.
type Sight struct {
	Path   string        `json:"path"`
	Ino    uint64        `json:"ino"`
	Time   time.Time     `json:"time"`   // the lock's modification time
	BootID string        `json:"bootId"` // of the boot during which Boot was read
	Boot   time.Duration `json:"boot"`   // when it was seen, on the clock that counts sleep
	Awake  time.Duration `json:"awake"`  // when it was seen, on the clock that does not
	Wall   time.Time     `json:"wall"`   // when it was seen, on the wall clock
}

// Holder is the holder line beside the guard: who holds it, and which stamps
// its locks bear (INTEROP §3.4).
type Holder struct {
	Version int       `json:"version"`
	ID      procid.ID `json:"id"`
	Since   time.Time `json:"since"`
	// Random is the sub-millisecond part, in nanoseconds, of every time that
	// this holder stamps.
	Random int64   `json:"random"`
	Stamps []Stamp `json:"stamps,omitempty"`

	// Released: the guard was given back in good order.
	Released bool `json:"released,omitempty"`
	// Prior is an earlier holder whose stamps may still stand on locks: it died,
	// and this one has not yet stamped any. Never deeper than one.
	Prior *Holder `json:"prior,omitempty"`
}

// Stamp is how a holder knows its own lock again.
type Stamp struct {
	Path  string    `json:"path"`
	Ino   uint64    `json:"ino"`
	Birth time.Time `json:"birth,omitzero"`
	// Time is the time that the lock bears or is about to bear, Prev the one before.
	Time time.Time `json:"time"`
	Prev time.Time `json:"prev,omitzero"`
}

// Intent is what is written before a grant.
type Intent struct {
	Version int       `json:"version"`
	ID      string    `json:"id"`      // sorts by time
	Refresh string    `json:"refresh"` // fingerprint of the refresh token to be sent
	Access  string    `json:"access"`  // fingerprint of the access token stored beside it
	At      time.Time `json:"at"`
	Host    string    `json:"host"`
	Holder  procid.ID `json:"holder"`
	// Deadline is the login's own end: with the tokens blanked, it still tells
	// one login from another.
	Deadline time.Time `json:"deadline,omitzero"`
}

// Closed is what remains of an attempt: fingerprints, times and the reason.
type Closed struct {
	Intent
	Sent     time.Time `json:"sent,omitzero"`
	Answered time.Time `json:"answered,omitzero"`
	ClosedAt time.Time `json:"closedAt"`
	Reason   string    `json:"reason"` // "saved", "adopted", "logged-out", "refused", …
	// Successor is the fingerprint of the refresh token that came of it.
	Successor string `json:"successor,omitempty"`
}
