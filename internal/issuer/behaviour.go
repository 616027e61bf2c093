package issuer

import (
	"maps"
	"strconv"
	"time"
)

// DefaultLifetime is what the real endpoint gives an access token (INTEROP §4).
const DefaultLifetime = 8 * time.Hour

// Behaviour is how a Server answers requests to which no fault was scripted.
// The zero value is the strictest endpoint.
type Behaviour struct {
	Profile Profile
	// KillOldAccess: a grant ends the access tokens that the login had before.
	KillOldAccess bool
	// Lifetime of access tokens; 0: DefaultLifetime.
	Lifetime time.Duration
	// OmitRefresh leaves refresh_token out of the answer, and so the refresh
	// token as it is (RFC 6749 §6 lets the endpoint choose).
	OmitRefresh bool
	// Members replaces or adds members of a granting answer: raw JSON by name;
	// the empty string takes a member away. It changes what is said, not what
	// was committed.
	Members map[string]string
	// BeforeCommit and AfterCommit delay every request.
	BeforeCommit, AfterCommit time.Duration
	// Chunked sends answers in two chunks rather than with a Content-Length.
	Chunked bool
	// RefusedStatus goes with invalid_grant; 0: 400.
	RefusedStatus int
	// Choose gives the fault of a request that has neither a scripted nor a
	// queued one; nil: none. It is called without any lock.
	Choose func(Record) Fault
	// API is how the API answers.
	API API
}

func (b Behaviour) lifetime() time.Duration {
	if b.Lifetime == 0 {
		return DefaultLifetime
	}
	return b.Lifetime
}

func (b Behaviour) refusedStatus() int {
	if b.RefusedStatus == 0 {
		return 400
	}
	return b.RefusedStatus
}

// members gives those of one answer: the behaviour's, overridden by the fault's.
func (b Behaviour) members(f Fault) map[string]string {
	m := maps.Clone(b.Members)
	if m == nil {
		return f.Members
	}
	maps.Copy(m, f.Members)
	return m
}

// Profile is what becomes of a refresh token that was used.
type Profile struct {
	kind   profileKind
	window time.Duration
}

type profileKind int

const (
	strict profileKind = iota
	idempotent
	sibling
	noRotation
)

// Strict: a used refresh token dies at once, and its reuse ends the login
// (RFC 9700 §4.14.2).
func Strict() Profile { return Profile{} }

// Idempotent: for w after its first use, and until its successor is used, the
// same successor is answered again; later it is a reuse as in Strict.
func Idempotent(w time.Duration) Profile { return Profile{idempotent, w} }

// Sibling: for w after its first use, each repeat gets another valid successor;
// later it is a reuse as in Strict.
func Sibling(w time.Duration) Profile { return Profile{sibling, w} }

// NoRotation: the refresh token stays, and the answer does not repeat it.
func NoRotation() Profile { return Profile{kind: noRotation} }

// String names the profile.
func (p Profile) String() string {
	switch p.kind {
	case idempotent:
		return "idempotent(" + p.window.String() + ")"
	case sibling:
		return "sibling(" + p.window.String() + ")"
	case noRotation:
		return "no-rotation"
	case strict:
		return "strict"
	}
	return "profile " + strconv.Itoa(int(p.kind))
}

// API is how the API answers (INTEROP §5).
type API int

const (
	// APIHonest: 200 for a live access token, else 401.
	APIHonest API = iota
	// APIRevoked: 403 "OAuth token has been revoked" instead of 401.
	APIRevoked
	// APIPolicy: 403 "This credential is only authorized for use with Claude
	// Code" for everything, which no refresh can mend.
	APIPolicy
	// APIRefuses: 401 for everything, fresh tokens too (FAILURES R15b).
	APIRefuses
)
