// Package crash names the points of the transaction at which a test may kill
// the process. In production every point is a load of a nil pointer.
package crash

import "sync/atomic"

// Point is a place in the transaction (DESIGN §6).
type Point string

// The points, in the order in which a refresh passes them.
const (
	BeforeSend   Point = "before-send"   // locks held, everything prepared, not one byte sent
	AfterSend    Point = "after-send"    // the request has left
	AfterAnswer  Point = "after-answer"  // the answer is durable in its attempt, nothing else is
	BeforeSave   Point = "before-save"   // the owner's write lock is held, the store is still old
	DuringSave   Point = "during-save"   // the new document is on disk under its temporary name
	AfterSave    Point = "after-save"    // the store is new, the attempt is still open
	DuringAnswer Point = "during-answer" // a part of the answer has arrived
	AfterMkdir   Point = "after-mkdir"   // a lock directory exists and bears no stamp yet (L6b)
	DuringLock   Point = "during-lock"   // the owner's locks are held and settled
)

// Points lists them all.
func Points() []Point {
	return []Point{AfterMkdir, DuringLock, BeforeSend, AfterSend, DuringAnswer, AfterAnswer, BeforeSave, DuringSave, AfterSave}
}

var hook atomic.Pointer[func(Point)]

// At passes a point.
func At(p Point) {
	if f := hook.Load(); f != nil {
		(*f)(p)
	}
}

// Set makes f run at every point; nil ends that. Only tests and the children
// of `evercred demo` call it.
func Set(f func(Point)) {
	if f == nil {
		hook.Store(nil)
		return
	}
	hook.Store(&f)
}
