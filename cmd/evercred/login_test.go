package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/evercred/evercred/internal/issuer"
)

// place is one test's home with a login in it, and the endpoint that made it.
type place struct {
	home     string
	endpoint *issuer.Server
	login    issuer.Login
	secrets  []string // of all logins here
}

func newPlace(home string) (*place, error) {
	p := &place{home: home, endpoint: issuer.New(nil)}
	if _, err := p.endpoint.Start(); err != nil {
		return nil, err
	}
	p.login = p.endpoint.Login()
	p.secrets = []string{p.login.Access, p.login.Refresh}
	return p, os.MkdirAll(filepath.Join(home, ".claude"), 0o700)
}

// at is a place for a test in Go.
func at(t *testing.T) *place {
	t.Helper()
	p, err := newPlace(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.endpoint.Close() })
	return p
}

func (p *place) file() string { return filepath.Join(p.home, ".claude", ".credentials.json") }

// write writes the document, with 0600 as its owner would. It seems to have
// rested for an hour: one that changed a moment ago and does not parse is read
// again for two seconds, in case that somebody is writing (INTEROP §2).
func (p *place) write(doc string) error {
	if err := os.WriteFile(p.file(), []byte(doc), 0o600); err != nil {
		return err
	}
	rested := time.Now().Add(-time.Hour)
	return os.Chtimes(p.file(), rested, rested)
}

// members of a login in one of the states of INTEROP §2.
func (p *place) members(state string) (map[string]any, error) {
	now := time.Now()
	ms := func(d time.Duration) int64 { return now.Add(d).UnixMilli() }
	m := map[string]any{
		"accessToken":           p.login.Access,
		"refreshToken":          p.login.Refresh,
		"expiresAt":             ms(8 * time.Hour),
		"refreshTokenExpiresAt": ms(28 * 24 * time.Hour),
		"scopes":                []string{"user:inference", "user:profile"},
		"subscriptionType":      "max",
		"rateLimitTier":         "default_claude_max_20x",
	}
	for part := range strings.SplitSeq(state, ",") {
		switch part {
		case "fresh":
		case "expiring":
			m["expiresAt"] = ms(5 * time.Minute)
		case "ending":
			m["expiresAt"] = ms(29 * time.Second)
		case "expired":
			m["expiresAt"] = ms(-time.Hour)
		case "blanked":
			m["accessToken"], m["refreshToken"], m["expiresAt"] = "", "", 0
		case "no-refresh":
			delete(m, "refreshToken")
		case "deadline-passed":
			m["refreshTokenExpiresAt"] = ms(-time.Minute)
		case "deadline-near":
			m["refreshTokenExpiresAt"] = ms(48 * time.Hour)
		default:
			return nil, fmt.Errorf("no such state: %s", part)
		}
	}
	return m, nil
}

// store writes a new login in a state, such as "expired,no-refresh".
func (p *place) store(state string) error {
	p.login = p.endpoint.Login()
	p.secrets = append(p.secrets, p.login.Access, p.login.Refresh)
	m, err := p.members(state)
	if err != nil {
		return err
	}
	section, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return p.write(`{"mcpOAuth":{"a|0":{"accessToken":"neighbour-access"}},"claudeAiOauth":` + string(section) + `}`)
}

// fill puts the login into a document that names its parts.
func (p *place) fill(doc string) string {
	now := time.Now()
	ms := func(d time.Duration) string { return strconv.FormatInt(now.Add(d).UnixMilli(), 10) }
	return strings.NewReplacer(
		"@ACCESS@", p.login.Access, "@REFRESH@", p.login.Refresh,
		"@FUTURE@", ms(8*time.Hour), "@PAST@", ms(-time.Hour), "@DEADLINE@", ms(28*24*time.Hour),
	).Replace(doc)
}

// leaks names the secret that stands in text; empty: none.
func (p *place) leaks(text string) string {
	for _, s := range append(p.secrets, "neighbour-access", "helper-secret", "variable-secret", "identity-secret", "exchanged-secret") {
		if strings.Contains(text, s) {
			return s
		}
	}
	return ""
}

// access is the access token that is stored now.
func (p *place) access() (string, error) {
	b, err := os.ReadFile(p.file())
	if err != nil {
		return "", err
	}
	var doc struct {
		ClaudeAiOauth struct{ AccessToken, RefreshToken string }
	}
	if err := json.Unmarshal(b, &doc); err != nil {
		return "", err
	}
	if newest := p.endpoint.Newest(p.login.ID); doc.ClaudeAiOauth.RefreshToken != newest {
		return "", fmt.Errorf("the stored refresh token is not the newest one that was answered")
	}
	return doc.ClaudeAiOauth.AccessToken, nil
}
