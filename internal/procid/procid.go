// Package procid names a process so that it can be told from every other one:
// pid, start time, boot and pid namespace (a pid alone is reused, and means
// nothing in another container); and it holds the clock that counts sleep.
package procid

import "time"

// ID names a process. The zero value of a member means that it could not be
// learned, and then nothing may be concluded from it.
type ID struct {
	PID   int    `json:"pid"`
	Start string `json:"start,omitempty"` // start time in the system's own unit
	Boot  string `json:"boot,omitempty"`  // boot id
	NS    string `json:"ns,omitempty"`    // pid namespace
}

// Table looks processes up.
type Table interface {
	// Self is this process.
	Self() ID
	// Dead reports whether id is surely dead: same boot and pid namespace as
	// ours, and no process with that pid and start time lives. When any of that
	// cannot be learned it reports false.
	Dead(id ID) bool
}

// sameTable reports whether pids and start times of a and b are of one table:
// all is known, and boot and pid namespace are the same (FAILURES L7b).
func sameTable(a, b ID) bool {
	known := a.PID > 0 && a.Start != "" && a.Boot != "" && a.NS != "" && b.Start != ""
	return known && a.Boot == b.Boot && a.NS == b.NS
}

// System is the real process table.
type System struct{}

// SystemClock is the real clock.
type SystemClock struct{}

// Now is the wall clock.
func (SystemClock) Now() time.Time { return time.Now() }

// started is what Boot counts from where the system has no such clock.
var started = time.Now()
