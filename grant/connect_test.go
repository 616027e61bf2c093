package grant

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/internal/seam"
)

// relay copies both ways until both sides have ended.
func relay(a io.ReadWriteCloser, b net.Conn) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		io.Copy(b, a)
		b.(*net.TCPConn).CloseWrite()
	}()
	io.Copy(a, b)
	a.Close()
	b.Close()
	<-done
}

// connectProxy is a forward proxy that leads every CONNECT to one address; it
// answers with status, and records the request.
func connectProxy(t *testing.T, config *tls.Config, to string, status int) (*server, chan *http.Request) {
	t.Helper()
	asked := make(chan *http.Request, 10)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if config != nil {
		ln = tls.NewListener(ln, config)
	}
	s := &server{Listener: ln}
	s.wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			s.wg.Go(func() {
				defer conn.Close()
				req, err := http.ReadRequest(bufio.NewReader(conn))
				if err != nil {
					return
				}
				asked <- req
				fmt.Fprintf(conn, "HTTP/1.1 %d %s\r\n\r\n", status, oldRefresh)
				if status != 200 {
					return
				}
				if target, err := net.Dial("tcp", to); err == nil {
					relay(conn, target)
				}
			})
		}
	})
	t.Cleanup(func() { ln.Close(); s.wg.Wait() })
	return s, asked
}

// R21: https through proxies of every kind; Received gets plain HTTP.
func TestR21Proxy(t *testing.T) {
	config, pool, _ := certified(t)
	want := answer(200, goodBody)
	for _, kind := range []string{"http", "https"} {
		t.Run(kind, func(t *testing.T) {
			s := serve(t, config, says(want))
			var under *tls.Config
			if kind == "https" {
				under = config
			}
			p, asked := connectProxy(t, under, s.Addr().String(), 200)
			c := client(t, Config{
				TokenURL: "https://example.com/token",
				Proxy:    through(t, kind+"://us%40er:pa%3Ass@"+p.Addr().String()),
				RootCAs:  pool,
			})
			x := &exchange{}
			a, err := c.Send(patient(t), login(), x)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(a.Raw(), want) || !bytes.Equal(x.all(), want) {
				t.Errorf("received %q", x.all())
			}
			req := <-asked
			req.Header.Set("Authorization", req.Header.Get("Proxy-Authorization"))
			user, password, _ := req.BasicAuth()
			if req.Method != "CONNECT" || req.Host != "example.com:443" || user != "us@er" || password != "pa:ss" {
				t.Errorf("%s %s as %q %q", req.Method, req.Host, user, password)
			}
			if conns, requests, stray := s.finish(t); conns != 1 || len(requests) != 1 || stray != 0 || requests[0].TLS != nil && requests[0].Host != "example.com" {
				t.Errorf("%d connections, %d requests, %d bytes", conns, len(requests), stray)
			}
		})
	}
}

// R21, R9b: a proxy that refuses has seen no token, and its words are not repeated.
func TestR21ProxyRefuses(t *testing.T) {
	for _, status := range []int{407, 403, 502, 302} {
		p, _ := connectProxy(t, nil, "", status)
		c := client(t, Config{TokenURL: "https://example.com/", Proxy: through(t, "http://u:hunter2@"+p.Addr().String())})
		_, err := c.Send(patient(t), login(), &exchange{ready: func() error { t.Error("ready"); return nil }})
		wantUnsent(t, err)
		if msg := err.Error(); !strings.Contains(msg, fmt.Sprint(status)) || strings.Contains(msg, "hunter2") || strings.Contains(msg, oldRefresh) {
			t.Errorf("%d: %s", status, msg)
		}
	}
}

// unparsable is a proxy as the environment may name it, password and all.
var unparsable = "http://u:hunter2@" + "%zz"

func TestR21ProxyOddities(t *testing.T) {
	talkative := serveRaw(t, "HTTP/1.1 200 OK\r\n\r\nhello")
	garbage := serveRaw(t, "220 mail "+oldRefresh+"\r\n")
	silent := serveRaw(t, "")
	for name, proxy := range map[string]func(*url.URL) (*url.URL, error){
		"spoke out of turn":         through(t, "http://"+talkative),
		"did not answer CONNECT":    through(t, "http://"+garbage),
		"it did not answer":         through(t, "http://"+silent),
		"unexpected protocol":       through(t, "socks5://"+garbage),
		"no TLS with the proxy":     through(t, "https://"+garbage),
		"is not known":              through(t, "ftp://hunter2@127.0.0.1:1"),
		"has no host":               through(t, "http:/hunter2"),
		"the proxy is not a URL":    func(*url.URL) (*url.URL, error) { return url.Parse(unparsable) },
		"the proxy setting":         func(*url.URL) (*url.URL, error) { return nil, errors.New("no") },
		"does not lead to the toke": through(t, "http://"+silent),
	} {
		_, err := client(t, Config{TokenURL: "https://example.com/", Proxy: proxy}).Send(patient(t), login(), &exchange{})
		wantUnsent(t, err)
		if msg := err.Error(); !strings.Contains(msg, name) || strings.Contains(msg, "hunter2") || strings.Contains(msg, oldRefresh) {
			t.Errorf("%s: %s", name, msg)
		}
	}
}

// serveRaw reads a little, writes text, and hangs up.
func serveRaw(t *testing.T, text string) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			conn.Read(make([]byte, 1024))
			io.WriteString(conn, text)
			conn.Close()
		}
	}()
	return ln.Addr().String()
}

// R21: SOCKS5 with a password; the proxy resolves the name.
func TestR21Socks(t *testing.T) {
	config, pool, _ := certified(t)
	s := serve(t, config, says(answer(200, goodBody)))
	for _, scheme := range []string{"socks5", "socks5h"} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		asked := make(chan string, 1)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			asked <- socksServer(conn)
			target, err := net.Dial("tcp", s.Addr().String())
			if err != nil {
				return
			}
			relay(conn, target)
		}()
		c := client(t, Config{TokenURL: "https://example.com:8443/", Proxy: through(t, scheme+"://user:secret@"+ln.Addr().String()), RootCAs: pool})
		x := &exchange{}
		if _, err := c.Send(patient(t), login(), x); err != nil {
			t.Fatal(err)
		}
		if got := <-asked; got != "user secret example.com:8443" {
			t.Errorf("asked for %q", got)
		}
		if !bytes.HasPrefix(x.all(), []byte("HTTP/1.1 200")) {
			t.Errorf("received %q", x.all())
		}
		ln.Close()
		<-ended
	}
	if conns, requests, stray := s.finish(t); conns != 2 || len(requests) != 2 || stray != 0 {
		t.Errorf("%d connections, %d requests, %d bytes", conns, len(requests), stray)
	}
}

// socksServer is the other side of RFC 1928 and RFC 1929; it says who asked for what.
func socksServer(c net.Conn) string {
	take := func(n int) []byte { b := make([]byte, n); io.ReadFull(c, b); return b }
	take(int(take(2)[1]))
	c.Write([]byte{5, 2})
	take(1)
	user := take(int(take(1)[0]))
	password := take(int(take(1)[0]))
	c.Write([]byte{1, 0})
	take(4)
	host := take(int(take(1)[0]))
	port := binary.BigEndian.Uint16(take(2))
	c.Write([]byte{5, 0, 0, 1, 127, 0, 0, 1, 0, 1})
	return fmt.Sprintf("%s %s %s:%d", user, password, host, port)
}

// R21: TLS interception, or a certificate of another host: known not to be sent,
// and the message says why.
func TestR21Certificates(t *testing.T) {
	config, pool, _ := certified(t)
	for name, tc := range map[string]struct {
		roots *x509.CertPool
		url   string
		want  string
	}{
		"interception": {x509.NewCertPool(), "https://example.com/", "signed by unknown authority"},
		"other host":   {pool, "https://platform.claude.test/", "platform.claude.test"},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, config, says(answer(200, goodBody)))
			c := client(t, Config{TokenURL: tc.url, RootCAs: tc.roots, Seams: leadTo(s)})
			_, err := c.Send(patient(t), login(), &exchange{ready: func() error { t.Error("ready"); return nil }})
			wantUnsent(t, err)
			var e *evercred.Error
			if !errors.As(err, &e) || e.Reason != evercred.ReasonUnreachable || !strings.Contains(err.Error(), "certificate of the token endpoint is not trusted") || !strings.Contains(err.Error(), tc.want) {
				t.Error(err)
			}
			if _, requests, stray := s.finish(t); len(requests) != 0 || stray != 0 {
				t.Errorf("%d requests, %d bytes", len(requests), stray)
			}
		})
	}
}

// leadTo dials s, whatever is asked for.
func leadTo(s *server) *seam.Seams {
	return &seam.Seams{Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", s.Addr().String())
	}}
}

// INTEROP §4: HTTP/1.1 is all that is offered, though the server prefers HTTP/2;
// TLS 1.1 is refused before a byte of the request.
func TestTLSVersions(t *testing.T) {
	config, pool, _ := certified(t)
	got := make(chan tls.ConnectionState, 1)
	s := serve(t, config, func(c net.Conn) {
		got <- c.(*tls.Conn).ConnectionState()
		c.Write(answer(200, goodBody))
	})
	c := client(t, Config{TokenURL: "https://example.com/", RootCAs: pool, Seams: leadTo(s)})
	if _, err := c.Send(patient(t), login(), &exchange{}); err != nil {
		t.Fatal(err)
	}
	if state := <-got; state.NegotiatedProtocol != "http/1.1" || state.ServerName != "example.com" || state.DidResume {
		t.Errorf("%q for %q", state.NegotiatedProtocol, state.ServerName)
	}

	old := config.Clone()
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	s = serve(t, old, says(answer(200, goodBody)))
	_, err := client(t, Config{TokenURL: "https://example.com/", RootCAs: pool, Seams: leadTo(s)}).Send(patient(t), login(), &exchange{})
	wantUnsent(t, err)
}

// R9b under TLS: Ready says no, and no byte of a request arrives.
func TestR9bReadyHoldsBackTLS(t *testing.T) {
	config, pool, _ := certified(t)
	s := serve(t, config, says(answer(200, goodBody)))
	c := client(t, Config{TokenURL: "https://example.com/", RootCAs: pool, Seams: leadTo(s)})
	for range 20 {
		_, err := c.Send(patient(t), login(), &exchange{ready: func() error { return errors.New("no") }})
		wantUnsent(t, err)
	}
	if conns, requests, stray := s.finish(t); conns != 20 || len(requests) != 0 || stray != 0 {
		t.Errorf("%d connections, %d requests, %d bytes", conns, len(requests), stray)
	}
}

// R21: HTTPS_PROXY, NO_PROXY and SSL_CERT_FILE of the environment count. Go reads
// each once in a process, so a child asks.
func TestR21Environment(t *testing.T) {
	if os.Getenv("GRANT_TEST_CHILD") != "" {
		environmentChild()
		return
	}
	config, _, cert := certified(t)
	s := serve(t, config, says(answer(200, goodBody)))
	p, _ := connectProxy(t, nil, s.Addr().String(), 200)
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct{ noProxy, want string }{
		"proxied": {"", "dialed " + p.Addr().String() + ", granted"},
		"excepted": {"example.com",
			"dialed example.com:443, not sent"},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command(os.Args[0], "-test.run=^TestR21Environment$")
			cmd.Env = []string{"GRANT_TEST_CHILD=1", "HTTPS_PROXY=http://" + p.Addr().String(), "NO_PROXY=" + tc.noProxy,
				"SSL_CERT_FILE=" + file, "SSL_CERT_DIR=" + t.TempDir(), "HOME=" + t.TempDir()}
			out, err := cmd.CombinedOutput()
			if err != nil || !strings.Contains(string(out), tc.want) {
				t.Errorf("%s, %v; want %q", out, err, tc.want)
			}
		})
	}
}

// environmentChild does one grant as the environment says; it dials loopback only.
func environmentChild() {
	var dialed string
	c, err := New(Config{TokenURL: "https://example.com/", Seams: &seam.Seams{Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		dialed = addr
		if !strings.HasPrefix(addr, "127.0.0.1:") {
			return nil, errors.New("not dialed in tests")
		}
		return new(net.Dialer).DialContext(ctx, network, addr)
	}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	a, err := c.Send(context.Background(), login(), &exchange{})
	switch {
	case errors.Is(err, evercred.ErrNotSent):
		fmt.Printf("dialed %s, not sent: %v\n", dialed, err)
	case err == nil && c.Parse(a, login()).Verdict == evercred.Granted:
		fmt.Printf("dialed %s, granted\n", dialed)
	default:
		fmt.Println("unexpected:", err)
	}
}
