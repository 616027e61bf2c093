package grant

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"

	"golang.org/x/net/proxy"
)

// line is one connection to the token endpoint, used for one exchange.
type line struct {
	net.Conn        // what HTTP is spoken on
	bottom   *tally // what the kernel has
	// detach ends ctx's power over the line; false: ctx has already ended it.
	detach func() bool
}

// close cuts the line at the bottom. No TLS alert is sent: it could block, and
// after "Connection: close" nobody waits for it.
func (l *line) close() {
	l.detach()
	l.bottom.Close()
}

// tally counts what the kernel took, which tells "not sent" from "unknown".
type tally struct {
	net.Conn
	written int64
}

func (t *tally) Write(p []byte) (int, error) {
	n, err := t.Conn.Write(p)
	t.written += int64(n)
	return n, err
}

// connect gives a line on which the request can be written at once: name,
// connection, proxy and TLS are done. ctx bounds it all; each of its errors
// matches ErrNotSent (FAILURES R9b).
func (c *Client) connect(ctx context.Context) (*line, error) {
	if c.url.Scheme == "http" { // a loopback: never through a proxy
		return c.dial(ctx, addresses(c.url))
	}
	via, err := c.proxy()
	if err != nil {
		return nil, c.unsent(ctx, "the proxy setting cannot be used", err)
	}
	l, err := c.reach(ctx, via)
	if err != nil {
		return nil, err
	}
	if err := c.secure(l, c.url.Hostname()); err != nil {
		l.close()
		return nil, c.unsent(ctx, untrusted("the token endpoint", err), err)
	}
	return l, nil
}

// proxy asks which proxy leads to the endpoint; nil: none. Its errors do not
// repeat the proxy's URL, which may hold a password.
func (c *Client) proxy() (*url.URL, error) {
	target := *c.url
	via, err := c.cfg.Proxy(&target)
	var bad *url.Error
	switch {
	case errors.As(err, &bad):
		return nil, errors.New("the proxy is not a URL")
	case err != nil || via == nil:
		return nil, err
	case via.Hostname() == "":
		return nil, errors.New("the proxy's URL has no host")
	}
	switch via.Scheme {
	case "http", "https", "socks5", "socks5h":
		return via, nil
	}
	return nil, fmt.Errorf("a proxy of the kind %q is not known", via.Scheme)
}

// reach gives a line to the endpoint, directly or through a proxy, before TLS.
func (c *Client) reach(ctx context.Context, via *url.URL) (*line, error) {
	if via == nil {
		return c.dial(ctx, addresses(c.url))
	}
	l, err := c.dial(ctx, []string{net.JoinHostPort(via.Hostname(), port(via))})
	if err != nil {
		return nil, err
	}
	if err := c.tunnel(l, via); err != nil {
		l.close()
		return nil, c.unsent(ctx, "the proxy "+via.Host+" does not lead to the token endpoint", err)
	}
	return l, nil
}

// dial connects to the first address that answers. From here on the end of ctx
// closes the connection, until detach.
func (c *Client) dial(ctx context.Context, addrs []string) (*line, error) {
	var first error
	for _, addr := range addrs {
		conn, err := c.seams.Dial(ctx, "tcp", addr)
		if err == nil {
			t := &tally{Conn: conn}
			return &line{t, t, context.AfterFunc(ctx, func() { conn.Close() })}, nil
		}
		if first == nil {
			first = err
		}
	}
	var name *net.DNSError
	if errors.As(first, &name) {
		return nil, c.unsent(ctx, "the name cannot be resolved", first)
	}
	return nil, c.unsent(ctx, "no connection", first)
}

// tunnel makes a line to a proxy one to the endpoint.
func (c *Client) tunnel(l *line, via *url.URL) error {
	target := addresses(c.url)[0]
	switch via.Scheme {
	case "socks5", "socks5h":
		return socks(l, via, target)
	case "https":
		if err := c.secure(l, via.Hostname()); err != nil {
			return fmt.Errorf("%s: %w", untrusted("the proxy", err), err)
		}
	}
	return c.ask(l, via.User, target)
}

// ask sends CONNECT (RFC 9110 §9.3.6). The proxy's own words are not repeated.
func (c *Client) ask(l *line, user *url.Userinfo, target string) error {
	req := &http.Request{
		Method: http.MethodConnect,
		URL:    &url.URL{Opaque: target},
		Host:   target,
		Header: http.Header{"User-Agent": {c.userAgent()}},
	}
	if user != nil {
		password, _ := user.Password()
		req.Header.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(user.Username()+":"+password)))
	}
	if err := req.Write(l); err != nil {
		return err
	}
	r := bufio.NewReader(io.LimitReader(l, 64<<10))
	resp, err := final(r, req)
	var network net.Error
	switch {
	case errors.As(err, &network):
		return err
	case err != nil:
		return errors.New("it did not answer CONNECT")
	case resp.StatusCode/100 != 2:
		return fmt.Errorf("it answered CONNECT with %d", resp.StatusCode)
	case r.Buffered() > 0: // TLS lets the client speak first
		return errors.New("it spoke out of turn")
	}
	return nil
}

// socks speaks SOCKS5 (RFC 1928) on a line that leads to the proxy. The proxy
// resolves the name. The line's own bond to ctx bounds it.
func socks(l *line, via *url.URL, target string) error {
	var auth *proxy.Auth
	if via.User != nil {
		password, _ := via.User.Password()
		auth = &proxy.Auth{User: via.User.Username(), Password: password}
	}
	d, err := proxy.SOCKS5("tcp", via.Host, auth, dialed{l.Conn})
	if err != nil {
		return err
	}
	conn, err := d.(proxy.ContextDialer).DialContext(context.Background(), "tcp", target)
	if err != nil {
		return err
	}
	l.Conn = conn
	return nil
}

// dialed is a proxy.Dialer that has dialed already.
type dialed struct{ conn net.Conn }

func (d dialed) Dial(string, string) (net.Conn, error) { return d.conn, nil }

func (d dialed) DialContext(context.Context, string, string) (net.Conn, error) { return d.conn, nil }

// secure puts TLS on the line. HTTP/1.1 alone is offered: an HTTP/2 client sends
// lost requests again (INTEROP §4).
func (c *Client) secure(l *line, host string) error {
	conn := tls.Client(l.Conn, &tls.Config{
		ServerName: host,
		RootCAs:    c.cfg.RootCAs,
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"http/1.1"},
	})
	if err := conn.Handshake(); err != nil {
		return err
	}
	l.Conn = conn
	return nil
}

// untrusted tells interception from other trouble with TLS (FAILURES R21).
func untrusted(whose string, err error) string {
	var cert *tls.CertificateVerificationError
	if errors.As(err, &cert) {
		return "the certificate of " + whose + " is not trusted"
	}
	return "no TLS with " + whose
}
