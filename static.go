package evercred

import (
	"context"
	"time"
)

// Static is a Provider of one token that nobody can renew: an API key, or a
// bearer token from the environment. Make it with NewToken.
//
// The zero Token gives ErrNotFound, so that a Chain goes on to the next; a token
// past its Expires gives ErrLoginRequired. It is no Rejecter: a server's refusal
// does not make another token of it.
func Static(t Token) Provider { return static{t} }

type static struct{ token Token }

func (s static) Token(context.Context) (Token, error) {
	if s.token.IsZero() {
		return Token{}, &Error{Kind: ErrNotFound, Reason: ReasonNoFile, What: "no token was given"}
	}
	if end := s.token.Expires(); !end.IsZero() && !time.Now().Before(end) {
		return Token{}, &Error{Kind: ErrLoginRequired, Reason: ReasonNoRefresh, What: "the token that was given has expired at " + end.UTC().Format(time.RFC3339) + " and cannot be renewed"}
	}
	return s.token, nil
}
