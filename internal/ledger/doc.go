// Package ledger is our private folder for one login: the guard that admits one
// flight at a time, the attempts that keep an answer until it is saved, and the
// memory that all our processes share (DESIGN §2, §6).
//
// The folder is DIR/.evercred/NAME/:
//
//	guard                the file that is locked; never unlinked
//	holder               who holds the guard, and which stamps its locks bear
//	memory               Memory
//	attempt-ID.open      an attempt: intent, sends, answers (see Sealed)
//	attempt-ID.closed    what remains of one: no secret
//	redo                 both documents of a write in place, until it has ended
//	tmp-*, lock-*        staging names; swept by whoever holds the guard
//
// Beside it, in DIR/.evercred/, stand VERSION and .gitignore. Reading creates
// nothing; TryGuard and Guard make what is missing.
package ledger
