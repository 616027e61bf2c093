package issuer

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Call is one request to the API.
type Call struct {
	At     time.Time
	Method string
	Remote string
	// Header is what came, with the values of secret headers replaced by
	// fingerprints: "Bearer " and 12 hex digits.
	Header http.Header
	// Body counts the bytes that came.
	Body   int64
	Status int
}

// Calls is the log of the API so far.
func (s *Server) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

// messages answers according to the bearer token alone.
func (s *Server) messages(w http.ResponseWriter, r *http.Request) {
	call := Call{At: s.opts.Now(), Method: r.Method, Remote: r.RemoteAddr, Header: masked(r.Header)}
	call.Body, _ = io.Copy(io.Discard, io.LimitReader(r.Body, 64<<20))
	a := s.answerCall(r)
	call.Status = a.Status

	s.mu.Lock()
	s.calls = append(s.calls, call)
	s.mu.Unlock()

	w.Header().Set("Content-Type", a.Header.Get("Content-Type"))
	w.WriteHeader(a.Status)
	w.Write(a.Body)
}

func (s *Server) answerCall(r *http.Request) *Answer {
	if r.Method != http.MethodGet && r.Method != http.MethodPost {
		return badRequest(http.StatusMethodNotAllowed, "method not allowed")
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	s.mu.Lock()
	mode, good := s.behaviour.API, strings.EqualFold(scheme, "Bearer") && s.book.honours(token, s.opts.Now())
	s.mu.Unlock()
	switch {
	case mode == APIPolicy:
		return apiError(http.StatusForbidden, "permission_error", "This credential is only authorized for use with Claude Code and cannot be used for other API requests.")
	case good && mode != APIRefuses:
		return jsonAnswer(http.StatusOK, map[string]any{"type": "message", "role": "assistant", "content": []any{}})
	case mode == APIRevoked:
		return apiError(http.StatusForbidden, "permission_error", "OAuth token has been revoked. Please obtain a new token.")
	default:
		return apiError(http.StatusUnauthorized, "authentication_error", "Invalid bearer token")
	}
}

// masked copies headers with fingerprints in the place of secrets. The scheme of
// an Authorization stays.
func masked(h http.Header) http.Header {
	h = h.Clone()
	for _, name := range []string{"Authorization", "Proxy-Authorization", "X-Api-Key", "Cookie"} {
		for i, v := range h[name] {
			scheme, secret, found := strings.Cut(v, " ")
			if !found || name == "Cookie" {
				h[name][i] = Fingerprint(v)
				continue
			}
			h[name][i] = scheme + " " + Fingerprint(secret)
		}
	}
	return h
}
