package grant

import (
	"regexp"
	"strings"
	"unicode"

	"github.com/evercred/evercred"
)

// Caps of what is repeated of an endpoint's error.
const (
	maxCode        = 64
	maxDescription = 200
)

// tokenLike is any run that might be a token, whole or in part, as it is or
// percent-encoded: an endpoint may echo what it was sent (FAILURES S2).
var tokenLike = regexp.MustCompile(`[A-Za-z0-9_.~+/=%-]{20,}`)

// words is what error codes are made of; longer ones than 20 letters are common
// ("unsupported_grant_type").
var words = regexp.MustCompile(`^[a-z_]*$`)

// speakable is s as it may stand in a log: printable, without anything that is
// or looks like a token, and short.
func speakable(s string, sent evercred.Credential) string {
	s = tokenLike.ReplaceAllString(withoutSent(printable(s), sent), evercred.Redacted)
	return capped(s, maxDescription)
}

// speakableCode is speakable for an error code, of the characters of RFC 6749 §5.2.
func speakableCode(s string, sent evercred.Credential) string {
	s = withoutSent(strings.Map(codeCharacter, s), sent)
	if !words.MatchString(s) {
		s = tokenLike.ReplaceAllString(s, evercred.Redacted)
	}
	return capped(s, maxCode)
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
// a token from tokenLike.
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
