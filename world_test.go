package evercred_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/credtest"
	"github.com/evercred/evercred/grant"
	"github.com/evercred/evercred/internal/seam"
	"github.com/evercred/evercred/internal/timing"
	"github.com/evercred/evercred/owner/claudecode"
)

// world is a login in memory, its endpoint, and what the Sources on it said,
// inside one synctest bubble.
type world struct {
	t      *testing.T
	store  *credtest.Store
	ep     *endpoint
	clock  *clock
	events []evercred.Event
	mu     sync.Mutex
}

// inWorld runs f in a bubble, with a login whose access token ends in left.
func inWorld(t *testing.T, left time.Duration, f func(*world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.store = credtest.NewStore(w.login("a1", "r1", left))
		f(w)
		w.check()
	})
}

// newWorld begins in 2026: a bubble begins in 2000, and the codec takes times
// before that for no milliseconds.
func newWorld(t *testing.T) *world {
	time.Sleep(time.Until(time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)))
	return worldAt(t)
}

// worldAt begins now.
func worldAt(t *testing.T) *world {
	c := &clock{start: time.Now()}
	return &world{t: t, ep: newEndpoint(t, c), clock: c}
}

// login is a document as the owner writes it.
func (w *world) login(access, refresh string, left time.Duration) []byte {
	return fmt.Appendf(nil, `{"mcpOAuth":{"x":1.50},"claudeAiOauth":{"accessToken":%q,"refreshToken":%q,"expiresAt":%d,"scopes":["user:inference"],"subscriptionType":"max"}}`,
		access, refresh, w.clock.Now().Add(left).UnixMilli())
}

// source makes a Source on the login; each one has its own memory, because the
// store in memory has no ledger.
func (w *world) source(change ...func(*evercred.Options)) *evercred.Source {
	o := &evercred.Options{Observe: w.observe, Seams: &seam.Seams{Clock: w.clock}}
	for _, c := range change {
		c(o)
	}
	s := evercred.New(w.store, claudecode.Codec{}, w.ep, o)
	w.t.Cleanup(func() { s.Close() })
	return s
}

// fullDisk is a Source whose first grant, of a2, could not be saved.
func (w *world) fullDisk() *evercred.Source {
	w.t.Helper()
	w.store.FailSave(func() error { return errors.New("no space left on device") })
	s := w.source()
	want(w.t, s, "a2")
	return s
}

func (w *world) observe(e evercred.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, e)
}

func (w *world) saw(k evercred.EventKind) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.events {
		if e.Kind == k {
			return true
		}
	}
	return false
}

// stored is the login as the store has it.
func (w *world) stored() evercred.Credential {
	w.t.Helper()
	c, err := claudecode.Codec{}.Decode(w.store.Bytes())
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// check is the oracle: what must hold after every test.
func (w *world) check() {
	w.t.Helper()
	if b := w.store.Bytes(); b != nil && !strings.Contains(string(b), `"mcpOAuth":{"x":1.50}`) {
		w.t.Errorf("the neighbours were touched")
	}
	w.ep.mu.Lock()
	defer w.ep.mu.Unlock()
	for print, n := range w.ep.answered {
		if n > 1 {
			w.t.Errorf("a refresh token that was answered was sent again: %s", print)
		}
	}
}

func (w *world) sends(want int) {
	w.t.Helper()
	w.ep.mu.Lock()
	defer w.ep.mu.Unlock()
	if w.ep.sends != want {
		w.t.Errorf("%d requests, want %d", w.ep.sends, want)
	}
}

// want asks for a token and compares it.
func want(t *testing.T, s evercred.Provider, token string) evercred.Token {
	t.Helper()
	got, err := s.Token(context.Background())
	if err != nil {
		t.Fatalf("want %s, got: %v", token, err)
	}
	if got.Reveal() != token {
		t.Fatalf("want %s, got %s", token, got.Reveal())
	}
	return got
}

func wantError(t *testing.T, s evercred.Provider, kind error, reason evercred.Reason) *evercred.Error {
	t.Helper()
	tok, err := s.Token(context.Background())
	if !errors.Is(err, kind) {
		t.Fatalf("want %v, got %v %v", kind, tok.Fingerprint(), err)
	}
	var e *evercred.Error
	if !errors.As(err, &e) || e.Reason != reason {
		t.Fatalf("want reason %s, got %s: %v", reason, e.Reason, err)
	}
	return e
}

// clock is the bubble's, with jumps of the wall.
type clock struct {
	mu          sync.Mutex
	start       time.Time
	jump, slept time.Duration
}

var _ timing.Clock = (*clock)(nil)

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Round(0).Add(c.jump + c.slept)
}

func (c *clock) Boot() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Since(c.start) + c.slept
}

func (c *clock) Awake() time.Duration { return time.Since(c.start) }

func (c *clock) set(jump, slept time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.jump, c.slept = c.jump+jump, c.slept+slept
}

// endpoint is a strict token endpoint without a network: it answers a refresh
// token once, with rN+1 for rN.
type endpoint struct {
	parser *grant.Client
	clock  *clock // of its client's machine
	mu     sync.Mutex
	next   int
	live   string
	tries  int // calls of Send
	sends  int
	script []step
	// answered counts the sends of a token after a usable answer to it came back.
	answered map[string]int
}

// step scripts one send.
type step struct {
	unsent  error         // it never leaves, and that is known after take
	connect func()        // while connecting, before the last check
	take    time.Duration // before the commit
	refuse  bool          // no commit
	lose    error         // the answer does not arrive
	raw     string        // instead of the honest answer
	members string        // added to it
	during  func()        // between commit and answer
}

func newEndpoint(t *testing.T, c *clock) *endpoint {
	p, err := grant.New(grant.Config{TokenURL: "http://127.0.0.1:1/token"})
	if err != nil {
		t.Fatal(err)
	}
	return &endpoint{parser: p, clock: c, next: 2, live: "r1", answered: map[string]int{}}
}

func (ep *endpoint) then(steps ...step) { ep.script = append(ep.script, steps...) }

func (ep *endpoint) Parse(a evercred.Answer, sent evercred.Credential) evercred.Outcome {
	return ep.parser.Parse(a, sent)
}

func (ep *endpoint) Send(ctx context.Context, c evercred.Credential, x evercred.Exchange) (evercred.Answer, error) {
	ep.mu.Lock()
	ep.tries++
	var s step
	if len(ep.script) > 0 {
		s, ep.script = ep.script[0], ep.script[1:]
	}
	ep.mu.Unlock()
	if s.unsent != nil {
		time.Sleep(s.take)
		return evercred.Answer{}, fmt.Errorf("%w: %w", evercred.ErrNotSent, s.unsent)
	}
	if s.connect != nil {
		s.connect()
	}
	if err := x.Ready(); err != nil {
		return evercred.Answer{}, fmt.Errorf("%w: %w", evercred.ErrNotSent, err)
	}
	x.Sending()
	time.Sleep(s.take)
	raw := ep.commit(c.Refresh.Reveal(), s)
	if s.during != nil {
		s.during()
	}
	if s.lose != nil {
		return evercred.NewAnswer(nil, ep.clock.Now()), s.lose
	}
	ep.mu.Lock()
	if _, told := ep.answered[c.Refresh.Reveal()]; !told && ep.Parse(evercred.NewAnswer([]byte(raw), ep.clock.Now()), c).Verdict == evercred.Granted {
		ep.answered[c.Refresh.Reveal()] = 1
	}
	ep.mu.Unlock()
	x.Received([]byte(raw))
	return evercred.NewAnswer([]byte(raw), ep.clock.Now()), nil
}

func (ep *endpoint) commit(refresh string, s step) string {
	ep.mu.Lock()
	defer ep.mu.Unlock()
	ep.sends++
	if n, ok := ep.answered[refresh]; ok {
		ep.answered[refresh] = n + 1
	}
	if s.refuse {
		return s.raw
	}
	if refresh != ep.live {
		return response(400, `{"error":"invalid_grant","error_description":"refresh token not found or invalid"}`)
	}
	n := ep.next
	ep.next++
	ep.live = fmt.Sprint("r", n)
	if s.raw != "" {
		return s.raw
	}
	members := s.members
	if members == "" {
		members = `,"expires_in":28800`
	}
	return response(200, fmt.Sprintf(`{"token_type":"Bearer","access_token":"a%d","refresh_token":"r%d"%s}`, n, n, members))
}

func response(status int, body string, headers ...string) string {
	h := strings.Join(append(headers, ""), "\r\n")
	return fmt.Sprintf("HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%s\r\n%s", status, len(body), h, body)
}

// together runs f in n goroutines at once and waits for them.
func together(n int, f func()) {
	var wg sync.WaitGroup
	for range n {
		wg.Go(f)
	}
	wg.Wait()
}

var codec = claudecode.Codec{}

func newStore(doc []byte) *credtest.Store { return credtest.NewStore(doc) }

// hangingStore answers loads and hangs in every probe.
type hangingStore struct {
	*credtest.Store
	released chan struct{}
}

func (s hangingStore) Probe(ctx context.Context, _ evercred.Document) (bool, error) {
	<-s.released
	return false, nil
}
