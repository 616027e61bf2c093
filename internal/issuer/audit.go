package issuer

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"time"
)

// Record is what is known of one token request. Secrets stand in it as
// fingerprints only.
type Record struct {
	// N numbers the requests from 1, in the order of their arrival.
	N         int       `json:"n"`
	At        time.Time `json:"at"`
	Remote    string    `json:"remote"`
	UserAgent string    `json:"userAgent"`
	Method    string    `json:"method"`
	// Form is "json" or "form"; empty: the body was not understood.
	Form     string `json:"form,omitempty"`
	ClientID string `json:"clientId,omitempty"`
	Scope    string `json:"scope,omitempty"`
	Beta     string `json:"beta,omitempty"` // the anthropic-beta header
	// Refresh is the fingerprint of the refresh token that was sent, Login the
	// login it belongs to; 0: none.
	Refresh string `json:"refresh,omitempty"`
	Login   int    `json:"login,omitempty"`

	// Committed is when the grant took effect; zero: it did not.
	Committed time.Time `json:"committed,omitzero"`
	// Access and Successor are fingerprints of what was issued, or issued again
	// to a repeat within the window of Idempotent. Without rotation there is no
	// Successor.
	Access    string `json:"access,omitempty"`
	Successor string `json:"successor,omitempty"`
	// Reuse: the token had been used before. Forgiven: the profile let it pass.
	Reuse    bool `json:"reuse,omitempty"`
	Forgiven bool `json:"forgiven,omitempty"`

	// Status is the answer's; 0: the connection was broken before any was made.
	Status int `json:"status,omitempty"`
	// Size is the whole answer's, Wrote what the connection took of it (which is
	// not what the client read). Complete: all of it.
	Size     int  `json:"size"`
	Wrote    int  `json:"wrote"`
	Complete bool `json:"complete"`
	// Told: every byte of the issued tokens, and the quote that ends each, is
	// among those written.
	Told bool `json:"told"`
	// Ended is when the connection was closed; zero: the request is being served,
	// and Wrote, Complete and Told speak of what is being written.
	Ended time.Time `json:"ended,omitzero"`
}

// Granted reports whether the request committed a grant.
func (r Record) Granted() bool { return !r.Committed.IsZero() }

// Audit is the log so far, in the order of arrival.
func (s *Server) Audit() []Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.snapshot()
}

func (s *Server) snapshot() []Record { return slices.Clone(s.log) }

// Requests counts the token requests that arrived.
func (s *Server) Requests() int { return s.count(func(Record) bool { return true }) }

// Grants counts the grants that were committed. A repeat that got the same
// successor again is none.
func (s *Server) Grants() int { return s.count(Record.Granted) }

// Reuses counts the requests with a refresh token that had been used before,
// forgiven or not.
func (s *Server) Reuses() int { return s.count(func(r Record) bool { return r.Reuse }) }

func (s *Server) count(is func(Record) bool) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, r := range s.log {
		if is(r) {
			n++
		}
	}
	return n
}

// arrive adds a record and returns it with its number.
func (s *Server) arrive(r Record) Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.N = len(s.log) + 1
	s.log = append(s.log, r)
	s.tell()
	return r
}

// update writes down what became of a request. Each member is set once.
func (s *Server) update(r Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log[r.N-1] = r
	s.tell()
}

// tell wakes those who await a condition of the log.
func (s *Server) tell() {
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *Server) observe(at Stage, r Record) {
	if s.opts.Observe != nil {
		s.opts.Observe(at, r)
	}
}

// Fingerprint is the only form in which a secret is logged (DESIGN §2).
func Fingerprint(secret string) string {
	if secret == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:6])
}
