package stage

import (
	"encoding/json"
	"io"
	"sync"
)

// Line is one line of what a process of the proof tells of itself: an operation
// on a login, with the wall clock before and after. Secrets stand in it as
// fingerprints only.
type Line struct {
	Op     string `json:"op"`
	Call   int64  `json:"call"` // nanoseconds of the epoch
	Return int64  `json:"return"`
	// Access is of the token that came of it, Refresh of the one that was sent.
	Access  string `json:"access,omitempty"`
	Refresh string `json:"refresh,omitempty"`
	// Reason is why nothing came of it.
	Reason string `json:"reason,omitempty"`
	// Lost is when the answer was lost that an event tells of.
	Lost int64 `json:"lost,omitempty"`
}

// Lines writes lines, whole ones only, even if the process is killed meanwhile.
type Lines struct {
	mu sync.Mutex
	w  io.Writer
}

// NewLines writes to w.
func NewLines(w io.Writer) *Lines { return &Lines{w: w} }

// Tell writes one line, by one write.
func (l *Lines) Tell(line Line) error {
	b, err := json.Marshal(line)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	_, err = l.w.Write(append(b, '\n'))
	return err
}
