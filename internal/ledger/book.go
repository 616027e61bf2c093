package ledger

import "time"

// Book is what can be read of a login without the guard. Ledger and Volatile
// are Books; both are safe for concurrent use.
type Book interface {
	// Path is the folder; empty: nothing of it is on disk.
	Path() string
	// Exists reports whether a refresh was ever tried here.
	Exists() (bool, error)
	// Memory is the zero value where there is none.
	Memory() (Memory, error)
	// Pending reports whether an attempt holds an answer that is not yet saved.
	Pending() (bool, error)
	// Attempts are the open attempts, oldest first, to look at only.
	Attempts() ([]Record, error)
	// History is what remains of the closed ones, oldest first.
	History() ([]Closed, error)
	// Holder is who holds the guard now; held with a zero Holder: not known.
	Holder() (h Holder, held bool, err error)
}

// Keeper is what may be changed by whoever holds the guard. Guard and Volatile
// are Keepers; both are safe for concurrent use.
type Keeper interface {
	Memory() (Memory, error)
	// SetMemory replaces the memory, all but its Sights.
	SetMemory(Memory) error
	// Attempts are the open attempts, oldest first. Each belongs to an ended
	// flight unless this Keeper began it.
	Attempts() ([]Record, error)
	// Begin makes an attempt durable before anything is sent. It fills the ID, At,
	// Host, Holder and Version of the intent.
	Begin(Intent) (Record, error)
	// BootID is the boot of this machine; empty: unknown.
	BootID() string
}

// Record is one attempt. It is safe for concurrent use.
type Record interface {
	Intent() Intent
	// Corrupt: there is a record and its intent cannot be understood. Its Intent
	// holds the ID alone.
	Corrupt() bool

	// MarkSending notes that a request is about to leave. What Append and Finish
	// say belongs to the request marked last.
	MarkSending(at time.Time) error
	// Append keeps a piece of the raw answer, of the first 64 KiB of one; what
	// comes after is only counted. The bytes survive the death of the process as
	// soon as it returns. After an error the bytes are in this process all the
	// same, and Answer returns them.
	Append(p []byte) error
	// Finish ends an answer and makes it durable. It returns the error of an
	// earlier Append of the same answer too.
	Finish(at time.Time) error

	// Sent is when the last request was marked.
	Sent() (time.Time, bool)
	// NeverSent reports whether surely no request left. A mark survives the death
	// of its process, but not a power cut: so only within the same boot.
	NeverSent(bootID string) bool
	// HasAnswer reports whether at least one byte of an answer is kept.
	HasAnswer() bool
	// Answer is the last answer of which anything is kept: raw as it came, and
	// when it ended, or when its request was marked where no end is known.
	// complete: it ended, and all of it is kept.
	Answer() (raw []byte, at time.Time, complete bool)

	// Close ends the attempt: fingerprints, times and the reason remain, the
	// answer goes. Closing twice is closing once.
	Close(reason, successor string, at time.Time) error
}

var (
	_ Book   = (*Ledger)(nil)
	_ Book   = (*Volatile)(nil)
	_ Keeper = (*Guard)(nil)
	_ Keeper = (*Volatile)(nil)
	_ Record = (*Attempt)(nil)
)
