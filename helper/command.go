package helper

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/evercred/evercred"
)

const (
	// maxOutput is more than any key has.
	maxOutput = 64 << 10
	// grace is how long a command that is ended may take, and how long a child of
	// one that has ended may keep its output open.
	grace = time.Second
)

var errTooMuch = errors.New("it printed too much")

// command is a Provider that runs it at each call.
type command struct{ Config }

func (c command) Token(ctx context.Context) (evercred.Token, error) {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	out := &output{full: func() { end(errTooMuch) }}
	talk := &talk{to: c.Stderr}
	cmd := shell(ctx, c.Command)
	cmd.Dir, cmd.Env = c.Dir, c.Env
	cmd.Stdout, cmd.Stderr = out, talk
	cmd.WaitDelay = grace
	err := run(cmd)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	if err == nil || errors.Is(err, exec.ErrWaitDelay) { // that one has ended well, and left a child
		return c.key(out.bytes())
	}
	return evercred.Token{}, c.failure(err, talk)
}

// failure explains a run that did not end well.
func (c command) failure(err error, talk *talk) error {
	var exit *exec.ExitError
	switch {
	case errors.Is(err, errTooMuch):
		return c.error(evercred.ErrUnsafe, fmt.Sprintf("the helper printed more than %d bytes and was ended: it must print the key and nothing else", maxOutput))
	case errors.Is(err, context.DeadlineExceeded):
		return c.error(evercred.ErrUnavailable, fmt.Sprintf("the helper did not end within %v and was ended: it must not wait for input%s", c.Timeout, talk))
	case !errors.As(err, &exit):
		e := c.error(evercred.ErrConfig, "the helper cannot be run")
		e.Err = err // of the system: it names the shell or the directory
		return e
	case exit.ExitCode() == 126 || exit.ExitCode() == 127:
		return c.error(evercred.ErrConfig, fmt.Sprintf("the shell cannot find or run the helper (exit status %d): look at its path and permissions%s", exit.ExitCode(), talk))
	}
	return c.error(evercred.ErrUnavailable, fmt.Sprintf("the helper failed (%v): run it by hand to see why%s", exit.ProcessState, talk))
}

// key is what a run that ended well has printed.
func (c command) key(printed []byte) (evercred.Token, error) {
	text := strings.TrimSpace(string(printed))
	switch {
	case text == "":
		return evercred.Token{}, c.error(evercred.ErrUnsafe, "the helper printed nothing: it must print the key on standard output")
	case strings.ContainsAny(text, "\r\n"):
		return evercred.Token{}, c.error(evercred.ErrUnsafe, "the helper printed several lines: it must print the key and nothing else")
	}
	t, err := evercred.NewToken(text, &evercred.TokenOptions{Kind: evercred.KeyAndBearer})
	if err != nil {
		return evercred.Token{}, c.error(evercred.ErrUnsafe, "the helper printed spaces, control or other characters that no key has: it must print the key and nothing else")
	}
	return t, nil
}

func (c command) error(kind error, what string) *evercred.Error {
	return &evercred.Error{Kind: kind, Reason: evercred.ReasonHelper, What: what, Where: c.Origin}
}

// output keeps what may be a key, and says so as soon as it is more. A child
// that outlives the command may still write to it.
type output struct {
	full func()
	mu   sync.Mutex
	kept bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.kept.Len()+len(p) > maxOutput {
		o.full()
		return 0, errTooMuch
	}
	return o.kept.Write(p)
}

func (o *output) bytes() []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.kept.Bytes()
}

// talk counts what the command wrote to its standard error.
type talk struct {
	to io.Writer
	mu sync.Mutex
	n  int
}

func (t *talk) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.n += len(p)
	if t.to != nil {
		t.to.Write(p) // its trouble is not the helper's
	}
	return len(p), nil
}

// String says that there was some, and none of it.
func (t *talk) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n == 0 || t.to != nil {
		return ""
	}
	return fmt.Sprintf("; it wrote %d bytes to standard error, which are not shown", t.n)
}
