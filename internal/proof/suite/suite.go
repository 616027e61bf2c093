// Package suite is what the suites of the proof (docs/proof.md) have in common:
// how one is described, what a run of it notes down, and the command that runs
// it.
package suite

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
)

// Suite is one suite: a claim about evercred, and what tries to break it.
type Suite struct {
	ID    string // "T1"
	Name  string // one or two words, for people
	About string // one sentence
	Unit  string // what Sizes count: "states", "runs", "rounds"
	// Needs are what the machine must have; without it the suite is skipped,
	// and said to be.
	Needs []Need
	Sizes Sizes
	// Factor is by how much protocol times are shortened (timing.Protocol.Scaled);
	// 0 or 1: they are not. A Suite with another factor can be run unscaled.
	Factor int
	Run    func(*Run) error
	// Tried says how many of what a record tells of, where its figures do not say
	// it by the name of the unit.
	Tried func(*Record) (n int, unit string)
	// Controls are the negative controls: with a rule taken away, the suite must
	// find a violation.
	Controls []Control
}

// Asked is Tried of a suite with the gate that all was done that was asked for.
func Asked(r *Record) (n int, unit string) { return r.N, r.Unit }

// Sizes are how many units a run of a name tries, at least.
type Sizes struct {
	Smoke    int // seconds: to see that it works
	CI       int
	Full     int // what docs/proof records
	Unscaled int // with the times of the design; 0: no such run
}

// The names of sizes. Control is the size of a negative control: that of CI,
// ended by the first violation.
const (
	Smoke     = "smoke"
	CI        = "ci"
	Full      = "full"
	Unscaled  = "unscaled"
	InControl = "control"
)

// Run is one run of a suite. Its methods are safe for concurrent use.
type Run struct {
	Size string
	N    int    // how many units are wanted
	Seed uint64 // whatever a run chooses, it chooses by Rand
	// Only is the name of the one case to replay; empty: all of them.
	Only string
	// Dir is a directory of this run, removed after it.
	Dir string
	// Factor is by how much protocol times are shortened.
	Factor int
	// Module is the directory of the module, Overlay the file of the changes that
	// a negative control makes to it; empty: none.
	Module, Overlay string

	ctx      context.Context
	stop     context.CancelFunc
	mu       sync.Mutex
	record   *Record
	progress *progress
	built    map[string]func() (string, error)
}

// Context ends when the run is to end: interrupted, or a control that has found
// its violation.
func (r *Run) Context() context.Context { return r.ctx }

// Rand is the chance of one case: the same for the same seed and name.
func (r *Run) Rand(name string) *rand.Rand {
	h := uint64(14695981039346656037) // FNV-1a
	for _, c := range []byte(name) {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return rand.New(rand.NewPCG(r.Seed, h))
}

// Wanted reports whether a case is to be run.
func (r *Run) Wanted(name string) bool { return r.Only == "" || r.Only == name }

// Saw notes one case: what was done to evercred and what came of it. Both are
// rows and columns of the table, so few and short.
func (r *Run) Saw(fault, outcome string) { r.SawMany(fault, outcome, 1) }

// SawMany notes n such cases.
func (r *Run) SawMany(fault, outcome string, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.record.count(fault, outcome, n)
}

// Violation notes that a promise was broken in a case, which must be named so
// that Only finds it again.
func (r *Run) Violation(name, format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.record.Violated++
	if len(r.record.Violations) < maxViolations {
		v := Violation{Case: name, What: fmt.Sprintf(format, args...)}
		r.record.Violations = append(r.record.Violations, v)
		r.progress.say("%s: VIOLATION in %q: %s\n", r.record.Suite, name, v.What)
	}
	if r.Size == InControl {
		r.stop()
	}
}

// maxViolations are kept with their text; more are only counted.
const maxViolations = 20

// Gate notes a condition of PROOF.md and whether it is met. Sizes of a gate are
// asked for in full runs only; pass met as it is for the run's own size.
func (r *Run) Gate(met bool, format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.record.Gates = append(r.record.Gates, Gate{fmt.Sprintf(format, args...), met})
}

// Figure notes a result that is no case.
func (r *Run) Figure(name string, value any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.record.Figures == nil {
		r.record.Figures = map[string]any{}
	}
	r.record.Figures[name] = value
}

// Version notes that of a tool.
func (r *Run) Version(tool, version string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.record.Versions[tool] = version
}

// Skip notes a part of the suite that cannot be run here, and why.
func (r *Run) Skip(part, why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.record.Skipped = append(r.record.Skipped, part+": "+why)
}

// Progress shows how many units are done, on a terminal.
func (r *Run) Progress(done int, note string) {
	r.progress.show(fmt.Sprintf("%s %s: %d of %d %s %s", r.record.Suite, r.record.Name, done, r.N, r.record.Unit, note))
}

// Logf prints a line for people, above the progress.
func (r *Run) Logf(format string, args ...any) { r.progress.say(format+"\n", args...) }

// Temp makes a new directory for one case.
func (r *Run) Temp() (string, error) { return os.MkdirTemp(r.Dir, "") }
