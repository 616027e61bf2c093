package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"

	"github.com/evercred/evercred"
)

// Exit codes (DESIGN §7).
const (
	exitBug         = 1
	exitConfig      = 2
	exitNotFound    = 3
	exitLogin       = 4
	exitUnavailable = 5
	exitLocked      = 6
	exitUnsafe      = 7
	exitCondition   = 8

	exitCannotRun = 126 // as shells do
	exitNoCommand = 127
	exitSignal    = 128 // and the signal's number
)

// errCondition: what the user asked about does not hold.
var errCondition = errors.New("the asked condition does not hold")

// exitStatus ends the command with a code of which everything was said.
type exitStatus int

func (e exitStatus) Error() string { return "exit status " + strconv.Itoa(int(e)) }

// advised is an error with a remedy of its own.
type advised struct {
	err    error
	advice string
	trace  []byte // of a bug
}

func (e *advised) Error() string { return e.err.Error() }
func (e *advised) Unwrap() error { return e.err }

// wrongUsage is an error of whoever called us.
type wrongUsage struct{ evercred.Error }

func usage(format string, args ...any) *wrongUsage {
	return &wrongUsage{evercred.Error{Kind: evercred.ErrConfig, Reason: evercred.ReasonUsage, What: fmt.Sprintf(format, args...)}}
}

// advise adds what to do about it.
func (e *wrongUsage) advise(advice string) error { return &advised{err: &e.Error, advice: advice} }

// end turns the result of a verb into an exit code, and says what nobody said.
func (a *app) end(err error) int {
	var by *interrupted
	var status exitStatus
	switch {
	case err == nil:
		return 0
	case errors.As(err, &by):
		return dieOf(by.by)
	case errors.As(err, &status):
		return int(status)
	}
	return a.report(err)
}

// report tells an error and gives its exit code.
func (a *app) report(err error) int {
	var status exitStatus
	if errors.As(err, &status) {
		return int(status)
	}
	a.complain("", err)
	return exitCode(err)
}

// complain tells an error in one line, and in another what to do about it.
func (a *app) complain(prefix string, err error) {
	a.say("%s%s", prefix, err.Error())
	a.say1("hint: %s", a.hint(err))
	var own *advised
	if errors.As(err, &own) {
		_, _ = a.stderr.Write(own.trace)
	}
}

// say writes a line of evercred's to standard error.
func (a *app) say(format string, args ...any) {
	a.say1("evercred: %s", fmt.Sprintf(format, args...))
}

// say1 writes a line; what could play tricks on a terminal is escaped.
func (a *app) say1(format string, args ...any) {
	// There is nowhere to complain about standard error.
	_, _ = io.WriteString(a.stderr, printable(fmt.Sprintf(format, args...))+"\n")
}

// mention is say for the people at a terminal.
func (a *app) mention(format string, args ...any) {
	if a.onTerminal() {
		a.say(format, args...)
	}
}

// print writes the result.
func (a *app) print(result string) error {
	_, err := io.WriteString(a.stdout, result)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.EPIPE):
		return &interrupted{syscall.SIGPIPE} // as every other command does
	}
	return usage("the result cannot be written to standard output: %v", err).advise("look where the output goes")
}

// printable escapes what is no printable character, such as the colours and
// line ends in the name of a file. Line ends of ours come in hints only.
func printable(text string) string {
	plain := func(r rune) bool { return unicode.IsPrint(r) }
	if strings.IndexFunc(text, func(r rune) bool { return !plain(r) }) < 0 {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if plain(r) {
			b.WriteRune(r)
			continue
		}
		q := strconv.QuoteRune(r)
		b.WriteString(q[1 : len(q)-1])
	}
	return b.String()
}

// exitCode is the table of DESIGN §7. The outermost error decides: one that
// cannot be saved may well have a network error for a cause.
func exitCode(err error) int {
	if errors.Is(err, errCondition) {
		return exitCondition
	}
	var e *evercred.Error
	if errors.As(err, &e) {
		if e.Reason == evercred.ReasonBug {
			return exitBug
		}
		err = e.Kind
	}
	switch {
	case errors.Is(err, evercred.ErrConfig):
		return exitConfig
	case errors.Is(err, evercred.ErrNotFound):
		return exitNotFound
	case errors.Is(err, evercred.ErrLoginRequired):
		return exitLogin
	case errors.Is(err, evercred.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		return exitUnavailable
	case errors.Is(err, evercred.ErrLocked):
		return exitLocked
	case errors.Is(err, evercred.ErrUnsafe), errors.Is(err, evercred.ErrConflict):
		return exitUnsafe
	}
	return exitBug
}

// reasonOf is evercred.ReasonOf, with one for --timeout.
func reasonOf(err error) evercred.Reason {
	reason := evercred.ReasonOf(err)
	if reason == "" && errors.Is(err, context.DeadlineExceeded) {
		return evercred.ReasonTimeout
	}
	return reason
}

// hint is what to do about an error: when to try again or else how to mend it,
// and where to read on.
func (a *app) hint(err error) string {
	reason := reasonOf(err)
	text := a.remedy(reason)
	var own *advised
	var e *evercred.Error
	switch {
	case errors.As(err, &own):
		text = own.advice
	case errors.As(err, &e) && !e.RetryAt.IsZero():
		text = "try again now"
		if left := e.RetryAt.Sub(a.now()); left > 0 {
			text = fmt.Sprintf("try again after %s, in %s", e.RetryAt.Local().Format(time.TimeOnly), relative(left))
		}
	}
	if reason == "" {
		return text
	}
	return text + "; see `evercred help " + string(reason) + "`"
}
