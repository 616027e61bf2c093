package grant

import (
	"strings"
	"unicode"

	"github.com/evercred/evercred"
)

// Caps of what is repeated of an endpoint's error.
const (
	maxCode        = 64
	maxDescription = 200
)

// minToken is how long a run of token characters must be to be taken for one.
const minToken = 20

// speakable is s as it may stand in a log: printable, without anything that is
// or looks like a token, and short.
func speakable(s string, sent evercred.Credential) string {
	s = withoutRuns(withoutSent(printable(s), sent))
	return capped(s, maxDescription)
}

// speakableCode is speakable for an error code, of the characters of RFC 6749 §5.2.
func speakableCode(s string, sent evercred.Credential) string {
	s = withoutSent(strings.Map(codeCharacter, s), sent)
	// Long codes of words alone are common ("unsupported_grant_type").
	if strings.Trim(s, "abcdefghijklmnopqrstuvwxyz_") != "" {
		s = withoutRuns(s)
	}
	return capped(s, maxCode)
}

// withoutRuns removes every run that might be a token, whole or in part, as it
// is or percent-encoded: an endpoint may echo what it was sent (FAILURES S2).
func withoutRuns(s string) string {
	var b strings.Builder
	start := 0 // of the run that the loop is in
	for i := 0; i <= len(s); i++ {
		if i < len(s) && tokenByte(s[i]) {
			continue
		}
		if i-start >= minToken {
			b.WriteString(evercred.Redacted)
		} else {
			b.WriteString(s[start:i])
		}
		if i < len(s) {
			b.WriteByte(s[i])
		}
		start = i + 1
	}
	return b.String()
}

func tokenByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("_.~+/=%-", c) >= 0
}

// withoutSent removes the tokens of sent, wherever they stand.
func withoutSent(s string, sent evercred.Credential) string {
	for _, secret := range []evercred.Secret{sent.Refresh, sent.Access} {
		if !secret.IsZero() {
			s = strings.ReplaceAll(s, secret.Reveal(), evercred.Redacted)
		}
	}
	return s
}

// printable drops control characters and invisible ones, which could also hide
// a token from withoutRuns.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) && r != unicode.ReplacementChar {
			return r
		}
		return -1
	}, s)
}

func codeCharacter(r rune) rune {
	if r >= ' ' && r < 0x7f && r != '"' && r != '\\' {
		return r
	}
	return -1
}

func capped(s string, n int) string {
	if runes := []rune(s); len(runes) > n {
		return string(runes[:n])
	}
	return s
}
