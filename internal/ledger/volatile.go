package ledger

import (
	"slices"
	"sync"

	"github.com/evercred/evercred/internal/seam"
)

// Volatile is a ledger in memory, for stores that have no folder: Book and
// Keeper of this process alone, without a guard. It is safe for concurrent use.
type Volatile struct {
	s seam.Seams

	mu     sync.Mutex
	memory Memory
	open   []*Attempt
	past   []Closed
}

// NewVolatile makes an empty one. s is filled.
func NewVolatile(s seam.Seams) *Volatile { return &Volatile{s: s} }

// Path is empty: nothing of it is on disk.
func (v *Volatile) Path() string { return "" }

// Exists is false: nothing of it is on disk.
func (v *Volatile) Exists() (bool, error) { return false, nil }

// Holder is nobody: there is no guard.
func (v *Volatile) Holder() (Holder, bool, error) { return Holder{}, false, nil }

// BootID is the boot of this machine; empty: unknown.
func (v *Volatile) BootID() string { return v.s.Procs.Self().Boot }

// Memory is what SetMemory kept.
func (v *Volatile) Memory() (Memory, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.memory.clone(), nil
}

// SetMemory replaces the memory.
func (v *Volatile) SetMemory(m Memory) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.memory = successor(v.memory, m)
	return nil
}

// Pending reports whether an open attempt holds an answer.
func (v *Volatile) Pending() (bool, error) {
	v.mu.Lock()
	open := slices.Clone(v.open)
	v.mu.Unlock() // an attempt that closes holds its own lock when it takes ours
	return slices.ContainsFunc(open, (*Attempt).HasAnswer), nil
}

// Attempts are the open attempts, oldest first.
func (v *Volatile) Attempts() ([]Record, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.forget()
	var records []Record
	for _, a := range v.open {
		records = append(records, a)
	}
	return records, nil
}

// History is what remains of the closed ones, oldest first.
func (v *Volatile) History() ([]Closed, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.past), nil
}

// Begin keeps an attempt.
func (v *Volatile) Begin(in Intent) (Record, error) {
	in, err := complete(in, v.s)
	if err != nil {
		return nil, err
	}
	a := &Attempt{intent: in, ours: true}
	a.tape = &loop{v: v, a: a}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.open = append(v.open, a)
	return a, nil
}

func (v *Volatile) forget() {
	cutoff := idTime(v.s.Clock.Now().Add(-v.s.Times.History))
	v.past = slices.DeleteFunc(v.past, func(c Closed) bool { return c.ID < cutoff })
}

// loop is the tape of an attempt in memory: the attempt itself holds it all.
type loop struct {
	v *Volatile
	a *Attempt
}

func (*loop) write([]byte, int64) error { return nil }
func (*loop) sync() error               { return nil }

func (l *loop) conclude(c Closed) error {
	l.v.mu.Lock()
	defer l.v.mu.Unlock()
	l.v.open = slices.DeleteFunc(l.v.open, func(a *Attempt) bool { return a == l.a })
	l.v.past = append(l.v.past, c)
	return nil
}
