package credtest

import (
	"crypto/x509"
	"testing"
	"time"

	"github.com/evercred/evercred/internal/issuer"
)

// The words of the Endpoint. Faults and behaviours are plain structs; their
// zero value is the honest, strict endpoint.
type (
	// Login is a login as its owner would store it: Access, Refresh, ClientID,
	// Expires, and the ID by which the Endpoint calls it.
	Login = issuer.Login
	// Record is what the audit log knows of one token request: when, from whom,
	// fingerprints of what came and was issued, whether it was committed, and how
	// much of the answer was written.
	Record = issuer.Record
	// Call is one request to the API.
	Call = issuer.Call
	// Behaviour is how requests without a fault are answered: Profile,
	// KillOldAccess, Lifetime, OmitRefresh, Members, BeforeCommit, AfterCommit,
	// Chunked, RefusedStatus, Choose, API.
	Behaviour = issuer.Behaviour
	// Profile is what becomes of a used refresh token.
	Profile = issuer.Profile
	// Fault mistreats one request: Uncommitted, BeforeCommit, AfterCommit, Hold
	// and Release, Answer, Members, Break and At.
	Fault = issuer.Fault
	// Answer is an HTTP answer: Status, Header, Body.
	Answer = issuer.Answer
	// Break is what cuts an answer off.
	Break = issuer.Break
	// Stage is a moment in the life of a request.
	Stage = issuer.Stage
	// API is how the API answers.
	API = issuer.API
)

// How an answer is cut off, at which stage a request is held, and how the API
// answers.
const (
	NoBreak = issuer.NoBreak
	Close   = issuer.Close // in the orderly way, after Fault.At bytes
	Reset   = issuer.Reset // by RST, after Fault.At bytes

	Arrived   = issuer.Arrived   // read, nothing committed
	Committed = issuer.Committed // committed, nothing answered
	Amid      = issuer.Amid      // Fault.At bytes of the answer written
	Ended     = issuer.Ended

	APIHonest  = issuer.APIHonest  // 200 for a live access token, else 401
	APIRevoked = issuer.APIRevoked // 403 "OAuth token has been revoked" instead of 401
	APIPolicy  = issuer.APIPolicy  // 403 "This credential is only authorized for use with …"
	APIRefuses = issuer.APIRefuses // 401, whatever comes
)

// Strict: a used refresh token dies at once, and its reuse ends the login.
func Strict() Profile { return issuer.Strict() }

// Idempotent: for w after its first use, and until its successor is used, a
// used refresh token brings the same successor again.
func Idempotent(w time.Duration) Profile { return issuer.Idempotent(w) }

// Sibling: for w after its first use, each repeat brings another successor.
func Sibling(w time.Duration) Profile { return issuer.Sibling(w) }

// NoRotation: the refresh token stays.
func NoRotation() Profile { return issuer.NoRotation() }

// ResetBefore breaks the connection before anything is committed.
func ResetBefore() Fault { return issuer.ResetBefore() }

// ResetAfter commits and answers with a broken connection.
func ResetAfter() Fault { return issuer.ResetAfter() }

// CutAt commits, writes k bytes of the answer and ends the connection.
func CutAt(k int, how Break) Fault { return issuer.CutAt(k, how) }

// StatusBefore answers with a status and commits nothing.
func StatusBefore(status int) Fault { return issuer.StatusBefore(status) }

// StatusAfter commits, and answers with a status instead of the tokens.
func StatusAfter(status int) Fault { return issuer.StatusAfter(status) }

// Limited is a 429; an empty retryAfter leaves the header out.
func Limited(retryAfter string) Fault { return issuer.Limited(retryAfter) }

// Page is an HTML page of something that is not the endpoint.
func Page(status int, title string) Fault { return issuer.Page(status, title) }

// Redirect sends the client elsewhere.
func Redirect(status int, to string) Fault { return issuer.Redirect(status, to) }

// Garbage answers 200 with any body, and commits nothing.
func Garbage(body string) Fault { return issuer.Garbage(body) }

// Huge commits, and pads the answer with n bytes behind the tokens.
func Huge(n int) Fault { return issuer.Huge(n) }

// Slow delays before and after the commit.
func Slow(before, after time.Duration) Fault { return issuer.Slow(before, after) }

// Hang stops the request at a stage until release is called, once.
func Hang(at Stage) (f Fault, release func()) { return issuer.Hang(at) }

// Endpoint is a token endpoint on loopback that does what a test tells it,
// with an API that believes in its tokens. All its tokens are invented. Its
// methods are those of a server that is safe for concurrent use; they count and
// list what came: see Audit, Grants, Reuses, Requests, Calls.
type Endpoint struct {
	*issuer.Server
	// Roots trusts the endpoint's certificate; nil: it speaks plain HTTP.
	Roots *x509.CertPool
}

// EndpointOptions tune an Endpoint. nil and the zero value: plain HTTP, strict.
type EndpointOptions struct {
	Behaviour Behaviour
	// TLS: https with a certificate made for the occasion; see Endpoint.Roots.
	TLS bool
	// Seed makes the tokens repeatable; 0: different each time.
	Seed uint64
	// Observe is called at each stage of each token request, which goes on when
	// it returns.
	Observe func(Stage, Record)
}

// NewEndpoint starts an endpoint that is closed when the test ends.
func NewEndpoint(t testing.TB, opts *EndpointOptions) *Endpoint {
	t.Helper()
	if opts == nil {
		opts = &EndpointOptions{}
	}
	e := new(Endpoint)
	o := issuer.Options{Behaviour: opts.Behaviour, Seed: opts.Seed, Observe: opts.Observe}
	if opts.TLS {
		var err error
		if o.TLS, e.Roots, err = issuer.SelfSigned(); err != nil {
			t.Fatal(err)
		}
	}
	e.Server = issuer.New(&o)
	if _, err := e.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}
