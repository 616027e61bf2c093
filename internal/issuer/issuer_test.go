package issuer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// start gives a running server.
func start(t *testing.T, opts *Options) *Server {
	t.Helper()
	s := New(opts)
	if _, err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// reply is what a client got of an answer.
type reply struct {
	status int
	header http.Header
	body   []byte
	err    error
}

func (r reply) member(name string) string {
	var m map[string]json.RawMessage
	if json.Unmarshal(r.body, &m) != nil {
		return ""
	}
	return strings.Trim(string(m[name]), `"`)
}

// send posts body on a connection of its own and follows nothing.
func send(s *Server, client *http.Client, contentType, body string) reply {
	r, err := http.NewRequest(http.MethodPost, s.URL(), strings.NewReader(body))
	if err != nil {
		return reply{err: err}
	}
	r.Header.Set("Content-Type", contentType)
	r.Header.Set("User-Agent", "issuer-test")
	return do(client, r)
}

func do(client *http.Client, r *http.Request) reply {
	if client == nil {
		client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	res, err := client.Do(r)
	if err != nil {
		return reply{err: err}
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return reply{res.StatusCode, res.Header, body, err}
}

func refresh(s *Server, tok string) reply {
	return send(s, nil, "application/json", grantBody(tok))
}

func grantBody(tok string) string {
	return fmt.Sprintf(`{"grant_type":"refresh_token","refresh_token":%q}`, tok)
}

func call(s *Server, access string) reply {
	r, _ := http.NewRequest(http.MethodPost, s.MessagesURL(), strings.NewReader("{}"))
	r.Header.Set("Authorization", "Bearer "+access)
	r.Header.Set("X-Api-Key", "key-secret")
	return do(nil, r)
}

// wire sends a grant over a bare connection and returns every byte that came,
// and how the connection ended: nil for FIN.
func wire(t *testing.T, s *Server, tok string) ([]byte, error) {
	t.Helper()
	u, _ := url.Parse(s.URL())
	c, err := net.Dial("tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	body := grantBody(tok)
	fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", TokenPath, len(body), body)
	return io.ReadAll(c)
}

// last awaits the end of request n.
func last(t *testing.T, s *Server, n int) Record {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	ended := func(l []Record) bool { return len(l) >= n && !l[n-1].Ended.IsZero() }
	if err := s.Await(ctx, ended); err != nil {
		t.Fatalf("request %d did not end: %v", n, err)
	}
	return s.Audit()[n-1]
}

func TestGrant(t *testing.T) {
	s := start(t, nil)
	l := s.Login()
	r := refresh(s, l.Refresh)
	if r.status != 200 || r.err != nil {
		t.Fatalf("status %d, %v", r.status, r.err)
	}
	access, next := r.member("access_token"), r.member("refresh_token")
	if access == "" || access == l.Access || next == "" || next == l.Refresh {
		t.Fatalf("no new tokens in %s", r.body)
	}
	if r.member("expires_in") != "28800" || r.member("token_type") != "Bearer" {
		t.Errorf("unusual answer: %s", r.body)
	}
	if rec := s.Audit()[0]; s.Newest(l.ID) != next || !rec.Complete || !rec.Told || rec.Status != 200 {
		t.Errorf("who has read the answer does not find it in the log: %+v", rec)
	}
	rec := last(t, s, 1)
	want := Record{
		N: 1, At: rec.At, Remote: rec.Remote, UserAgent: "issuer-test", Method: "POST", Form: "json",
		Refresh: Fingerprint(l.Refresh), Login: l.ID, Committed: rec.Committed,
		Access: Fingerprint(access), Successor: Fingerprint(next),
		Status: 200, Size: rec.Size, Wrote: rec.Size, Complete: true, Told: true, Ended: rec.Ended,
	}
	if rec != want || rec.Committed.IsZero() || rec.Remote == "" || rec.Size <= len(r.body) {
		t.Errorf("record\n%+v, want\n%+v", rec, want)
	}
	if s.Newest(l.ID) != next || s.Committed(l.ID) != next || s.Alive(l.Refresh) || !s.Alive(next) {
		t.Error("the book does not know the successor")
	}
	if call(s, access).status != 200 || call(s, l.Access).status != 200 {
		t.Error("a live access token is refused")
	}
}

func TestFormGrant(t *testing.T) {
	s := start(t, nil)
	l := s.LoginFor("client-1")
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {l.Refresh}, "client_id": {"client-1"}, "scope": {"a b"}}
	if r := send(s, nil, "application/x-www-form-urlencoded; charset=utf-8", form.Encode()); r.status != 200 {
		t.Fatalf("status %d: %s", r.status, r.body)
	}
	if rec := last(t, s, 1); rec.Form != "form" || rec.ClientID != "client-1" || rec.Scope != "a b" {
		t.Errorf("record %+v", rec)
	}
}

func TestMistakes(t *testing.T) {
	s := start(t, nil)
	l := s.LoginFor("mine")
	for _, c := range []struct {
		name, contentType, body string
		status                  int
		says                    string
	}{
		{"no content type", "", grantBody(l.Refresh), 400, "invalid_request_error"},
		{"text", "text/plain", grantBody(l.Refresh), 400, "invalid_request_error"},
		{"JSON called a form", "application/x-www-form-urlencoded", grantBody(l.Refresh), 400, "grant_type"},
		{"broken JSON", "application/json", grantBody(l.Refresh)[1:], 400, "invalid_request_error"},
		{"no token", "application/json", grantBody(""), 400, "refresh_token: field required"},
		{"other grant", "application/json", `{"grant_type":"password"}`, 400, "unsupported_grant_type"},
		{"unknown token", "application/json", grantBody("sk-ant-ort01-test-unknown"), 400, "invalid_grant"},
		{"no client", "application/json", grantBody(l.Refresh), 401, "invalid_client"},
		{"other client", "application/json", strings.Replace(grantBody(l.Refresh), "{", `{"client_id":"other",`, 1), 400, "invalid_grant"},
		{"too large", "application/json", strings.Repeat(" ", maxRequest+1), 413, "too large"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := send(s, nil, c.contentType, c.body)
			if r.status != c.status || !bytes.Contains(r.body, []byte(c.says)) {
				t.Errorf("%d %s, want %d %s", r.status, r.body, c.status, c.says)
			}
		})
	}
	get, _ := http.NewRequest(http.MethodGet, s.URL(), nil)
	if r := do(nil, get); r.status != 405 || r.header.Get("Allow") != "POST" {
		t.Errorf("GET: %d %v", r.status, r.header)
	}
	if s.Grants() != 0 || !s.Alive(l.Refresh) {
		t.Error("a mistake harmed the login")
	}
	if s.Reuses() != 0 {
		t.Error("a mistake counts as reuse")
	}
}

// step sends the token called by name (the login's is "0", the n-th issued
// "n") at a time, and says what must come of it: the name of the token that is
// answered, or "" for a refusal.
type step struct {
	at         time.Duration
	send, want string
}

func TestProfiles(t *testing.T) {
	const w = 10 * time.Second
	for _, c := range []struct {
		profile Profile
		how     Behaviour
		steps   []step
		grants  int
		reuses  int
	}{
		{Strict(), Behaviour{}, []step{{0, "0", "1"}, {0, "1", "2"}, {0, "2", "3"}}, 3, 0},
		{Strict(), Behaviour{}, []step{{0, "0", "1"}, {0, "0", ""}, {0, "1", ""}}, 1, 1},
		{Idempotent(w), Behaviour{}, []step{{0, "0", "1"}, {w - 1, "0", "1"}, {w - 1, "1", "2"}}, 2, 1},
		{Idempotent(w), Behaviour{}, []step{{0, "0", "1"}, {w, "0", ""}, {w, "1", ""}}, 1, 1},
		{Idempotent(w), Behaviour{}, []step{{0, "0", "1"}, {1, "1", "2"}, {2, "0", ""}, {3, "2", ""}}, 2, 1},
		{Sibling(w), Behaviour{}, []step{{0, "0", "1"}, {1, "0", "2"}, {2, "1", "3"}, {2, "2", "4"}}, 4, 1},
		{Sibling(w), Behaviour{}, []step{{0, "0", "1"}, {w - 1, "0", "2"}, {w, "0", ""}, {w, "1", ""}}, 2, 2},
		{NoRotation(), Behaviour{}, []step{{0, "0", "-"}, {w, "0", "-"}, {2 * w, "0", "-"}}, 3, 0},
		{Strict(), Behaviour{OmitRefresh: true}, []step{{0, "0", "-"}, {w, "0", "-"}}, 2, 0},
	} {
		t.Run(fmt.Sprint(c.profile, c.steps), func(t *testing.T) {
			now := time.Unix(1_800_000_000, 0)
			c.how.Profile = c.profile
			s := start(t, &Options{Behaviour: c.how, Now: func() time.Time { return now }})
			epoch := now
			names := map[string]string{"0": s.Login().Refresh}
			for i, st := range c.steps {
				now = epoch.Add(st.at)
				alive := s.Alive(names[st.send])
				r := refresh(s, names[st.send])
				if alive != (r.status == 200) {
					t.Errorf("step %d: Alive said %v, the endpoint %d", i, alive, r.status)
				}
				checkStep(t, i, st, r, names)
				last(t, s, i+1) // the log is complete before the clock moves
			}
			if s.Grants() != c.grants || s.Reuses() != c.reuses || s.Requests() != len(c.steps) {
				t.Errorf("%d grants, %d reuses, %d requests; want %d, %d, %d", s.Grants(), s.Reuses(), s.Requests(), c.grants, c.reuses, len(c.steps))
			}
		})
	}
}

func checkStep(t *testing.T, i int, st step, r reply, names map[string]string) {
	t.Helper()
	got := r.member("refresh_token")
	switch {
	case st.want == "":
		if r.status != 400 || r.member("error") != "invalid_grant" {
			t.Errorf("step %d: %d %s, want invalid_grant", i, r.status, r.body)
		}
	case st.want == "-":
		if r.status != 200 || got != "" || r.member("access_token") == "" {
			t.Errorf("step %d: %d %s, want an access token alone", i, r.status, r.body)
		}
	case names[st.want] == "":
		for name, tok := range names {
			if tok == got {
				t.Errorf("step %d: got %s again, want a new one", i, name)
			}
		}
		names[st.want] = got
	case got != names[st.want]:
		t.Errorf("step %d: got another token than %s", i, st.want)
	}
}

func TestKillOldAccess(t *testing.T) {
	s := start(t, &Options{Behaviour: Behaviour{KillOldAccess: true}})
	l, other := s.Login(), s.Login()
	r := refresh(s, l.Refresh)
	for access, want := range map[string]int{l.Access: 401, r.member("access_token"): 200, other.Access: 200, "unknown": 401} {
		if got := call(s, access).status; got != want {
			t.Errorf("status %d, want %d", got, want)
		}
	}
}

func TestAPI(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	var mu sync.Mutex
	s := start(t, &Options{Now: func() time.Time { mu.Lock(); defer mu.Unlock(); return now }})
	l := s.Login()
	expect := func(what string, access string, status int, says string) {
		t.Helper()
		if r := call(s, access); r.status != status || !bytes.Contains(r.body, []byte(says)) {
			t.Errorf("%s: %d %s, want %d %s", what, r.status, r.body, status, says)
		}
	}
	expect("live", l.Access, 200, "message")
	s.RevokeAccess(l.Access)
	expect("revoked", l.Access, 401, "authentication_error")
	s.Behave(func(b *Behaviour) { b.API = APIRevoked })
	expect("revoked, in the other way", l.Access, 403, "OAuth token has been revoked")
	l = s.Login()
	expect("live", l.Access, 200, "message")
	s.Behave(func(b *Behaviour) { b.API = APIPolicy })
	expect("policy", l.Access, 403, "This credential is only authorized for use with Claude Code")
	s.Behave(func(b *Behaviour) { b.API = APIRefuses })
	expect("always", l.Access, 401, "authentication_error")
	s.Behave(func(b *Behaviour) { b.API = APIHonest })
	mu.Lock()
	now = l.Expires
	mu.Unlock()
	expect("expired", l.Access, 401, "authentication_error")
	l = s.Login()
	s.Revoke(l.ID)
	expect("login ended", l.Access, 401, "authentication_error")
	if s.Alive(l.Refresh) {
		t.Error("the refresh token of an ended login lives")
	}

	calls := s.Calls()
	if len(calls) != 8 || calls[7].Header.Get("Authorization") != "Bearer "+Fingerprint(l.Access) || calls[7].Body != 2 || calls[7].Status != 401 {
		t.Errorf("calls: %+v", calls)
	}
	if text := fmt.Sprintf("%+v", calls); strings.Contains(text, l.Access) || strings.Contains(text, "key-secret") {
		t.Error("a secret stands in the log of calls")
	}
}

func TestMembers(t *testing.T) {
	s := start(t, &Options{Behaviour: Behaviour{Members: map[string]string{"expires_in": `"3600"`, "scope": "", "account": `{"uuid":"u"}`}}})
	l := s.Login()
	s.Queue(Fault{Members: map[string]string{"expires_in": "-1.5e3"}}, Fault{Members: map[string]string{"expires_in": ""}})
	var bodies []string
	tok := l.Refresh
	for range 3 {
		r := refresh(s, tok)
		tok = r.member("refresh_token")
		bodies = append(bodies, string(r.body))
	}
	for i, want := range []string{`"expires_in":-1.5e3,`, `"access_token"`, `"expires_in":"3600",`} {
		if !strings.Contains(bodies[i], want) || strings.Contains(bodies[i], "scope") || !strings.Contains(bodies[i], `,"account":{"uuid":"u"}}`) {
			t.Errorf("answer %d: %s", i+1, bodies[i])
		}
	}
	if strings.Contains(bodies[1], "expires_in") {
		t.Errorf("expires_in was not taken away: %s", bodies[1])
	}
}

// Every fault must do to the book, the log and the client what it says.
func TestFaults(t *testing.T) {
	for _, c := range []struct {
		name      string
		fault     Fault
		committed bool
		told      bool
		status    int // 0: the client got no answer
		check     func(reply) bool
	}{
		{"none", Fault{}, true, true, 200, nil},
		{"reset before", ResetBefore(), false, false, 0, resetByPeer},
		{"reset after", ResetAfter(), true, false, 0, resetByPeer},
		{"closed before", Fault{Uncommitted: true}, false, false, 0, nil},
		{"status before", StatusBefore(503), false, false, 503, nil},
		{"status after", StatusAfter(502), true, false, 502, nil},
		{"limited", Limited("3600"), false, false, 429, func(r reply) bool { return r.header.Get("Retry-After") == "3600" }},
		{"limited without a time", Limited(""), false, false, 429, func(r reply) bool { return r.header.Values("Retry-After") == nil }},
		{"portal", Page(200, "Sign in to the Wi-Fi"), false, false, 200, func(r reply) bool {
			return strings.HasPrefix(r.header.Get("Content-Type"), "text/html") && bytes.Contains(r.body, []byte("Wi-Fi"))
		}},
		{"redirect", Redirect(308, "http://192.0.2.1/"), false, false, 308, func(r reply) bool { return r.header.Get("Location") == "http://192.0.2.1/" }},
		{"garbage", Garbage("\x00{"), false, false, 200, func(r reply) bool { return string(r.body) == "\x00{" }},
		{"huge", Huge(2 << 20), true, true, 200, func(r reply) bool { return len(r.body) > 2<<20 }},
		{"slow", Slow(time.Millisecond, time.Millisecond), true, true, 200, nil},
		{"custom", Fault{Answer: &Answer{Status: 299, Header: http.Header{"X-Odd": {"1"}}, Body: []byte("odd")}}, true, false, 299,
			func(r reply) bool { return r.header.Get("X-Odd") == "1" && string(r.body) == "odd" }},
		{"no body", Fault{Answer: &Answer{Status: 204}}, true, false, 204, nil},
	} {
		for _, chunked := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/chunked=%v", c.name, chunked), func(t *testing.T) {
				s := start(t, &Options{Behaviour: Behaviour{Chunked: chunked}})
				l := s.Login()
				s.Script(1, c.fault)
				r := refresh(s, l.Refresh)
				if r.status != c.status || (c.status != 0) != (r.err == nil) {
					t.Fatalf("status %d, error %v, want %d", r.status, r.err, c.status)
				}
				if c.check != nil && !c.check(r) {
					t.Errorf("answer %v %.80q, error %v", r.header, r.body, r.err)
				}
				rec := last(t, s, 1)
				if rec.Granted() != c.committed || rec.Told != c.told || rec.Complete != (c.status != 0) || c.status != 0 && rec.Status != c.status {
					t.Errorf("record %+v", rec)
				}
				checkNewest(t, s, l, c.committed, c.told)
			})
		}
	}
}

func resetByPeer(r reply) bool { return errors.Is(r.err, syscall.ECONNRESET) }

func checkNewest(t *testing.T, s *Server, l Login, committed, told bool) {
	t.Helper()
	if s.Alive(l.Refresh) == committed || (s.Committed(l.ID) != l.Refresh) != committed {
		t.Error("the book disagrees with the fault about the commit")
	}
	if (s.Newest(l.ID) != l.Refresh) != told {
		t.Error("the book disagrees with the fault about who was told")
	}
}

// The answer can be cut at every byte, and the log says what that byte was worth.
func TestCutAtEveryByte(t *testing.T) {
	for _, how := range []Break{Close, Reset} {
		s := start(t, nil)
		l := s.Login()
		whole, err := wire(t, s, l.Refresh)
		if err != nil || len(whole) != last(t, s, 1).Size {
			t.Fatalf("%d bytes, %v", len(whole), err)
		}
		stride := 1
		if testing.Short() {
			stride = 37
		}
		for n, k := 2, 0; k <= len(whole); n, k = n+1, k+stride {
			l := s.Login()
			s.Script(n, CutAt(k, how))
			got, err := wire(t, s, l.Refresh)
			rec := last(t, s, n)
			if rec.Wrote != k || rec.Size != len(whole) || !rec.Granted() || rec.Complete != (k == len(whole)) {
				t.Fatalf("cut at %d: %+v", k, rec)
			}
			if how == Close && (err != nil || len(got) != k) {
				t.Fatalf("cut at %d: the client got %d bytes, %v", k, len(got), err)
			}
			if how == Reset && !errors.Is(err, syscall.ECONNRESET) {
				t.Fatalf("reset at %d: the client saw %v", k, err)
			}
			next := s.Committed(l.ID)
			if how == Close && rec.Told != bytes.Contains(got, []byte(next+`"`)) {
				t.Fatalf("cut at %d: told=%v", k, rec.Told)
			}
			if (s.Newest(l.ID) == next) != rec.Told {
				t.Fatalf("cut at %d: Newest disagrees with the record", k)
			}
		}
	}
}

func TestHold(t *testing.T) {
	for _, at := range []Stage{Arrived, Committed, Amid} {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			reached := make(chan Record, 1)
			s := start(t, &Options{Observe: func(st Stage, r Record) {
				if st == at {
					reached <- r
				}
			}})
			l := s.Login()
			f, release := Hang(at)
			f.At = 20
			s.Script(1, f)
			got := make(chan reply)
			go func() { got <- refresh(s, l.Refresh) }()
			rec := <-reached
			if rec.Granted() != (at != Arrived) || s.Alive(l.Refresh) != (at == Arrived) {
				t.Errorf("at stage %d: %+v", at, rec)
			}
			if at == Amid && rec.Wrote != 20 {
				t.Errorf("%d bytes were written, want 20", rec.Wrote)
			}
			if !s.Audit()[0].Ended.IsZero() {
				t.Error("the request was not held")
			}
			release()
			if r := <-got; r.status != 200 || r.err != nil || r.member("refresh_token") != s.Newest(l.ID) {
				t.Errorf("after the release: %d, %v", r.status, r.err)
			}
		})
	}
}

// A request of a dead client is still granted (DESIGN §6.12).
func TestHeldRequestOutlivesItsClient(t *testing.T) {
	arrived := make(chan struct{})
	s := start(t, &Options{Observe: func(st Stage, _ Record) {
		if st == Arrived {
			close(arrived)
		}
	}})
	l := s.Login()
	f, release := Hang(Arrived)
	s.Script(1, f)
	ctx, die := context.WithCancel(t.Context())
	r, _ := http.NewRequestWithContext(ctx, http.MethodPost, s.URL(), strings.NewReader(grantBody(l.Refresh)))
	r.Header.Set("Content-Type", "application/json")
	gone := make(chan reply)
	go func() { gone <- do(nil, r) }()
	<-arrived
	die()
	if r := <-gone; !errors.Is(r.err, context.Canceled) {
		t.Fatalf("the client got %d, %v", r.status, r.err)
	}
	release()
	if rec := last(t, s, 1); !rec.Granted() {
		t.Errorf("%+v", rec)
	}
}

// A request that is cut off while it is sent commits nothing.
func TestRequestCut(t *testing.T) {
	s := start(t, nil)
	l := s.Login()
	u, _ := url.Parse(s.URL())
	c, err := net.Dial("tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	body := grantBody(l.Refresh)
	fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", TokenPath, len(body), body[:len(body)-1])
	c.Close()
	if rec := last(t, s, 1); rec.Granted() || rec.Refresh != "" || rec.Status != 0 {
		t.Errorf("%+v", rec)
	}
	if !s.Alive(l.Refresh) {
		t.Error("half a request spent the token")
	}
}

// A repeat that could not be told does not untell what an earlier answer told.
func TestToldOnce(t *testing.T) {
	s := start(t, &Options{Behaviour: Behaviour{Profile: Idempotent(time.Hour)}})
	l := s.Login()
	next := refresh(s, l.Refresh).member("refresh_token")
	s.Script(2, CutAt(60, Reset))
	refresh(s, l.Refresh)
	if rec := last(t, s, 2); rec.Told || rec.Granted() || !rec.Forgiven || rec.Successor != Fingerprint(next) {
		t.Errorf("%+v", rec)
	}
	if s.Newest(l.ID) != next {
		t.Error("the successor is forgotten")
	}
}

// Close returns although requests hang at every stage and a client does not read.
func TestCloseEndsEverything(t *testing.T) {
	s := New(nil)
	if _, err := s.Start(); err != nil {
		t.Fatal(err)
	}
	amid := Fault{Hold: Amid, Release: make(chan struct{}), At: 5}
	s.Queue(Fault{Hold: Arrived}, Fault{Hold: Committed}, amid, Slow(time.Hour, 0), Slow(0, time.Hour), Huge(24<<20))
	u, _ := url.Parse(s.URL())
	for range 6 {
		c, err := net.Dial("tcp", u.Host)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		body := grantBody(s.Login().Refresh)
		fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", TokenPath, len(body), body)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	busy := func(l []Record) bool {
		n := 0
		for _, r := range l {
			if r.Refresh != "" {
				n++
			}
		}
		return n == 6
	}
	if err := s.Await(ctx, busy); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- s.Close() }()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("Close does not return")
	}
	for _, r := range s.Audit() {
		if r.Ended.IsZero() || r.Complete {
			t.Errorf("after Close: %+v", r)
		}
	}
	if err := s.Close(); err != nil {
		t.Error("second Close:", err)
	}
	if _, err := s.Start(); err == nil {
		t.Error("a closed server starts")
	}
	if err := s.Await(t.Context(), func([]Record) bool { return false }); err == nil {
		t.Error("Await outlives the server")
	}
}

func TestTLS(t *testing.T) {
	conf, pool, err := SelfSigned()
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, &Options{TLS: conf})
	l := s.Login()
	tr := &http.Transport{DisableKeepAlives: true, ForceAttemptHTTP2: true}
	client := &http.Client{Transport: tr}
	if r := send(s, client, "application/json", grantBody(l.Refresh)); r.err == nil {
		t.Fatal("an unknown certificate is trusted")
	}
	tr = tr.Clone()
	tr.TLSClientConfig = conf.Clone()
	tr.TLSClientConfig.RootCAs = pool
	client = &http.Client{Transport: tr}
	if r := send(s, client, "application/json", grantBody(l.Refresh)); r.status != 200 || !strings.HasPrefix(s.URL(), "https://127.0.0.1:") {
		t.Fatalf("status %d, %v", r.status, r.err)
	}
	s.Script(2, CutAt(30, Reset))
	r := send(s, client, "application/json", grantBody(s.Login().Refresh))
	if rec := last(t, s, 2); !resetByPeer(r) || rec.Wrote != 30 {
		t.Errorf("%v, %+v", r.err, rec)
	}
}

func TestSeed(t *testing.T) {
	logins := func(seed uint64) []Login {
		s := New(&Options{Seed: seed, Now: func() time.Time { return time.Unix(0, 0) }})
		return []Login{s.Login(), s.Login()}
	}
	a, b, c, d := logins(7), logins(7), logins(8), logins(0)
	if !slices.Equal(a, b) {
		t.Error("one seed gives different tokens")
	}
	if a[0].Refresh == c[0].Refresh || c[0].Refresh == d[0].Refresh || logins(0)[0].Refresh == d[0].Refresh || a[0].Refresh == a[1].Refresh {
		t.Error("different seeds give the same tokens")
	}
	if !strings.HasPrefix(a[0].Access, "sk-ant-oat01-test-") || !strings.HasPrefix(a[0].Refresh, "sk-ant-ort01-test-") {
		t.Error("the tokens do not look invented")
	}
}

// R1, seen from the endpoint: of many requests with one token one is granted,
// and the log numbers them all.
func TestConcurrentGrants(t *testing.T) {
	const n = 32
	s := start(t, nil)
	l := s.Login()
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() { refresh(s, l.Refresh) })
	}
	wg.Wait()
	if s.Grants() != 1 || s.Reuses() != n-1 || s.Requests() != n {
		t.Errorf("%d grants, %d reuses, %d requests", s.Grants(), s.Reuses(), s.Requests())
	}
	for i, r := range s.Audit() {
		if r.N != i+1 {
			t.Errorf("record %d bears number %d", i+1, r.N)
		}
	}
}

// Faults are taken by number, then from the queue, then by choice.
func TestFaultOrder(t *testing.T) {
	s := start(t, &Options{Behaviour: Behaviour{Choose: func(r Record) Fault { return StatusBefore(500 + r.N) }}})
	s.Queue(StatusBefore(521), StatusBefore(522))
	s.Script(2, StatusBefore(599))
	var got []int
	for range 4 {
		got = append(got, refresh(s, s.Login().Refresh).status)
	}
	if want := []int{521, 599, 522, 504}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestLogHoldsNoSecret(t *testing.T) {
	s := start(t, &Options{Behaviour: Behaviour{Profile: Sibling(time.Hour)}})
	l := s.Login()
	refresh(s, l.Refresh)
	refresh(s, l.Refresh)
	refresh(s, s.Newest(l.ID))
	data, err := json.Marshal(s.Audit())
	if err != nil || bytes.Contains(data, []byte("sk-ant-")) {
		t.Errorf("%s, %v", data, err)
	}
	if !bytes.Contains(data, []byte(Fingerprint(l.Refresh))) {
		t.Error("the fingerprint is missing")
	}
}

// The proof drives the server in a bubble of fake time, over pipes.
func TestSyntheticTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newPipes()
		s := start(t, &Options{Listener: l, Behaviour: Behaviour{BeforeCommit: time.Hour, AfterCommit: time.Minute}})
		tr := &http.Transport{DisableKeepAlives: true, DialContext: l.dial}
		begin := time.Now()
		r := send(s, &http.Client{Transport: tr}, "application/json", grantBody(s.Login().Refresh))
		if r.status != 200 || time.Since(begin) != time.Hour+time.Minute {
			t.Errorf("status %d, %v after %v", r.status, r.err, time.Since(begin))
		}
		s.Close()
	})
}

// pipes is a listener without a network.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case p.conns <- far:
		return near, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }

// The demo carries this package into the released binary.
func TestImportsAreTheStandardLibraryWithoutTesting(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatal("no sources", err)
	}
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		src, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		ast, err := parser.ParseFile(token.NewFileSet(), f, src, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range ast.Imports {
			path := strings.Trim(i.Path.Value, `"`)
			if strings.Contains(path, ".") || strings.HasPrefix(path, "testing") || path == "net/http/httptest" {
				t.Errorf("%s imports %s", f, path)
			}
		}
	}
}
