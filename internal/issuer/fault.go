package issuer

import (
	"net/http"
	"strings"
	"time"
)

// Stage is a moment in the life of a token request.
type Stage int

const (
	// Arrived: the request was read, nothing is committed.
	Arrived Stage = iota + 1
	// Committed: the grant is committed, not a byte of the answer is written.
	// Requests that commit nothing pass it as well.
	Committed
	// Amid: Fault.At bytes of the answer are written.
	Amid
	// Ended: all is written that will be, and the connection is closed.
	Ended
)

// Break is what cuts an answer off.
type Break int

const (
	// NoBreak: the answer is written to its end.
	NoBreak Break = iota
	// Close ends the connection in the orderly way (FIN).
	Close
	// Reset ends it by RST, where the connection is TCP.
	Reset
)

// Fault is how one request is mistreated. The zero value is none.
type Fault struct {
	// Uncommitted: the grant is not performed. Without an Answer the connection
	// is closed without a byte, since there is nothing to say.
	Uncommitted bool
	// BeforeCommit and AfterCommit delay, on top of the Behaviour's delays.
	BeforeCommit, AfterCommit time.Duration
	// Hold stops the request at a stage until Release is closed or the server
	// closes; that the client leaves does not end it.
	Hold    Stage
	Release <-chan struct{}
	// Answer replaces the endpoint's own.
	Answer *Answer
	// Members changes members of the granting answer, like Behaviour.Members.
	Members map[string]string
	// Break cuts the answer off after At bytes, counted from the status line.
	Break Break
	// At is where Break cuts and where the stage Amid is.
	At int
}

// Answer is an HTTP answer, written as it is.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// The faults by name. Each builds on Fault's members, which can be combined.

// ResetBefore breaks the connection before anything is committed.
func ResetBefore() Fault { return Fault{Uncommitted: true, Break: Reset} }

// ResetAfter commits and answers with a broken connection.
func ResetAfter() Fault { return Fault{Break: Reset} }

// CutAt commits, writes k bytes of the answer and ends the connection.
func CutAt(k int, how Break) Fault { return Fault{Break: how, At: k} }

// StatusBefore answers with a status and commits nothing.
func StatusBefore(status int) Fault {
	return Fault{Uncommitted: true, Answer: apiError(status, "api_error", http.StatusText(status))}
}

// StatusAfter commits, and answers with a status instead of the tokens.
func StatusAfter(status int) Fault {
	return Fault{Answer: apiError(status, "api_error", http.StatusText(status))}
}

// Limited is a 429; an empty retryAfter leaves the header out.
func Limited(retryAfter string) Fault {
	a := apiError(http.StatusTooManyRequests, "rate_limit_error", "This request would exceed your rate limit.")
	if retryAfter != "" {
		a.Header.Set("Retry-After", retryAfter)
	}
	return Fault{Uncommitted: true, Answer: a}
}

// Page is an HTML page of something that is not the endpoint: a captive
// portal, a proxy, a moved host.
func Page(status int, title string) Fault {
	body := "<!DOCTYPE html><html><head><title>" + title + "</title></head><body><h1>" + title + "</h1></body></html>\n"
	return Fault{Uncommitted: true, Answer: answer(status, "text/html; charset=utf-8", body)}
}

// Redirect sends the client elsewhere (FAILURES R14).
func Redirect(status int, to string) Fault {
	a := answer(status, "text/plain", "")
	a.Header.Set("Location", to)
	return Fault{Uncommitted: true, Answer: a}
}

// Garbage answers 200 with a body that means nothing, and commits nothing.
func Garbage(body string) Fault {
	return Fault{Uncommitted: true, Answer: answer(http.StatusOK, "application/json", body)}
}

// Huge commits, and pads the granting answer with n bytes behind the tokens.
func Huge(n int) Fault {
	return Fault{Members: map[string]string{"padding": `"` + strings.Repeat("x", n) + `"`}}
}

// Slow delays before and after the commit.
func Slow(before, after time.Duration) Fault {
	return Fault{BeforeCommit: before, AfterCommit: after}
}

// Hang stops the request at a stage until release is called, once.
func Hang(at Stage) (f Fault, release func()) {
	c := make(chan struct{})
	return Fault{Hold: at, Release: c}, func() { close(c) }
}

func answer(status int, contentType, body string) *Answer {
	return &Answer{Status: status, Header: http.Header{"Content-Type": {contentType}}, Body: []byte(body)}
}

// Script sets the fault of the n-th token request; 1 is the first.
func (s *Server) Script(n int, f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.script[n] = f
}

// Queue appends faults for the next requests that have no scripted one, a
// fault a request.
func (s *Server) Queue(faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue = append(s.queue, faults...)
}

// fault takes the one of request rec: scripted, queued or chosen.
func (s *Server) fault(rec Record) Fault {
	s.mu.Lock()
	if f, ok := s.script[rec.N]; ok {
		s.mu.Unlock()
		return f
	}
	if len(s.queue) > 0 {
		f := s.queue[0]
		s.queue = s.queue[1:]
		s.mu.Unlock()
		return f
	}
	choose := s.behaviour.Choose
	s.mu.Unlock()
	if choose == nil {
		return Fault{}
	}
	return choose(rec)
}
