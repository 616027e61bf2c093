package decide

import "time"

// Bounds of one flight.
const (
	MaxUnsent   = 3  // tries that never left (DESIGN §6.8a)
	MaxRepeats  = 3  // sends after the first whose outcome is unknown (§6.8b)
	MaxRestarts = 3  // returns to step 4 because the store moved
	MaxStanding = 2  // open attempts of unknown fate for one token when a flight begins, but see superfluous
	MaxSaves    = 10 // compare-and-swaps of one successor
)

// Forever is the Left of a token whose end is unknown.
const Forever = time.Duration(1<<63 - 1)

// Ask is what the flight was started for.
type Ask struct {
	// Replace is the fingerprint of an access token that must not be served: the
	// one a server refused. Empty: none.
	Replace string
	// Force replaces the access token that the first look sees, and asks once
	// more past the login's deadline.
	Force    bool
	ReadOnly bool
	// SaveOnly is the flight that saves what could not be saved before (step 11);
	// it grants nothing.
	SaveOnly bool
}

// Presence is what a look found.
type Presence int

// What a look can find (INTEROP §2).
const (
	Absent Presence = iota
	Present
	Blanked
	Unreadable
)

// Sight is one look at the store.
type Sight struct {
	Kind            Presence
	Access, Refresh string        // fingerprints; empty: none
	Left            time.Duration // until the access token ends
	Early, Late     time.Duration // RefreshEarly and RefreshLate, as they apply to this token's lifetime
	Deadline        bool          // the login's own end has passed
}

// Facts are what the shared memory says of the sight beside it.
type Facts struct {
	Escrow bool // an open attempt holds an answer
	// Unsaved: this process holds the successor of what is stored in memory. It is
	// still good; it came with another refresh token.
	Unsaved, UnsavedGood, UnsavedRotated bool
	Dead, Lost                           bool // refused for good; because an answer was lost
	Spent                                bool // rotated before: the store went back in time
	Cooldown                             bool
	Refused                              bool // the API refuses fresh tokens
	FreshRefused                         bool // the token to be replaced is a fresh successor of ours
	Spacing                              bool // too soon after an unanswered send of the generation before
}

// Attempt is a record that was found under the lock.
type Attempt struct {
	ID              string
	Refresh, Access string // fingerprints at the time of the intent
	Sent            bool   // false: it surely never left
	Answer          bool   // some of an answer is there
	Corrupt         bool   // not even the intent can be read
	Verdict         Verdict
	Rotated         bool
	Descends        bool // its token came of the stored one by grants that we know of
	OtherLogin      bool // the blanked login in the store is another than the attempt's
}

// Verdict is what came of a send.
type Verdict int

// The verdicts of step 8, and before it the ways not to send.
const (
	Unknown Verdict = iota
	Granted
	Committed
	Limited
	Refused
	Foreign
	NotSent
	Halted   // the flight was told to end, or had no time left
	LockLost // found at the last check before the first byte
	Moved    // the store changed, or the machine slept, before the first byte
)

// After says why a look under the lock was asked for.
type After int

// The reasons for a look under the lock.
const (
	AfterLock After = iota
	AfterUnknown
	AfterRefusal
)

// State is one flight.
type State struct {
	Ask
	First         string // access fingerprint of the first look
	Seen          Sight
	Facts         Facts
	Locked        bool
	Patient       bool // no valid token: waits for locks, repeats sends
	After         After
	Standing      bool   // an attempt of unknown fate stands for the token
	Sending       string // refresh fingerprint of this generation's sends
	SendingAccess string
	Rotated       bool
	Recovering    bool // the save under way is that of an attempt that was left behind
	Sends         int  // of this generation, with unknown outcome
	Committed     bool
	Again         bool // the pause before a repeat is on
	Unsent        int
	Restarts      int
	Saves         int
	Ended         bool // what was granted had ended when it was saved
}

// Do is what the performer does.
type Do int

// The actions, in the order of DESIGN §6. Each names the events it may cause.
const (
	Look         Do = iota // 1, 2: Looked
	Lock                   // 3: LockTaken, LockHeld, LockUnsafe; meanwhile Watched
	KeepWaiting            // 3: the answer to Watched
	LookAgain              // 4, 5: LookedAgain
	CloseAttempt           // 5: AttemptClosed
	Prepare                // 6: Prepared, PrepareMoved, PrepareFailed
	Send                   // 7, 8: Answered
	Pause                  // 8a, 8b: Paused, TimeUp, Stopped
	Save                   // 9: Saved, SaveMoved, SaveFailed
	Clear                  // 10: Cleared
	Serve                  // the end: hand out what was last seen or saved
	ServeUnsaved           // 11: hand out the successor from memory, keep the attempt, save later
	Fail                   // the end: Cause
)

// Action is what to do next. Lesson and CloseAs are done first.
type Action struct {
	Do    Do
	Cause Cause // of a Fail; of a Serve: why the token was not renewed
	// Lesson is noted in the shared memory.
	Lesson Lesson
	// CloseAs closes the attempt of this flight's last send, and with "refused",
	// "logged-out" and "another-login" all attempts of the same refresh token.
	CloseAs string
	// Attempt is the record that CloseAttempt or Save speaks of; empty: the flight's own.
	Attempt   string
	Adopted   bool
	Recovered bool
	OverBlank bool
	Dropped   bool
	// FromMemory: the successor to be saved is the one that could not be before.
	FromMemory bool
	// Valid: what was seen may be served while the flight goes on.
	Valid  bool
	Unsent int // Pause before try Unsent+1 of a send that never left
	Repeat int // Pause before the Repeat-th repeat
}

// EventKind names what came of an action.
type EventKind int

// The events.
const (
	Begin EventKind = iota
	Looked
	Watched
	LockTaken
	LockHeld
	LockUnsafe
	LookedAgain
	AttemptClosed
	Prepared
	PrepareMoved
	PrepareFailed
	Answered
	Paused
	TimeUp
	Stopped
	Saved
	SaveMoved
	SaveFailed
	Cleared
)

// Event is what came of an action.
type Event struct {
	Kind     EventKind
	Sight    Sight     // Looked, Watched, LookedAgain, SaveMoved
	Facts    Facts     // the same
	Attempts []Attempt // LookedAgain
	Verdict  Verdict   // Answered
	Rotated  bool      // Answered, Granted
	Replied  bool      // Answered, Unknown: some complete answer came, so nothing is under way any more
}

// Cause says why there is no successor. The texts are evercred.Reason values.
type Cause string

// The causes.
const (
	None           Cause = ""
	NotFound       Cause = "not-found"
	WasBlanked     Cause = "blanked"
	Deadline       Cause = "deadline"
	NoRefresh      Cause = "no-refresh-token"
	WasRefused     Cause = "refused"
	LostAnswer     Cause = "lost-answer"
	OlderCopy      Cause = "older-copy"
	Cooldown       Cause = "cooldown"
	Unreachable    Cause = "unreachable"
	NotEndpoint    Cause = "not-the-endpoint"
	RateLimited    Cause = "rate-limited"
	UnknownOutcome Cause = "unknown-outcome"
	Spacing        Cause = "spacing"
	APIRefuses     Cause = "api-refuses"
	ReadOnly       Cause = "read-only"
	TimedOut       Cause = "timeout"
	Locked         Cause = "locked"
	CannotLock     Cause = "cannot-lock"
	CannotSave     Cause = "cannot-save"
	CannotRead     Cause = "unreadable"
	Bug            Cause = "bug"
)

// LessonKind names what is to be remembered.
type LessonKind int

// The lessons.
const (
	LearnNothing LessonKind = iota
	LearnUnreachable
	LearnForeign
	LearnUnknown    // sends exhausted: a cooldown
	LearnUnanswered // a request left and nothing came back: spacing
	LearnLimited
	LearnDead
	LearnGranted
	LearnSpent // the token of the attempt has rotated
	LearnRefusedSuccessor
)

// Lesson is what a flight teaches all processes.
type Lesson struct {
	Kind LessonKind
	Lost bool // LearnDead: an answer was lost
	Left bool // LearnUnanswered: by a dead process
	Skip bool // LearnUnanswered: an answer did come; nothing to remember
}
