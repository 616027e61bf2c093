package evercred

import (
	"log/slog"
	"time"

	"github.com/evercred/evercred/internal/seam"
)

// Options tune a Source. nil and every zero member mean the default.
type Options struct {
	// RefreshEarly is how long before its end a token is renewed while it is
	// still served: 10 minutes by default, before the owner's 5 (INTEROP §4), with
	// a little jitter; lifetimes under an hour are renewed at 80 %.
	RefreshEarly time.Duration
	// RefreshLate is how long before its end a token is no longer handed out
	// without an attempt to renew it: 30 s by default.
	RefreshLate time.Duration
	// RefreshTimeout bounds waiting for locks, connecting and the start of sends
	// of one flight: 30 s by default. A request whose bytes have left is awaited
	// for 30 s of its own.
	RefreshTimeout time.Duration
	// Probe is how often at most the store is asked whether it changed: 1 s by default.
	Probe time.Duration
	// Background renews in the early window without making any caller wait. Only
	// for programs that promise to call Close before they end.
	Background bool
	// ReadOnly never refreshes: it serves what the owner writes.
	ReadOnly bool
	// Logger gets what Observe gets; nil: nothing is logged.
	Logger *slog.Logger
	// Observe is called for every event, outside all locks. It must not block;
	// a panic in it is recovered.
	Observe func(Event)
	// Seams are for this module's own tests; leave it nil.
	Seams *seam.Seams
}

// State is what can be said of a stored login.
type State string

// The states (INTEROP §2).
const (
	StateFresh      State = "fresh"        // usable, not near its end
	StateExpiring   State = "expiring"     // usable, to be renewed
	StateExpired    State = "expired"      // renewable
	StateNoRenewal  State = "cannot-renew" // no refresh token: usable until its end
	StateBlanked    State = "blanked"      // the endpoint refused it; log in again
	StateDead       State = "dead"         // refused, or past its deadline
	StateLoggedOut  State = "logged-out"   // absent
	StateUnreadable State = "unreadable"
	StateOnDemand   State = "on-demand" // made when it is asked for, by a command or an exchange
)

// Status is what is stored and what would happen next. It holds no secret.
type Status struct {
	State State
	// Usable: Token would return a token at once. Renewable: a refresh may succeed.
	Usable, Renewable bool
	Place             string
	Access, Refresh   string // fingerprints
	Expires, Deadline time.Time
	Scopes            []string
	Plan, Tier        string
	ClientID          string
	// RenewAt is when the next refresh is due; zero: unknown or never.
	RenewAt time.Time
	// Err is what Token would return, or what stands in the way of a refresh; nil: nothing.
	Err error
	// Notes are warnings, such as loose permissions.
	Notes []string
	// Ledger is what the processes of this machine remember of the login.
	Ledger LedgerStatus
}

// LedgerStatus is what the ledger says.
type LedgerStatus struct {
	// Path is the folder; empty: the store has none, and exclusion reaches only
	// this process.
	Path string
	// Exists: at least one refresh was tried here.
	Exists        bool
	CooldownUntil time.Time
	CooldownWhy   Reason
	LastGrant     time.Time
	// Open counts attempts without a conclusion, Escrow those of them that hold
	// an answer still to be saved.
	Open, Escrow int
	// Holder is who holds the guard now, for people; empty: nobody.
	Holder string
}
