// Package grant performs RFC 6749 §6: the exchange of a refresh token, its
// parsing and its caps; and, with the same care, that of another assertion.
//
// The exchange is done by hand on one fresh HTTP/1.1 connection, because a
// refresh token that is sent twice may end the login: net/http's client sends a
// body again after 307, 308 and some lost connections (INTEROP §4, "Go facts").
// Here nothing can resend, follow a redirect or use a connection again.
package grant

import (
	"bufio"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/internal/crash"
	"github.com/evercred/evercred/internal/seam"
)

// maxAnswer is how many bytes of an answer are read, headers and all (DESIGN
// §6.8). A real one has about 1 KiB.
const maxAnswer = 1 << 20

// Config says which token endpoint is asked, and how. Only TokenURL is required.
type Config struct {
	// TokenURL is the endpoint: https, or http to a loopback address.
	TokenURL string
	// ClientID is used for every login. If it is empty, the login's own counts
	// (a refresh token works only with the client that it was issued to, RFC 6749
	// §6), and DefaultClientID for a login that names none. All empty: the
	// request has no client_id.
	ClientID, DefaultClientID string
	// Header is added to the request.
	Header http.Header
	// Form sends the request form-encoded, as RFC 6749 §4.1.3 has it; false: as JSON,
	// as Anthropic's endpoint has it (INTEROP §4).
	Form bool
	// Scope sends the login's scopes too; false: the endpoint keeps the set.
	Scope bool
	// UserAgent is "evercred/VERSION" by default.
	UserAgent string
	// Proxy says which proxy leads to an https URL: http, https, socks5, socks5h,
	// or nil for none. A nil Proxy does what the environment says (HTTPS_PROXY,
	// NO_PROXY). A loopback http endpoint is never proxied.
	Proxy func(*url.URL) (*url.URL, error)
	// RootCAs are trusted for endpoint and proxy; nil: the system's, which
	// honours SSL_CERT_FILE.
	RootCAs *x509.CertPool
	// Seams are for this module's own tests; leave it nil.
	Seams *seam.Seams
}

// Client is an evercred.Refresher. It is immutable and safe for concurrent use.
type Client struct {
	cfg   Config
	url   *url.URL
	seams seam.Seams
}

var _ evercred.Refresher = (*Client)(nil)

// New checks cfg without touching the network. ErrConfig: the endpoint is no
// URL that a refresh token may be sent to.
func New(cfg Config) (*Client, error) {
	u, err := endpoint(cfg.TokenURL)
	if err != nil {
		return nil, err
	}
	if cfg.Proxy == nil {
		cfg.Proxy = func(u *url.URL) (*url.URL, error) {
			return http.ProxyFromEnvironment(&http.Request{URL: u})
		}
	}
	cfg.Header = cfg.Header.Clone()
	return &Client{cfg, u, cfg.Seams.Filled()}, nil
}

// Host is the endpoint's host, with its port if the URL names one.
func (c *Client) Host() string { return c.url.Host }

// Hostname is the endpoint's host without a port.
func (c *Client) Hostname() string { return c.url.Hostname() }

// Local reports whether the endpoint is this machine's loopback.
func (c *Client) Local() bool { return loopbacks(c.url.Hostname()) != nil }

// Confined reports, as ErrConfig, an endpoint that is neither on one of these
// hosts nor on this machine's loopback: the environment file of a project must
// not send a secret elsewhere (FAILURES S7). Hosts are in lower case, without port.
func (c *Client) Confined(hosts ...string) error {
	if c.Local() || slices.Contains(hosts, strings.ToLower(c.Hostname())) {
		return nil
	}
	return badEndpoint("the token endpoint is not the owner's, and nobody allowed its host by name", c.Hostname())
}

// Send performs the exchange; see evercred.Refresher. The answer is awaited for
// 30 s from the first byte sent, and read up to 1 MiB.
func (c *Client) Send(ctx context.Context, cred evercred.Credential, x evercred.Exchange) (evercred.Answer, error) {
	request, err := c.request(cred)
	if err != nil {
		return evercred.Answer{}, err
	}
	return c.send(ctx, request, x)
}

func (c *Client) send(ctx context.Context, request []byte, x evercred.Exchange) (evercred.Answer, error) {
	l, err := c.connect(ctx)
	if err != nil {
		return evercred.Answer{}, err
	}
	defer l.close()
	if err := x.Ready(); err != nil {
		return evercred.Answer{}, fmt.Errorf("%w: %w", evercred.ErrNotSent, err)
	}
	if !l.detach() {
		return evercred.Answer{}, c.unsent(ctx, "no time was left to send the request", nil)
	}
	x.Sending()
	l.SetDeadline(time.Now().Add(c.seams.Times.Answer)) // if this fails, so does the write
	return c.exchange(l, request, x)
}

// exchange writes the request once and takes in the answer; ctx no longer counts.
func (c *Client) exchange(l *line, request []byte, x evercred.Exchange) (evercred.Answer, error) {
	before := l.bottom.written
	if _, err := l.Write(request); err != nil {
		if l.bottom.written == before && !timedOut(err) {
			return evercred.Answer{}, c.unsent(context.Background(), "the connection broke before the first byte", err)
		}
		return evercred.NewAnswer(nil, c.seams.Clock.Now()), c.unknown("the connection broke while the request was sent", err)
	}
	crash.At(crash.AfterSend)
	in := &intake{conn: l, to: x, now: c.seams.Clock.Now, at: c.seams.Clock.Now()}
	err := in.answer()
	if err != nil {
		err = c.unknown("no whole answer came", err)
	}
	return evercred.NewAnswer(in.raw, in.at), err
}

// unknown is an error after which the fate of the token is unknown.
func (c *Client) unknown(what string, cause error) error {
	return &evercred.Error{Kind: evercred.ErrUnavailable, Reason: evercred.ReasonUnknownOutcome, What: what, Where: c.Host(), Err: cause}
}

// unsent is an error after which the token is known not to be spent. If ctx has
// ended, that is the cause, whatever the closed connection says.
func (c *Client) unsent(ctx context.Context, what string, cause error) error {
	if err := ctx.Err(); err != nil {
		cause = err
	}
	return &evercred.Error{Kind: evercred.ErrNotSent, Reason: evercred.ReasonUnreachable, What: what, Where: c.Host(), Err: cause}
}

// intake reads one answer off a connection: above TLS, below HTTP.
type intake struct {
	conn net.Conn
	to   evercred.Exchange
	now  func() time.Time

	raw []byte
	at  time.Time // when the last piece came
	err error     // what the connection itself failed with
}

var (
	errTooLong = fmt.Errorf("it is longer than %d bytes", maxAnswer)
	errNotHTTP = errors.New("what came is not an HTTP answer")
	errCut     = errors.New("the connection was closed too early")
)

// Read hands each piece on before HTTP sees it, so that it is durable before
// anybody understands it (DESIGN §6.8).
func (in *intake) Read(p []byte) (int, error) {
	room := maxAnswer - len(in.raw)
	if room == 0 {
		in.err = errTooLong
		return 0, in.err
	}
	n, err := in.conn.Read(p[:min(len(p), room)])
	if n > 0 {
		in.at = in.now()
		in.to.Received(p[:n])
		in.raw = append(in.raw, p[:n]...)
	}
	if err != nil && err != io.EOF {
		in.err = err
	}
	return n, err
}

// answer reads until the answer is whole by its own measure (Content-Length,
// chunks, or the end of the connection). Its errors never repeat what came: an
// error of package http quotes the malformed line, and an endpoint may echo the
// token there (FAILURES S2).
func (in *intake) answer() error {
	resp, err := final(bufio.NewReaderSize(in, 16<<10), nil)
	if err == nil {
		_, err = io.Copy(io.Discard, resp.Body)
	}
	switch {
	case err == nil:
		return nil
	case in.err != nil:
		return in.err
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errCut
	default:
		return errNotHTTP
	}
}

// final reads the response that is not an interim one (RFC 9110 §15.2). 101 is
// final: nobody asked for another protocol.
func final(r *bufio.Reader, req *http.Request) (*http.Response, error) {
	for {
		resp, err := http.ReadResponse(r, req)
		if err != nil || resp.StatusCode/100 != 1 || resp.StatusCode == http.StatusSwitchingProtocols {
			return resp, err
		}
	}
}

func timedOut(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}
