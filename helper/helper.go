// Package helper lends the key that a shell command prints: an apiKeyHelper
// (INTEROP §6), such as a password manager's or a vault's client.
//
// It runs whatever it is given. That the command comes from the user and not
// from a repository that the user cloned is for the caller to make sure of
// (FAILURES S7).
package helper

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/evercred/evercred"
)

// The defaults. That of the TTL is the owner's [doc] (INTEROP §6).
const (
	DefaultTTL     = 5 * time.Minute
	DefaultTimeout = 30 * time.Second
)

// Config says what is run. Only Command is required.
type Config struct {
	// Command is given to sh -c, on Windows to cmd /c. Its standard output is the
	// key, on one line; white space around it does not count.
	Command string
	// Origin is where the command was found, for messages: a file, a flag.
	Origin string
	// Dir is where it runs; empty: in the caller's working directory.
	Dir string
	// Env is its environment as NAME=value; nil: that of this process, unchanged,
	// since helpers expect their users' variables (PATH, SSH_AUTH_SOCK,
	// AWS_PROFILE). Nothing is added to either.
	Env []string
	// TTL is how long a key is used before the command runs again: DefaultTTL.
	TTL time.Duration
	// Timeout is how long the command may take: DefaultTimeout. Then it and what
	// it started get SIGTERM, and SIGKILL a second later; on Windows the shell
	// alone is ended, at once.
	Timeout time.Duration
	// Stderr gets what the command writes to its standard error; nil: nobody, as
	// it may hold secrets.
	Stderr io.Writer
}

// Source is an evercred.Provider and Rejecter. It is safe for concurrent use.
type Source struct {
	cache  *evercred.Cache
	origin string
}

// New runs nothing yet. ErrConfig: there is no command, or a time is negative.
func New(cfg Config) (*Source, error) {
	if strings.TrimSpace(cfg.Command) == "" || strings.ContainsRune(cfg.Command, 0) {
		return nil, &evercred.Error{Kind: evercred.ErrConfig, Reason: evercred.ReasonHelper, What: "the helper's command is empty or holds a NUL", Where: cfg.Origin}
	}
	if cfg.TTL < 0 || cfg.Timeout < 0 {
		return nil, &evercred.Error{Kind: evercred.ErrConfig, Reason: evercred.ReasonHelper, What: "the helper's TTL or timeout is negative", Where: cfg.Origin}
	}
	cfg.TTL, cfg.Timeout = cmp.Or(cfg.TTL, DefaultTTL), cmp.Or(cfg.Timeout, DefaultTimeout)
	cache := evercred.CachedWith(command{cfg}, evercred.CacheOptions{TTL: cfg.TTL, Pause: 2 * time.Second, PauseMax: time.Minute})
	return &Source{cache, cfg.Origin}, nil
}

// Token gives the key, which travels as X-Api-Key and as Bearer, because only
// the command knows which it is (INTEROP §6). All callers share one run.
//
// Errors, all with ReasonHelper: ErrUnavailable (the command failed or did not
// end in time; Error.RetryAt says when it is run again), ErrUnsafe (what it
// printed is no key), ErrConfig (it cannot be run). None shows what it printed.
func (s *Source) Token(ctx context.Context) (evercred.Token, error) { return s.cache.Token(ctx) }

// Reject drops t if it is the current key: the next caller runs the command
// once more. If its next keys are refused too, it rests; see
// evercred.CacheOptions.
func (s *Source) Reject(t evercred.Token) { s.cache.Reject(t) }

// Format says where the command was found, for every verb: fmt would look at
// what callers are changing.
func (s *Source) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "helper of %s", s.origin) }
