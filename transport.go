package evercred

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// Transport puts a Provider's token on the requests to the hosts named in it,
// and on no others. Use it as the Transport of an http.Client, or its Middleware
// in an SDK. It is safe for concurrent use as long as its fields stay as they are.
//
// A request to a named host bears the token in a copy; the caller's request is
// left as it is, and so is a redirect that http.Client makes of it: it bears the
// token only if it leads to a named host (FAILURES S3). An Authorization or
// X-Api-Key header of the caller's gives way to the token. A request to any
// other host passes unchanged.
//
// When a server refuses the token, Transport tells the Provider, if that is a
// Rejecter, and tries once more with the token that it gets then, if the request
// has no body or can replay it (GetBody). The token counts as refused after a
// 401, and after a 403 that says it was revoked (INTEROP §5). It does not after a
// refusal by policy, which no other token would change (FAILURES R16). Where no
// second try is possible, because the body cannot be replayed or the Provider
// fails or has the same token still, the caller gets the server's first response,
// whole: it is the truth about this request, and the next request gets the
// Provider's error.
type Transport struct {
	// Provider hands out the tokens.
	Provider Provider
	// Hosts are the hosts that may see a token, as "host" or "host:port", exact
	// and in lower case; IPv6 addresses in brackets. A host without port means
	// the default port of the request's scheme. The scheme must be https; http is
	// accepted for a loopback address, written as one ("127.0.0.1:8080"; a name
	// such as "localhost" is whatever a resolver says). No host, or one that
	// cannot be meant, fails every request with ErrConfig, and so does clear text
	// to a named host.
	Hosts []string
	// Base sends the requests; nil: http.DefaultTransport.
	Base http.RoundTripper
}

// Rejecter is a Provider that wants to know when a server refuses its token.
//
// Reject says "a server refused t". It has no effect unless t is what the
// Provider would hand out now: many requests report the same refusal. It does not
// wait for a new token, and is safe for concurrent use.
type Rejecter interface {
	Reject(t Token)
}

// sender sends one request: a RoundTripper's method, or what follows in an SDK.
type sender func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper. Its errors are those of the Provider,
// ErrConfig, and Base's own.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	base := t.Base
	if base == nil {
		base = http.DefaultTransport
	}
	named, err := t.names(req.URL)
	switch {
	case err != nil:
		return abandon(req, err)
	case !named:
		return base.RoundTrip(req)
	}
	return t.authorized(req, base.RoundTrip)
}

// Middleware does what RoundTrip does around next instead of Base, in the shape
// that Anthropic's and other SDKs take. next may be an http.Client, which follows
// redirects by itself and takes most headers along; a redirect that would take
// the token to another address fails with ErrConfig before a byte of it is sent.
// That reaches net/http only: a next that sends in another way must not follow
// redirects.
func (t *Transport) Middleware(req *http.Request, next func(*http.Request) (*http.Response, error)) (*http.Response, error) {
	named, err := t.names(req.URL)
	switch {
	case err != nil:
		return abandon(req, err)
	case !named:
		return next(req)
	}
	return t.authorized(req, fenced(next))
}

// authorized sends req with a token, and once more with another if the first is
// refused.
func (t *Transport) authorized(req *http.Request, send sender) (*http.Response, error) {
	first, err := t.Provider.Token(req.Context())
	if err != nil {
		return abandon(req, err)
	}
	resp, err := bearing(req, req.Body, first, send)
	if err != nil || !refused(resp) {
		return resp, err
	}
	t.reject(first)
	if !replayable(req) {
		return resp, nil
	}
	second, err := t.Provider.Token(req.Context())
	if err != nil || second.Equal(first) {
		return resp, nil
	}
	// Closed before the body is asked for again: some hand out the same reader.
	// The look at it has read it to its end, or it is too long to be worth it.
	resp.Body.Close()
	body, err := replay(req)
	if err != nil {
		return nil, err
	}
	resp, err = bearing(req, body, second, send)
	if err == nil && refused(resp) {
		t.reject(second)
	}
	return resp, err
}

func (t *Transport) reject(refused Token) {
	if r, ok := t.Provider.(Rejecter); ok {
		r.Reject(refused)
	}
}

// bearing sends a copy of req that bears the token.
func bearing(req *http.Request, body io.ReadCloser, t Token, send sender) (*http.Response, error) {
	sent := req.Clone(req.Context())
	if sent.Header == nil {
		sent.Header = make(http.Header)
	}
	sent.Body = body
	t.Apply(sent.Header)
	resp, err := send(sent)
	if resp != nil {
		conceal(resp, sent, req)
	}
	return resp, err
}

// conceal takes the token out of the request that a response points to: people
// log and dump that one. It becomes the caller's own, or after a redirect inside
// a middleware's next a copy without credentials.
func conceal(resp *http.Response, sent, req *http.Request) {
	if resp.Request == nil || resp.Request == sent {
		resp.Request = req
		return
	}
	bare := resp.Request.WithContext(resp.Request.Context())
	bare.Header = bare.Header.Clone()
	bare.Header.Del("Authorization")
	bare.Header.Del("X-Api-Key")
	bare.Response = nil // it points to the sent request again
	resp.Request = bare
}

// abandon keeps the promise of RoundTripper that a body is closed on errors too.
func abandon(req *http.Request, err error) (*http.Response, error) {
	if req.Body != nil {
		req.Body.Close()
	}
	return nil, err
}

func replayable(req *http.Request) bool {
	return req.Body == nil || req.Body == http.NoBody || req.GetBody != nil
}

func replay(req *http.Request) (io.ReadCloser, error) {
	if req.Body == nil || req.Body == http.NoBody {
		return req.Body, nil
	}
	return req.GetBody()
}

// What Anthropic's API says (INTEROP §5).
const (
	revoked = "OAuth token has been revoked"
	policy  = "only authorized for use with"
)

// refused reports whether the server refused the token, so that another one may
// be accepted. The response stays whole.
func refused(resp *http.Response) bool {
	if resp.StatusCode != http.StatusUnauthorized && resp.StatusCode != http.StatusForbidden {
		return false
	}
	body := peek(resp)
	if bytes.Contains(body, []byte(policy)) {
		return false
	}
	return resp.StatusCode == http.StatusUnauthorized || bytes.Contains(body, []byte(revoked))
}

// peekLimit bounds how much of an error body is looked at.
const peekLimit = 64 << 10

// peek reads the start of the response's body and puts it back.
func peek(resp *http.Response) []byte {
	if resp.Body == nil { // a middleware's next may be less strict than a RoundTripper
		resp.Body = http.NoBody
	}
	body := resp.Body
	head, err := io.ReadAll(io.LimitReader(body, peekLimit))
	rest := io.Reader(body)
	if err != nil {
		rest = broken{err}
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(head), rest), body}
	return head
}

// broken is a body that failed, and fails again.
type broken struct{ err error }

func (b broken) Read([]byte) (int, error) { return 0, b.err }

// names reports whether a request to u is to bear a token.
func (t *Transport) names(u *url.URL) (bool, error) {
	if t.Provider == nil {
		return false, &Error{Kind: ErrConfig, Reason: ReasonUsage, What: "the transport has no provider"}
	}
	if len(t.Hosts) == 0 {
		return false, &Error{Kind: ErrConfig, Reason: ReasonUsage, What: "the transport names no host that may see a token"}
	}
	named := false
	for _, entry := range t.Hosts {
		host, ok := parseTokenHost(entry)
		if !ok {
			return false, &Error{Kind: ErrConfig, Reason: ReasonUsage, What: "the transport names a host that is not a lower-case host or host:port", Where: entry}
		}
		named = named || u != nil && host.is(u)
	}
	if named && !confidential(u) {
		return false, &Error{Kind: ErrConfig, Reason: ReasonUsage, What: "a token travels by https only, or by http to a loopback address", Where: u.Scheme + "://" + u.Host}
	}
	return named, nil
}

// tokenHost is one entry of Hosts; without port it means the scheme's default.
type tokenHost struct{ name, port string }

func parseTokenHost(entry string) (tokenHost, bool) {
	u, err := url.Parse("//" + entry)
	if err != nil {
		return tokenHost{}, false
	}
	h := tokenHost{u.Hostname(), u.Port()}
	// Nothing beside them: no path, no user, no escape.
	whole := entry == h.name || entry == "["+h.name+"]" || h.port != "" && entry == net.JoinHostPort(h.name, h.port)
	if h.name == "" || !whole || strings.ToLower(entry) != entry || strings.ContainsAny(entry, "*% ") {
		return tokenHost{}, false
	}
	return h, true
}

func (h tokenHost) is(u *url.URL) bool {
	return strings.ToLower(u.Hostname()) == h.name && (h.port == "" && portOf(u) == defaultPortOf(u) || h.port == portOf(u))
}

// portOf is where a request to u goes; empty for a scheme that is not of HTTP.
func portOf(u *url.URL) string {
	if p := u.Port(); p != "" {
		return p
	}
	return defaultPortOf(u)
}

func defaultPortOf(u *url.URL) string {
	switch u.Scheme {
	case "https":
		return "443"
	case "http":
		return "80"
	}
	return ""
}

// confidential reports whether nobody on the way to u can read along.
func confidential(u *url.URL) bool {
	if u.Scheme == "https" {
		return true
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return u.Scheme == "http" && err == nil && ip.IsLoopback()
}
