package evercred

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
)

// Chain asks one provider after another, each time from the first. Only
// ErrNotFound goes on to the next: any other error is the answer, or a login that
// is broken for a moment would be replaced by another account. When nobody has a
// credential the error matches ErrNotFound and says what was tried.
//
// It is a Rejecter, and passes a refusal on to the provider that gave the token.
func Chain(providers ...Provider) Provider {
	c := &chain{links: make([]link, len(providers))}
	for i, p := range providers {
		c.links[i].provider = p
	}
	return c
}

type chain struct{ links []link }

type link struct {
	provider Provider
	given    atomic.Pointer[token] // the last one
}

func (c *chain) Token(ctx context.Context) (Token, error) {
	var tried absences
	for i := range c.links {
		l := &c.links[i]
		t, err := l.provider.Token(ctx)
		if err == nil {
			if l.given.Load() != t.t { // spare the others' caches a write
				l.given.Store(t.t)
			}
			return t, nil
		}
		if !errors.Is(err, ErrNotFound) {
			return Token{}, err
		}
		tried = append(tried, err)
	}
	return Token{}, &Error{Kind: ErrNotFound, Reason: ReasonNoFile, What: fmt.Sprintf("none of %d sources has a credential", len(tried)), Err: tried.orNil()}
}

// Reject tells the provider that gave t; or all, if that has given another
// since: the token is theirs to compare.
func (c *chain) Reject(t Token) {
	known := false
	var gave, all []Rejecter
	for i := range c.links {
		mine := t.Equal(Token{c.links[i].given.Load()})
		known = known || mine
		if r, ok := c.links[i].provider.(Rejecter); ok {
			all = append(all, r)
			if mine {
				gave = append(gave, r)
			}
		}
	}
	if !known {
		gave = all
	}
	for _, r := range gave {
		r.Reject(t)
	}
}

// absences are the ErrNotFounds of a chain, on one line.
type absences []error

func (a absences) orNil() error {
	if len(a) == 0 {
		return nil
	}
	return a
}

func (a absences) Error() string {
	texts := make([]string, len(a))
	for i, err := range a {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

func (a absences) Unwrap() []error { return a }
