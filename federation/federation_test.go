package federation_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/federation"
)

const (
	identity = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ0ZXN0In0.invented-signature"
	access   = "sk-ant-oat01-test-federated"
)

// endpoint answers exchanges on loopback, and remembers them.
type endpoint struct {
	*httptest.Server

	mu       sync.Mutex
	answer   http.HandlerFunc // nil: a token of 10 minutes, another each time
	requests []request
}

type request struct {
	method, path string
	header       http.Header
	params       map[string]string
}

func newEndpoint(t *testing.T) *endpoint {
	e := new(endpoint)
	e.Server = httptest.NewServer(http.HandlerFunc(e.serve))
	t.Cleanup(e.Close)
	return e
}

func (e *endpoint) serve(w http.ResponseWriter, r *http.Request) {
	req := request{method: r.Method, path: r.URL.Path, header: r.Header}
	body, _ := io.ReadAll(r.Body)
	json.Unmarshal(body, &req.params)
	e.mu.Lock()
	e.requests = append(e.requests, req)
	n, answer := len(e.requests), e.answer
	e.mu.Unlock()
	if answer != nil {
		answer(w, r)
		return
	}
	fmt.Fprintf(w, `{"access_token":"%s-%d","token_type":"Bearer","expires_in":600}`, access, n)
}

func (e *endpoint) answers(with http.HandlerFunc) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.answer = with
}

func (e *endpoint) seen() []request {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.requests
}

// says answers with a status and a body.
func says(status int, body string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

// write makes an identity token file.
func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// source exchanges the token in a file.
func source(t *testing.T, e *endpoint) (s *federation.Source, file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "identity")
	write(t, file, identity+"\n")
	s, err := federation.New(federation.Config{
		Identity: federation.IdentityFile(file), RuleID: "fdrl_test", OrganizationID: "org-test", BaseURL: e.URL,
	})
	if err != nil {
		t.Fatal(err)
	}
	return s, file
}

func reasonOf(t *testing.T, err error) evercred.Reason {
	t.Helper()
	var e *evercred.Error
	if !errors.As(err, &e) {
		t.Fatalf("no *evercred.Error: %v", err)
	}
	if strings.Contains(fmt.Sprintf("%v %+v %#v %q", err, err, err, err), identity) {
		t.Errorf("the error shows the identity token: %v", err)
	}
	return e.Reason
}

func TestExchangeOnTheWire(t *testing.T) { // INTEROP §6
	e := newEndpoint(t)
	required := map[string]string{
		"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": identity,
		"federation_rule_id": "fdrl_test", "organization_id": "org-test",
	}
	all := maps.Clone(required)
	all["service_account_id"], all["workspace_id"] = "svac_test", "wrkspc_test"
	for i, want := range []map[string]string{required, all} {
		s, err := federation.New(federation.Config{
			Identity: federation.IdentityVariable("ID", func(string) (string, bool) { return identity, true }),
			RuleID:   "fdrl_test", OrganizationID: "org-test",
			ServiceAccountID: want["service_account_id"], WorkspaceID: want["workspace_id"], BaseURL: e.URL + "/",
		})
		if err != nil {
			t.Fatal(err)
		}
		before := time.Now()
		tok, err := s.Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got := e.seen()[i]
		if got.method != "POST" || got.path != "/v1/oauth/token" || !maps.Equal(got.params, want) {
			t.Errorf("%s %s %v, want %v", got.method, got.path, got.params, want)
		}
		if h := got.header; h.Get("Anthropic-Beta") != "oauth-2025-04-20,oidc-federation-2026-04-01" ||
			h.Get("Content-Type") != "application/json" || !strings.HasPrefix(h.Get("User-Agent"), "evercred/") || h.Get("Authorization") != "" {
			t.Errorf("headers %v", h)
		}
		h := http.Header{"Anthropic-Beta": {"files-1"}}
		tok.Apply(h)
		if h.Get("Authorization") != fmt.Sprintf("Bearer %s-%d", access, i+1) || h.Get("Anthropic-Beta") != "files-1,oauth-2025-04-20" {
			t.Errorf("a request would bear %v", h)
		}
		if life := tok.Expires().Sub(before); life < 599*time.Second || life > 630*time.Second {
			t.Errorf("it ends in %v", life)
		}
	}
}

func TestOneExchange(t *testing.T) {
	e := newEndpoint(t)
	s, _ := source(t, e)
	var wg sync.WaitGroup
	for range 500 {
		wg.Go(func() {
			if _, err := s.Token(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := len(e.seen()); n != 1 {
		t.Errorf("%d exchanges", n)
	}
}

// The identity token is read anew at each exchange; the access token that is
// good is served without.
func TestRotation(t *testing.T) {
	e := newEndpoint(t)
	s, file := source(t, e)
	first, err := s.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Token(t.Context()); err != nil || got != first {
		t.Errorf("a good token is not served when the identity token is gone: %v", err)
	}
	// As a kubelet does it: the name is a link, and so is the directory in it.
	dir := filepath.Join(filepath.Dir(file), "..2026")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "identity"), " \t"+identity+"2\r\n\n")
	for link, to := range map[string]string{filepath.Join(filepath.Dir(file), "..data"): "..2026", file: filepath.Join("..data", "identity")} {
		if err := os.Symlink(to, link); err != nil {
			t.Skip(err)
		}
	}
	s.Reject(first)
	if got, err := s.Token(t.Context()); err != nil || got.Equal(first) {
		t.Errorf("after a refusal: %v", err)
	}
	if seen := e.seen(); len(seen) != 2 || seen[1].params["assertion"] != identity+"2" {
		t.Errorf("%d exchanges", len(seen))
	}
}

func TestOutageServesAGoodToken(t *testing.T) {
	e := newEndpoint(t)
	e.answers(says(200, `{"access_token":"sk-ant-oat01-test-short","expires_in":2}`))
	s, _ := source(t, e)
	first, err := s.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	e.answers(says(503, "overloaded"))
	for time.Until(first.Expires()) > 20*time.Millisecond { // its early window begins at 1.6 s
		if got, err := s.Token(t.Context()); err != nil && time.Now().Before(first.Expires()) || err == nil && !got.Equal(first) {
			t.Fatalf("not served: %v", err)
		}
		time.Sleep(10 * time.Millisecond) // spares the machine
	}
	if n := len(e.seen()); n != 2 {
		t.Errorf("%d exchanges, want one in the early window", n)
	}
}

func TestAnswers(t *testing.T) {
	long := identity + strings.Repeat("x", 2<<20)
	tests := []struct {
		name   string
		answer http.HandlerFunc
		kind   error
		reason evercred.Reason
		rests  time.Duration // at least; 0: RetryAt is not looked at
	}{
		{"refused", says(400, `{"error":"invalid_grant","error_description":"no rule matches"}`), evercred.ErrLoginRequired, evercred.ReasonAssertion, 50 * time.Second},
		{"S2", says(400, `{"error":"invalid_grant","error_description":"bad assertion `+identity+`, `+url.QueryEscape(identity)+`"}`), evercred.ErrLoginRequired, evercred.ReasonAssertion, 0},
		{"S2 code", says(400, `{"error":"`+identity+`"}`), evercred.ErrUnavailable, evercred.ReasonEndpointError, 0},
		{"S2 page", says(403, "<html>"+identity), evercred.ErrUnavailable, evercred.ReasonNotEndpoint, 0},
		{"R11", says(429, `{}`, "Retry-After", "1800"), evercred.ErrUnavailable, evercred.ReasonRateLimited, 29 * time.Minute},
		{"R11 none", says(429, ``), evercred.ErrUnavailable, evercred.ReasonRateLimited, 59 * time.Second},
		{"R12", says(200, "<html>log in to the network", "Content-Type", "text/html"), evercred.ErrUnavailable, evercred.ReasonNotEndpoint, time.Second},
		{"R12 moved", says(404, "not found"), evercred.ErrUnavailable, evercred.ReasonNotEndpoint, time.Second},
		{"API error", says(400, `{"type":"error","error":{"type":"invalid_request_error","message":"no"}}`), evercred.ErrUnavailable, evercred.ReasonNotEndpoint, time.Second},
		{"401", says(401, `{"type":"error","error":{"type":"authentication_error","message":"no rule matches"}}`), evercred.ErrLoginRequired, evercred.ReasonAssertion, 50 * time.Second},
		{"client", says(401, `{"error":"invalid_client"}`), evercred.ErrUnavailable, evercred.ReasonEndpointError, time.Second},
		{"5xx", says(500, "oops"), evercred.ErrUnavailable, evercred.ReasonUnknownOutcome, time.Second},
		{"5xx asks for time", says(503, "", "Retry-After", "600"), evercred.ErrUnavailable, evercred.ReasonUnknownOutcome, 9 * time.Minute},
		{"R13 empty", says(200, ""), evercred.ErrUnavailable, evercred.ReasonUnknownOutcome, time.Second},
		{"R13 no token", says(200, `{"expires_in":600}`), evercred.ErrUnavailable, evercred.ReasonUnknownOutcome, time.Second},
		{"R13 control", says(200, `{"access_token":"a\nb","expires_in":600}`), evercred.ErrUnavailable, evercred.ReasonUnknownOutcome, time.Second},
		{"R13 mac", says(200, `{"access_token":"a","token_type":"mac"}`), evercred.ErrUnavailable, evercred.ReasonUnknownOutcome, time.Second},
		{"R13 2 MiB", says(200, `{"access_token":"`+long+`"}`), evercred.ErrUnavailable, evercred.ReasonUnknownOutcome, time.Second},
		{"cut", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, evercred.ErrUnavailable, evercred.ReasonUnknownOutcome, time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := newEndpoint(t)
			e.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
			e.answers(tt.answer)
			s, _ := source(t, e)
			_, err := s.Token(t.Context())
			if !errors.Is(err, tt.kind) || reasonOf(t, err) != tt.reason {
				t.Fatalf("%v (%s)", err, reasonOf(t, err))
			}
			var told *evercred.Error
			if errors.As(err, &told); tt.rests > 0 && time.Until(told.RetryAt) < tt.rests {
				t.Errorf("%v says to try again in %v", err, time.Until(told.RetryAt))
			}
			if _, again := s.Token(t.Context()); tt.rests > 0 && len(e.seen()) != 1 || !errors.Is(again, tt.kind) {
				t.Errorf("%d exchanges at once, %v", len(e.seen()), again)
			}
		})
	}
}

// S2: what is too short to look like a token is not repeated either.
func TestS2ShortIdentity(t *testing.T) {
	e := newEndpoint(t)
	e.answers(says(400, `{"error":"invalid_grant","error_description":"no rule for tiny.id, really"}`))
	s, file := source(t, e)
	write(t, file, "tiny.id")
	if _, err := s.Token(t.Context()); err == nil || strings.Contains(err.Error(), "tiny.id") || !strings.Contains(err.Error(), "no rule for "+evercred.Redacted+", really") {
		t.Errorf("%v", err)
	}
}

// 500 callers in an outage send one request and get an answer at once.
func TestR21Outage(t *testing.T) {
	e := newEndpoint(t)
	s, _ := source(t, e)
	e.Close()
	var wg sync.WaitGroup
	begun := time.Now()
	for range 500 {
		wg.Go(func() {
			if _, err := s.Token(t.Context()); !errors.Is(err, evercred.ErrUnavailable) || reasonOf(t, err) != evercred.ReasonUnreachable {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if took := time.Since(begun); took > 2*time.Second {
		t.Errorf("it took %v", took)
	}
}

// An identity token that was refused is not sent again; its successor is, at once.
func TestRefusedIdentity(t *testing.T) {
	e := newEndpoint(t)
	e.answers(says(400, `{"error":"invalid_grant"}`))
	s, file := source(t, e)
	for range 3 {
		if _, err := s.Token(t.Context()); !errors.Is(err, evercred.ErrLoginRequired) {
			t.Errorf("%v", err)
		}
	}
	if n := len(e.seen()); n != 1 {
		t.Errorf("it was sent %d times", n)
	}
	e.answers(nil)
	write(t, file, identity+"2")
	if _, err := s.Token(t.Context()); err != nil {
		t.Errorf("the next one: %v", err)
	}
}

func TestR13Lifetimes(t *testing.T) {
	for body, want := range map[string]time.Duration{"": time.Hour, `,"expires_in":"600"`: time.Hour, `,"expires_in":-1`: time.Hour, `,"expires_in":1e18`: time.Hour, `,"expires_in":90.5`: 90500 * time.Millisecond} {
		e := newEndpoint(t)
		e.answers(says(200, `{"access_token":"sk-test"`+body+`}`))
		s, _ := source(t, e)
		tok, err := s.Token(t.Context())
		if err != nil || time.Until(tok.Expires())-want > time.Second || want-time.Until(tok.Expires()) > 30*time.Second {
			t.Errorf("%s: ends in %v, %v", body, time.Until(tok.Expires()), err)
		}
	}
}

func TestR14RedirectsAreNotFollowed(t *testing.T) {
	other := newEndpoint(t)
	for _, status := range []int{301, 302, 303, 307, 308} {
		e := newEndpoint(t)
		e.answers(says(status, "", "Location", other.URL+"/v1/oauth/token"))
		s, _ := source(t, e)
		if _, err := s.Token(t.Context()); !errors.Is(err, evercred.ErrUnavailable) || reasonOf(t, err) != evercred.ReasonNotEndpoint {
			t.Errorf("%d: %v", status, err)
		}
	}
	if n := len(other.seen()); n != 0 {
		t.Errorf("the other host got %d requests", n)
	}
}

func TestNewRefuses(t *testing.T) {
	good := federation.Config{
		Identity: federation.IdentityVariable("ID", func(string) (string, bool) { return identity, true }),
		RuleID:   "fdrl_test", OrganizationID: "org-test",
	}
	if s, err := federation.New(good); err != nil || s.Host() != "api.anthropic.com" {
		t.Fatal(err)
	}
	tests := map[string]struct {
		change func(*federation.Config)
		reason evercred.Reason
	}{
		"no identity":     {func(c *federation.Config) { c.Identity = nil }, evercred.ReasonUsage},
		"no rule":         {func(c *federation.Config) { c.RuleID = "" }, evercred.ReasonUsage},
		"no organisation": {func(c *federation.Config) { c.OrganizationID = "" }, evercred.ReasonUsage},
		"S4":              {func(c *federation.Config) { c.BaseURL = "http://api.anthropic.com" }, evercred.ReasonHost},
		"S7":              {func(c *federation.Config) { c.BaseURL = "https://evil.example" }, evercred.ReasonHost},
		"S7 suffix":       {func(c *federation.Config) { c.BaseURL = "https://api.anthropic.com.evil.example" }, evercred.ReasonHost},
		"S4, allowed": {func(c *federation.Config) {
			c.BaseURL, c.AllowHosts = "http://idp.example", []string{"idp.example"}
		}, evercred.ReasonHost},
	}
	for name, tt := range tests {
		cfg := good
		tt.change(&cfg)
		if _, err := federation.New(cfg); !errors.Is(err, evercred.ErrConfig) || reasonOf(t, err) != tt.reason {
			t.Errorf("%s: %v", name, err)
		}
	}
	good.BaseURL, good.AllowHosts = "https://idp.example:8443", []string{"idp.example"}
	if _, err := federation.New(good); err != nil {
		t.Errorf("a host that was allowed: %v", err)
	}
}

func TestS1NothingPrints(t *testing.T) {
	e := newEndpoint(t)
	s, _ := source(t, e)
	if _, err := s.Token(t.Context()); err != nil {
		t.Fatal(err)
	}
	var text string
	for _, verb := range []string{"%v", "%+v", "%#v", "%d", "%x", "%s", "%q"} {
		text += fmt.Sprintf(verb, s)
	}
	if j, err := json.Marshal(struct{ Source any }{s}); err == nil {
		text += string(j)
	}
	for _, secret := range []string{identity, access, fmt.Sprintf("%x", access)} {
		if strings.Contains(text, secret) {
			t.Error("a Source prints a secret")
		}
	}
}
