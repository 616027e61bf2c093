package evercred

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
)

// fenced keeps a request that bears a token from being redirected to another
// address inside next (FAILURES S3). next is mostly http.Client.Do: it takes
// X-Api-Key to every host, and Authorization to other ports, to subdomains and
// to clear text, and nothing about a redirect can be seen from here but its
// connection. So that is what the fence closes: net/http shows it, by httptrace,
// before the first byte of a request is written to it.
func fenced(next sender) sender {
	return func(req *http.Request) (*http.Response, error) {
		f := &fence{address: net.JoinHostPort(req.URL.Hostname(), portOf(req.URL)), tls: req.URL.Scheme == "https"}
		resp, err := next(req.WithContext(httptrace.WithClientTrace(req.Context(), f.trace())))
		if !f.closed.Load() {
			return resp, err
		}
		if resp != nil && resp.Body != nil {
			resp.Body.Close()
		}
		return nil, &Error{Kind: ErrConfig, Reason: ReasonHost, What: "the server redirects a request with a token to another address; it was not sent there", Where: req.URL.Host, Err: err}
	}
}

// fence watches the connections of one request and its redirects.
type fence struct {
	address string // host:port of the request
	tls     bool

	answered atomic.Bool // a response has begun: what follows is a redirect
	outside  atomic.Bool // to another address, or through a proxy to who knows where
	closed   atomic.Bool
}

func (f *fence) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GotFirstResponseByte: func() { f.answered.Store(true) },
		GetConn: func(address string) {
			f.outside.Store(f.answered.Load() && !strings.EqualFold(address, f.address))
		},
		GotConn: func(got httptrace.GotConnInfo) {
			_, secure := got.Conn.(*tls.Conn)
			if f.outside.Load() || f.answered.Load() && f.tls && !secure {
				f.closed.Store(true)
				got.Conn.Close()
			}
		},
	}
}
