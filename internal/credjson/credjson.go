// Package credjson reads and checks what the documents of every owner have: a
// token, a scope, and a credential that is to be saved.
package credjson

import (
	"fmt"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/internal/jsonedit"
)

// The first character that each kind of token may hold; the last is ~. An access
// token stands in a header, a refresh token may hold spaces (RFC 6749 §A.12, §A.17).
const (
	Access  = '!'
	Refresh = ' '
)

// Token reads a token; absent, null and "" are the zero Secret. lowest is Access
// or Refresh. ErrUnsafe: it is of another type, or could not stand in a request;
// where names the member.
func Token(v jsonedit.Value, lowest byte, where string) (evercred.Secret, error) {
	switch v.Kind() {
	case jsonedit.Absent, jsonedit.Null:
		return evercred.Secret{}, nil
	case jsonedit.String:
		text := v.Text()
		if !Printable(text, lowest) {
			return evercred.Secret{}, Unreadable("the token holds characters that no token can hold", where, nil)
		}
		return evercred.NewSecret(text), nil
	}
	return evercred.Secret{}, Unreadable(fmt.Sprintf("the token is %v, not a string", v.Kind()), where, nil)
}

// Printable reports whether text holds only ASCII characters from lowest to ~.
func Printable(text string, lowest byte) bool {
	for i := range len(text) {
		if text[i] < lowest || text[i] > '~' {
			return false
		}
	}
	return true
}

// NotScope finds what RFC 6749 §3.3 does not call a scope.
func NotScope(text string) bool { return text == "" || !Printable(text, Access) }

// Savable refuses what would turn a login into garbage or half of one.
func Savable(c evercred.Credential) error {
	what := ""
	switch {
	case c.Access.IsZero():
		what = "there is no access token to save"
	case !Printable(c.Access.Reveal(), Access):
		what = "the access token to save holds characters that no token can hold"
	case !Printable(c.Refresh.Reveal(), Refresh):
		what = "the refresh token to save holds characters that no token can hold"
	default:
		return nil
	}
	return &evercred.Error{Kind: evercred.ErrUnsafe, Reason: evercred.ReasonBug, What: what}
}

// Unreadable is the error of a document that cannot be understood. It never
// quotes it: err is of jsonedit, which does not either, or of the disk.
func Unreadable(what, where string, err error) error {
	return &evercred.Error{Kind: evercred.ErrUnsafe, Reason: evercred.ReasonUnreadable, What: what, Where: where, Err: err}
}
