package cli

import (
	"bytes"
	"encoding/json"
	"time"
)

// jsonVersion is the "version" of every --json (DESIGN §7). A member may be
// added without a new one; none is renamed or removed.
const jsonVersion = 1

// printJSON writes a result on one line.
func (a *app) printJSON(v any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err
	}
	return a.print(b.String())
}

// errorJSON is an error in a result.
type errorJSON struct {
	Reason  string    `json:"reason"`
	Message string    `json:"message"`
	Exit    int       `json:"exit"` // the code that the table of DESIGN §7 gives it
	RetryAt time.Time `json:"retryAt,omitzero"`
}

// exact is a time in a result: UTC, to the millisecond, as the owners write.
func exact(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }
