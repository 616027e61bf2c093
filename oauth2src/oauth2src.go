// Package oauth2src lends evercred's tokens to programs that take a
// golang.org/x/oauth2.TokenSource.
//
//	client := &http.Client{Transport: &oauth2.Transport{Source: oauth2src.New(ctx, src)}}
//
// Where you have the choice, use evercred.Transport instead. oauth2.Transport
// sends the token to every host that a request or a redirect leads to, drops the
// headers that must accompany it (Anthropic's beta header), tells nobody when a
// server refuses it, and an oauth2.Token prints its secret.
package oauth2src

import (
	"context"

	"golang.org/x/oauth2"

	"github.com/evercred/evercred"
)

// New returns a TokenSource that asks p for every token. It is safe for
// concurrent use.
//
// ctx is for p: TokenSource's own method takes none, so it bounds every later
// wait, and its end ends them all.
//
// Do not put it into oauth2.ReuseTokenSource, nor into oauth2.NewClient, which
// does that: p is quick as it is, and a second cache serves a token until ten
// seconds before its end, although p has a better one or knows that it is dead.
// Use oauth2.Transport, as above.
//
// Errors are those of p. A token that is no bearer token, such as an API key,
// gives evercred.ErrConfig: it would travel in the wrong header.
func New(ctx context.Context, p evercred.Provider) oauth2.TokenSource {
	return source{ctx, p}
}

type source struct {
	ctx      context.Context
	provider evercred.Provider
}

// Token maps secret and end; a zero Expiry means unknown on both sides.
func (s source) Token() (*oauth2.Token, error) {
	t, err := s.provider.Token(s.ctx)
	switch {
	case err != nil:
		return nil, err
	case t.IsZero():
		return nil, &evercred.Error{Kind: evercred.ErrUnavailable, Reason: evercred.ReasonBug, What: "the provider gave an empty token and no error"}
	case t.Kind() != evercred.Bearer:
		return nil, &evercred.Error{Kind: evercred.ErrConfig, Reason: evercred.ReasonUsage, What: "an API key cannot travel as an OAuth bearer token"}
	}
	return &oauth2.Token{AccessToken: t.Reveal(), TokenType: "Bearer", Expiry: t.Expires()}, nil
}
