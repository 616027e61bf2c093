package clock

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evercred/evercred"
	"github.com/evercred/evercred/internal/fsys"
	"github.com/evercred/evercred/internal/fsys/faulty"
	"github.com/evercred/evercred/internal/issuer"
	"github.com/evercred/evercred/internal/proof/stage"
	"github.com/evercred/evercred/internal/seam"
	"github.com/evercred/evercred/owner/claudecode"
)

// bench is one case in its bubble: a login on the real disk, the endpoint that
// it came from behind a pipe, and three clocks that can be set.
type bench struct {
	t        *testing.T
	dir      string
	path     string
	clock    *dial
	server   time.Duration // the endpoint's clock is ahead by this
	endpoint *issuer.Server
	login    issuer.Login
	pipes    *pipes
	options  evercred.Options
	sources  []*evercred.Source
	mu       sync.Mutex
	events   []evercred.Event
	wrong    []string
	given    bool // the case itself took the newest token away

	// What the case does at a phase of the next refresh, once.
	connecting, committed, saving func()
}

// newBench lays a login whose access token ends in left.
func newBench(t *testing.T, dir string, left time.Duration) *bench {
	// A bubble begins in 2000; the codec takes times before that for no milliseconds.
	time.Sleep(time.Until(time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)))
	b := &bench{t: t, dir: filepath.Join(dir, "claude"), clock: &dial{began: time.Now()}, pipes: newPipes()}
	b.path = filepath.Join(b.dir, ".credentials.json")
	if err := os.Mkdir(b.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	b.endpoint = issuer.New(&issuer.Options{
		Seed: 1, Listener: b.pipes, Now: func() time.Time { return time.Now().Add(b.server) },
		Observe: func(at issuer.Stage, _ issuer.Record) {
			if at == issuer.Committed {
				once(&b.committed)
			}
		},
		Behaviour: issuer.Behaviour{
			BeforeCommit: 100 * time.Millisecond, AfterCommit: 50 * time.Millisecond,
			Members: map[string]string{"scope": `"user:inference"`}, // as it is stored
		},
	})
	if _, err := b.endpoint.Start(); err != nil {
		t.Fatal(err)
	}
	b.login = b.endpoint.LoginFor(claudecode.ClientID)
	b.write(stage.Document(b.login.Access, b.login.Refresh, b.clock.Now().Add(left)))
	return b
}

func once(f *func()) {
	if do := *f; do != nil {
		*f = nil
		do()
	}
}

// source is a process of its own on the login.
func (b *bench) source() *evercred.Source {
	o := b.options
	o.Observe = func(e evercred.Event) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.events = append(b.events, e)
	}
	o.Seams = &seam.Seams{
		Clock: b.clock, Rand: stage.Dice(uint64(len(b.sources))),
		Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			once(&b.connecting)
			return b.pipes.dial(ctx)
		},
		FS: &faulty.FS{Under: fsys.OS{}, Fail: func(c faulty.Call) error {
			if c.Op == "Rename" && c.Path == b.path {
				once(&b.saving)
			}
			return nil
		}},
	}
	s, err := claudecode.OpenFile(b.path, &claudecode.Options{Options: o, TokenURL: b.endpoint.URL()})
	if err != nil {
		b.t.Fatal(err)
	}
	b.sources = append(b.sources, s)
	return s
}

// end is the oracle (PROOF, "The oracle"), after every case.
func (b *bench) end() {
	for _, s := range b.sources {
		s.Close()
	}
	b.endpoint.Close()
	doc, err := os.ReadFile(b.path)
	if err != nil {
		b.fail("the document: %v", err)
	} else if c, err := (claudecode.Codec{}).Decode(doc); err != nil {
		b.fail("the document does not parse: %v", err)
	} else if newest := b.endpoint.Newest(b.login.ID); !b.given && c.Refresh.Reveal() != newest {
		b.fail("the newest refresh token that was answered is not stored")
	}
	answered := map[string]int{}
	for _, r := range b.endpoint.Audit() {
		if n := answered[r.Refresh]; n > 0 {
			b.fail("request %d sends a token that request %d was answered for", r.N, n)
		}
		if r.Told && r.Complete && r.Successor != "" {
			answered[r.Refresh] = r.N
		}
	}
	filepath.WalkDir(filepath.Dir(b.dir), func(path string, d os.DirEntry, err error) error {
		if name := d.Name(); !b.given && (strings.HasSuffix(name, ".lock") || strings.HasPrefix(name, "tmp-") || strings.HasPrefix(name, "lock-") || strings.HasSuffix(name, ".open")) {
			b.fail("left over: %s", name)
		}
		return err
	})
}

func (b *bench) fail(format string, args ...any) {
	b.wrong = append(b.wrong, fmt.Sprintf(format, args...))
}

// fresh asks s for a token: it must come, and not be dead.
func (b *bench) fresh(s *evercred.Source) evercred.Token {
	t, err := s.Token(context.Background())
	if err != nil {
		b.fail("no token: %v", err)
		return t
	}
	if end := t.Expires(); !end.IsZero() && !b.clock.Now().Before(end) {
		b.fail("a token is served that ended %v ago", b.clock.Now().Sub(end))
	}
	return t
}

// old is fresh, and the token is the one that was laid.
func (b *bench) old(s *evercred.Source) {
	if t := b.fresh(s); t.Reveal() != b.login.Access {
		b.fail("served %s and not the token that is still good", t.Fingerprint())
	}
}

// renewed is fresh, and the token is another than the one that was laid.
func (b *bench) renewed(s *evercred.Source) {
	if t := b.fresh(s); t.Reveal() == b.login.Access {
		b.fail("the old token is served")
	}
}

// refused asks s, and wants an error of a kind.
func (b *bench) refused(s *evercred.Source, kind error) *evercred.Error {
	t, err := s.Token(context.Background())
	if !errors.Is(err, kind) {
		b.fail("got %s %v, want %v", t.Fingerprint(), err, kind)
	}
	var e *evercred.Error
	if !errors.As(err, &e) {
		return &evercred.Error{}
	}
	return e
}

// requests wants so many to have reached the endpoint.
func (b *bench) requests(n int) {
	if got := b.endpoint.Requests(); got != n {
		b.fail("%d requests, want %d", got, n)
	}
}

// expires wants the store to say that the token ends in about left.
func (b *bench) expires(left time.Duration) {
	got := b.stored().Expires.Sub(b.clock.Now())
	if (got - left).Abs() > 2*time.Second {
		b.fail("the store says that the token ends in %v, want %v", got, left)
	}
}

func (b *bench) stored() evercred.Credential {
	doc, err := os.ReadFile(b.path)
	if err != nil {
		b.t.Fatal(err)
	}
	c, err := claudecode.Codec{}.Decode(doc)
	if err != nil {
		b.fail("the document does not parse: %v", err)
	}
	return c
}

func (b *bench) write(doc []byte) {
	if err := os.WriteFile(b.path, doc, 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// set lays the login with expiresAt as JSON (empty: without it), and more members.
func (b *bench) set(expiresAt string, more ...string) {
	end := time.Now().Add(time.Minute)
	doc := string(stage.Document(b.login.Access, b.login.Refresh, end))
	was := `"expiresAt":` + strconv.FormatInt(end.UnixMilli(), 10)
	now := append([]string(nil), more...)
	if expiresAt != "" {
		now = append(now, `"expiresAt":`+expiresAt)
	}
	if len(now) == 0 {
		now = []string{`"nothing":0`}
	}
	b.write([]byte(strings.Replace(doc, was, strings.Join(now, ","), 1)))
}

func (b *bench) told(k evercred.EventKind) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.events {
		if e.Kind == k {
			return
		}
	}
	b.fail("no event %q", k)
}

// dial is the clock.
type dial struct {
	began         time.Time
	mu            sync.Mutex
	jumped, slept time.Duration
}

func (d *dial) Now() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return time.Now().Round(0).Add(d.jumped + d.slept)
}

func (d *dial) Boot() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return time.Since(d.began) + d.slept
}

func (d *dial) Awake() time.Duration { return time.Since(d.began) }

// jump sets the wall clock; sleep suspends the machine.
func (d *dial) jump(by time.Duration)  { d.mu.Lock(); d.jumped += by; d.mu.Unlock() }
func (d *dial) sleep(by time.Duration) { d.mu.Lock(); d.slept += by; d.mu.Unlock() }

// pipes is a listener without a network.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) dial(ctx context.Context) (net.Conn, error) {
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
func (p *pipes) Addr() net.Addr { return pipe{} }

type pipe struct{}

func (pipe) Network() string { return "pipe" }
func (pipe) String() string  { return "pipe" }
