package grant

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/internal/seam"
	"github.com/evercred/evercred/internal/timing"
)

const (
	oldAccess  = "sk-ant-oat01-test-old-access"
	oldRefresh = "sk-ant-ort01-test-old-refresh"
	newAccess  = "sk-ant-oat01-test-new-access"
	newRefresh = "sk-ant-ort01-test-new-refresh"
)

// login is what every test sends.
func login() evercred.Credential {
	return evercred.Credential{
		Access:   evercred.NewSecret(oldAccess),
		Refresh:  evercred.NewSecret(oldRefresh),
		Deadline: time.Date(2031, 1, 1, 0, 0, 0, 0, time.UTC),
		Scopes:   []string{"user:inference"},
		Plan:     "max",
	}
}

const goodBody = `{"token_type":"Bearer","access_token":"` + newAccess + `","expires_in":28800,"refresh_token":"` + newRefresh +
	`","scope":"user:inference user:profile","account":{"uuid":"a","refresh_token":"nested"},"refresh_token_expires_in":2592000}`

// answer makes an answer with a Content-Length.
func answer(status int, body string, headers ...string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\n", status, http.StatusText(status))
	for _, h := range headers {
		b.WriteString(h + "\r\n")
	}
	fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n%s", len(body), body)
	return b.Bytes()
}

// exchange records what Send told it, in order.
type exchange struct {
	ready   func() error
	sending func()
	steps   []string
	pieces  [][]byte
}

func (x *exchange) Ready() error {
	x.steps = append(x.steps, "ready")
	if x.ready != nil {
		return x.ready()
	}
	return nil
}

func (x *exchange) Sending() {
	x.steps = append(x.steps, "sending")
	if x.sending != nil {
		x.sending()
	}
}

func (x *exchange) Received(p []byte) {
	x.steps = append(x.steps, "received")
	x.pieces = append(x.pieces, bytes.Clone(p))
}

func (x *exchange) all() []byte { return bytes.Join(x.pieces, nil) }

// server is a raw TCP server that counts what reaches it.
type server struct {
	net.Listener
	answer func(conn net.Conn)

	wg       sync.WaitGroup
	mu       sync.Mutex
	conns    int
	requests []received
	stray    int // bytes that belong to no whole request
}

type received struct {
	*http.Request
	body string
}

// serve starts a server whose answer writes to each connection after its
// request; config non-nil: under TLS.
func serve(t *testing.T, config *tls.Config, answer func(net.Conn)) *server {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if config != nil {
		ln = tls.NewListener(ln, config)
	}
	s := &server{Listener: ln, answer: answer}
	s.wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			s.wg.Go(func() { s.handle(conn) })
		}
	})
	t.Cleanup(func() { ln.Close(); s.wg.Wait() })
	return s
}

func (s *server) handle(conn net.Conn) {
	defer conn.Close()
	s.mu.Lock()
	s.conns++
	s.mu.Unlock()
	count := &counter{r: conn}
	r := bufio.NewReader(count)
	req, err := http.ReadRequest(r)
	if err != nil {
		s.note(func() { s.stray += count.n })
		return
	}
	body, _ := io.ReadAll(req.Body)
	s.note(func() { s.requests = append(s.requests, received{req, string(body)}) })
	s.answer(conn)
	if c, ok := conn.(interface{ CloseWrite() error }); ok {
		c.CloseWrite()
	}
	// Whatever else the client sends is one byte too many.
	n, _ := io.Copy(io.Discard, r)
	s.note(func() { s.stray += int(n) })
}

func (s *server) note(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// finish waits until every connection has ended, and then says what came. A
// last connection of its own, which is not counted, comes after all that still
// wait to be accepted.
func (s *server) finish(t *testing.T) (conns int, requests []received, stray int) {
	t.Helper()
	last, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	last.(*net.TCPConn).CloseWrite()
	io.Copy(io.Discard, last)
	last.Close()
	s.Close()
	s.wg.Wait()
	return s.conns - 1, s.requests, s.stray
}

type counter struct {
	r io.Reader
	n int
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += n
	return n, err
}

// says answers every request with b.
func says(b []byte) func(net.Conn) { return func(c net.Conn) { c.Write(b) } }

// certified gives a server's TLS configuration and the pool that trusts it; the
// certificate is for example.com, 127.0.0.1 and ::1.
func certified(t *testing.T) (*tls.Config, *x509.CertPool, *x509.Certificate) {
	t.Helper()
	ts := httptest.NewTLSServer(nil)
	defer ts.Close()
	pool := x509.NewCertPool()
	pool.AddCert(ts.Certificate())
	return &tls.Config{Certificates: ts.TLS.Certificates, NextProtos: []string{"h2", "http/1.1"}}, pool, ts.Certificate()
}

// direct is a Proxy that says "none".
func direct(*url.URL) (*url.URL, error) { return nil, nil }

// through is a Proxy that says raw.
func through(t *testing.T, raw string) func(*url.URL) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return func(*url.URL) (*url.URL, error) { return u, nil }
}

func client(t *testing.T, cfg Config) *Client {
	t.Helper()
	if cfg.Proxy == nil {
		cfg.Proxy = direct
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// plain is a client of a clear-text server on loopback.
func plain(t *testing.T, s *server) *Client {
	return client(t, Config{TokenURL: "http://" + s.Addr().String() + "/v1/oauth/token"})
}

// within is the seams with a short Answer bound.
func within(d time.Duration) *seam.Seams {
	times := timing.Default()
	times.Answer = d
	return &seam.Seams{Times: &times}
}

// patient is a context that ends long before the test binary's own patience.
func patient(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func wantUnsent(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, evercred.ErrNotSent) || !errors.Is(err, evercred.ErrUnavailable) {
		t.Fatalf("got %v, want ErrNotSent", err)
	}
}

func wantUnknown(t *testing.T, err error) {
	t.Helper()
	var e *evercred.Error
	if err == nil || errors.Is(err, evercred.ErrNotSent) || !errors.As(err, &e) || e.Reason != evercred.ReasonUnknownOutcome {
		t.Fatalf("got %v, want an unknown outcome", err)
	}
}

func hex(n int) string { return fmt.Sprintf("%x", n) }
