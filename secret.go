package evercred

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
)

// Redacted is what every secret of this package prints as.
const Redacted = "[redacted]"

// Secret is a string that does not print. Its zero value is the empty secret.
//
// The value stands behind a pointer, so that fmt does not reach it even inside
// a struct with unexported fields, where no method is called. It is safe for
// concurrent use.
type Secret struct{ p *string }

// NewSecret keeps s.
func NewSecret(s string) Secret {
	if s == "" {
		return Secret{}
	}
	return Secret{&s}
}

// Reveal returns the secret: the one way out.
func (s Secret) Reveal() string {
	if s.p == nil {
		return ""
	}
	return *s.p
}

// IsZero reports whether there is no secret.
func (s Secret) IsZero() bool { return s.p == nil }

// Equal compares in constant time.
func (s Secret) Equal(t Secret) bool {
	return subtle.ConstantTimeCompare([]byte(s.Reveal()), []byte(t.Reveal())) == 1
}

// Fingerprint is the first 12 hex digits of the SHA-256 of the secret: the only
// form in which one may be logged. The empty secret has the empty fingerprint.
func (s Secret) Fingerprint() string {
	if s.p == nil {
		return ""
	}
	sum := sha256.Sum256([]byte(*s.p))
	return hex.EncodeToString(sum[:6])
}

// String is redacted.
func (s Secret) String() string {
	if s.p == nil {
		return ""
	}
	return Redacted
}

// GoString is redacted.
func (s Secret) GoString() string { return s.String() }

// Format is redacted for every verb.
func (s Secret) Format(f fmt.State, _ rune) { io.WriteString(f, s.String()) }

// MarshalText is redacted, and with it JSON.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue is redacted.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// veiled are bytes that do not print: for bytes what Secret is for a string. One
// pointer is not enough: for a wrong verb, and for a reflect.Value, fmt follows a
// pointer to a slice even in an unexported field; it stops at a pointer to a
// pointer.
type veiled struct{ p **[]byte }

func veil(b []byte) veiled { return veiled{new(&b)} }

func (v veiled) bytes() []byte {
	if v.p == nil {
		return nil
	}
	return **v.p
}
