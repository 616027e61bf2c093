package evercred

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Kind says in which header a token travels.
type Kind int

const (
	// Bearer travels as "Authorization: Bearer …" (RFC 6750 §2.1).
	Bearer Kind = iota
	// APIKey travels as "X-Api-Key: …".
	APIKey
	// KeyAndBearer travels as both: what an apiKeyHelper prints may be either
	// (INTEROP §6).
	KeyAndBearer
)

// Token is one access token or API key, ready for a header.
//
// The zero value is safe and empty. A Token is immutable, safe for concurrent
// use and cheap to copy; printing, logging or marshalling it in any way shows
// nothing of the secret. Compare Tokens with Equal: == compares identities.
type Token struct{ t *token }

// token is never printed by fmt because a Token holds it by pointer, and its
// secret stands behind another one (see Secret).
type token struct {
	secret     Secret
	kind       Kind
	expires    time.Time
	companions http.Header
}

// TokenOptions describe a token; nil and the zero value mean a bearer token of
// unknown lifetime without companions.
type TokenOptions struct {
	Kind Kind
	// Expires is the wall-clock end of the token; zero: unknown.
	Expires time.Time
	// Companions are headers that must accompany the token, such as a beta
	// header. Apply merges them as comma-separated lists.
	Companions http.Header
}

// NewToken makes a token of a secret. A secret that could not stand in a header
// (control characters, spaces, anything beyond ASCII) is refused with
// ErrUnsafe.
func NewToken(secret string, opts *TokenOptions) (Token, error) {
	if !headerSafe(secret) {
		return Token{}, &Error{Kind: ErrUnsafe, Reason: ReasonUnreadable, What: "the token is empty or holds characters that cannot stand in a header"}
	}
	if opts == nil {
		opts = &TokenOptions{}
	}
	// Round takes the monotonic reading away: it stands still while a laptop
	// sleeps, and comparisons would prefer it (FAILURES R18).
	return Token{&token{secret: NewSecret(secret), kind: opts.Kind, expires: opts.Expires.Round(0), companions: opts.Companions.Clone()}}, nil
}

// headerSafe reports whether s can be a credential in a header: at least one,
// and only visible, ASCII characters.
func headerSafe(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return s != ""
}

// Apply sets the token's own authentication headers, removes the other kind, and
// merges the companions into what h already holds. The zero Token changes nothing.
func (t Token) Apply(h http.Header) {
	if t.t == nil {
		return
	}
	for name := range h { // Del would miss a name that is not canonical
		switch http.CanonicalHeaderKey(name) {
		case "Authorization", "X-Api-Key":
			delete(h, name)
		}
	}
	if t.t.kind != Bearer {
		h.Set("X-Api-Key", t.t.secret.Reveal())
	}
	if t.t.kind != APIKey {
		h.Set("Authorization", "Bearer "+t.t.secret.Reveal())
	}
	for name, values := range t.t.companions {
		merge(h, name, values)
	}
}

// merge adds the items that the comma-separated list h[name] lacks.
func merge(h http.Header, name string, values []string) {
	have := items(h.Values(name))
	n := len(have)
	for _, item := range items(values) {
		if !slices.Contains(have, item) {
			have = append(have, item)
		}
	}
	if len(have) > n {
		h.Set(name, strings.Join(have, ","))
	}
}

// items are those of a comma-separated list on any number of lines (RFC 9110 §5.6.1).
func items(lines []string) []string {
	var all []string
	for _, line := range lines {
		for item := range strings.SplitSeq(line, ",") {
			if item = strings.TrimSpace(item); item != "" {
				all = append(all, item)
			}
		}
	}
	return all
}

// Reveal returns the secret: the one way out.
func (t Token) Reveal() string {
	if t.t == nil {
		return ""
	}
	return t.t.secret.Reveal()
}

// Expires is the wall-clock end of the token; zero: unknown.
func (t Token) Expires() time.Time {
	if t.t == nil {
		return time.Time{}
	}
	return t.t.expires
}

// Kind says in which header the token travels.
func (t Token) Kind() Kind {
	if t.t == nil {
		return Bearer
	}
	return t.t.kind
}

// Fingerprint is the loggable form; see Secret.Fingerprint.
func (t Token) Fingerprint() string {
	if t.t == nil {
		return ""
	}
	return t.t.secret.Fingerprint()
}

// Equal reports whether both hold the same secret, in constant time.
func (t Token) Equal(u Token) bool {
	if t.t == nil || u.t == nil {
		return t.t == u.t
	}
	return t.t == u.t || t.t.secret.Equal(u.t.secret)
}

// IsZero reports whether there is no token.
func (t Token) IsZero() bool { return t.t == nil }

// String is redacted.
func (t Token) String() string {
	if t.t == nil {
		return ""
	}
	return Redacted
}

// GoString is redacted.
func (t Token) GoString() string { return t.String() }

// Format is redacted for every verb.
func (t Token) Format(f fmt.State, _ rune) { io.WriteString(f, t.String()) }

// MarshalText is redacted.
func (t Token) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// MarshalJSON is redacted.
func (t Token) MarshalJSON() ([]byte, error) { return json.Marshal(t.String()) }

// LogValue is redacted.
func (t Token) LogValue() slog.Value { return slog.StringValue(t.String()) }
