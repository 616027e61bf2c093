package evercred

import "time"

// EventKind names what a Source did.
type EventKind string

// The events.
const (
	EventGranted     EventKind = "granted"     // a grant succeeded and is saved
	EventAdopted     EventKind = "adopted"     // somebody else's newer credential was taken
	EventRecovered   EventKind = "recovered"   // an answer left behind by a dead process was saved
	EventSaveFailed  EventKind = "save-failed" // a granted credential is served from memory only
	EventSavedLate   EventKind = "saved-late"  // and now it is saved
	EventOverBlank   EventKind = "over-blank"  // the save replaced a login that a loser had blanked
	EventDropped     EventKind = "dropped"     // the user logged out or in; the successor was dropped
	EventUnknown     EventKind = "unknown"     // a request left and no usable answer came
	EventLost        EventKind = "lost"        // an answer was lost for good
	EventRefused     EventKind = "refused"     // the endpoint refused the refresh token
	EventCooldown    EventKind = "cooldown"    // no grants until Until
	EventLockStolen  EventKind = "lock-stolen" // a lock of ours was taken from us
	EventStrange     EventKind = "strange"     // something tolerated
	EventDeadline    EventKind = "deadline"    // the login itself ends soon
	EventUnavailable EventKind = "unavailable" // a refresh failed; the valid token is served
	EventTakeover    EventKind = "takeover"    // a lock that a dead process left was taken over
)

// Event tells an observer what a Source did. It holds no secret.
type Event struct {
	Kind EventKind
	At   time.Time
	// Access and Refresh are fingerprints of the credential after the event.
	Access, Refresh string
	// Until is the end of a cooldown, or the time of a lost answer or a deadline.
	Until time.Time
	// Detail is a short sentence for people; may be empty.
	Detail string
	// Err is the cause; may be nil.
	Err error
}
