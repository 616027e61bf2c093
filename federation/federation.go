// Package federation exchanges a workload's own identity token for an access
// token (RFC 7523 §2.1): no login is stored, and nothing is spent.
//
// The identity token is read anew at each exchange, because whoever mounts it
// also rotates it. Access tokens live in memory only.
package federation

import (
	"cmp"
	"context"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/grant"
	"github.com/evercred/evercred/internal/seam"
)

// Anthropic's endpoint and headers (INTEROP §6, "Federation").
const (
	DefaultBaseURL = "https://api.anthropic.com"
	tokenHost      = "api.anthropic.com"
	tokenPath      = "/v1/oauth/token"
	grantType      = "urn:ietf:params:oauth:grant-type:jwt-bearer"
	oauthBeta      = "oauth-2025-04-20"
	exchangeBeta   = oauthBeta + ",oidc-federation-2026-04-01"
)

// Config says who asks whom. Identity, RuleID and OrganizationID are required.
type Config struct {
	// Identity gives the identity token, at each exchange.
	Identity Identity
	// RuleID names the federation rule that the identity token is to match.
	RuleID string
	// OrganizationID is the organisation that the rule belongs to.
	OrganizationID string
	// ServiceAccountID and WorkspaceID may narrow it.
	ServiceAccountID, WorkspaceID string
	// BaseURL of the endpoint, https or a loopback; empty: DefaultBaseURL. Another
	// host than its own must be in AllowHosts, in lower case and without port.
	BaseURL    string
	AllowHosts []string
	// TokenURL is the endpoint itself, instead of that below BaseURL.
	TokenURL string
	// Early is how long before its end an access token is renewed while it is
	// still served: 10 minutes by default, and at most a fifth of its life.
	Early time.Duration
	// Timeout bounds connecting, 30 s by default; an answer is awaited for 30 s more.
	Timeout time.Duration
	// UserAgent is "evercred/VERSION" by default.
	UserAgent string
	// Proxy and RootCAs are as in grant.Config: nil means as the environment says.
	Proxy   func(*url.URL) (*url.URL, error)
	RootCAs *x509.CertPool
	// Seams are for this module's own tests; leave it nil.
	Seams *seam.Seams
}

// Source is an evercred.Provider and Rejecter. It is safe for concurrent use.
type Source struct {
	cache *evercred.Cache
	host  string
}

// New checks cfg without reading the identity token or touching the network.
// ErrConfig: something is missing, or the endpoint may not be sent the identity
// token.
func New(cfg Config) (*Source, error) {
	for _, m := range []struct {
		what    string
		missing bool
	}{
		{"an identity token", cfg.Identity == nil},
		{"the id of the federation rule", cfg.RuleID == ""},
		{"the id of the organisation", cfg.OrganizationID == ""},
	} {
		if m.missing {
			return nil, &evercred.Error{Kind: evercred.ErrConfig, Reason: evercred.ReasonUsage, What: "federation needs " + m.what}
		}
	}
	client, err := grant.New(grant.Config{
		TokenURL:  cmp.Or(cfg.TokenURL, strings.TrimRight(cmp.Or(cfg.BaseURL, DefaultBaseURL), "/")+tokenPath),
		Header:    http.Header{"Anthropic-Beta": {exchangeBeta}},
		UserAgent: cfg.UserAgent,
		Proxy:     cfg.Proxy,
		RootCAs:   cfg.RootCAs,
		Seams:     cfg.Seams,
	})
	if err != nil {
		return nil, err
	}
	if err := client.Confined(append([]string{tokenHost}, cfg.AllowHosts...)...); err != nil {
		return nil, err
	}
	seams := cfg.Seams.Filled()
	cache := evercred.CachedWith(&exchange{cfg: cfg, client: client, seams: seams}, evercred.CacheOptions{
		Early:    cmp.Or(cfg.Early, 10*time.Minute),
		Pause:    seams.Times.CooldownUnreachableMin,
		PauseMax: seams.Times.CooldownUnreachableMax,
	})
	return &Source{cache: cache, host: client.Host()}, nil
}

// Token gives an access token that is good now. The first caller, and later one
// caller in the early window, waits for an exchange; a token that is good is
// served through any outage.
//
// Errors: ErrUnavailable (the network, the endpoint; Error.RetryAt says when it
// is asked again), ErrLoginRequired (it refuses the identity token), ErrUnsafe or
// ErrConfig (there is no identity token to send). Never ErrNotFound.
func (s *Source) Token(ctx context.Context) (evercred.Token, error) { return s.cache.Token(ctx) }

// Reject drops t if it is the current one; see evercred.Rejecter and
// evercred.CacheOptions.
func (s *Source) Reject(t evercred.Token) { s.cache.Reject(t) }

// Host is the endpoint's.
func (s *Source) Host() string { return s.host }

// Format names the endpoint, for every verb: fmt would look at what callers are
// changing.
func (s *Source) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "federation through %s", s.host) }
