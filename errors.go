package evercred

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// The sentinels say what to do next. Match them with errors.Is; every error of
// this package is, or wraps, exactly one of them or a context's error.
var (
	// ErrNotFound: nobody is logged in here. Log in with the owner.
	ErrNotFound = errors.New("no credential here")
	// ErrLoginRequired: the login is dead, blanked or past its deadline. Log in
	// again with the owner; trying again is of no use.
	ErrLoginRequired = errors.New("login required")
	// ErrUnavailable: temporary (network, 5xx, 429, an unusable answer). Error's
	// RetryAt says when to try again.
	ErrUnavailable = errors.New("temporarily unavailable")
	// ErrLocked: another process holds the refresh lock and did not finish in time.
	ErrLocked = errors.New("another process is refreshing")
	// ErrUnsafe: the store cannot be read, or cannot be saved to safely.
	ErrUnsafe = errors.New("the store is unsafe or unreadable")
	// ErrConflict: somebody else changed the store between a load and a save.
	ErrConflict = errors.New("the store changed meanwhile")
	// ErrClosed: the Source was closed.
	ErrClosed = errors.New("source is closed")
	// ErrConfig: the program or its user asked for something that cannot be
	// meant, such as a token endpoint in clear text.
	ErrConfig = errors.New("wrong configuration")
)

// Reason tells the causes of one sentinel apart. Each is an anchor of
// docs/troubleshooting.md.
type Reason string

// The reasons.
const (
	ReasonNoFile     Reason = "no-file"
	ReasonNoSection  Reason = "no-section"
	ReasonNoHome     Reason = "no-home"
	ReasonConfigDir  Reason = "config-dir"
	ReasonNoProfile  Reason = "no-profile"
	ReasonProfile    Reason = "bad-profile"
	ReasonHost       Reason = "token-host"
	ReasonUsage      Reason = "usage"
	ReasonBlanked    Reason = "blanked"
	ReasonDeadline   Reason = "deadline"
	ReasonNoRefresh  Reason = "no-refresh-token"
	ReasonRefused    Reason = "refused"
	ReasonLostAnswer Reason = "lost-answer"
	ReasonOlderCopy  Reason = "older-copy"

	ReasonUnreachable    Reason = "unreachable"
	ReasonNotEndpoint    Reason = "not-the-endpoint"
	ReasonRateLimited    Reason = "rate-limited"
	ReasonUnknownOutcome Reason = "unknown-outcome"
	ReasonEndpointError  Reason = "endpoint-error"
	ReasonSpacing        Reason = "spacing"
	ReasonAPIRefuses     Reason = "api-refuses"
	ReasonReadOnly       Reason = "read-only"
	ReasonTimeout        Reason = "timeout"
	ReasonOwner          Reason = "owner-command"

	ReasonLocked Reason = "locked"

	ReasonUnreadable   Reason = "unreadable"
	ReasonTooLarge     Reason = "too-large"
	ReasonPermissions  Reason = "permissions"
	ReasonExposed      Reason = "exposed"
	ReasonLink         Reason = "link"
	ReasonCannotLock   Reason = "cannot-lock"
	ReasonCannotSave   Reason = "cannot-save"
	ReasonFileMount    Reason = "file-mount"
	ReasonLoop         Reason = "link-loop"
	ReasonForeignOwner Reason = "foreign-owner"
	ReasonNewerLedger  Reason = "newer-ledger"
	ReasonNetworkFS    Reason = "network-file-system"

	// Of sources other than a stored login.
	ReasonIdentity       Reason = "identity-token"
	ReasonAssertion      Reason = "assertion-refused"
	ReasonHelper         Reason = "helper"
	ReasonVariable       Reason = "variable"
	ReasonSettings       Reason = "settings"
	ReasonKeychainLocked Reason = "keychain-locked"
	ReasonKeychainFailed Reason = "keychain-failed"
	ReasonKeychainSize   Reason = "keychain-size"

	ReasonConflict Reason = "conflict"
	ReasonClosed   Reason = "closed"
	ReasonBug      Reason = "bug"
)

// Error is how this package and its stores say what happened, where, and what
// to do next. It never carries a secret or a response body.
type Error struct {
	// Kind is one of the sentinels.
	Kind error
	// Reason tells the causes of Kind apart.
	Reason Reason
	// What happened, as a sentence without full stop.
	What string
	// Where: a path, a host, a variable; may be empty.
	Where string
	// RetryAt is when trying again may help; zero: unknown or never.
	RetryAt time.Time
	// Err is the cause; may be nil.
	Err error
}

// Error is "what, where: cause".
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.What)
	if e.What == "" && e.Kind != nil {
		b.WriteString(e.Kind.Error())
	}
	if e.Where != "" {
		b.WriteString(", ")
		b.WriteString(e.Where)
	}
	if e.Err != nil {
		b.WriteString(": ")
		// errors.Join gives each cause a line of its own; a message is one line.
		b.WriteString(strings.ReplaceAll(e.Err.Error(), "\n", "; "))
	}
	return b.String()
}

// Unwrap gives the sentinel and the cause.
func (e *Error) Unwrap() []error {
	var errs []error
	if e.Kind != nil {
		errs = append(errs, e.Kind)
	}
	if e.Err != nil {
		errs = append(errs, e.Err)
	}
	return errs
}

// ReasonOf is the Reason of the outermost Error that err is or wraps; empty:
// there is none.
func ReasonOf(err error) Reason {
	if e := (*Error)(nil); errors.As(err, &e) {
		return e.Reason
	}
	return ""
}

// RefreshError is what the token endpoint said, as far as it may be repeated:
// status, the RFC 6749 §5.2 members, and no other byte of the body.
type RefreshError struct {
	// Status is the HTTP status; 0: no answer was understood.
	Status int
	// Code is the RFC 6749 "error" member, capped and redacted.
	Code string
	// Description is "error_description", capped and redacted.
	Description string
	// RetryAfter is the endpoint's wish in wall-clock time; zero: it named none.
	RetryAfter time.Time
	// Host is the endpoint's host.
	Host string
}

func (e *RefreshError) Error() string {
	var b strings.Builder
	if e.Status == 0 {
		b.WriteString("no usable answer from the token endpoint")
	} else {
		fmt.Fprintf(&b, "the token endpoint answered %d", e.Status)
	}
	if e.Code != "" {
		fmt.Fprintf(&b, " %s", e.Code)
	}
	if e.Description != "" {
		fmt.Fprintf(&b, " (%s)", e.Description)
	}
	return b.String()
}
