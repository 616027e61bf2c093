// Package issuer is an OAuth token endpoint that misbehaves on demand: the
// oracle of the proof and the counterpart of `evercred demo`. It speaks the
// refresh_token grant (RFC 6749 §6, INTEROP §4) over HTTP/1.1 on loopback,
// controls every byte of its answers, and keeps a log of what came, what it
// committed and how much of the answer it wrote.
//
// All its tokens are invented. It is not a server for anybody to log in to.
package issuer

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"
)

// Paths of the endpoints.
const (
	TokenPath    = "/v1/oauth/token"
	MessagesPath = "/v1/messages"
)

// Options describe a Server. nil and every zero member mean the default.
type Options struct {
	// Behaviour is how it behaves at first; Server.Behave changes it.
	Behaviour Behaviour
	// Seed makes the tokens repeatable; 0: different each time.
	Seed uint64
	// TLS makes it an https server; see SelfSigned.
	TLS *tls.Config
	// Listener replaces a new one on 127.0.0.1, for tests without a network. The
	// server closes it.
	Listener net.Listener
	// Now replaces the wall clock.
	Now func() time.Time
	// Observe is called at each stage of each token request, outside all locks,
	// in the goroutine that serves the request: the request goes on when it
	// returns.
	Observe func(Stage, Record)
}

// Server is a token endpoint and an API that believes in its tokens. It is safe
// for concurrent use.
type Server struct {
	opts Options
	http http.Server
	base string

	done     chan struct{}  // closed by Close: every wait ends
	handlers sync.WaitGroup // every request being served, hijacked or not
	serving  sync.WaitGroup // the accept loop

	mu        sync.Mutex
	behaviour Behaviour
	book      *book
	script    map[int]Fault
	queue     []Fault
	log       []Record
	calls     []Call
	changed   chan struct{} // closed and replaced whenever log changes
	conns     map[net.Conn]struct{}
	started   bool
	closed    bool
}

// New makes a server that does not listen yet.
func New(opts *Options) *Server {
	s := &Server{
		done:    make(chan struct{}),
		script:  make(map[int]Fault),
		changed: make(chan struct{}),
		conns:   make(map[net.Conn]struct{}),
	}
	if opts != nil {
		s.opts = *opts
	}
	if s.opts.Now == nil {
		s.opts.Now = time.Now
	}
	s.behaviour = s.opts.Behaviour
	s.book = newBook(seed(s.opts.Seed))
	return s
}

func seed(n uint64) (key [32]byte) {
	if n == 0 {
		rand.Read(key[:])
		return key
	}
	binary.LittleEndian.PutUint64(key[:], n)
	return key
}

// Start listens and returns the URL of the token endpoint.
func (s *Server) Start() (url string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.started || s.closed {
		return "", errors.New("issuer: Start needs a new server")
	}
	l := s.opts.Listener
	if l == nil {
		if l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			return "", fmt.Errorf("issuer: listen on loopback: %w", err)
		}
	}
	s.base = baseURL(l.Addr(), s.opts.TLS != nil)
	if s.opts.TLS != nil {
		l = tls.NewListener(l, http1(s.opts.TLS))
	}
	s.started = true
	s.http.Handler = s.routes()
	s.http.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){} // HTTP/1.1 only: faults count bytes
	s.http.ErrorLog = log.New(io.Discard, "", 0)                                   // it would report the broken connections that we make
	s.serving.Go(func() { s.http.Serve(l) })
	return s.base + TokenPath, nil
}

// baseURL of a listener. One without a port (a pipe) passes for loopback, since
// clients refuse clear text to any other host.
func baseURL(a net.Addr, secure bool) string {
	scheme, host := "http", "127.0.0.1"
	if secure {
		scheme = "https"
	}
	if tcp, ok := a.(*net.TCPAddr); ok {
		host = tcp.String()
	}
	return scheme + "://" + host
}

// URL is the token endpoint's address; empty before Start.
func (s *Server) URL() string { return s.address(TokenPath) }

// MessagesURL is the API's address; empty before Start.
func (s *Server) MessagesURL() string { return s.address(MessagesPath) }

func (s *Server) address(path string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.started {
		return ""
	}
	return s.base + path
}

// Close ends every wait and connection, and returns when no request is being
// served any more. It is idempotent.
func (s *Server) Close() error {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.done)
	}
	for c := range s.conns {
		c.Close() // a peer that does not read must not hold a write up
	}
	s.mu.Unlock()
	err := s.http.Close()
	s.serving.Wait()
	s.handlers.Wait()
	return err
}

// Behave changes how requests are answered from now on.
func (s *Server) Behave(change func(*Behaviour)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.behaviour)
}

// Login makes a new login: a family of tokens of its own.
func (s *Server) Login() Login { return s.LoginFor("") }

// LoginFor makes a new login issued to an OAuth client; only it may refresh
// (RFC 6749 §6).
func (s *Server) LoginFor(clientID string) Login {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.book.login(s.opts.Now(), clientID, s.behaviour)
}

// Alive reports whether a grant with this refresh token would succeed now.
func (s *Server) Alive(refresh string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.book.alive(refresh, s.opts.Now(), s.behaviour.Profile)
}

// Newest is the newest refresh token of a login that the endpoint answered
// with: each of its bytes was written to a connection. At first it is the
// login's own. Empty: no such login.
func (s *Server) Newest(login int) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.book.newest(login, true)
}

// Committed is the newest refresh token of a login, whether or not anybody was
// told of it.
func (s *Server) Committed(login int) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.book.newest(login, false)
}

// RevokeAccess makes the API refuse one access token.
func (s *Server) RevokeAccess(access string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.book.revokeAccess(access)
}

// Revoke ends a login: none of its tokens is good any more.
func (s *Server) Revoke(login int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.book.revoke(login)
}

// Await returns as soon as cond holds of the log, or when ctx or the server ends.
func (s *Server) Await(ctx context.Context, cond func([]Record) bool) error {
	for {
		s.mu.Lock()
		log, changed := s.snapshot(), s.changed
		s.mu.Unlock()
		if cond(log) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		case <-s.done:
			return errors.New("issuer: closed while a condition was awaited")
		}
	}
}

// routes counts every request in before Close may wait for it.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc(TokenPath, s.token)
	mux.HandleFunc(MessagesPath, s.messages)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.enter() {
			return
		}
		defer s.handlers.Done()
		mux.ServeHTTP(w, r)
	})
}

func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.handlers.Add(1)
	}
	return !s.closed
}
