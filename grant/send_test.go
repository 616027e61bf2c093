package grant

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/internal/seam"
)

func TestSend(t *testing.T) {
	want := answer(200, goodBody)
	s := serve(t, nil, says(want))
	c := client(t, Config{
		TokenURL:        "http://" + s.Addr().String() + "/v1/oauth/token?a=b",
		DefaultClientID: "default-client",
		Header:          http.Header{"anthropic-beta": {"oauth-2025-04-20"}, "Connection": {"keep-alive"}},
	})
	x := &exchange{}
	before := time.Now()
	a, err := c.Send(patient(t), login(), x)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a.Raw(), want) || !bytes.Equal(x.all(), want) {
		t.Errorf("answer %q, received %q, want %q", a.Raw(), x.all(), want)
	}
	if a.At().Before(before) || a.At().After(time.Now()) {
		t.Errorf("the answer arrived at %v", a.At())
	}
	if got := x.steps[:3]; !slices.Equal(got, []string{"ready", "sending", "received"}) {
		t.Errorf("steps %v", got)
	}
	conns, requests, stray := s.finish(t)
	if conns != 1 || len(requests) != 1 || stray != 0 {
		t.Fatalf("%d connections, %d requests, %d other bytes", conns, len(requests), stray)
	}
	r := requests[0]
	if r.Method != "POST" || r.RequestURI != "/v1/oauth/token?a=b" || r.Proto != "HTTP/1.1" || r.Host != s.Addr().String() {
		t.Errorf("%s %s %s of %s", r.Method, r.RequestURI, r.Proto, r.Host)
	}
	for name, value := range map[string]string{
		"Accept":          "application/json",
		"Accept-Encoding": "identity",
		"Anthropic-Beta":  "oauth-2025-04-20",
		"Content-Type":    "application/json",
		"User-Agent":      "evercred/" + version(),
	} {
		if got := r.Header.Values(name); !slices.Equal(got, []string{value}) {
			t.Errorf("%s: %q, want %q", name, got, value)
		}
	}
	if want := `{"client_id":"default-client","grant_type":"refresh_token","refresh_token":"` + oldRefresh + `"}`; r.body != want {
		t.Errorf("body %s, want %s", r.body, want)
	}
}

func TestRequestVariants(t *testing.T) {
	own := login()
	own.ClientID = "own-client"
	for name, tc := range map[string]struct {
		cfg  Config
		cred evercred.Credential
		body string
	}{
		"no client":        {Config{}, login(), `{"grant_type":"refresh_token","refresh_token":"` + oldRefresh + `"}`},
		"the login's":      {Config{DefaultClientID: "d"}, own, `{"client_id":"own-client","grant_type":"refresh_token","refresh_token":"` + oldRefresh + `"}`},
		"explicit wins":    {Config{ClientID: "x", DefaultClientID: "d"}, own, `{"client_id":"x","grant_type":"refresh_token","refresh_token":"` + oldRefresh + `"}`},
		"scope":            {Config{Scope: true}, login(), `{"grant_type":"refresh_token","refresh_token":"` + oldRefresh + `","scope":"user:inference"}`},
		"form":             {Config{Form: true, Scope: true}, login(), `grant_type=refresh_token&refresh_token=` + oldRefresh + `&scope=user%3Ainference`},
		"user agent stays": {Config{UserAgent: "other/1"}, login(), `{"grant_type":"refresh_token","refresh_token":"` + oldRefresh + `"}`},
	} {
		t.Run(name, func(t *testing.T) {
			tc.cfg.TokenURL = "https://example.com/token"
			tc.cfg.Header = http.Header{"Connection": {"keep-alive"}}
			wire, err := client(t, tc.cfg).request(tc.cred)
			if err != nil {
				t.Fatal(err)
			}
			if n := bytes.Count(wire, []byte("\r\nConnection: ")); n != 1 || !bytes.Contains(wire, []byte("\r\nConnection: close\r\n")) {
				t.Errorf("not closed after one request: %q", wire)
			}
			r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(wire)))
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(r.Body)
			if string(body) != tc.body {
				t.Errorf("got %s, want %s", body, tc.body)
			}
			if tc.cfg.UserAgent != "" && r.UserAgent() != tc.cfg.UserAgent {
				t.Errorf("user agent %q", r.UserAgent())
			}
			if tc.cfg.Form != (r.Header.Get("Content-Type") == "application/x-www-form-urlencoded") {
				t.Errorf("content type %q", r.Header.Get("Content-Type"))
			}
		})
	}
}

func TestSendWithoutRefreshToken(t *testing.T) {
	_, err := client(t, Config{TokenURL: "https://example.com/"}).Send(patient(t), evercred.Credential{}, &exchange{})
	wantUnsent(t, err)
}

// S4: clear text, and whatever else is no endpoint.
func TestS4Endpoints(t *testing.T) {
	for raw, ok := range map[string]bool{
		"https://platform.claude.com/v1/oauth/token": true,
		"https://127.0.0.1:8443/":                    true,
		"http://127.0.0.1:8080/":                     true,
		"http://127.8.9.10/":                         true,
		"http://[::1]:8080/":                         true,
		"http://[::ffff:127.0.0.1]/":                 true,
		"http://localhost:8080/":                     true,
		"http://LOCALHOST/":                          true,
		"http://platform.claude.com/":                false,
		"http://localhost.example.com/":              false,
		"http://localhost./":                         false,
		"http://127.1/":                              false,
		"http://0177.0.0.1/":                         false,
		"http://0.0.0.0/":                            false,
		"http://128.0.0.1/":                          false,
		"http://[fe80::1%25lo]/":                     false,
		"http://[::ffff:10.0.0.1]/":                  false,
		"https://user:hunter2@example.com/":          false,
		"http://user@localhost/":                     false,
		"https:///token":                             false,
		"https:example.com":                          false,
		"https://:443/":                              false,
		"ftp://example.com/":                         false,
		"example.com":                                false,
		"":                                           false,
		"https://exa mple.com/":                      false,
		"https://example.com:0/":                     false,
		"https://example.com:70000/":                 false,
		"https://b\u00fccher.example/":               false,
		"https://example.com/#f":                     false,
		"https://example.com/%zz?hunter2":            false,
	} {
		_, err := New(Config{TokenURL: raw})
		if ok {
			if err != nil {
				t.Errorf("%s: %v", raw, err)
			}
			continue
		}
		var e *evercred.Error
		if !errors.Is(err, evercred.ErrConfig) || !errors.As(err, &e) || e.Reason != evercred.ReasonHost {
			t.Errorf("%s: %v, want ErrConfig", raw, err)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error repeats the secret: %v", raw, err)
		}
	}
}

// S4: "localhost" is never looked up, so no resolver can lead it elsewhere, and
// no proxy is asked.
func TestS4LocalhostIsLoopback(t *testing.T) {
	var dialed []string
	c := client(t, Config{
		TokenURL: "http://localhost:8080/",
		Proxy: func(*url.URL) (*url.URL, error) {
			t.Error("a proxy was asked")
			return nil, nil
		},
		Seams: &seam.Seams{Dial: func(_ context.Context, _, addr string) (net.Conn, error) {
			dialed = append(dialed, addr)
			return nil, syscall.ECONNREFUSED
		}},
	})
	_, err := c.Send(patient(t), login(), &exchange{})
	wantUnsent(t, err)
	if !errors.Is(err, syscall.ECONNREFUSED) || !slices.Equal(dialed, []string{"127.0.0.1:8080", "[::1]:8080"}) {
		t.Errorf("dialed %v: %v", dialed, err)
	}
}

// R9b: when Ready says no, not one byte arrives.
func TestR9bReadyHoldsBack(t *testing.T) {
	s := serve(t, nil, says(answer(200, goodBody)))
	c := plain(t, s)
	const rounds = 200
	for range rounds {
		x := &exchange{ready: func() error { return evercred.ErrLocked }}
		a, err := c.Send(patient(t), login(), x)
		wantUnsent(t, err)
		if !errors.Is(err, evercred.ErrLocked) || len(a.Raw()) != 0 || len(x.steps) != 1 {
			t.Fatalf("%v, %v, %v", err, a, x.steps)
		}
	}
	if conns, requests, stray := s.finish(t); conns != rounds || len(requests) != 0 || stray != 0 {
		t.Errorf("%d connections, %d requests, %d bytes", conns, len(requests), stray)
	}
}

// R9b: ctx ends while Ready runs.
func TestR9bContextEndsInReady(t *testing.T) {
	s := serve(t, nil, says(answer(200, goodBody)))
	ctx, cancel := context.WithCancel(t.Context())
	_, err := plain(t, s).Send(ctx, login(), &exchange{ready: func() error { cancel(); return nil }})
	wantUnsent(t, err)
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, requests, stray := s.finish(t); len(requests) != 0 || stray != 0 {
		t.Errorf("%d requests, %d bytes", len(requests), stray)
	}
}

// R9b: nobody there, no such name, a hanging dial, a hanging handshake.
func TestR9bNotConnected(t *testing.T) {
	hang := func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	silent := func(ctx context.Context, _, _ string) (net.Conn, error) {
		here, there := net.Pipe()
		context.AfterFunc(ctx, func() { there.Close() })
		return here, nil
	}
	fails := func(err error) func(context.Context, string, string) (net.Conn, error) {
		return func(context.Context, string, string) (net.Conn, error) { return nil, err }
	}
	for name, tc := range map[string]struct {
		dial  func(context.Context, string, string) (net.Conn, error)
		proxy string
		want  string
		is    error
	}{
		"refused":         {fails(syscall.ECONNREFUSED), "", "no connection", syscall.ECONNREFUSED},
		"name":            {fails(&net.DNSError{Err: "no such host", Name: "example.com", IsNotFound: true}), "", "the name cannot be resolved", nil},
		"dial hangs":      {hang, "", "no connection", context.DeadlineExceeded},
		"tls hangs":       {silent, "", "no TLS with the token endpoint", context.DeadlineExceeded},
		"proxy hangs":     {silent, "http://p:1", "the proxy p:1", context.DeadlineExceeded},
		"proxy TLS hangs": {silent, "https://p:1", "the proxy p:1", context.DeadlineExceeded},
		"socks hangs":     {silent, "socks5://p:1", "the proxy p:1", context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := Config{TokenURL: "https://example.com/", Seams: &seam.Seams{Dial: tc.dial}}
				if tc.proxy != "" {
					cfg.Proxy = through(t, tc.proxy)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				start := time.Now()
				_, err := client(t, cfg).Send(ctx, login(), &exchange{ready: func() error { t.Error("ready"); return nil }})
				wantUnsent(t, err)
				if took := time.Since(start); took > time.Second {
					t.Errorf("took %v", took)
				}
				if !strings.HasPrefix(err.Error(), tc.want) || tc.is != nil && !errors.Is(err, tc.is) {
					t.Errorf("got %v, want %q", err, tc.want)
				}
			})
		})
	}
}

// R8: once the first byte has left, the end of ctx changes nothing.
func TestR8ContextEndsAfterSending(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := serve(t, nil, func(c net.Conn) {
		cancel()
		c.Write(answer(200, goodBody))
	})
	a, err := plain(t, s).Send(ctx, login(), &exchange{sending: cancel})
	if err != nil || !bytes.HasSuffix(a.Raw(), []byte(goodBody)) {
		t.Errorf("%v, %v", a, err)
	}
}

// R9: an answer that does not come, or stops, is awaited for 30 s and no longer.
func TestR9Timeout(t *testing.T) {
	for _, part := range []string{"", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"} {
		synctest.Test(t, func(t *testing.T) {
			here, there := net.Pipe()
			go func() {
				http.ReadRequest(bufio.NewReader(there))
				io.WriteString(there, part)
				io.Copy(io.Discard, there)
			}()
			c := client(t, Config{TokenURL: "http://127.0.0.1/", Seams: &seam.Seams{
				Dial: func(context.Context, string, string) (net.Conn, error) { return here, nil },
			}})
			start := time.Now()
			a, err := c.Send(t.Context(), login(), &exchange{})
			wantUnknown(t, err)
			if !errors.Is(err, os.ErrDeadlineExceeded) || string(a.Raw()) != part || time.Since(start) != 30*time.Second {
				t.Errorf("%q, %v after %v", a.Raw(), err, time.Since(start))
			}
		})
	}
}

// R9: the same over a real connection, with the bound shortened.
func TestR9TimeoutTCP(t *testing.T) {
	release := make(chan struct{})
	s := serve(t, nil, func(net.Conn) { <-release })
	c := client(t, Config{TokenURL: "http://" + s.Addr().String(), Seams: within(50 * time.Millisecond)})
	_, err := c.Send(t.Context(), login(), &exchange{})
	close(release)
	wantUnknown(t, err)
	if conns, requests, stray := s.finish(t); conns != 1 || len(requests) != 1 || stray != 0 {
		t.Errorf("%d connections, %d requests, %d bytes", conns, len(requests), stray)
	}
}

// R9, R14: whatever the server does, the request is sent once.
func TestR9SentOnce(t *testing.T) {
	reset := func(c net.Conn) {
		c.(*net.TCPConn).SetLinger(0)
		c.Close()
	}
	for name, tc := range map[string]struct {
		answer  func(net.Conn)
		verdict evercred.Verdict
		fails   bool
	}{
		"reset":      {reset, evercred.Unknown, true},
		"closed":     {func(net.Conn) {}, evercred.Unknown, true},
		"cut":        {says(answer(200, goodBody)[:150]), evercred.Unknown, true},
		"cut late":   {says(answer(200, goodBody)[:len(answer(200, goodBody))-5]), evercred.Granted, true},
		"307":        {says(answer(307, "", "Location: /elsewhere")), evercred.Foreign, false},
		"308":        {says(answer(308, "", "Location: /elsewhere")), evercred.Foreign, false},
		"303":        {says(answer(303, "", "Location: /elsewhere")), evercred.Foreign, false},
		"401 basic":  {says(answer(401, "", "WWW-Authenticate: Basic")), evercred.Foreign, false},
		"500":        {says(answer(500, "{}")), evercred.Unknown, false},
		"503":        {says(answer(503, "", "Retry-After: 1")), evercred.Unknown, false},
		"421":        {says(answer(421, "")), evercred.Foreign, false},
		"429":        {says(answer(429, "")), evercred.Limited, false},
		"not HTTP":   {says([]byte("SSH-2.0-" + oldRefresh + "\r\n")), evercred.Unknown, true},
		"102, 200":   {says(append([]byte("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n"), answer(200, goodBody)...)), evercred.Granted, false},
		"keep-alive": {func(c net.Conn) { c.Write(answer(200, goodBody, "Connection: keep-alive")); io.Copy(io.Discard, c) }, evercred.Granted, false},
		"chunked":    {says([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks(goodBody))), evercred.Granted, false},
		"until close": {says([]byte("HTTP/1.0 200 OK\r\n\r\n" + goodBody)),
			evercred.Granted, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, nil, tc.answer)
			c := plain(t, s)
			a, err := c.Send(patient(t), login(), &exchange{})
			if tc.fails {
				wantUnknown(t, err)
				if strings.Contains(err.Error(), oldRefresh) {
					t.Errorf("S2: the error repeats the token: %v", err)
				}
			} else if err != nil {
				t.Fatal(err)
			}
			if out := c.Parse(a, login()); out.Verdict != tc.verdict {
				t.Errorf("verdict %d, want %d (%v)", out.Verdict, tc.verdict, out.Err)
			}
			if conns, requests, stray := s.finish(t); conns != 1 || len(requests) != 1 || stray != 0 {
				t.Errorf("%d connections, %d requests, %d bytes", conns, len(requests), stray)
			}
		})
	}
}

func chunks(s string) string {
	return "7\r\n" + s[:7] + "\r\n" + hex(len(s)-7) + "\r\n" + s[7:] + "\r\n0\r\n\r\n"
}

// R9: the answer is cut after each byte, on the wire.
func TestR9CutOnTheWire(t *testing.T) {
	full := answer(200, goodBody)
	cut := make(chan int, 1)
	s := serve(t, nil, func(c net.Conn) { c.Write(full[:<-cut]) })
	c := plain(t, s)
	for k := range full {
		cut <- k
		x := &exchange{}
		a, err := c.Send(patient(t), login(), x)
		wantUnknown(t, err)
		if !bytes.Equal(a.Raw(), full[:k]) || !bytes.Equal(x.all(), full[:k]) {
			t.Fatalf("cut after %d: %q", k, a.Raw())
		}
	}
	if conns, requests, stray := s.finish(t); conns != len(full) || len(requests) != len(full) || stray != 0 {
		t.Errorf("%d connections, %d requests, %d bytes, want %d", conns, len(requests), stray, len(full))
	}
}

// R13: 2 MiB. No more than 1 MiB is read; what stands in it counts.
func TestR13TooLong(t *testing.T) {
	for name, tc := range map[string]struct {
		body    string
		verdict evercred.Verdict
	}{
		"padding first": {`{"pad":"` + strings.Repeat("x", 2<<20) + `",` + goodBody[1:], evercred.Unknown},
		"padding last":  {goodBody[:len(goodBody)-1] + `,"pad":"` + strings.Repeat("x", 2<<20) + `"}`, evercred.Granted},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, nil, says(answer(200, tc.body)))
			c := plain(t, s)
			x := &exchange{}
			a, err := c.Send(patient(t), login(), x)
			wantUnknown(t, err)
			if len(a.Raw()) != 1<<20 || !bytes.Equal(x.all(), a.Raw()) {
				t.Errorf("%d bytes were read", len(a.Raw()))
			}
			if out := c.Parse(a, login()); out.Verdict != tc.verdict {
				t.Errorf("verdict %d, want %d", out.Verdict, tc.verdict)
			}
		})
	}
}

// R13: headers without end.
func TestR13EndlessHeaders(t *testing.T) {
	s := serve(t, nil, func(c net.Conn) {
		io.WriteString(c, "HTTP/1.1 200 OK\r\n")
		for {
			if _, err := io.WriteString(c, "X: "+strings.Repeat("y", 1000)+"\r\n"); err != nil {
				return
			}
		}
	})
	a, err := plain(t, s).Send(patient(t), login(), &exchange{})
	wantUnknown(t, err)
	if len(a.Raw()) > 1<<20 {
		t.Errorf("%d bytes were read", len(a.Raw()))
	}
}

// R9b: a write that fails tells "not sent" from "unknown" by what the kernel took.
func TestR9bWriteFails(t *testing.T) {
	for name, tc := range map[string]struct {
		taken  int
		err    error
		unsent bool
	}{
		"nothing taken":        {0, syscall.EPIPE, true},
		"one byte taken":       {1, syscall.ECONNRESET, false},
		"nothing taken in 30s": {0, os.ErrDeadlineExceeded, false},
	} {
		t.Run(name, func(t *testing.T) {
			here, there := net.Pipe()
			defer there.Close()
			c := client(t, Config{TokenURL: "http://127.0.0.1/", Seams: &seam.Seams{
				Dial: func(context.Context, string, string) (net.Conn, error) {
					return &broken{here, tc.taken, tc.err}, nil
				},
			}})
			_, err := c.Send(patient(t), login(), &exchange{})
			if !tc.unsent {
				wantUnknown(t, err)
			} else {
				wantUnsent(t, err)
			}
			if !errors.Is(err, tc.err) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// broken is a connection whose writes fail.
type broken struct {
	net.Conn
	taken int
	err   error
}

func (b *broken) Write([]byte) (int, error) { return b.taken, b.err }
